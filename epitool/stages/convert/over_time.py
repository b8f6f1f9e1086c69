"""Processing of poses over time by `epitool convert`: filling gaps, and filtering or smoothing."""

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
_LOWEST = 1e-4  # of the frame rate: a lower cutoff leaves a constant, and its filter is not computed exactly
_APART = 50  # a longer gap without any pose splits a motion in two


@dataclass(frozen=True, eq=False)
class Track:
    """Poses of one person over time.

    Attributes:
        poses: Poses in F frames.
        covariance: Covariances of the joints in the order of `Labels.covariance`, `(F, J, 6)`.
        take_of: Number of the take of every frame, `(F,)`; each take has its own cameras, and so its own world.
        image: Name of an image; "" if there is none.
        up: Whether the file states that z points up.
    """

    poses: Poses
    covariance: Array
    take_of: NDArray[np.int64]
    image: str
    up: bool


def processed(track: Track, step: int, fps: float, chosen: Filter | None, longest: int) -> tuple[Poses, str]:
    """Fill gaps and filter, and return the poses and a description of what was done.

    Args:
        track: The poses.
        step: Frames from one pose to the next where none is missing.
        fps: Poses per second.
        chosen: The filter; None for none.
        longest: Largest number of consecutive missing places that are filled.

    Raises:
        UsageError: The cutoff frequency is not below half of the frame rate, or is too low to be computed.
    """
    if chosen and chosen.cutoff_hz and not _LOWEST * fps <= chosen.cutoff_hz < fps / 2:
        raise UsageError(
            f"--filter butterworth:{chosen.cutoff_hz:g}Hz: the cutoff must be under half of the {fps:g} frames a second"
            f" and at least {_LOWEST * fps:g} Hz"
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
    """Yield the rows of each motion without long gaps, and their places in it, which skip missing frames."""
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
