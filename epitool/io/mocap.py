"""Motion capture poses with the clips that they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.io.npz import read_pose_arrays
from epitool.pose import Poses


def read_mocap(path: Path) -> tuple[Poses, NDArray[np.int64]]:
    """Poses of a `.npz` or `.npy`, as `read_pose_arrays` reads them, and the number of each pose's clip `(N,)`.

    Clips come from the array `clip_index`; without one, all poses are of clip 0.

    Raises:
        InputError: The file is missing or damaged, holds no poses, or its clips do not fit them.
    """
    poses = read_pose_arrays(path)
    clips = _clip_index(path)
    if clips is None:
        return poses, np.zeros(len(poses.xyz), dtype=np.int64)
    if clips.shape != (len(poses.xyz),) or clips.dtype.kind not in "iu":
        raise InputError(
            f"{path}: 'clip_index' is {clips.dtype} of shape {clips.shape}, expected {len(poses.xyz)} integers"
        )
    return poses, clips.astype(np.int64)


def _clip_index(path: Path) -> NDArray[np.generic] | None:
    with path.open("rb") as file:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray) or "clip_index" not in content:
            return None
        try:
            return np.asarray(content["clip_index"])
        except ValueError as error:
            raise InputError(f"{path}: 'clip_index' cannot be read ({str(error)[:200]})") from None
