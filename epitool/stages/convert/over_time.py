"""Processing of poses over time by `epitool convert`: filling gaps, and filtering or smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.console import warn
from epitool.errors import UsageError
from epitool.geometry.motion.butterworth import ORDER, butterworth
from epitool.geometry.motion.gaps import fill_gaps, motions_of, spread
from epitool.geometry.motion.smoothing import SMOOTHED, smooth
from epitool.options.convert import Filter
from epitool.pose import Poses

Array = NDArray[np.float64]
_LOWEST = 1e-4  # of the frame rate: a lower cutoff leaves a constant, and its filter is not computed exactly


@dataclass(frozen=True, eq=False)
class Track:
    """Poses of one person over time.

    Attributes:
        poses: Poses in F frames.
        covariance: Covariances of the joints in the order of `Labels.covariance`, `(F, J, 6)`.
        take_of: Number of the take of every frame, `(F,)`; each take has its own cameras, and so its own world.
        image: Name of an image; "" if there is none.
        up: Whether the file states that z points up.
        smoothed: How the poses were smoothed when they were made; "" if they are as measured.
    """

    poses: Poses
    covariance: Array
    take_of: NDArray[np.int64]
    image: str
    up: bool
    smoothed: str = ""


def processed(track: Track, step: int, fps: float, chosen: Filter | None, longest: int) -> tuple[Poses, str]:
    """Fill gaps and filter, and return the poses and a description of what was done, also before.

    Poses that are smoothed already are not smoothed again.

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
    for rows, at in motions_of(track.poses.frames, track.take_of, step):
        places, covariance = spread(out[rows], at), spread(track.covariance[rows], at)
        whole = fill_gaps(places, longest)
        filled += int((np.isfinite(whole[at, :, 0]) & np.isnan(places[at, :, 0])).sum())
        if chosen and chosen.cutoff_hz:
            whole, left = butterworth(whole, chosen.cutoff_hz, fps)
            unfiltered += left
        elif chosen and not track.smoothed:
            whole = np.where(np.isfinite(whole), smooth(places, covariance).xyz, np.nan)
        out[rows] = whole[at]
    if unfiltered:
        warn(f"{unfiltered} places lie in runs too short for the filter and stay as they are; --fill-gaps joins runs")
    return replace(track.poses, xyz=out), _words(track.smoothed, chosen, longest, filled)


def _words(smoothed: str, chosen: Filter | None, longest: int, filled: int) -> str:
    done = [smoothed] if smoothed else []
    if longest:
        done.append(f"gaps of up to {longest} frames filled by splines ({filled} places)")
    if chosen and chosen.cutoff_hz:
        done.append(f"Butterworth low-pass of order {ORDER} in total and zero phase, 3 dB at {chosen.cutoff_hz:g} Hz")
    elif chosen and not smoothed:
        done.append(SMOOTHED)
    return "; ".join(done)
