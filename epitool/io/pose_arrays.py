"""Plain pose arrays in `.npz` and `.npy`, from motion capture or from other programs."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import IN_MM
from epitool.errors import InputError
from epitool.files import check_kind, writing
from epitool.io.files import require_file
from epitool.io.npz import arrays_of
from epitool.pose import Poses
from epitool.skeleton import SKELETONS, Skeleton, skeleton, skeleton_of

POSE_ARRAYS_BY = "epitool convert` or `epitool import cmu"
_LARGEST = 1e9  # a thousand kilometres
# Our names for Human3.6M's joint names; its foot joint is the ankle.
_H36M_NAMES = {
    "hip": "pelvis",
    "nose": "neck_nose",
    "neck/nose": "neck_nose",
    "head": "head_top",
    "left_foot": "left_ankle",
    "right_foot": "right_ankle",
}


@dataclass(frozen=True, eq=False)
class PoseArrays:
    """N poses of a `.npz` or `.npy`, with the clip, action and subject of each.

    Attributes:
        poses: Poses with frames numbered from 0.
        clips: Clip number of each pose, `(N,)`; zeros if the file does not state it.
        actions: Action of each pose, `(N,)`; None if the file does not state it.
        subjects: Subject number of each pose, `(N,)`; None if the file does not state it.
    """

    poses: Poses
    clips: NDArray[np.int64]
    actions: NDArray[np.str_] | None = None
    subjects: NDArray[np.int64] | None = None


def read_pose_arrays(path: Path) -> PoseArrays:
    """Read poses `(N, J, 3)` from a `.npy`, or from the array `xyz_mm`, `xyz` or the only one of a `.npz`.

    Joint names are read from a `.npz`'s `joints`, in any order, as this toolkit's names or Human3.6M's ("RHip").
    Without names, 17 joints are taken as h36m17 and 16 as mpii16. The unit is mm for `xyz_mm`, otherwise that of
    `unit`, or arbitrary without one; cm and m are converted to mm. `clip_index (N,)` states the clip of each pose,
    `action (N,)` its action, and `subject (N,)` its subject.

    Raises:
        InputError: The file is missing, damaged, holds no such array, or its joints are not known; or its clips,
            actions or subjects do not fit the poses.
    """
    require_file(path, POSE_ARRAYS_BY)
    check_kind(path, ["poses"], POSE_ARRAYS_BY, "an array of poses")
    arrays = arrays_of(path)
    key = _pose_key(arrays, path)
    xyz = arrays[key]
    if xyz.dtype.kind not in "fiu" or xyz.ndim != 3 or xyz.shape[2] != 3 or not xyz.size:
        raise InputError(f"{path}: '{key}' is {xyz.dtype} of shape {xyz.shape}, expected numbers of shape (N, J, 3)")
    largest = np.fmax.reduce(np.abs(xyz), axis=None)
    if largest > _LARGEST:
        raise InputError(
            f"{path}: '{key}' holds numbers up to {largest:.3g}, which are no poses; NaN marks a missing joint"
        )
    unit = "mm" if key == "xyz_mm" else str(arrays.get("unit", "arbitrary"))
    if unit not in IN_MM and unit != "arbitrary":
        raise InputError(f"{path}: unit '{unit}' is none of {', '.join(IN_MM)} and arbitrary")
    body, order = _skeleton_and_order(arrays.get("joints"), xyz.shape[1], path)
    ordered = xyz.astype(np.float64)[:, order] * IN_MM.get(unit, 1.0)
    unit = "mm" if unit in IN_MM else unit
    poses = Poses(ordered, np.ones(ordered.shape[:2]), np.arange(len(xyz)), body, unit, "root")
    clips, actions, subjects = (
        _read_for_each_pose(arrays, *what, len(xyz), path)
        for what in (("clip_index", "iu"), ("action", "iuUS"), ("subject", "iu"))
    )
    return PoseArrays(
        poses,
        np.zeros(len(xyz), dtype=np.int64) if clips is None else clips.astype(np.int64),
        None if actions is None else actions.astype(np.str_),
        None if subjects is None else subjects.astype(np.int64),
    )


@contextmanager
def writing_pose_arrays(path: Path, body: Skeleton, fps: float) -> Iterator[Callable[[NDArray[Any], str, int], None]]:
    """Yield a function that appends a clip's poses `(F, J, 3)` mm, name and subject; write a `.npz` at the end.

    Only one clip is held in memory at a time.

    Raises:
        InputError: The file cannot be written.
    """
    lengths: list[int] = []
    names: list[str] = []
    subjects: list[int] = []
    with writing(path) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as gathered:

        def append(xyz: NDArray[Any], name: str, subject: int) -> None:
            gathered.write(xyz.astype("<f4").tobytes())
            lengths.append(len(xyz))
            names.append(name)
            subjects.append(subject)

        yield append
        clips = np.repeat(np.arange(len(lengths)), lengths)
        arrays = {
            "format": "epitool.poses/1", "joints": body.joints, "unit": "mm", "fps": fps, "clip_names": names,
            "clip_index": clips, "subject": np.array(subjects, dtype=np.int64)[clips],
        }  # fmt: skip
        numpys: Any = np.lib.format  # untyped
        with zipfile.ZipFile(temporary, "w") as archive:
            for key, values in arrays.items():
                with archive.open(f"{key}.npy", "w") as member:
                    numpys.write_array(member, np.asarray(values), allow_pickle=False)
            with archive.open("xyz.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(clips), len(body), 3)}
                numpys.write_array_header_1_0(member, header)
                gathered.seek(0)
                shutil.copyfileobj(gathered, member)


def _read_for_each_pose(
    arrays: Mapping[str, NDArray[Any]], key: str, kinds: str, count: int, path: Path
) -> NDArray[Any] | None:  # fmt: skip
    if key not in arrays:
        return None
    found = arrays[key]
    if found.shape != (count,) or found.dtype.kind not in kinds:
        words = "integers" if kinds == "iu" else "names"
        raise InputError(f"{path}: '{key}' is {found.dtype} of shape {found.shape}, expected {count} {words}")
    return found


def _pose_key(arrays: Mapping[str, NDArray[Any]], path: Path) -> str:
    for key in ("xyz_mm", "xyz"):
        if key in arrays:
            return key
    if len(arrays) != 1:
        raise InputError(f"{path}: holds {', '.join(arrays) or 'nothing'}; the poses' array must be named 'xyz_mm'")
    return next(iter(arrays))


def _skeleton_and_order(names: NDArray[Any] | None, count: int, path: Path) -> tuple[Skeleton, list[int]]:
    """Return the skeleton with these joints, and the array index of each of its joints."""
    if names is None:
        if count not in (16, 17):
            raise InputError(f"{path}: {count} joints without names; add an array 'joints' of {count} names")
        return skeleton("h36m17" if count == 17 else "mpii16"), list(range(count))
    stated = [str(name) for name in names.ravel().tolist()]
    joints = [standard_name(name) for name in stated]
    ours = {joint for body in SKELETONS.values() for joint in body.joints}
    if len(set(joints)) < len(set(stated)) and ours.issuperset(
        stated
    ):  # such as a nose beside Human3.6M's of that name
        joints = stated
    if len(joints) != count or len(set(joints)) != count:
        raise InputError(f"{path}: 'joints' must name {count} different joints, found {', '.join(joints)[:200]}")
    for known in SKELETONS.values():
        if set(known.joints) == set(joints):
            return known, [joints.index(joint) for joint in known.joints]
    return skeleton_of("custom", joints), list(range(count))


def standard_name(name: str) -> str:
    """Return this toolkit's name for a joint name of Human3.6M.

    >>> [standard_name(name) for name in ("Hip", "RFoot", "LShoulder", "Neck/Nose", "left_knee")]
    ['pelvis', 'right_ankle', 'left_shoulder', 'neck_nose', 'left_knee']
    """
    if name[:1] in ("L", "R") and name[1:2].isupper():
        name = {"L": "left_", "R": "right_"}[name[0]] + name[1:]
    return _H36M_NAMES.get(name.lower(), name.lower())
