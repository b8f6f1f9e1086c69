"""The offset of two views to a fraction of a frame, together with their relative pose, by robust Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError
from epitool.geometry.timing.trajectories import read_at
from epitool.geometry.two_view.epipolar import fundamental_of_pose, homogeneous
from epitool.geometry.two_view.relative_pose import estimate_pair
from epitool.geometry.two_view.swaps import relative_swaps
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_POSE_FRAMES, _FIT_FRAMES = 150, 3000  # used of a longer recording, spread over it
_ITERATIONS = 30
_CONVERGED = 1e-3  # frames
_LONGEST_STEP = 1.0  # frame
_BLOCK = 15  # successive frames whose errors may depend on each other
_TAIL = 5.0  # standard deviations at which a residual keeps a quarter of its weight
_LEAST_PX = 0.5  # standard deviation that smoothing alone causes
_BASIN = 3.0  # frames that the offset may move from where it starts
_UNKNOWN = 1.0  # frames of standard deviation
_PROBE = 0.25  # frames; for the curvature of the cost
_OFFSET, _DRIFT = 5, 6  # places among the parameters, after three of rotation and two of translation


@dataclass(frozen=True, eq=False)
class PairOffset:
    """What one pair of views tells of their clocks.

    Attributes:
        offset: What the first view shows as frame f, the second shows as frame f + offset; taken to be constant.
        sd: Its standard deviation, frames.
        drift: How much the offset grows per frame where it is not taken to be constant.
        drift_sd: Its standard deviation.
        frames: First and last frame of the first view that were compared.
    """

    offset: float
    sd: float
    drift: float
    drift_sd: float
    frames: tuple[int, int]


@dataclass(frozen=True, eq=False)
class PairState:
    """Two views' relative pose (unit t), and the second's offset in time: by frames, and by frames per frame.

    Attributes:
        R: Rotation, second from first, `(3, 3)`.
        t: Direction of the translation, `(3,)`.
        offset: As of `PairOffset`, in the middle of what is compared.
        drift: As of `PairOffset`.
    """

    R: Array
    t: Array
    offset: float
    drift: float


@dataclass(frozen=True, eq=False)
class _Problem:
    """Both views' joints on the plane z = 1; the first's at the frames compared, the second's to be read anywhere."""

    x_a: Array
    b: Array
    frames: Array
    focals: tuple[float, float]
    skeleton: Skeleton

    @property
    def lag(self) -> Array:
        """Frames from the middle of what is compared, `(N,)`: makes offset and drift nearly independent."""
        return self.frames - self.frames.mean()

    def second(self, state: PairState) -> tuple[Array, Array]:
        """Positions and velocities `(N, J, 2)` of the second view's joints."""
        return read_at(self.b, self.frames + state.offset + state.drift * self.lag)

    def swapped(self, state: PairState, within_px: float) -> Flags:
        """Frames `(N,)` with sides exchanged in one of both views."""
        K_a, K_b = _intrinsics(self.focals)
        F = fundamental_of_pose(state.R, state.t, K_a, K_b)
        x_b, _ = self.second(state)
        return relative_swaps(F, self.x_a * self.focals[0], x_b * self.focals[1], self.skeleton, within_px)

    def linearized(self, state: PairState, swapped: Flags, free: int) -> tuple[Array, Array]:
        """Sampson distances `(N, J)` px and derivatives `(N, J, P)` by the first P parameters; NaN if missing."""
        flip = self.skeleton.flip_order
        x_b, v_b = (np.where(swapped[:, None, None], values[:, flip], values) for values in self.second(state))
        residual, slope = linearize(state, self.x_a, x_b, v_b, self.lag, self.focals)
        return residual, slope[..., :free]


def fit_offset(
    a: Array, b: Array, focals: tuple[float, float], start: float, skeleton: Skeleton, seed: int
) -> PairOffset:
    """Offset and relative pose that make the epipolar distances of moving joints least.

    Args:
        a: Joints of the first view on the plane z = 1, `(F, J, 2)`, NaN where missing, gross errors removed.
        b: The same of the second.
        focals: Of both views, px.
        start: Offset to start from, a frame or two from the truth.
        skeleton: What the joints are.
        seed: Of the random sampling.

    Raises:
        GeometryError: The joints determine no pose, or no offset.
    """
    low, high = max(0.0, np.ceil(-start)), min(len(a) - 1.0, np.floor(len(b) - 1 - start))
    frames = np.arange(low, high + 1)
    frames = frames[:: max(1, len(frames) // _FIT_FRAMES)]
    problem = _Problem(read_at(a, frames)[0], b, frames, focals, skeleton)
    state, sigma = _start(problem, start, seed)
    drifting, covariance, _ = _minimize(problem, state, sigma, _DRIFT + 1)
    drift, drift_sd = drifting.drift, _sd(covariance, _DRIFT)
    state, covariance, _ = _minimize(problem, replace(drifting, drift=0.0), sigma, _OFFSET + 1)
    sd = _sd(covariance, _OFFSET)
    if not (sd < _UNKNOWN and abs(state.offset - start) < _BASIN):
        raise GeometryError(f"no time offset near {start:.0f} frames explains the joints")
    return PairOffset(state.offset, sd, drift, drift_sd, (int(low), int(high)))


def _start(problem: _Problem, offset: float, seed: int) -> tuple[PairState, float]:
    """Relative pose at an offset, and the standard deviation of what it explains."""
    K_a, K_b = _intrinsics(problem.focals)
    some = slice(None, None, max(1, len(problem.frames) // _POSE_FRAMES))
    a_px, b_px = problem.x_a * problem.focals[0], read_at(problem.b, problem.frames + offset)[0] * problem.focals[1]
    pose = estimate_pair(a_px[some], b_px[some], K_a, K_b, problem.skeleton, "essential", seed)
    return PairState(pose.R, pose.t, offset, 0.0), 1.4826 * pose.sampson_px


def _intrinsics(focals: tuple[float, float]) -> tuple[Array, Array]:
    return np.diag([focals[0], focals[0], 1.0]), np.diag([focals[1], focals[1], 1.0])


def _minimize(problem: _Problem, state: PairState, sigma: float, free: int) -> tuple[PairState, Array, float]:
    """The state at which the first `free` parameters are best, their covariance, and the residuals' deviation."""
    for _ in range(_ITERATIONS):
        swapped = problem.swapped(state, _TAIL * sigma)
        residual, slope = problem.linearized(state, swapped, free)
        sigma = max(float(1.4826 * np.nanmedian(np.abs(residual))), _LEAST_PX)
        normal, score = normal_equations(residual, slope, weights(residual, sigma))
        step = -inverse(normal) @ score.sum(axis=(0, 1))
        state = moved(state, step * min(1.0, _LONGEST_STEP / max(abs(float(step[_OFFSET])), 1e-9)))
        if abs(step[_OFFSET]) < _CONVERGED:
            break
    return state, _covariance(problem, state, swapped, sigma, free), sigma


def _covariance(problem: _Problem, state: PairState, swapped: Flags, sigma: float, free: int) -> Array:
    """Covariance `(P, P)`: the sandwich estimator over blocks of frames, for errors go on over neighbouring frames.

    Noise in the velocities looks like information on the offset. How much of it there is shows where the cost bends
    less than Gauss-Newton takes it to.
    """
    residual, slope = problem.linearized(state, swapped, free)
    _, score = normal_equations(residual, slope, weights(residual, sigma))
    u = (residual / (_TAIL * sigma)) ** 2
    curved, _ = normal_equations(residual, slope, np.nan_to_num((1 - 3 * u) / (1 + u) ** 3))
    gradients = []
    for shift in (-_PROBE, _PROBE):
        near, slope = problem.linearized(replace(state, offset=state.offset + shift), swapped, free)
        gradients.append(normal_equations(near, slope, weights(near, sigma))[1][..., _OFFSET].sum())
    noise = curved[_OFFSET, _OFFSET] - (gradients[1] - gradients[0]) / (2 * _PROBE)
    curved[_OFFSET, _OFFSET] -= noise
    if free > _DRIFT:
        curved[_DRIFT, _DRIFT] -= noise * float(np.mean(problem.lag**2))
    blocks = np.add.reduceat(score, np.arange(0, len(score), _BLOCK), axis=0).reshape(-1, free)
    bread = inverse(curved)
    return np.asarray(bread @ (blocks.T @ blocks) @ bread)


def inverse(normal: Array) -> Array:
    """Inverse of a positive definite matrix.

    Raises:
        GeometryError: It is not positive definite.
    """
    scale = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    scaled = normal / np.outer(scale, scale)
    if not np.isfinite(scaled).all() or np.linalg.eigvalsh(scaled)[0] < 1e-12:
        raise GeometryError("the joints' motion determines no time offset")
    return np.linalg.inv(scaled) / np.outer(scale, scale)


def _sd(covariance: Array, place: int) -> float:
    return float(np.sqrt(covariance[place, place]))


def linearize(
    state: PairState, x_a: Array, x_b: Array, v_b: Array, lag: Array, focals: tuple[float, float]
) -> tuple[Array, Array]:
    """Sampson distances `(N, J)` px, and their derivatives `(N, J, 7)`: rotation, direction of t, offset, drift.

    The numerator x_b . (t x R x_a) is differentiated, its scale held.
    """
    turned, ray_b = homogeneous(x_a) @ state.R.T, homogeneous(x_b)
    line_b = np.cross(state.t, turned)
    across = np.cross(turned, ray_b)
    line_a = np.cross(ray_b, state.t) @ state.R
    norm = np.sqrt(
        (line_b[..., :2] ** 2).sum(axis=-1) / focals[1] ** 2 + (line_a[..., :2] ** 2).sum(axis=-1) / focals[0] ** 2
    )
    timing = (v_b * line_b[..., :2]).sum(axis=-1)
    slope = np.concatenate(
        [
            np.cross(turned, np.cross(ray_b, state.t)),
            across @ _tangents(state.t),
            timing[..., None],
            (timing * lag[:, None])[..., None],
        ],
        axis=-1,
    )
    return (ray_b * line_b).sum(axis=-1) / norm, slope / norm[..., None]


def _tangents(t: Array) -> Array:
    """Two directions `(3, 2)` perpendicular to a unit vector and each other."""
    return np.linalg.svd(t[None])[2][1:].T


def weights(residual: Array, sigma: float) -> Array:
    """Geman-McClure weights of residuals with a standard deviation, 0 where one is missing."""
    return np.nan_to_num(1 / (1 + (residual / (_TAIL * sigma)) ** 2) ** 2)


def normal_equations(residual: Array, slope: Array, weight: Array) -> tuple[Array, Array]:
    """Gauss-Newton's normal matrix `(P, P)`, and the gradient that each residual contributes `(N, J, P)`."""
    seen = np.isfinite(residual)
    slope, residual = np.where(seen[..., None], slope, 0.0), np.where(seen, residual, 0.0)
    weighted = slope * weight[..., None]
    return np.einsum("njp,njq->pq", weighted, slope, optimize=True), weighted * residual[..., None]


def moved(state: PairState, step: Array) -> PairState:
    """The state after a step: of rotation (3), direction of t (2), offset and, where it is free, drift."""
    t = state.t + _tangents(state.t) @ step[3:5]
    R = cv2.Rodrigues(step[:3])[0] @ state.R
    drift = state.drift + (step[_DRIFT] if len(step) > _DRIFT else 0.0)
    return PairState(R, t / np.linalg.norm(t), state.offset + float(step[_OFFSET]), float(drift))
