"""Reader of AlphaPose's `alphapose-results.json` in any of its formats, one of which is that of COCO results."""

from __future__ import annotations

from typing import Any

from epitool.io.foreign.joints.format import FileFormat, JointFile, has, have_keys, view_of_rows
from epitool.io.foreign.joints.openpose import openpose_people
from epitool.io.foreign.joints.seen_view import Array, SeenView, frame_number, row_of
from epitool.skeleton import Skeleton


def _is_results(content: Any) -> bool:
    return have_keys(content, "keypoints", "image_id")


def _is_by_image(content: Any) -> bool:
    """Return whether the content is as written by `--format cmu` or `open`: OpenPose's content by image name."""
    images = content.values() if isinstance(content, dict) else ()
    return bool(images) and all(has(one, "people") or has(one, "bodies") for one in images)


def _read(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    by_frame: dict[int, list[Array]] = {}
    if _is_by_image(file.json):
        by_frame = {_number(image): [row_of(one) for one in openpose_people(p)] for image, p in file.json.items()}
        return [view_of_rows(file.path, by_frame, None, None, "AlphaPose", given)]
    for one in file.json:
        by_frame.setdefault(_number(one["image_id"]), []).append(row_of(one["keypoints"]))
    return [view_of_rows(file.path, by_frame, None, None, "AlphaPose or COCO results", given)]


def _number(image: Any) -> int:
    return image if isinstance(image, int) else frame_number(str(image))


RESULTS = FileFormat(
    ".json", "AlphaPose's or COCO's results", lambda file: _is_results(file.json) or _is_by_image(file.json), _read
)
