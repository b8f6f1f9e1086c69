"""Runs of frames with or without a joint, and splines through short gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SUPPORT = 10  # frames on each side of a gap that its spline goes through; others hardly change it


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of true flags `(F,)`; the stop is exclusive.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())


def fill_gaps(xyz: Array, longest: int) -> Array:
    """Fill short gaps in joints over time by cubic splines, between the first and the last frame of each joint.

    Args:
        xyz: Joints `(F, J, 3)` in consecutive frames; NaN where missing.
        longest: Largest number of consecutive missing frames that are filled.
    """
    from scipy.interpolate import CubicSpline  # slow to import

    filled = xyz.copy()
    for j in range(xyz.shape[1]):
        known = np.isfinite(xyz[:, j]).all(axis=-1)
        for start, stop in runs(~known):
            if start > 0 and stop < len(xyz) and stop - start <= longest:
                low, high = max(start - _SUPPORT, 0), stop + _SUPPORT
                around = low + np.flatnonzero(known[low:high])
                filled[start:stop, j] = CubicSpline(around, xyz[around, j])(np.arange(start, stop))
    return filled
