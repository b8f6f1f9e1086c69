"""Constant offsets in time between views whose cameras are known: a doubt where they explain the joints better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.timing.drift import Motion, Motions, Pair, of_all_views, over_pairs
from epitool.geometry.timing.offset_fit import linearize_offset
from epitool.geometry.timing.weighted import geman_mcclure_weights, robust_sd

Array = NDArray[np.float64]
_ITERATIONS = 8
_SETTLED = 1e-3  # frames; step of the offset at which iterations end
_MATTERS = 0.4  # frames; a frame that is shown twice delays a view by half a frame on average
_CLOSER = 1.2  # factor by which an offset must reduce the scatter; the lag of a biased detector hardly reduces it
_BASIN = 3.0  # frames; larger offsets are not found from motion at single moments
_SURE_SD = 3.0


class _Shift(NamedTuple):
    """Offset of a pair of views with its deviation, frames, and distances `(N,)` px from epipolar lines."""

    offset: float
    sd: float
    without: Array
    with_offset: Array


def doubts_of_shifts(motions: Motions, rig: Rig) -> list[Doubt]:
    """Return a doubt if joints fit known cameras clearly better with a view some frames earlier or later."""
    found = over_pairs(motions, rig, _pair_shift)
    shifts = of_all_views({pair: (shift.offset, shift.sd) for pair, shift in found.items()}, len(rig))
    if shifts is None:
        return []
    offsets, sd = shifts[0] - np.median(shifts[0]), shifts[1]
    furthest = int(np.argmax(np.abs(offsets)))
    before = float(np.nanmedian(np.concatenate([shift.without for shift in found.values()])))
    after = float(np.nanmedian(np.concatenate([shift.with_offset for shift in found.values()])))
    apart = float(np.ptp(offsets)) if len(rig) == 2 else float(abs(offsets[furthest]))
    if not max(_MATTERS, _SURE_SD * float(sd.max())) < apart < _BASIN or before < _CLOSER * after:
        return []
    views = rig.names if len(rig) == 2 else (rig.names[furthest],)
    return [Doubt(Kind.SHIFT, "warn", views, apart, _MATTERS, {"closer": before / after})]


def _pair_shift(a: Motion, b: Motion, known: Pair) -> _Shift:
    """Return the second view's offset; the cameras are held.

    Raises:
        GeometryError: The joints do not determine the offset.
    """
    offset = 0.0
    distances: list[Array] = []
    for _ in range(_ITERATIONS):
        residual, slope = linearize_offset(known.state, a.x, b.x + b.v * offset, b.v, known.focals)
        distances.append(np.abs(residual).ravel())
        sigma = robust_sd(residual)
        weights = geman_mcclure_weights(residual, sigma)
        normal = float(np.nansum(weights * slope**2))
        if not normal > 0:
            raise GeometryError("the joints' motion determines no time offset")
        step = float(np.nansum(weights * slope * residual)) / normal
        offset -= step
        if abs(step) < _SETTLED:
            break
    return _Shift(offset, sigma / float(np.sqrt(normal)), distances[0], distances[-1])
