"""What `epitool convert` does to poses over time: gaps filled, and noise filtered or smoothed away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.console import warn
from epitool.errors import UsageError
from epitool.geometry.motion.butterworth import ORDER, butterworth
from epitool.geometry.motion.gaps import fill_gaps
from epitool.geometry.motion.smoothing import smooth
from epitool.options.convert import Filter
from epitool.pose import Poses

Array = NDArray[np.float64]
_APART = 50  # frames without any pose, over which nothing is said of the motion


@dataclass(frozen=True, eq=False)
class Track:
    """Poses of one person, and what is known of them over time.

    Attributes:
        poses: F frames.
        covariance: As `Labels.covariance`, `(F, J, 6)`.
        take_of: The number of every frame's take, `(F,)`: each has cameras, and so a world, of its own.
        image: The name of an image; "" where there is none.
        up: Whether the file says that z runs up.
    """

    poses: Poses
    covariance: Array
    take_of: NDArray[np.int64]
    image: str
    up: bool


def processed(track: Track, step: int, fps: float, chosen: Filter | None, longest: int) -> tuple[Poses, str]:
    """Poses with gaps filled and filtered, and in words what was done.

    Args:
        track: The poses.
        step: Frames from one pose to the next, where none is missing.
        fps: Poses per second.
        chosen: How they are filtered; None for not at all.
        longest: Missing places in a row that are filled.

    Raises:
        UsageError: The filter's cutoff does not go with the rate.
    """
    if chosen and chosen.cutoff_hz and chosen.cutoff_hz >= fps / 2:
        raise UsageError(
            f"--filter butterworth:{chosen.cutoff_hz:g}Hz: the cutoff must be under half of the {fps:g} frames a second"
        )
    out = track.poses.xyz.copy()
    filled = unfiltered = 0
    for rows, at in _pieces(track, step):
        places, covariance = (np.full((at[-1] + 1, *values.shape[1:]), np.nan) for values in (out, track.covariance))
        places[at], covariance[at] = out[rows], track.covariance[rows]
        whole = fill_gaps(places, longest)
        filled += int((np.isfinite(whole[at, :, 0]) & np.isnan(places[at, :, 0])).sum())
        if chosen and chosen.cutoff_hz:
            whole, left = butterworth(whole, chosen.cutoff_hz, fps)
            unfiltered += left
        elif chosen:
            whole = np.where(np.isfinite(whole), smooth(places, covariance), np.nan)
        out[rows] = whole[at]
    if unfiltered:
        warn(f"{unfiltered} places lie in runs too short for the filter and stay as they are; --fill-gaps joins runs")
    return replace(track.poses, xyz=out), _words(chosen, longest, filled)


def _pieces(track: Track, step: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Rows of poses that are one motion, and their numbers in it: 0, 1, 2, ... but for frames that are missing."""
    if not len(track.poses.frames):
        return
    numbers = track.poses.frames // max(step, 1)
    ends = np.flatnonzero((np.diff(numbers) > _APART) | (np.diff(track.take_of) != 0)) + 1
    for rows in np.split(np.arange(len(numbers)), ends):
        yield rows, numbers[rows] - numbers[rows[0]]


def _words(chosen: Filter | None, longest: int, filled: int) -> str:
    done = []
    if longest:
        done.append(f"gaps of up to {longest} frames filled by splines ({filled} places)")
    if chosen and chosen.cutoff_hz:
        done.append(f"Butterworth low-pass of order {ORDER} in total and zero phase, 3 dB at {chosen.cutoff_hz:g} Hz")
    elif chosen:
        done.append("smoothed: least jerk, strengths by maximum likelihood, covariances of the joints")
    return "; ".join(done)
