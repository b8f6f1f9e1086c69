"""Reader of OpenPose's JSON files, one per image in a folder per view; AlphaPose can write the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from epitool.io.foreign.joints.format import ImageFormat, has, sketch
from epitool.io.foreign.joints.seen_view import Array, row_of


def openpose_people(content: Mapping[str, Any]) -> Iterable[Any]:
    """Yield the joints of each person in an image, as written by any version of OpenPose or by AlphaPose."""
    for one in content.get("people", content.get("bodies", [])):
        if not isinstance(one, dict):
            raise ValueError(f"someone of whom no joints are stated, but {sketch(one)}")
        yield next((one[key] for key in ("pose_keypoints_2d", "pose_keypoints", "joints") if one.get(key)), [])


def _read_image_people(content: Any) -> tuple[str, list[Array], None] | None:
    if not (has(content, "people") or has(content, "bodies")):
        return None
    found = (row_of(one) for one in openpose_people(content))
    return "OpenPose", [row for row in found if row.size], None  # Pose2Sim empties excluded people


OF_IMAGE = ImageFormat("OpenPose's 'people', AlphaPose's 'bodies'", _read_image_people)
