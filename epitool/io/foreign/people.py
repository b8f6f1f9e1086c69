"""2D joints that other programs have found: OpenPose, AlphaPose, MMPose, COCO, DeepLabCut, SLEAP.

Each view is a folder of JSON files (OpenPose, as Pose2Sim keeps them too) or one file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epitool.errors import InputError
from epitool.io.files import foreign_file
from epitool.io.foreign.animals import deeplabcut_csv, hdf5, sleap
from epitool.io.foreign.seen import Array, SeenView, body_of, frame_number, stacked, view_name
from epitool.skeleton import SKELETONS, Skeleton


def read_views(path: Path, given: Skeleton | None = None) -> list[SeenView]:
    """The views that a file or folder holds: several in a Pose2Sim folder of folders or a SLEAP project, else one.

    Args:
        path: The file or folder.
        given: Order of the joints, where files do not name them; None judges by the people.

    Raises:
        InputError: It is of no known format, or damaged.
        UsageError: An extra is missing.
    """
    if path.is_dir():
        folders = sorted(child for child in path.iterdir() if child.is_dir() and any(child.glob("*.json")))
        if any(path.glob("*.json")) or not folders:
            return [_openpose(path, given)]
        return [_openpose(folder, given) for folder in folders]
    readers: dict[str, Callable[[Path, Skeleton | None], list[SeenView]]] = {
        ".json": _json, ".csv": deeplabcut_csv, ".slp": sleap, ".h5": hdf5
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: no known file of 2D joints; known are OpenPose folders, .json, .csv, .slp and .h5")
    with foreign_file(path, "a file of 2D joints"):
        return readers[path.suffix.lower()](path, given)


def _openpose(folder: Path, given: Skeleton | None) -> SeenView:
    files: dict[int, Path] = {}
    for file in sorted(folder.glob("*.json")):
        if file.name.startswith(("del_", ".")):  # as Pose2Sim marks those that are left out
            continue
        with foreign_file(file, "OpenPose's joints of one image"):
            number = frame_number(file.name)
        if number in files:
            raise InputError(f"{file}: has the frame number of {files[number].name}; one of them must go")
        files[number] = file
    if not files:
        raise InputError(f"{folder}: holds no .json files of joints")
    people: dict[int, list[Array]] = {}
    for number, file in files.items():
        with foreign_file(file, "OpenPose's joints of one image"):
            content = json.loads(file.read_bytes())["people"]
            found = [np.array(one.get("pose_keypoints_2d", []), dtype=float) for one in content]
            people[number] = [one for one in found if one.size]  # Pose2Sim empties those that it leaves out
    counts = {one.size for found in people.values() for one in found}
    if len(counts) > 1 or any(size % 3 for size in counts):
        raise InputError(f"{folder}: people with different numbers of joints ({', '.join(map(str, sorted(counts)))})")
    joints = counts.pop() // 3 if counts else len(given or SKELETONS["body25"])
    with foreign_file(files[min(files)], "OpenPose's joints of one image"):
        everyone = {number: stacked(found, joints) for number, found in people.items()}
        body = body_of(joints, None, everyone, given)
    return SeenView(view_name(folder), everyone, body, None, "OpenPose", judged=given is None)


def _json(path: Path, given: Skeleton | None) -> list[SeenView]:
    return [_json_view(path, json.loads(path.read_bytes()), given)]


def _json_view(path: Path, content: Any, given: Skeleton | None) -> SeenView:
    if isinstance(content, dict) and "instance_info" in content:
        named = content.get("meta_info", {}).get("keypoint_id2name")
        names = [named[key] for key in sorted(named, key=int)] if named else None
        return _mmpose(path, content["instance_info"], 1, names, given)
    if isinstance(content, list) and content and {"frame_id", "instances"} <= content[0].keys():
        return _mmpose(path, content, 0, None, given)
    if isinstance(content, dict) and "annotations" in content:
        return _coco(path, content, given)
    if isinstance(content, list) and content and "keypoints" in content[0]:
        by_frame: dict[int, list[Array]] = {}
        for one in content:
            number = one["image_id"] if isinstance(one["image_id"], int) else frame_number(one["image_id"])
            by_frame.setdefault(number, []).append(np.array(one["keypoints"], dtype=float))
        return _from_rows(path, by_frame, None, None, "AlphaPose or COCO results", given)
    raise ValueError("neither AlphaPose's or COCO's results, COCO's annotations, nor MMPose's predictions")


def _coco(path: Path, content: Mapping[str, Any], given: Skeleton | None) -> SeenView:
    images = {image["id"]: image for image in content["images"]}
    names = next((c["keypoints"] for c in content.get("categories", []) if c.get("keypoints")), None)
    by_frame: dict[int, list[Array]] = {frame_number(image["file_name"]): [] for image in images.values()}
    if len(by_frame) != len(images):
        raise ValueError("two images with the same number at the end of their names")
    for one in content["annotations"]:
        if one.get("keypoints"):
            rows = np.array(one["keypoints"], dtype=float).reshape(-1, 3)
            rows[:, 2] = np.minimum(rows[:, 2], 1)  # visible is 2
            by_frame[frame_number(images[one["image_id"]]["file_name"])].append(rows)
    sizes = {(int(i["width"]), int(i["height"])) for i in images.values() if "width" in i and "height" in i}
    return _from_rows(path, by_frame, names, sizes.pop() if len(sizes) == 1 else None, "COCO", given)


def _mmpose(
    path: Path, frames: Sequence[Mapping[str, Any]], first: int, names: Sequence[str] | None, given: Skeleton | None
) -> SeenView:
    """Its demos count frames from 1 and name joints, its inferencer counts from 0 and does not."""
    by_frame: dict[int, list[Array]] = {}
    for n, frame in enumerate(frames, first):
        by_frame[int(frame.get("frame_id", n)) - first] = [
            np.column_stack([np.array(one["keypoints"], dtype=float)[:, :2], one["keypoint_scores"]])
            for one in frame["instances"]
        ]
    return _from_rows(path, by_frame, names, None, "MMPose", given)


def _from_rows(
    path: Path, by_frame: Mapping[int, list[Array]], names: Sequence[str] | None, size: tuple[int, int] | None,
    program: str, given: Skeleton | None,
) -> SeenView:  # fmt: skip
    counts = {rows.size // 3 for found in by_frame.values() for rows in found} or {len(names or ()) or 17}
    if len(counts) > 1:
        raise ValueError(f"people with {' and '.join(map(str, sorted(counts)))} joints")
    joints = counts.pop()
    if names is not None and len(names) != joints:
        raise ValueError(f"{len(names)} names for {joints} joints")
    people = {number: stacked(found, joints) for number, found in sorted(by_frame.items())}
    body, judged = body_of(joints, names, people, given), names is None and given is None
    return SeenView(view_name(path), people, body, size, program, judged)
