"""Runs of frames in which a joint is there or is not, and splines through short gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]
_SUPPORT = 10  # frames on each side of a gap that its spline goes through: those further off hardly move it


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where the runs of true flags `(F,)` start, and before where they stop.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())


def fill_gaps(xyz: Array, longest: int) -> Array:
    """Joints over time with short gaps filled by cubic splines; no joint is made up before its first or after its last.

    Args:
        xyz: `(F, J, 3)` of frames that follow each other; NaN where missing.
        longest: Runs of up to so many missing frames are filled; longer ones stay missing.
    """
    filled = xyz.copy()
    for j in range(xyz.shape[1]):
        known = np.isfinite(xyz[:, j]).all(axis=-1)
        for start, stop in runs(~known):
            if start > 0 and stop < len(xyz) and stop - start <= longest:
                low, high = max(start - _SUPPORT, 0), stop + _SUPPORT
                around = low + np.flatnonzero(known[low:high])
                filled[start:stop, j] = CubicSpline(around, xyz[around, j])(np.arange(start, stop))
    return filled
