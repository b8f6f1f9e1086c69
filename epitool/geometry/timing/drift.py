"""Drift between the views' clocks: how their offsets in time change over a recording, given known cameras.

Cameras calibrated from views that drift apart fit the middle of the recording, and err at its ends in the direction in
which the joints move.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.timing.offset_fit import PairState, apply_pair_step, linearize
from epitool.geometry.timing.refusals import unreached
from epitool.geometry.timing.sync import combine_differences
from epitool.geometry.timing.trajectories import estimate_motion_at, without_gross_errors, without_jumps
from epitool.geometry.timing.weighted import geman_mcclure_weights, invert_positive, normal_equations, robust_sd
from epitool.geometry.triangulation.labels import sample_bounds
from epitool.geometry.two_view.epipolar import b_from_a
from epitool.pose import Keypoints, midline

Array = NDArray[np.float64]
T = TypeVar("T")
_LEAST_RUN = 20  # fewest successive frames from which motion is read
_ITERATIONS = 8
_SETTLED = 1e-3  # frames; change of the drift over the recording at which iterations end
_BLOCK = 25  # number of successive frames whose errors may be correlated
_LEAST_BLOCKS = 20  # fewest blocks from which a standard deviation can be estimated
_DRIFT = 6  # index among the parameters: after three of rotation, two of translation and the offset
_MATTERS, _SURE_SD = 0.5, 6.0  # a drift is doubtful if it exceeds so many frames and so many standard deviations
_MOST = 0.05  # share of the frames; a larger drift fits no calibration, but views that do not fit may seem to have one


@dataclass(frozen=True, eq=False)
class Drift:
    """Frames by which the views' clocks gain on the first view's from the first frame to the last.

    Attributes:
        frames: Drift `(V,)` in frames, 0 for the first view.
        sd: Standard deviations of the drift `(V,)`.
        span: Number of frames from the first to the last.
    """

    frames: Array
    sd: Array
    span: int


@dataclass(frozen=True, eq=False)
class Motion:
    """Joints of one view on the plane z = 1 and their velocities per frame, each `(N, J, 2)`; NaN where missing."""

    x: Array
    v: Array


class Motions(NamedTuple):
    """Motion of the views of a rig.

    Attributes:
        views: Motion of each view; empty where all runs of successive frames are too short to read motion from.
        frames: Numbers of the frames, `(N,)`.
    """

    views: list[Motion]
    frames: Array


class Pair(NamedTuple):
    """What known cameras say of two views: their relative pose, without an offset in time, and focal lengths in px."""

    state: PairState
    focals: tuple[float, float]


def drift_of(motions: Motions, rig: Rig) -> Drift | None:
    """Return how far the clocks of the rig's views drift apart over a recording; None if the joints cannot show it."""
    if len(rig) < 2 or len(motions.frames) < _LEAST_BLOCKS * _BLOCK:
        return None
    drifts = of_all_views(over_pairs(motions, rig, functools.partial(_pair_drift, frames=motions.frames)), len(rig))
    if drifts is None:
        return None
    span = int(np.ptp(motions.frames))
    return Drift(drifts[0] * span, drifts[1] * span, span)


def over_pairs(motions: Motions, rig: Rig, measure: Callable[[Motion, Motion, Pair], T]) -> dict[tuple[int, int], T]:
    """Measure all pairs of views that tell something about their offset in time.

    Args:
        motions: Motion of the rig's views.
        rig: Their cameras.
        measure: Function of the motion of both views and of what their cameras say. It may raise GeometryError.
    """
    found = {}
    for a, b in itertools.combinations(range(len(motions.views)), 2):
        first, second = motions.views[a], motions.views[b]
        R, t = b_from_a(rig.cameras[a], rig.cameras[b])
        length = float(np.linalg.norm(t))
        if not length > 0 or not (np.isfinite(first.x) & np.isfinite(second.v)).any():
            continue
        known = Pair(PairState(R, t / length, 0.0, 0.0), (rig.cameras[a].focal, rig.cameras[b].focal))
        with contextlib.suppress(GeometryError):
            found[a, b] = measure(first, second, known)
    return found


def of_all_views(found: dict[tuple[int, int], tuple[float, float]], views: int) -> tuple[Array, Array] | None:
    """Return the values `(V,)` of all views and their deviations, from differences of pairs.

    The result is None unless chains of pairs join all views.

    Args:
        found: Difference of each pair of views, with its standard deviation.
        views: Number of views.
    """
    if not found or unreached(list(found), views):
        return None
    values, sd, _ = combine_differences(found, views)
    return values, sd


def motion_of_views(keypoints: Keypoints, rig: Rig) -> Motions:
    """Return the motion of each camera's view in the runs of successive frames that are long enough.

    Args:
        keypoints: Keypoints of a recording, or runs of successive frames spread over it.
        rig: Cameras of these views, or of some of them.
    """
    runs = _runs(keypoints.frames)
    if not runs:
        return Motions([], np.zeros(0))
    moving = [_motion(keypoints, keypoints.views.index(camera.name), camera, runs) for camera in rig.cameras]
    return Motions(moving, keypoints.frames[np.concatenate(runs)].astype(float))


def doubts_of_drift(motions: Motions, rig: Rig) -> list[Doubt]:
    """Return a doubt if views drift apart by half a frame or more from the beginning of a recording to its end."""
    drift = drift_of(motions, rig)
    if drift is None:
        return []
    apart = drift.frames[:, None] - drift.frames
    sure = np.abs(apart) > np.maximum(_MATTERS, _SURE_SD * np.hypot(drift.sd[:, None], drift.sd))
    sure &= np.abs(apart) < _MOST * drift.span
    if not sure.any():
        return []
    fast, slow = np.unravel_index(int(np.argmax(np.where(sure, apart, -np.inf))), apart.shape)
    views, gained = (rig.names[fast], rig.names[slow]), float(apart[fast, slow])
    return [Doubt(Kind.DRIFT, "warn", views, gained, _MATTERS, {"span": drift.span})]


def select_runs(keypoints: Keypoints) -> Keypoints:
    """Select runs of neighbouring frames spread over a recording, which suffice for a long one."""
    bounds = sample_bounds(len(keypoints.frames))
    return keypoints.select_frames(np.concatenate([np.arange(start, stop) for start, stop in bounds]))


def _runs(frames: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return indices of the runs of consecutive frame numbers that are long enough."""
    cuts = np.flatnonzero(np.diff(frames) != 1) + 1
    return [run for run in np.split(np.arange(len(frames)), cuts) if len(run) >= _LEAST_RUN]


def _motion(keypoints: Keypoints, view: int, camera: Camera, runs: Sequence[NDArray[np.intp]]) -> Motion:
    """Return the motion of one view in the runs by midpoints of left and right, immune to exchanged sides."""
    parts = []
    for run in runs:
        smooth = without_gross_errors(without_jumps(camera.normalize(keypoints.xy[run, view]), keypoints.skeleton))
        parts.append(estimate_motion_at(midline(smooth, keypoints.skeleton), np.arange(len(run), dtype=float)))
    return Motion(np.concatenate([x for x, _ in parts]), np.concatenate([v for _, v in parts]))


def _pair_drift(a: Motion, b: Motion, known: Pair, frames: Array) -> tuple[float, float]:
    """Return the frames that the second view's clock gains per frame, and their standard deviation.

    The relative pose and a constant offset are free: an error of the cameras that is constant over time is not drift.

    Raises:
        GeometryError: The joints do not determine the drift.
    """
    state, lag = known.state, frames - frames.mean()
    for _ in range(_ITERATIONS):
        shifted = b.x + b.v * (state.offset + state.drift * lag)[:, None, None]
        residual, slope = linearize(state, a.x, shifted, b.v, lag, known.focals)
        weight = geman_mcclure_weights(residual, robust_sd(residual))
        normal, score = normal_equations(residual, slope, weight)
        step = -invert_positive(normal) @ score.sum(axis=(0, 1))
        state = apply_pair_step(state, step)
        if abs(step[_DRIFT]) * np.ptp(frames) < _SETTLED:
            break
    # sandwich estimator over blocks of frames, because errors of neighbouring frames are correlated
    bread = invert_positive(normal)
    blocks = np.add.reduceat(score, np.arange(0, len(score), _BLOCK), axis=0).sum(axis=1)
    variance = (bread @ (blocks.T @ blocks) @ bread)[_DRIFT, _DRIFT]
    return state.drift, float(np.sqrt(variance)) + float(np.finfo(float).eps)
