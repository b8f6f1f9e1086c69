"""Runs of frames with or without a joint, motions between long pauses, and splines through short gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PAUSE = 50  # frames; a longer pause splits a motion, and the path of a joint, in two
_SUPPORT = 10  # frames on each side of a gap that its spline goes through; others hardly change it


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of true flags `(F,)`; the stop is exclusive.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())


def motions_of(
    frames: NDArray[np.int64], take_of: NDArray[np.int64], step: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Yield the rows of each motion, and their places in it, which skip the frames that are missing.

    A motion is of one take, because each take has its own cameras and so its own world, and has no long pauses.

    Args:
        frames: Increasing frame numbers `(F,)`.
        take_of: Number of the take of every frame, `(F,)`.
        step: Difference between the numbers of neighbouring frames.
    """
    numbers = frames // max(step, 1)
    ends = np.flatnonzero((np.diff(numbers) > PAUSE) | (np.diff(take_of) != 0)) + 1
    for rows in np.split(np.arange(len(numbers)), ends) if len(numbers) else ():
        yield rows, numbers[rows] - numbers[rows[0]]


def step_of(frames: NDArray[np.int64]) -> int:
    """Return the difference between the numbers of neighbouring frames `(F,)`, where none is missing.

    >>> step_of(np.array([10, 20, 50]))
    10
    """
    return max(int(np.gcd.reduce(np.diff(frames), initial=0)), 1)


def spread(values: Array, at: NDArray[np.int64]) -> Array:
    """Return values `(F, ...)` at these places `(F,)` of a motion; NaN in the frames that are missing."""
    out = np.full((at[-1] + 1, *values.shape[1:]), np.nan)
    out[at] = values
    return out


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
