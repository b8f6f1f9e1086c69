"""`pss.npz`, and plain pose arrays in `.npz` and `.npy`. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.files import writing
from epitool.io.files import check_format, require_file
from epitool.pose import Poses
from epitool.pss import NORMALIZATION, Codebook, PssModel, Yaw, yaw_of
from epitool.skeleton import SKELETONS, Skeleton, skeleton, skeleton_of

PSS_BY = "epitool pss-fit"
PLAIN = "k-means, best of 10 runs"  # what made the files that do not say
_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError)
# What Human3.6M's own joint names are called here; the foot's joint is the ankle.
_H36M_NAMES = {
    "hip": "pelvis",
    "nose": "neck_nose",
    "neck/nose": "neck_nose",
    "head": "head_top",
    "left_foot": "left_ankle",
    "right_foot": "right_ankle",
}


def write_pss(path: Path, model: PssModel) -> None:
    """Writes `pss.npz`."""
    content: dict[str, Any] = {
        "format": "epitool.pss/1",
        "skeleton": model.skeleton.name,
        "joints": np.array(model.skeleton.joints),
        "root": model.skeleton.joints[model.skeleton.root],
        "unit": "none",
        "normalization": NORMALIZATION,
        "seed": model.seed,
        "method": model.method,
        "alignment": model.alignment,
        "fitted_on": model.fitted_on,
        "counted": model.counted,
        "skipped": model.skipped,
        "asked": np.array([codebook.asked for codebook in model.codebooks]),
    }
    centers = {f"centers_{codebook.asked}": codebook.centers for codebook in model.codebooks}
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content, **centers)


def read_pss(path: Path) -> PssModel:
    """Reads `pss.npz`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    require_file(path, PSS_BY)
    arrays = _arrays(path)
    check_format(str(arrays["format"]) if "format" in arrays else None, "pss", path, PSS_BY)
    try:
        body = skeleton_of(str(arrays["skeleton"]), arrays["joints"].tolist())
        yaw = _yaw(str(arrays.get("alignment", "none")), body)
        codebooks = tuple(_codebook(arrays, int(k), len(body), yaw) for k in arrays["asked"])
        counted, skipped, seed = (int(arrays[key]) for key in ("counted", "skipped", "seed"))
        method = str(arrays.get("method", PLAIN))
        return PssModel(codebooks, body, seed, str(arrays["fitted_on"]), counted, skipped, method)
    except KeyError as error:
        raise InputError(f"{path}: lacks {error}; make it anew with `{PSS_BY}`") from None
    except (TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: {error}; make it anew with `{PSS_BY}`") from None


def _yaw(alignment: str, body: Skeleton) -> Yaw | None:
    known = {str(yaw): yaw for yaw in (yaw_of(body, axis) for axis in range(3))} if alignment != "none" else {}
    if alignment != "none" and alignment not in known:
        raise ValueError(f"alignment '{alignment}' is none of none, {', '.join(known)}")
    return known.get(alignment)


def _codebook(arrays: Mapping[str, NDArray[Any]], k: int, joints: int, yaw: Yaw | None) -> Codebook:
    codebook = Codebook(k, arrays[f"centers_{k}"], yaw)
    if codebook.k == 0 or codebook.centers.shape[1] != joints or not np.isfinite(codebook.centers).all():
        raise ValueError(f"the centers of k = {k} are not numbers for {joints} joints")
    return codebook


def read_pose_arrays(path: Path) -> Poses:
    """Poses `(N, J, 3)` of a `.npy`, or of a `.npz`: its array `xyz_mm`, `xyz`, or the only one.

    Joint names come from a `.npz`'s `joints`, in any order, by this toolkit's names or Human3.6M's ("RHip"); unnamed,
    17 joints are taken for h36m17 and 16 for mpii16. The unit is mm for `xyz_mm`, else what `unit` says, or arbitrary.

    Raises:
        InputError: The file is missing, damaged, holds no such array, or its joints are not known.
    """
    require_file(path, "numpy.save")
    arrays = _arrays(path)
    key = _pose_key(arrays, path)
    xyz = arrays[key]
    if xyz.dtype.kind not in "fiu" or xyz.ndim != 3 or xyz.shape[2] != 3 or not xyz.size:
        raise InputError(f"{path}: '{key}' is {xyz.dtype} of shape {xyz.shape}, expected numbers of shape (N, J, 3)")
    unit = "mm" if key == "xyz_mm" else str(arrays.get("unit", "arbitrary"))
    if unit not in ("mm", "arbitrary"):
        raise InputError(f"{path}: unit '{unit}' is neither mm nor arbitrary")
    body, order = _skeleton_and_order(arrays.get("joints"), xyz.shape[1], path)
    ordered = xyz.astype(np.float64)[:, order]
    return Poses(ordered, np.ones(ordered.shape[:2]), np.arange(len(xyz)), body, unit, "root")


def _pose_key(arrays: Mapping[str, NDArray[Any]], path: Path) -> str:
    for key in ("xyz_mm", "xyz"):
        if key in arrays:
            return key
    if len(arrays) != 1:
        raise InputError(f"{path}: holds {', '.join(arrays) or 'nothing'}; the poses' array must be named 'xyz_mm'")
    return next(iter(arrays))


def _skeleton_and_order(names: NDArray[Any] | None, count: int, path: Path) -> tuple[Skeleton, list[int]]:
    """The skeleton with these joints, and where in the array each of its joints is."""
    if names is None:
        if count not in (16, 17):
            raise InputError(f"{path}: {count} joints without names; add an array 'joints' of {count} names")
        return skeleton("h36m17" if count == 17 else "mpii16"), list(range(count))
    joints = [standard_name(str(name)) for name in names.ravel().tolist()]
    if len(joints) != count or len(set(joints)) != count:
        raise InputError(f"{path}: 'joints' must name {count} different joints, found {', '.join(joints)[:200]}")
    for known in SKELETONS.values():
        if set(known.joints) == set(joints):
            return known, [joints.index(joint) for joint in known.joints]
    return skeleton_of("custom", joints), list(range(count))


def standard_name(name: str) -> str:
    """This toolkit's name of a joint that Human3.6M's files name.

    >>> [standard_name(name) for name in ("Hip", "RFoot", "LShoulder", "Neck/Nose", "left_knee")]
    ['pelvis', 'right_ankle', 'left_shoulder', 'neck_nose', 'left_knee']
    """
    if name[:1] in ("L", "R") and name[1:2].isupper():
        name = {"L": "left_", "R": "right_"}[name[0]] + name[1:]
    return _H36M_NAMES.get(name.lower(), name.lower())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"array": content}
            return {key: np.asarray(content[key]) for key in content}
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read as arrays ({reason})") from None
