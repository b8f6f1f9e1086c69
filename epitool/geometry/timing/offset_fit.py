"""Offset of two views to a fraction of a frame, together with their relative pose, by robust Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous
from epitool.errors import GeometryError
from epitool.geometry.timing.trajectories import estimate_motion_at
from epitool.geometry.timing.weighted import (
    TAIL,
    geman_mcclure_weights,
    invert_positive,
    normal_equations,
    robust_sd,
)
from epitool.geometry.two_view.epipolar import fundamental_of_pose, skew
from epitool.geometry.two_view.relative_pose import estimate_pair
from epitool.geometry.two_view.swaps import relative_swaps
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_POSE_FRAMES, _FIT_FRAMES = 150, 3000  # most frames used, spread over a longer recording
_ITERATIONS = 30
_CONVERGED = 1e-3  # frames; iteration stops at a smaller step of the offset
_LONGEST_STEP = 1.0  # frame
_BLOCK = 15  # number of successive frames whose errors may be correlated
_BASIN = 3.0  # frames that the offset may move from its start
_UNKNOWN = 1.0  # frames; an offset with a larger standard deviation is unknown
_PROBE = 0.25  # frames; step of the finite difference for the curvature of the cost
_OFFSET, _DRIFT = 5, 6  # indices among the parameters, after three of rotation and two of translation


@dataclass(frozen=True, eq=False)
class PairOffset:
    """Offset between the clocks of one pair of views.

    Attributes:
        offset: The second view shows as frame f + offset what the first view shows as frame f; assumed constant.
        sd: Standard deviation of the offset, frames.
        drift: Growth of the offset per frame if it is not assumed constant.
        drift_sd: Standard deviation of the drift.
        frames: First and last frame of the first view that were compared.
    """

    offset: float
    sd: float
    drift: float
    drift_sd: float
    frames: tuple[int, int]


@dataclass(frozen=True, eq=False)
class PairState:
    """Relative pose of two views (unit t), and the second view's offset in time (frames) and drift (frames per frame).

    Attributes:
        R: Rotation, second from first, `(3, 3)`.
        t: Direction of the translation, `(3,)`.
        offset: Offset as in `PairOffset`, at the middle of the compared frames.
        drift: Drift as in `PairOffset`.
    """

    R: Array
    t: Array
    offset: float
    drift: float


@dataclass(frozen=True, eq=False)
class _Problem:
    """Joints of both views on z = 1: the first's at the compared frames, the second's readable at any time."""

    x_a: Array
    b: Array
    frames: Array
    focals: tuple[float, float]
    skeleton: Skeleton

    @property
    def lag(self) -> Array:
        """Frames from the middle of the compared ones, `(N,)`; this makes offset and drift nearly independent."""
        return self.frames - self.frames.mean()

    def second(self, state: PairState) -> tuple[Array, Array]:
        """Return positions and velocities `(N, J, 2)` of the second view's joints."""
        return estimate_motion_at(self.b, self.frames + state.offset + state.drift * self.lag)

    def swapped(self, state: PairState, within_px: float) -> Flags:
        """Return the frames `(N,)` in which exactly one of the two views has its sides exchanged."""
        K_a, K_b = _intrinsics(self.focals)
        F = fundamental_of_pose(state.R, state.t, K_a, K_b)
        x_b, _ = self.second(state)
        return relative_swaps(F, self.x_a * self.focals[0], x_b * self.focals[1], self.skeleton, within_px)

    def linearized(self, state: PairState, swapped: Flags, free: int) -> tuple[Array, Array]:
        """Return Sampson distances `(N, J)` px and derivatives `(N, J, P)` by the first P parameters.

        Both are NaN where a joint is missing.
        """
        flip = self.skeleton.flip_order
        x_b, v_b = (np.where(swapped[:, None, None], values[:, flip], values) for values in self.second(state))
        residual, slope = linearize(state, self.x_a, x_b, v_b, self.lag, self.focals)
        return residual, slope[..., :free]


def fit_offset(
    a: Array, b: Array, focals: tuple[float, float], start: float, skeleton: Skeleton, seed: int
) -> PairOffset:
    """Fit the offset and relative pose that minimise the epipolar distances of moving joints.

    Args:
        a: Joints of the first view on the plane z = 1, `(F, J, 2)`, NaN where missing, gross errors removed.
        b: Joints of the second view, in the same form.
        focals: Focal lengths of both views, px.
        start: Offset to start from, within a frame or two of the truth.
        skeleton: Skeleton of the joints.
        seed: Seed of the random sampling.

    Raises:
        GeometryError: The joints determine no pose, or no offset.
    """
    low, high = max(0.0, np.ceil(-start)), min(len(a) - 1.0, np.floor(len(b) - 1 - start))
    frames = np.arange(low, high + 1)
    frames = frames[:: max(1, len(frames) // _FIT_FRAMES)]
    problem = _Problem(estimate_motion_at(a, frames)[0], b, frames, focals, skeleton)
    state, sigma = _start(problem, start, seed)
    drifting, covariance, _ = _minimize(problem, state, sigma, _DRIFT + 1)
    drift, drift_sd = drifting.drift, _sd(covariance, _DRIFT)
    # the offset and its deviation are those of the fit with a constant offset
    state, covariance, _ = _minimize(problem, replace(drifting, drift=0.0), sigma, _OFFSET + 1)
    sd = _sd(covariance, _OFFSET)
    if not (sd < _UNKNOWN and abs(state.offset - start) < _BASIN):
        raise GeometryError(f"no time offset near {start:.0f} frames explains the joints")
    return PairOffset(state.offset, sd, drift, drift_sd, (int(low), int(high)))


def _start(problem: _Problem, offset: float, seed: int) -> tuple[PairState, float]:
    """Estimate the relative pose at an offset, and the standard deviation of the residuals of its inliers."""
    K_a, K_b = _intrinsics(problem.focals)
    some = slice(None, None, max(1, len(problem.frames) // _POSE_FRAMES))
    a_px, b_px = (
        problem.x_a * problem.focals[0],
        estimate_motion_at(problem.b, problem.frames + offset)[0] * problem.focals[1],
    )
    pose = estimate_pair(a_px[some], b_px[some], K_a, K_b, problem.skeleton, "essential", seed)
    return PairState(pose.R, pose.t, offset, 0.0), 1.4826 * pose.sampson_px


def _intrinsics(focals: tuple[float, float]) -> tuple[Array, Array]:
    """Return the intrinsic matrices of both views with the principal point at the origin."""
    return np.diag([focals[0], focals[0], 1.0]), np.diag([focals[1], focals[1], 1.0])


def _minimize(problem: _Problem, state: PairState, sigma: float, free: int) -> tuple[PairState, Array, float]:
    """Minimise over the first `free` parameters; return the state, its covariance, and the residuals' deviation."""
    for _ in range(_ITERATIONS):
        swapped = problem.swapped(state, TAIL * sigma)
        residual, slope = problem.linearized(state, swapped, free)
        if not np.isfinite(residual).any():
            raise GeometryError("the views have no joint in common at an offset")
        sigma = robust_sd(residual)
        normal, score = normal_equations(residual, slope, geman_mcclure_weights(residual, sigma))
        step = -invert_positive(normal) @ score.sum(axis=(0, 1))
        state = apply_pair_step(state, step * min(1.0, _LONGEST_STEP / max(abs(float(step[_OFFSET])), 1e-9)))
        if abs(step[_OFFSET]) < _CONVERGED:
            break
    return state, _covariance(problem, state, swapped, sigma, free), sigma


def _covariance(problem: _Problem, state: PairState, swapped: Flags, sigma: float, free: int) -> Array:
    """Return the covariance `(P, P)` by the sandwich estimator over blocks of frames.

    Blocks are used because errors of neighbouring frames are correlated. Noise in the velocities looks like information
    on the offset. Its amount is the difference between the curvature that Gauss-Newton assumes and the actual curvature
    of the cost.
    """
    residual, slope = problem.linearized(state, swapped, free)
    _, score = normal_equations(residual, slope, geman_mcclure_weights(residual, sigma))
    u = (residual / (TAIL * sigma)) ** 2
    # second derivative of the Geman-McClure loss
    curved, _ = normal_equations(residual, slope, np.nan_to_num((1 - 3 * u) / (1 + u) ** 3))
    gradients = []
    for shift in (-_PROBE, _PROBE):
        near, slope = problem.linearized(replace(state, offset=state.offset + shift), swapped, free)
        gradients.append(normal_equations(near, slope, geman_mcclure_weights(near, sigma))[1][..., _OFFSET].sum())
    noise = curved[_OFFSET, _OFFSET] - (gradients[1] - gradients[0]) / (2 * _PROBE)
    curved[_OFFSET, _OFFSET] -= noise
    if free > _DRIFT:
        curved[_DRIFT, _DRIFT] -= noise * float(np.mean(problem.lag**2))
    blocks = np.add.reduceat(score, np.arange(0, len(score), _BLOCK), axis=0).reshape(-1, free)
    bread = invert_positive(curved)
    return np.asarray(bread @ (blocks.T @ blocks) @ bread)


def _sd(covariance: Array, place: int) -> float:
    """Return the standard deviation of one parameter."""
    return float(np.sqrt(covariance[place, place]))


def linearize(
    state: PairState, x_a: Array, x_b: Array, v_b: Array, lag: Array, focals: tuple[float, float]
) -> tuple[Array, Array]:
    """Return Sampson distances `(N, J)` px and their derivatives `(N, J, 7)` by the parameters.

    The parameters are rotation, direction of t, offset and drift. Only the numerator x_b . (t x R x_a) is
    differentiated; its scale is held constant.
    """
    lines = _lines(state, x_a, x_b, focals)
    timing = lines.timing(v_b)
    slope = np.concatenate(
        [
            np.cross(lines.turned, lines.normal) / lines.norm[..., None],
            np.cross(lines.turned, lines.ray_b) @ _tangents(state.t) / lines.norm[..., None],
            timing[..., None],
            (timing * lag[:, None])[..., None],
        ],
        axis=-1,
    )
    return lines.distance, slope


def linearize_offset(
    state: PairState, x_a: Array, x_b: Array, v_b: Array, focals: tuple[float, float]
) -> tuple[Array, Array]:
    """Return Sampson distances `(N, J)` px and their derivatives `(N, J)` by the offset, as `linearize` does."""
    lines = _lines(state, x_a, x_b, focals)
    return lines.distance, lines.timing(v_b)


class _Lines(NamedTuple):
    """Rays and epipolar lines of joints in two views, each `(N, J, 3)`, and the scale of the distances `(N, J)`."""

    turned: Array
    ray_b: Array
    line_b: Array
    normal: Array
    norm: Array

    @property
    def distance(self) -> Array:
        return (self.ray_b * self.line_b).sum(axis=-1) / self.norm

    def timing(self, v_b: Array) -> Array:
        """Return the derivative of the distances by the time at which the second view is seen."""
        return (v_b * self.line_b[..., :2]).sum(axis=-1) / self.norm


def _lines(state: PairState, x_a: Array, x_b: Array, focals: tuple[float, float]) -> _Lines:
    turned, ray_b = homogeneous(x_a) @ state.R.T, homogeneous(x_b)
    across_t = skew(state.t)  # as a matrix, much quicker than numpy's cross
    line_b, normal = turned @ across_t.T, ray_b @ across_t
    line_a = normal @ state.R
    norm = np.sqrt(
        (line_b[..., :2] ** 2).sum(axis=-1) / focals[1] ** 2 + (line_a[..., :2] ** 2).sum(axis=-1) / focals[0] ** 2
    )
    return _Lines(turned, ray_b, line_b, normal, norm)


def _tangents(t: Array) -> Array:
    """Return two directions `(3, 2)` perpendicular to a unit vector and to each other."""
    return np.linalg.svd(t[None])[2][1:].T


def apply_pair_step(state: PairState, step: Array) -> PairState:
    """Return the state after a step of rotation (3), direction of t (2), offset and, where it is free, drift."""
    t = state.t + _tangents(state.t) @ step[3:5]
    R = cv2.Rodrigues(step[:3])[0] @ state.R
    drift = state.drift + (step[_DRIFT] if len(step) > _DRIFT else 0.0)
    return PairState(R, t / np.linalg.norm(t), state.offset + float(step[_OFFSET]), float(drift))
