"""Times of images, and poses averaged over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_BREAK_S = 0.5  # images further apart are treated as unrelated


@dataclass(frozen=True, eq=False)
class Times:
    """When N images were taken.

    Attributes:
        sequence: Number of the recording that each image belongs to, `(N,)`.
        seconds: Time since the recording began, `(N,)`; where it does not increase, images are unrelated.
    """

    sequence: NDArray[np.int64]
    seconds: Array

    @classmethod
    def unrelated(cls, count: int) -> Times:
        """Return times of images that have no relation to each other."""
        return cls(np.arange(count), np.zeros(count))

    def runs(self, usable: NDArray[np.bool_]) -> list[Indices]:
        """Return the indices of usable images in runs that follow each other closely."""
        index = np.flatnonzero(usable)
        gaps = np.diff(self.seconds[index])
        apart = (np.diff(self.sequence[index]) != 0) | (gaps > _BREAK_S) | (gaps <= 0)
        return [run for run in np.split(index, np.flatnonzero(apart) + 1) if len(run)]


def smoothed(poses: Array, times: Times, width_s: float) -> Array:
    """Average poses `(N, J, 3)` over time with a Gaussian window; NaN stays NaN.

    The standard deviation of the window is `width_s`, and it is cut off at three times that.
    """
    out = poses.copy()
    for run in times.runs(np.isfinite(poses).any(axis=(1, 2))):
        seconds, part = times.seconds[run], poses[run]
        known = np.isfinite(part)
        values = np.where(known, part, 0.0)
        for n, now in enumerate(seconds):
            near = slice(*np.searchsorted(seconds, [now - 3 * width_s, now + 3 * width_s]))
            window = np.exp(-0.5 * ((seconds[near] - now) / width_s) ** 2)[:, None, None]
            weight = (window * known[near]).sum(axis=0)
            mean = (window * values[near]).sum(axis=0) / np.where(weight > 0, weight, 1.0)
            out[run[n]] = np.where(known[n], mean, np.nan)
    return out
