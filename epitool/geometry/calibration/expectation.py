"""State of an adjustment, and EM steps that estimate inlier probabilities of keypoints from their residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.compiled.lens import squared_errors
from epitool.geometry.compiled.mixture import expectation
from epitool.geometry.compiled.point import freedoms
from epitool.geometry.noise import KeypointNoise, Levels, Residuals, probability_alone, refit_noise, unknown_noise

Array = NDArray[np.float64]
_MIN_POINTS = 30
_FIRST_SHARE = 0.9
_LARGEST_PX2 = 1e12  # more than any image is wide, squared
_TELLING = 1.5  # expected number of inlier views of a joint from which its errors are used for the noise


@dataclass(frozen=True, eq=False)
class State:
    """Cameras and points of an adjustment.

    Cameras are `R (V, 3, 3)`, `t (V, 3)`, `K (V, 3, 3)` and `bend (V,)`; points are `(N, 3)`.
    """

    R: Array
    t: Array
    K: Array
    bend: Array
    points: Array


@dataclass(frozen=True, eq=False)
class Observed:
    """Joints that at least two views see.

    Attributes:
        xy: Keypoints `(N, V, 2)` as the cameras with their bends see them, NaN where unseen.
        levels: Levels of their confidence, `(N, V)`.
        joint: Index of the joint, `(N,)`.
        frame: Index of the frame, `(N,)`.
        take: Take or person, `(N,)`.
        areas: Areas of the images, `(V,)` px squared.
        unplaced: Levels of keypoints of joints without a place, as in `Residuals`.
    """

    xy: Array
    levels: Levels
    joint: NDArray[np.int64]
    frame: NDArray[np.int64]
    take: NDArray[np.int64]
    areas: Array
    unplaced: Levels


@dataclass(frozen=True, eq=False)
class Estimate:
    """Current estimates of EM.

    Attributes:
        noise: Noise of the keypoints.
        weights: Probability of each keypoint being an inlier `(N, V)`.
        precision: That probability times the keypoint's precision relative to a usual one.
        inlier_share: Share of inliers by view, as in `Bundle`.
        cost: Negative log likelihood.
    """

    noise: KeypointNoise
    weights: Array
    precision: Array
    inlier_share: Array
    cost: float


def start_em(
    xy: Array, confidence: Array, xyz: Array, rig: Rig, max_points: int, take_of: NDArray[np.int64] | None = None,
    bend: Array | None = None,
) -> tuple[State, Observed, Estimate]:  # fmt: skip
    """Return the joints that two views see, with the cameras as they are, and a first estimate of the noise.

    Arguments are as for `bundle_adjustment.adjust`, except that the keypoints are as cameras with the bends `(V,)` see
    them; without bends, they are undistorted.

    Raises:
        GeometryError: There are fewer than 30 such joints.
    """
    noise = unknown_noise(confidence, np.isfinite(xy[..., 0]), 1.0, _FIRST_SHARE)
    take_of = np.zeros(len(xy), dtype=np.int64) if take_of is None else take_of
    observed, points = _usable(xy, noise.levels(confidence), xyz, rig, max_points, take_of)
    R, t, K = rig.stacked("R", "t", "K")
    state = State(R, t, K, np.zeros(len(rig)) if bend is None else bend, points)
    return state, observed, _first_estimate(errors_of(state, observed.xy), noise, observed)


def _usable(
    xy: Array, levels: Levels, xyz: Array, rig: Rig, max_points: int, take_of: NDArray[np.int64]
) -> tuple[Observed, Array]:
    """Return the joints that two views see, evenly thinned, and their places `(N, 3)`."""
    views, joints = xy.shape[1:3]
    seen_at = np.ascontiguousarray(xy.transpose(0, 2, 1, 3)).reshape(-1, views, 2)
    points = xyz.reshape(-1, 3)
    chosen = np.flatnonzero(np.isfinite(points).all(axis=-1) & (np.isfinite(seen_at[..., 0]).sum(axis=-1) >= 2))
    if len(chosen) < _MIN_POINTS:
        raise GeometryError(
            f"{len(chosen)} joints are seen by two views and lie in front of both, at least {_MIN_POINTS} are needed;"
            " are the views in sync, and of the same person?"
        )
    chosen = chosen[evenly_spread(len(chosen), max_points)]
    areas = np.array([np.prod(camera.image_size) for camera in rig.cameras], dtype=float)
    own = levels.transpose(0, 2, 1).reshape(-1, views)
    lost = np.where(np.isfinite(seen_at[..., 0]), own, -1)[np.isnan(points[:, 0])]
    lost = lost[(lost >= 0).sum(axis=1) >= 2]
    frame = chosen // joints
    observed = Observed(seen_at[chosen], own[chosen], chosen % joints, frame, take_of[frame], areas, lost)
    return observed, points[chosen]


def errors_of(state: State, observed: Array) -> Array:
    """Return squared errors `(N, V)` of keypoints `(N, V, 2)`, as `squared_errors` defines them."""
    return squared_errors(state.R, state.t, state.K, state.bend, state.points, observed)


def _first_estimate(squared: Array, noise: KeypointNoise, observed: Observed) -> Estimate:
    """Return a first estimate with large noise, because the residuals still contain the cameras' own error."""
    median = np.clip(np.nanmedian(squared), 1e-12, _LARGEST_PX2)  # infinite if most points are behind the cameras
    variance = float(median) / (2 * np.log(2))  # chi square with 2 degrees of freedom has the median 2 ln 2
    return _expected(squared, noise.with_sigma(np.sqrt(variance)), observed)


def _expected(squared: Array, noise: KeypointNoise, observed: Observed) -> Estimate:
    """Perform one E step."""
    relative = noise.relative(observed.levels, observed.joint[:, None])
    share = np.where(np.isnan(squared), 0.0, noise.inlier_share[observed.levels])
    weights, cost = expectation(squared, noise.sigma_px**2 * relative, share, observed.areas)
    lost = np.where(observed.unplaced >= 0, noise.inlier_share[observed.unplaced], 0.0)
    right = (share * weights).sum(axis=0) + (lost * probability_alone(noise, observed.unplaced)).sum(axis=0)
    fit = right / np.maximum(share.sum(axis=0) + lost.sum(axis=0), 1e-300)
    return Estimate(noise, weights, weights / relative, fit, cost)


def em_step(state: State, squared: Array, found: Estimate, observed: Observed, cameras: int = 0) -> Estimate:
    """Perform one EM step; the variances allow for what the joints and so many cameras absorb of the residuals."""
    now = _expected(squared, found.noise, observed)
    P = state.K @ np.concatenate([state.R, state.t[..., None]], axis=2)
    freedom = freedoms(P, state.points, now.precision)
    tells = now.weights.sum(axis=1, keepdims=True) > _TELLING
    residuals = Residuals(
        squared, np.where(tells, now.weights, 0.0), freedom, observed.levels, observed.joint, observed.unplaced
    )
    noise = refit_noise(now.noise, residuals, 6 * cameras)
    # The next places must follow from the noise by which their residuals will be judged: a lag of one step oscillates.
    return replace(now, noise=noise, precision=now.weights / noise.relative(observed.levels, observed.joint[:, None]))
