"""Bundle adjustment of cameras and joints over all views, with errors of the detector told from noise as it goes.

Levenberg-Marquardt on the Schur complement of the joints (Triggs et al., Bundle Adjustment - A Modern Synthesis).
Every keypoint is taken to be either near its joint's projection (Gaussian) or anywhere in the image (uniform); the
noise, the share of gross errors and each keypoint's probability are estimated anew in every iteration (EM).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.deviations import against_others
from epitool.geometry.mixture import expectation, squared_errors
from epitool.geometry.schur import CAMERA_PARAMETERS, point_steps, reduced_system
from epitool.geometry.two_view import skew

Array = NDArray[np.float64]
MAX_POINTS = 30_000  # more joints than this make cameras no better than the model is true
_MIN_POINTS = 30
_ITERATIONS = 60
_ROUNDING = 1e-12
_START_LAMBDA, _MAX_LAMBDA = 1e-4, 1e8
_NO_WEIGHT = 1e-3
_BLOCKS = 30  # of frames whose errors may go together


@dataclass(frozen=True, eq=False)
class Bundle:
    """Adjusted cameras.

    Attributes:
        rig: The cameras; the first is unchanged but for its focal length, and so is the length of the first baseline.
        sigma_px: Standard deviation of a coordinate of a keypoint that is no gross error.
        inlier_share: Estimated share of keypoints that are no gross errors, `(V,)`.
        rotation_sd: Standard deviation of each camera's rotation against the first, `(V,)` radians.
        position_sd: The same of its place, `(V,)` in the rig's unit, the first baseline's length being given.
        focal_sd: The same of its focal length as a share of it, `(V,)`; 0 where it was held.
        rotation_sd_in_rig: Standard deviation of each rotation against the other cameras, `(V,)` radians.
        position_sd_in_rig: The same of its place, `(V,)` in the rig's unit, the rig's size being given.
        cost: Negative log likelihood per keypoint; lower is better among solutions for the same keypoints.
    """

    rig: Rig
    sigma_px: float
    inlier_share: Array
    rotation_sd: Array
    position_sd: Array
    focal_sd: Array
    rotation_sd_in_rig: Array
    position_sd_in_rig: Array
    cost: float


@dataclass(frozen=True, eq=False)
class Fit:
    """How keypoints fit cameras that are taken as they are.

    Attributes:
        sigma_px: Standard deviation of a coordinate of a keypoint that is no gross error.
        inlier_share: Estimated share of keypoints that are no gross errors, `(V,)`.
        cost: Negative log likelihood of all keypoints seen; those of joints without a place may be anywhere.
    """

    sigma_px: float
    inlier_share: Array
    cost: float


@dataclass(frozen=True, eq=False)
class _State:
    """Cameras as `R (V, 3, 3)`, `t (V, 3)`, `K (V, 3, 3)`, and points `(N, 3)`."""

    R: Array
    t: Array
    K: Array
    points: Array


@dataclass(frozen=True, eq=False)
class _Noise:
    """What EM knows: a coordinate's variance, the inlier share, each keypoint's probability `(N, V)`, the cost."""

    variance: float
    share: float
    weights: Array
    cost: float


def adjust(
    xy: Array, xyz: Array, rig: Rig, *, focal: str = "known", max_points: int = MAX_POINTS, tolerance: float = 1e-7
) -> Bundle:
    """Adjusts the cameras of a rig to keypoints.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        xyz: Where the joints about are, `(F, J, 3)`, in the rig's world.
        rig: Where the cameras about are.
        focal: "known", "shared" (one factor for all cameras) or "each" (one a camera).
        max_points: With more joints than this, as many are taken evenly from them.
        tolerance: Relative change of the negative log likelihood at which iteration ends.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    observed, points, frame = _usable(xy, xyz, max_points)
    cameras = rig.cameras
    R, t, K = (np.stack([getattr(camera, name) for camera in cameras]) for name in ("R", "t", "K"))
    state = _State(R, t, K, points)
    areas = np.array([np.prod(camera.image_size) for camera in cameras], dtype=float)
    squared = _squared_errors(state, observed)
    noise = _first_noise(squared, areas)
    damping, previous = _START_LAMBDA, np.inf
    for _ in range(_ITERATIONS):
        state, damping, moved = _step(state, observed, squared, noise.weights, damping, focal)
        squared = _squared_errors(state, observed)
        noise = _estimate_noise(squared, noise, areas)
        if not moved or abs(previous - noise.cost) < tolerance * abs(noise.cost):
            break
        previous = noise.cost
    block = (frame * min(_BLOCKS, len(xy))) // len(xy)
    deviations = _deviations(state, observed, noise, block, focal)
    seen = np.isfinite(observed[..., 0]).sum(axis=0)
    share = noise.weights.sum(axis=0) / np.maximum(seen, 1)
    return Bundle(_rig_of(state, rig), float(np.sqrt(noise.variance)), share, *deviations, noise.cost / seen.sum())


def measured(xy: Array, xyz: Array, rig: Rig) -> Fit:
    """How keypoints fit the cameras of a rig as they are.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        xyz: Where these cameras place the joints, `(F, J, 3)`.
        rig: The cameras.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    observed, points, _ = _usable(xy, xyz, MAX_POINTS)
    R, t, K = (np.stack([getattr(camera, name) for camera in rig.cameras]) for name in ("R", "t", "K"))
    areas = np.array([np.prod(camera.image_size) for camera in rig.cameras], dtype=float)
    squared = squared_errors(R, t, K, points, observed)
    noise = _first_noise(squared, areas)
    for _ in range(_ITERATIONS):
        before, noise = noise, _estimate_noise(squared, noise, areas, cameras=0)
        if abs(before.cost - noise.cost) < 1e-7 * abs(noise.cost):
            break
    seen, every = np.isfinite(observed[..., 0]).sum(axis=0), np.isfinite(xy[..., 0]).sum(axis=(0, 2))
    # where points were thinned out, those left stand for all with a place
    placed = (np.isfinite(xyz[..., 0])[:, None] & np.isfinite(xy[..., 0])).sum(axis=(0, 2))
    cost = noise.cost * placed.sum() / max(seen.sum(), 1) + float((every - placed) @ np.log(areas))
    return Fit(float(np.sqrt(noise.variance)), noise.weights.sum(axis=0) / np.maximum(seen, 1), cost)


def _usable(xy: Array, xyz: Array, max_points: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Keypoints `(N, V, 2)`, points `(N, 3)` and frames `(N,)` of joints that two views see, evenly thinned."""
    observed = np.ascontiguousarray(xy.transpose(0, 2, 1, 3)).reshape(-1, xy.shape[1], 2)
    points = xyz.reshape(-1, 3)
    usable = np.isfinite(points).all(axis=-1) & (np.isfinite(observed[..., 0]).sum(axis=-1) >= 2)
    chosen = np.flatnonzero(usable)
    if len(chosen) < _MIN_POINTS:
        raise GeometryError(f"{len(chosen)} joints are seen by two views, at least {_MIN_POINTS} are needed")
    if len(chosen) > max_points:
        chosen = chosen[np.linspace(0, len(chosen) - 1, max_points).astype(int)]
    return observed[chosen], points[chosen], chosen // xyz.shape[1]


def _squared_errors(state: _State, observed: Array) -> Array:
    return squared_errors(state.R, state.t, state.K, state.points, observed)


def _step(
    state: _State, observed: Array, squared: Array, weights: Array, damping: float, focal: str
) -> tuple[_State, float, bool]:
    """One accepted Levenberg-Marquardt step under fixed weights; False where none lowers the cost."""
    w = _effective(weights)
    used = w > 0
    cost = float(w[used] @ squared[used])
    free = _free_directions(state, focal)
    one_block = np.zeros(len(observed), dtype=np.int64)
    while damping < _MAX_LAMBDA:
        arguments = (state.R, state.t, state.K, state.points, observed, w, _parameters(focal), damping)
        S, own, gradient = reduced_system(*arguments, one_block)
        raised = np.concatenate([np.diag(block) for block in own])
        matrix = free.T @ (S + damping * np.diag(raised)) @ free
        step = free @ np.linalg.lstsq(matrix, -free.T @ gradient[0], rcond=1e-14)[0]
        cameras = step.reshape(-1, CAMERA_PARAMETERS)
        candidate = _moved(state, cameras, point_steps(*arguments, cameras))
        trial = float(w[used] @ _squared_errors(candidate, observed)[used])  # infinite if a joint fell behind a camera
        if trial <= cost * (1 + _ROUNDING):
            return candidate, max(damping / 10, 1e-10), True
        damping *= 10
    return state, _START_LAMBDA, False


def _parameters(focal: str) -> int:
    return CAMERA_PARAMETERS if focal != "known" else CAMERA_PARAMETERS - 1


def _effective(weights: Array) -> Array:
    """Weights `(N, V)` without joints that fewer than two views determine: they would make the system singular."""
    second = np.partition(weights, -2, axis=1)[:, -2]
    return np.where((second[:, None] > _NO_WEIGHT) & (weights > _NO_WEIGHT), weights, 0.0)


def _free_directions(state: _State, focal: str) -> Array:
    """Directions `(7 V, Q)` in which cameras may move: the first stays, and so does the first baseline's length."""
    views, p = len(state.R), CAMERA_PARAMETERS
    every = np.eye(p * views)
    columns = [every[:, p * v : p * v + 6] for v in range(2, views)]
    first, second = (-state.R[v].T @ state.t[v] for v in (0, 1))
    along = state.R[1] @ (second - first)  # moving t along it changes the baseline's length
    across = np.linalg.svd(along[None])[2][1:]
    turning = every[:, p : p + 3] + every[:, p + 3 : p + 6] @ _turned_translation(state.t[1], along)
    columns = [turning, every[:, p + 3 : p + 6] @ across.T, *columns]
    focals = every[:, p - 1 :: p]
    if focal == "shared":
        columns.append(focals.sum(axis=1, keepdims=True))
    elif focal == "each":
        columns.append(focals)
    return np.concatenate(columns, axis=1)


def _turned_translation(t: Array, along: Array) -> Array:
    """What must be added to a rotation's own effect for the centre to keep its distance from the first camera."""
    unit = along / np.linalg.norm(along)
    return -np.outer(unit, unit @ skew(t))


def _moved(state: _State, cameras: Array, points: Array) -> _State:
    turns = np.stack([np.asarray(cv2.Rodrigues(step[:3])[0], dtype=float) for step in cameras])
    K = state.K.copy()
    K[:, :2, :2] *= np.exp(cameras[:, 6])[:, None, None]
    return _State(turns @ state.R, state.t + cameras[:, 3:6], K, state.points + points)


def _first_noise(squared: Array, areas: Array) -> _Noise:
    """A wide start: the cameras' own error is still in the residuals."""
    median = float(np.nanmedian(squared))  # that of a Gaussian's is 2 ln 2 variances
    return _estimate_noise(squared, _Noise(max(median / (2 * np.log(2)), 1e-12), 0.9, np.empty(0), np.inf), areas)


def _estimate_noise(squared: Array, noise: _Noise, areas: Array, cameras: int | None = None) -> _Noise:
    """One step of EM; the variance allows for what the joints and so many cameras take from the residuals."""
    weights, (seen, total, errors, freedom, cost) = expectation(squared, noise.variance, noise.share, areas)
    freedom -= 6 * (len(areas) - 1 if cameras is None else cameras)
    variance = max(float(errors / max(freedom, 1.0)), 1e-12)
    share = float(np.clip(total / max(seen, 1), 0.05, 0.999))
    return _Noise(variance, share, weights, float(cost))


def _deviations(
    state: _State, observed: Array, noise: _Noise, block: NDArray[np.int64], focal: str
) -> tuple[Array, Array, Array, Array, Array]:
    """Standard deviations `(V,)` of rotation (radians), place and focal length (share); the first two in the rig.

    The sandwich estimate over blocks of frames (Huber 1967): it asks only that errors in different blocks be
    independent, so it holds for tails, unequal noise and joints that err together.
    """
    weights = _effective(noise.weights)
    free = _free_directions(state, focal)
    S, _, gradient = reduced_system(
        state.R, state.t, state.K, state.points, observed, weights, _parameters(focal), 0.0, block
    )
    bread = np.linalg.pinv(free.T @ S @ free, rcond=1e-14, hermitian=True)
    score = gradient @ free
    blocks = len(score)
    robust = bread @ (score.T @ score * blocks / max(blocks - 1, 1)) @ bread
    # with few blocks the sandwich is too optimistic; the model's own covariance is the least that there is
    return tuple(np.maximum(*(_spread(free @ C @ free.T, state) for C in (robust, noise.variance * bread))))


def _spread(covariance: Array, state: _State) -> Array:
    """Standard deviations `(5, V)` of rotation, place and log focal length; and of the first two in the rig."""
    views, p = len(state.R), CAMERA_PARAMETERS
    own = np.stack([covariance[p * v : p * v + p, p * v : p * v + p] for v in range(views)])
    by_center = np.stack([-R.T @ np.column_stack([skew(t), np.eye(3)]) for R, t in zip(state.R, state.t)])
    places = by_center @ own[:, :6, :6] @ np.swapaxes(by_center, 1, 2)
    rotation, place = np.trace(own[:, :3, :3], axis1=1, axis2=2), np.trace(places, axis1=1, axis2=2)
    alone = np.sqrt(np.maximum(np.stack([rotation, place, own[:, 6, 6]]), 0.0))
    poses = covariance.reshape(views, p, views, p)[:, :6, :, :6]
    return np.concatenate([alone, against_others(poses, state.R, state.t)])


def _rig_of(state: _State, rig: Rig) -> Rig:
    """The cameras in the world of the first one, with the first baseline's length as it was."""
    factor = np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center)
    factor /= np.linalg.norm(state.R[0].T @ state.t[0] - state.R[1].T @ state.t[1])
    origin = -state.R[0].T @ state.t[0]
    centers = [origin + factor * (-R.T @ t - origin) for R, t in zip(state.R, state.t)]
    cameras: list[Camera] = [
        replace(camera, K=K, R=R, t=-R @ center) for camera, K, R, center in zip(rig.cameras, state.K, state.R, centers)
    ]
    return replace(rig, cameras=tuple(cameras))
