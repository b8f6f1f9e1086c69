"""The upward direction in pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig

Array = NDArray[np.float64]


def image_up(rig: Rig) -> Array:
    """Return the mean direction `(3,)` in the world towards the upper side of the images."""
    up = -np.mean([camera.R[1] for camera in rig.cameras], axis=0)
    return up if np.linalg.norm(up) > 1e-6 else -rig.cameras[0].R[1]


def level_axes(up: Array) -> Array:
    """Return the rotation `(3, 3)` with `up` `(3,)` as third row and a first row as near to the world's x as possible.

    If `up` is almost along x, the first row is as near to the world's y as possible.
    """
    third = np.asarray(up, dtype=float) / np.linalg.norm(up)
    start = np.eye(3)[0] if abs(third[0]) < 0.9 else np.eye(3)[1]
    first = start - third * (start @ third)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third])
