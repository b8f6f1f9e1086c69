"""Group `candidates` of `keypoints.h5`: all people found, if an image shows more than one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.candidates import Candidates
from epitool.io.files import require_file
from epitool.io.h5 import array, dataset, group_in, readable, written

GROUP = "candidates"
_MADE_BY = "epitool detect2d"
_MEASURED = ("xy", "confidence")
_OWN_3D = "detected_xyz"  # optional, and only read of those who are looked at: it is half as large as the rest
_AXES = {"xy": 3, "confidence": 2, "frame_index": 1, "view_index": 1}


def add_candidates(path: Path, candidates: Candidates, detected_xyz: NDArray[np.float16] | None = None) -> None:
    """Add all people found to a `keypoints.h5` that holds the chosen person.

    Args:
        path: Path of the file.
        candidates: All people found.
        detected_xyz: The detector's own 3D joints of each, as in `People.xyz`, `(C, J, 3)`; None if it has none.
    """
    with written(path, "r+") as file:
        group = file.create_group(GROUP)
        for name in _MEASURED:
            group.create_dataset(name, data=getattr(candidates, name))
        for name in ("frame_index", "view_index"):
            group.create_dataset(name, data=getattr(candidates, name).astype(np.int32))
        if detected_xyz is not None:
            group.create_dataset(_OWN_3D, data=detected_xyz)


def has_candidates(path: Path) -> bool:
    """Return whether a `keypoints.h5` holds several people for some image.

    Raises:
        InputError: The file is missing or damaged.
    """
    require_file(path, _MADE_BY)
    with readable(path, "keypoints", _MADE_BY), h5py.File(path, "r") as file:
        return file.get(GROUP, getlink=True) is not None


def read_candidates(path: Path, shape: tuple[int, int, int]) -> Candidates | None:
    """Read all people found, by frame and view of the file's keypoints; None if the file has no candidates.

    Args:
        path: Path of the `keypoints.h5`.
        shape: Number of frames, views and joints of its keypoints.

    Raises:
        InputError: The file is missing or damaged, or its candidates do not fit its keypoints.
    """
    require_file(path, _MADE_BY)
    with readable(path, "candidates", _MADE_BY):
        with h5py.File(path, "r") as file:
            if (group := group_in(file, GROUP)) is None:
                return None
            arrays = {name: _array(group, name, axes) for name, axes in _AXES.items()}
            own_3d = dataset(group, _OWN_3D, 3).shape if _OWN_3D in group else None
        candidates = Candidates(**arrays)
        if own_3d not in (None, (*candidates.confidence.shape, 3)):
            raise ValueError(f"'{_OWN_3D}' of shape {own_3d} for {len(candidates)} candidates")
        frames, views, joints = shape
        if candidates.xy.shape[1] != joints:
            raise ValueError(f"{candidates.xy.shape[1]} joints, its keypoints have {joints}")
        if (candidates.frame_index >= frames).any() or (candidates.view_index >= views).any():
            raise ValueError("frames or views that its keypoints lack")
        return candidates


def read_detected_xyz(path: Path, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Read the detector's own 3D joints of candidates, as in `Keypoints.detected_xyz`; empty if the file has none.

    Args:
        path: Path of the `keypoints.h5`.
        rows: Index in the file of the candidate of every frame and view, `(F, V)`; -1 for nobody.

    Raises:
        InputError: The file is missing or damaged.
    """
    with readable(path, "candidates", _MADE_BY), h5py.File(path, "r") as file:
        group = group_in(file, GROUP)
        if group is None or _OWN_3D not in group:
            return np.empty(0)
        out = np.full((*rows.shape, *group[_OWN_3D].shape[1:]), np.nan)
        for v, of_view in enumerate(rows.T):
            there = of_view >= 0
            if there.any():  # the candidates of one view lie side by side
                first, last = of_view[there].min(), of_view[there].max()
                out[there, v] = array(group, _OWN_3D, 3, slice(first, last + 1))[of_view[there] - first]
        return out


def _array(group: h5py.Group, name: str, axes: int) -> NDArray[Any]:
    found = dataset(group, name, axes)
    if found.dtype.kind not in "fiu":
        raise ValueError(f"'{name}' holds no numbers")
    values = np.asarray(found.astype(np.float32)[:] if name in _MEASURED else found[:])
    values.setflags(write=False)  # so that `Candidates` need not copy it
    return values
