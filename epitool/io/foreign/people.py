"""2D joints that other programs have found: OpenPose, AlphaPose, MMPose, COCO, DeepLabCut, SLEAP.

Each view is a folder of JSON files (OpenPose, as Pose2Sim keeps them too) or one file.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError, UsageError
from epitool.io.files import foreign_file
from epitool.io.h5 import array, dataset
from epitool.skeleton import SKELETONS, Skeleton, skeleton_of

Array = NDArray[np.float64]
People = tuple[Array, Array]  # joints (P, J, 2) and confidence (P, J) in one image
# Orders that files without names may have; which one, is judged by the people in them.
_UNNAMED = ("coco17", "h36m17", "body25", "body25b", "halpe26", "mpii16", "blazepose33")
_SIDED = {joint for body in SKELETONS.values() for joint in body.joints if joint.startswith(("left_", "right_"))}
_LARGEST_PX = 1e7
_CLEARLY = 0.8  # of the next best order's bone lengths
_SUFFIXES = ("_json", "_keypoints", "_poses")


@dataclass(frozen=True, eq=False)
class SeenView:
    """What another program has seen in a view.

    Attributes:
        name: Of the view.
        people: Joints and confidence of everyone, by frame number.
        skeleton: Of the joints.
        size: (width, height) of the images, where the file says it.
        program: What wrote it, in words.
    """

    name: str
    people: dict[int, People]
    skeleton: Skeleton
    size: tuple[int, int] | None
    program: str


def read_views(path: Path, given: Skeleton | None = None) -> list[SeenView]:
    """The views that a file or folder holds: several in a Pose2Sim folder of folders, else one.

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
    readers: dict[str, Callable[[Path, Skeleton | None], SeenView]] = {
        ".json": _json, ".csv": _deeplabcut, ".slp": _sleap, ".h5": _hdf5
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: no known file of 2D joints; known are OpenPose folders, .json, .csv, .slp and .h5")
    with foreign_file(path, "a file of 2D joints"):
        return [readers[path.suffix.lower()](path, given)]


def frame_number(name: str) -> int:
    """The last number in a file's name.

    Raises:
        ValueError: There is none.

    >>> frame_number("cam01_000000000012_keypoints.json")
    12
    """
    found = re.findall(r"\d+", Path(name).stem)
    if not found:
        raise ValueError(f"'{name[:80]}' has no frame number")
    return int(found[-1])


def _view_name(path: Path) -> str:
    name = path.stem if path.is_file() else path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _body(
    count: int, names: Sequence[str] | None, people: Mapping[int, People], given: Skeleton | None
) -> Skeleton:  # fmt: skip
    """The skeleton given; or that of joints named so, in any spelling; or, unnamed, the one that fits the people."""
    if given is not None:
        if len(given) != count:
            raise ValueError(f"{count} joints, but {given.name} has {len(given)}")
        return given
    if names is None:
        return body_by_anatomy(count, people)
    joints = tuple(map(spelled, names))
    known = [body for body in SKELETONS.values() if body.joints == joints]
    return known[0] if known else skeleton_of("custom", joints)


def spelled(name: str) -> str:
    """Our spelling of a joint's name.

    >>> [spelled(name) for name in ("Left Knee", "R-Big Toe", "LShoulder", "rhip", "nose")]
    ['left_knee', 'right_big_toe', 'left_shoulder', 'right_hip', 'nose']
    """
    plain = re.sub(r"[\s_-]+", "_", name).lower()
    for side in ("left", "right"):
        for prefix in (f"{side}_", f"{side[0]}_", side, side[0]):
            if plain.startswith(prefix) and f"{side}_{plain[len(prefix) :]}" in _SIDED:
                return f"{side}_{plain[len(prefix) :]}"
    return plain


def body_by_anatomy(count: int, people: Mapping[int, People]) -> Skeleton:
    """Which known order so many joints are in: the one by which bones are shortest.

    OpenPose's BODY_25 and BODY_25B, for one, have 25 joints each, and their files look alike.

    Raises:
        ValueError: No order has so many joints, or two fit alike.
    """
    known = [SKELETONS[name] for name in _UNNAMED if len(SKELETONS[name]) == count]
    if not known:
        raise ValueError(f"{count} joints without names; orders are known of 16, 17, 25, 26 and 33")
    everyone = np.concatenate([np.empty((0, count, 2)), *(xy for xy, _ in people.values())])
    if len(known) == 1 or not len(everyone):
        return known[0]
    lengths = [_mean_bone(everyone, body) for body in known]
    best, next_best = np.argsort(lengths)[:2]
    if not lengths[best] < _CLEARLY * lengths[next_best]:
        raise ValueError(
            f"{count} joints without names, in the order of {known[best].name} or {known[next_best].name}: --skeleton"
            " says which"
        )
    return known[best]


def _mean_bone(xy: Array, body: Skeleton) -> float:
    """Mean length of bones, of medians over the people `(N, J, 2)`."""
    start, end = np.array(body.bones).T
    lengths = np.linalg.norm(xy[:, start] - xy[:, end], axis=-1)
    seen = np.isfinite(lengths).any(axis=0)
    return float(np.nanmedian(lengths[:, seen], axis=0).mean()) if seen.any() else np.inf


def _stacked(found: Iterable[Array], joints: int) -> People:
    """People from arrays `(J, 3)` of x, y and confidence, where nought is not seen."""
    rows = np.array([one.reshape(joints, 3) for one in found], dtype=float).reshape(-1, joints, 3)
    if (np.abs(np.nan_to_num(rows)) > _LARGEST_PX).any():
        raise ValueError("joints that lie in no image")
    seen = np.isfinite(rows).all(axis=-1) & (rows[..., 2] > 0)
    xy = np.where(seen[..., None], rows[..., :2], np.nan)
    someone = seen.any(axis=-1)
    return xy[someone], np.where(seen, np.clip(rows[..., 2], 0, 1), 0.0)[someone]


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
        stacked = {number: _stacked(found, joints) for number, found in people.items()}
        body = _body(joints, None, stacked, given)
    return SeenView(_view_name(folder), stacked, body, None, "OpenPose")


def _json(path: Path, given: Skeleton | None) -> SeenView:
    content = json.loads(path.read_bytes())
    if isinstance(content, dict) and "instance_info" in content:
        return _mmpose(path, content, given)
    if isinstance(content, dict) and "annotations" in content:
        return _coco(path, content, given)
    if isinstance(content, list) and content and "keypoints" in content[0]:
        by_frame: dict[int, list[Array]] = {}
        for one in content:
            number = one["image_id"] if isinstance(one["image_id"], int) else frame_number(one["image_id"])
            by_frame.setdefault(number, []).append(np.array(one["keypoints"], dtype=float))
        return _from_rows(path, by_frame, None, None, "AlphaPose or COCO results", given)
    raise ValueError("neither AlphaPose's or COCO's results, COCO's annotations, nor MMPose's instance_info")


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


def _mmpose(path: Path, content: Mapping[str, Any], given: Skeleton | None) -> SeenView:
    by_frame: dict[int, list[Array]] = {}
    for n, frame in enumerate(content["instance_info"]):
        number = int(frame.get("frame_id", n + 1)) - 1  # counted from 1
        by_frame[number] = [
            np.column_stack([np.array(one["keypoints"], dtype=float)[:, :2], one["keypoint_scores"]])
            for one in frame["instances"]
        ]
    named = content.get("meta_info", {}).get("keypoint_id2name")
    names = [named[key] for key in sorted(named, key=int)] if named else None
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
    people = {number: _stacked(found, joints) for number, found in sorted(by_frame.items())}
    return SeenView(_view_name(path), people, _body(joints, names, people, given), size, program)


def _deeplabcut(path: Path, given: Skeleton | None) -> SeenView:
    """Rows `scorer`, perhaps `individuals`, `bodyparts`, `coords`, then one row for each frame."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    heads = {row[0]: row[1:] for row in rows[:4] if row}
    if not {"scorer", "bodyparts", "coords"} <= heads.keys():
        raise ValueError("not DeepLabCut's rows scorer, bodyparts and coords")
    body, several = (
        rows[len([k for k in heads if k in ("scorer", "individuals", "bodyparts", "coords")]) :],
        "individuals",
    )
    columns = list(zip(heads.get(several, ["one"] * len(heads["coords"])), heads["bodyparts"], heads["coords"]))
    who, parts = (list(dict.fromkeys(column[k] for column in columns)) for k in (0, 1))
    values = np.array([[float(x) if x else np.nan for x in row[-len(columns) :]] for row in body]).reshape(
        -1, len(columns)
    )
    people: dict[int, People] = {}
    place = {column: i for i, column in enumerate(columns)}
    order = [[[place[w, part, c] for c in ("x", "y", "likelihood")] for part in parts] for w in who]
    for row, numbers in zip(body, values, strict=True):
        people[frame_number(row[0])] = _stacked(numbers[order], len(parts))
    return SeenView(_view_name(path), people, _body(len(parts), parts, people, given), None, "DeepLabCut")


def _hdf5(path: Path, given: Skeleton | None) -> SeenView:
    """SLEAP's analysis export: `tracks (P, 2, J, F)`, `point_scores`, `node_names`."""
    with h5py.File(path, "r") as file:
        if "tracks" not in file:
            raise ValueError(
                "no tracks, as SLEAP's analysis export has; DeepLabCut's .h5 holds pickles, give the .csv that it"
                " writes as well"
            )
        tracks = array(file, "tracks", 4)
        scores = array(file, "point_scores", 3) if "point_scores" in file else np.ones_like(tracks[:, 0])
        names = [str(name) for name in dataset(file, "node_names", 1).asstr()[()]]
    rows = np.concatenate([tracks, scores[:, None]], axis=1).transpose(3, 0, 2, 1)
    people = {number: _stacked(found, len(names)) for number, found in enumerate(rows)}
    return SeenView(_view_name(path), people, _body(len(names), names, people, given), None, "SLEAP")


def _sleap(path: Path, given: Skeleton | None) -> SeenView:
    try:
        import sleap_io
    except ImportError:
        raise UsageError(
            f"{path}: needs sleap-io, which wants numpy 2 and so does not go with [mediapipe]: pip install sleap-io; or"
            " export an analysis .h5 from SLEAP"
        ) from None
    labels = sleap_io.load_slp(str(path), open_videos=False)
    names = [node.name for node in labels.skeletons[0].nodes]
    people = {}
    for frame in labels.labeled_frames:
        rows = [np.column_stack([one.numpy(), np.isfinite(one.numpy()[:, 0])]) for one in frame.instances]
        people[int(frame.frame_idx)] = _stacked(rows, len(names))
    return SeenView(_view_name(path), people, _body(len(names), names, people, given), None, "SLEAP")
