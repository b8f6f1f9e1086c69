"""Reader of MMPose's JSON of a video, from its inferencer or demos, or of each image in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epitool.io.foreign.joints.format import FileFormat, ImageFormat, JointFile, has, have_keys, view_of_rows
from epitool.io.foreign.joints.seen_view import Array, SeenView, row_of
from epitool.skeleton import Skeleton


def _read_image_people(content: Any) -> tuple[str, list[Array], Sequence[str] | None] | None:
    if content == [] or have_keys(content, "keypoints", "keypoint_scores"):
        return "MMPose", [_row(one) for one in content], None
    if has(content, "instance_info") and not any(has(one, "instances") for one in content["instance_info"]):
        return "MMPose", [_row(one) for one in content["instance_info"]], _names(content)
    return None


def _read_video(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    """Read a video; MMPose's demos count frames from 1 and name joints, its inferencer counts from 0 and does not."""
    demo = has(file.json, "instance_info")
    frames, first = (file.json["instance_info"], 1) if demo else (file.json, 0)
    if frames and not any(has(frame, "instances") for frame in frames):
        raise ValueError("MMPose's joints of one image; give the folder that holds the files of all images of a view")
    by_frame = {
        int(frame.get("frame_id", n)) - first: [_row(one) for one in frame["instances"]]
        for n, frame in enumerate(frames, first)
    }
    return [view_of_rows(file.path, by_frame, _names(file.json) if demo else None, None, "MMPose", given)]


def _names(content: Mapping[str, Any]) -> list[str] | None:
    named = (content.get("meta_info") or {}).get("keypoint_id2name")
    return [named[key] for key in sorted(named, key=int)] if named else None


def _row(one: Mapping[str, Any]) -> Array:
    places, scores = row_of(one["keypoints"]), row_of(one["keypoint_scores"])
    if not scores.size or places.size not in (2 * scores.size, 3 * scores.size):
        raise ValueError(f"{scores.size} keypoint_scores for keypoints of {places.size} numbers")
    return np.column_stack([places.reshape(scores.size, -1)[:, :2], scores]).ravel()


OF_IMAGE = ImageFormat("MMPose's instances", _read_image_people)
VIDEO = FileFormat(
    ".json", "MMPose's predictions of a video",
    lambda file: has(file.json, "instance_info") or have_keys(file.json, "instances"), _read_video,
)  # fmt: skip
