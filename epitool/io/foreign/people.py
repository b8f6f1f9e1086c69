"""2D joints that other programs have found: OpenPose, AlphaPose, MMPose, COCO, DeepLabCut, SLEAP.

Each view is a folder of JSON files, one for each image (OpenPose, as Pose2Sim keeps them too; MMPose; AlphaPose), or
one file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epitool.errors import InputError
from epitool.io.files import foreign_file
from epitool.io.foreign.animals import deeplabcut_csv, hdf5, sleap
from epitool.io.foreign.orders import view_of
from epitool.io.foreign.seen import Array, SeenView, frame_number, frames_of, row_of, view_name
from epitool.skeleton import SKELETONS, Skeleton

_OF_IMAGE = "2D joints of one image"


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
            return [_folder(path, given)]
        return [_folder(folder, given) for folder in folders]
    readers: dict[str, Callable[[Path, Skeleton | None], list[SeenView]]] = {
        ".json": _json, ".csv": deeplabcut_csv, ".slp": sleap, ".h5": hdf5
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: no known file of 2D joints; known are OpenPose folders, .json, .csv, .slp and .h5")
    with foreign_file(path, "a file of 2D joints"):
        return readers[path.suffix.lower()](path, given)


def _folder(folder: Path, given: Skeleton | None) -> SeenView:
    """A view of which every image has a file of its own."""
    files = _numbered(folder)
    by_frame: dict[int, list[Array]] = {}
    names: Sequence[str] | None = None
    programs: list[str] = []
    for number, file in files.items():
        with foreign_file(file, _OF_IMAGE):
            program, by_frame[number], named = _of_image(json.loads(file.read_bytes()))
            names = names or named
            programs.append(program)
    with foreign_file(files[min(files)], _OF_IMAGE):
        if len(set(programs)) > 1:
            raise ValueError(f"of {' and '.join(sorted(set(programs)))} in one folder")
        expected = len(given or names or SKELETONS["body25"])
        try:
            people, count = frames_of(by_frame, expected)
        except ValueError as error:
            raise InputError(f"{folder}: {error}") from None
        return view_of(view_name(folder), programs[0], people, count, names, given)


def _numbered(folder: Path) -> dict[int, Path]:
    """The files of a folder's images by their numbers."""
    files: dict[int, Path] = {}
    for file in sorted(folder.glob("*.json")):
        if file.name.startswith(("del_", ".")):  # as Pose2Sim marks those that are left out
            continue
        with foreign_file(file, _OF_IMAGE):
            number = frame_number(file.name)
        if number in files:
            raise InputError(f"{file}: has the frame number of {files[number].name}; one of them must go")
        files[number] = file
    if not files:
        raise InputError(f"{folder}: holds no .json files of joints")
    return files


def _of_image(content: Any) -> tuple[str, list[Array], Sequence[str] | None]:
    """What one image's file holds: the program, each one's numbers, and the joints' names."""
    if isinstance(content, list) and all(_has(one, "keypoints", "keypoint_scores") for one in content):
        return "MMPose", [_mmpose_row(one) for one in content], None
    if _has(content, "instance_info"):
        if any(_has(one, "instances") for one in content["instance_info"]):
            raise ValueError("MMPose's joints of a whole video; give the file, not its folder")
        return "MMPose", [_mmpose_row(one) for one in content["instance_info"]], _mmpose_names(content)
    if isinstance(content, list) and any(_has(one, "instances") or _has(one, "image_id") for one in content):
        raise ValueError("joints of a whole video; give the file, not its folder")
    if _has(content, "people") or _has(content, "bodies"):
        found = (row_of(one) for one in _openpose_people(content))
        return "OpenPose", [row for row in found if row.size], None  # Pose2Sim empties those that it leaves out
    raise ValueError(
        f"neither OpenPose's 'people', AlphaPose's 'bodies', nor MMPose's instances, but {_sketch(content)}"
    )


def _openpose_people(content: Mapping[str, Any]) -> Iterable[Any]:
    """The joints of everyone in an image, as OpenPose writes them, in its first version too, and AlphaPose after it."""
    for one in content.get("people", content.get("bodies", [])):
        if not isinstance(one, dict):
            raise ValueError(f"someone of whom no joints are stated, but {_sketch(one)}")
        yield next((one[key] for key in ("pose_keypoints_2d", "pose_keypoints", "joints") if one.get(key)), [])


def _json(path: Path, given: Skeleton | None) -> list[SeenView]:
    return [_json_view(path, json.loads(path.read_bytes()), given)]


def _json_view(path: Path, content: Any, given: Skeleton | None) -> SeenView:
    if _has(content, "instance_info"):
        return _mmpose(path, content["instance_info"], 1, _mmpose_names(content), given)
    if isinstance(content, list) and content and all(_has(one, "instances") for one in content):
        return _mmpose(path, content, 0, None, given)
    if _has(content, "images", "annotations"):
        return _coco(path, content, given)
    if isinstance(content, list) and content and all(_has(one, "keypoints", "image_id") for one in content):
        by_frame: dict[int, list[Array]] = {}
        for one in content:
            by_frame.setdefault(_number(one["image_id"]), []).append(row_of(one["keypoints"]))
        return _from_rows(path, by_frame, None, None, "AlphaPose or COCO results", given)
    if (
        isinstance(content, dict)
        and content
        and all(_has(one, "people") or _has(one, "bodies") for one in content.values())
    ):
        by_frame = {_number(image): [row_of(one) for one in _openpose_people(p)] for image, p in content.items()}
        return _from_rows(path, by_frame, None, None, "AlphaPose", given)
    raise ValueError(
        "neither AlphaPose's or COCO's results, COCO's annotations, nor MMPose's predictions of a video, but"
        f" {_sketch(content)}"
    )


def _number(image: Any) -> int:
    return image if isinstance(image, int) else frame_number(str(image))


def _has(content: Any, *keys: str) -> bool:
    return isinstance(content, dict) and content.keys() >= set(keys)


def _sketch(content: Any) -> str:
    """What a file's content is, in a few words."""
    if isinstance(content, dict):
        return f"named {', '.join(map(str, content))[:80]}" if content else "nothing that is named"
    if isinstance(content, list):
        return f"a list of {len(content)}, the first {_sketch(content[0])}" if content else "an empty list"
    return repr(content)[:40]


def _coco(path: Path, content: Mapping[str, Any], given: Skeleton | None) -> SeenView:
    images = {image["id"]: image for image in content["images"]}
    names = next((c["keypoints"] for c in content.get("categories", []) if c.get("keypoints")), None)
    by_frame: dict[int, list[Array]] = {frame_number(image["file_name"]): [] for image in images.values()}
    if len(by_frame) != len(images):
        raise ValueError("two images with the same number at the end of their names")
    for one in content["annotations"]:
        if one.get("keypoints"):
            if one["image_id"] not in images:
                raise ValueError(f"joints of image {one['image_id']}, which is not among the images")
            row = row_of(one["keypoints"])
            row[2::3] = np.minimum(row[2::3], 1)  # visible is 2
            by_frame[frame_number(images[one["image_id"]]["file_name"])].append(row)
    sizes = {(int(i["width"]), int(i["height"])) for i in images.values() if "width" in i and "height" in i}
    return _from_rows(path, by_frame, names, sizes.pop() if len(sizes) == 1 else None, "COCO", given)


def _mmpose(
    path: Path, frames: Sequence[Mapping[str, Any]], first: int, names: Sequence[str] | None, given: Skeleton | None
) -> SeenView:
    """Its demos count frames from 1 and name joints, its inferencer counts from 0 and does not."""
    if frames and not any(_has(frame, "instances") for frame in frames):
        raise ValueError("MMPose's joints of one image; give the folder that holds the files of all images of a view")
    by_frame = {
        int(frame.get("frame_id", n)) - first: [_mmpose_row(one) for one in frame["instances"]]
        for n, frame in enumerate(frames, first)
    }
    return _from_rows(path, by_frame, names, None, "MMPose", given)


def _mmpose_names(content: Mapping[str, Any]) -> list[str] | None:
    named = (content.get("meta_info") or {}).get("keypoint_id2name")
    return [named[key] for key in sorted(named, key=int)] if named else None


def _mmpose_row(one: Mapping[str, Any]) -> Array:
    places, scores = row_of(one["keypoints"]), row_of(one["keypoint_scores"])
    if not scores.size or places.size not in (2 * scores.size, 3 * scores.size):
        raise ValueError(f"{scores.size} keypoint_scores for keypoints of {places.size} numbers")
    return np.column_stack([places.reshape(scores.size, -1)[:, :2], scores]).ravel()


def _from_rows(
    path: Path, by_frame: Mapping[int, list[Array]], names: Sequence[str] | None, size: tuple[int, int] | None,
    program: str, given: Skeleton | None,
) -> SeenView:  # fmt: skip
    people, joints = frames_of(by_frame, len(given or names or ()))
    if names is not None and len(names) != joints:
        raise ValueError(f"{len(names)} names for {joints} joints")
    return view_of(view_name(path), program, people, joints, names, given, size)
