"""Group `candidates` of `keypoints.h5`: all people found, if an image shows more than one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.candidates import Candidates
from epitool.io.files import require_file
from epitool.io.h5 import dataset, group_in, readable, written

GROUP = "candidates"
_MADE_BY = "epitool detect2d"
_MEASURED = ("xy", "confidence")
_AXES = {"xy": 3, "confidence": 2, "frame_index": 1, "view_index": 1}


def add_candidates(path: Path, candidates: Candidates) -> None:
    """Add all people found to a `keypoints.h5` that holds the chosen person."""
    with written(path, "r+") as file:
        group = file.create_group(GROUP)
        for name in _MEASURED:
            group.create_dataset(name, data=getattr(candidates, name))
        for name in ("frame_index", "view_index"):
            group.create_dataset(name, data=getattr(candidates, name).astype(np.int32))


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
        candidates = Candidates(**arrays)
        frames, views, joints = shape
        if candidates.xy.shape[1] != joints:
            raise ValueError(f"{candidates.xy.shape[1]} joints, its keypoints have {joints}")
        if (candidates.frame_index >= frames).any() or (candidates.view_index >= views).any():
            raise ValueError("frames or views that its keypoints lack")
        return candidates


def _array(group: h5py.Group, name: str, axes: int) -> NDArray[Any]:
    found = dataset(group, name, axes)
    if found.dtype.kind not in "fiu":
        raise ValueError(f"'{name}' holds no numbers")
    values = np.asarray(found.astype(np.float32)[:] if name in _MEASURED else found[:])
    values.setflags(write=False)  # so that `Candidates` need not copy it
    return values
