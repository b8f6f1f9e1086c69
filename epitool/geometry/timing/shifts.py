"""Constant offsets in time between views whose cameras are known: a doubt where they explain the joints better."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.timing.drift import Motion, Motions, of_all_views
from epitool.geometry.timing.offset_fit import PairState, geman_mcclure_weights, linearize_offset
from epitool.geometry.two_view.epipolar import b_from_a

Array = NDArray[np.float64]
_ITERATIONS = 8
_SETTLED = 1e-3  # frames; step of the offset at which iterations end
_LEAST_PX = 0.5  # px; standard deviation that smoothing alone causes
_MATTERS = 0.4  # frames; a frame that is shown twice delays a view by half a frame on average
_CLOSER = 1.2  # factor by which an offset must reduce the scatter; the lag of a biased detector hardly reduces it
_BASIN = 3.0  # frames; larger offsets are not found from motion at single moments
_SURE_SD = 3.0


def doubts_of_shifts(motions: Motions, rig: Rig) -> list[Doubt]:
    """Return a doubt if joints fit known cameras clearly better with a view some frames earlier or later."""
    moving = motions.views
    found, without, with_offset = {}, [], []
    for a, b in itertools.combinations(range(len(moving)), 2):
        pair = _pair_shift(moving[a], moving[b], rig.cameras[a], rig.cameras[b])
        if pair is not None:
            found[a, b] = pair[0]
            without.append(pair[1])
            with_offset.append(pair[2])
    shifts = of_all_views(found, len(rig))
    if shifts is None:
        return []
    offsets, sd = shifts[0] - np.median(shifts[0]), shifts[1]
    furthest = int(np.argmax(np.abs(offsets)))
    before, after = (float(np.nanmedian(np.concatenate(residuals))) for residuals in (without, with_offset))
    apart = float(np.ptp(offsets)) if len(rig) == 2 else float(abs(offsets[furthest]))
    if not max(_MATTERS, _SURE_SD * float(sd.max())) < apart < _BASIN or before < _CLOSER * after:
        return []
    views = rig.names if len(rig) == 2 else (rig.names[furthest],)
    return [Doubt(Kind.SHIFT, "warn", views, apart, _MATTERS, {"closer": before / after})]


def _pair_shift(a: Motion, b: Motion, first: Camera, second: Camera) -> tuple[tuple[float, float], Array, Array] | None:
    """Return the second view's offset with its standard deviation, and distances from epipolar lines without and with.

    The cameras are held. None is returned where the joints of both views tell nothing.
    """
    R, t = b_from_a(first, second)
    length = float(np.linalg.norm(t))
    if not length > 0 or not (np.isfinite(a.x) & np.isfinite(b.v)).any():
        return None
    offset, held = 0.0, PairState(R, t / length, 0.0, 0.0)
    distances: list[Array] = []
    for _ in range(_ITERATIONS):
        residual, slope = linearize_offset(held, a.x, b.x + b.v * offset, b.v, (first.focal, second.focal))
        distances.append(np.abs(residual).ravel())
        sigma = max(float(1.4826 * np.nanmedian(distances[-1])), _LEAST_PX)
        weights = geman_mcclure_weights(residual, sigma)
        normal = float(np.nansum(weights * slope**2))
        if not normal > 0:
            return None
        step = float(np.nansum(weights * slope * residual)) / normal
        offset -= step
        if abs(step) < _SETTLED:
            break
    return (offset, sigma / float(np.sqrt(normal))), distances[0], distances[-1]
