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
from epitool.geometry.deviations import inverse, spread, without_each
from epitool.geometry.lenses import Lenses, bent, held, moved
from epitool.geometry.mixture import expectation, squared_errors
from epitool.geometry.schur import POSE, point_steps, reduced_system
from epitool.geometry.two_view import skew

Array = NDArray[np.float64]
Index = NDArray[np.int64]
MAX_POINTS = 30_000  # more joints than this make cameras no better than the model is true
_MIN_POINTS = 30
_ITERATIONS = 60
_ROUNDING = 1e-12
_START_LAMBDA, _MAX_LAMBDA = 1e-4, 1e8
_NO_WEIGHT = 1e-3
_BLOCKS = 8  # of frames whose errors may go together


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
        redundancy: How many keypoints count as much as one whose error is independent of all others'.
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
    redundancy: float
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
    """Cameras as `R (V, 3, 3)`, `t (V, 3)`, `K (V, 3, 3)` and `bend (V,)`, the change of k1; and points `(N, 3)`."""

    R: Array
    t: Array
    K: Array
    bend: Array
    points: Array


@dataclass(frozen=True, eq=False)
class _Noise:
    """What EM knows: a coordinate's variance, the inlier share, each keypoint's probability `(N, V)`, the cost."""

    variance: float
    share: float
    weights: Array
    cost: float


def adjust(
    xy: Array, xyz: Array, rig: Rig, *, lenses: Lenses | None = None, max_points: int = MAX_POINTS,
    tolerance: float = 1e-7,
) -> Bundle:  # fmt: skip
    """Adjusts the cameras of a rig to keypoints.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        xyz: Where the joints about are, `(F, J, 3)`, in the rig's world.
        rig: Where the cameras about are.
        lenses: What is known of the lenses of the rig's views; None where they are held. Where the rig's have a
            distortion, its change is taken to be small: adjust again with keypoints undistorted by what is found.
        max_points: With more joints than this, as many are taken evenly from them.
        tolerance: Relative change of the negative log likelihood at which iteration ends.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    observed, points, frame, joint = _usable(xy, xyz, max_points)
    cameras, lenses = rig.cameras, (lenses or held(rig.cameras)).about(rig)
    R, t, K = (np.stack([getattr(camera, name) for camera in cameras]) for name in ("R", "t", "K"))
    state = _State(R, t, K, np.zeros(len(rig)), points)
    areas = np.array([np.prod(camera.image_size) for camera in cameras], dtype=float)
    squared = _squared_errors(state, observed)
    noise = _first_noise(squared, areas)
    damping, previous = _START_LAMBDA, np.inf
    for _ in range(_ITERATIONS):
        state, damping, moved = _step(state, observed, squared, noise, damping, lenses)
        squared = _squared_errors(state, observed)
        noise = _estimate_noise(squared, noise, areas)
        if not moved or abs(previous - noise.cost) < tolerance * abs(noise.cost):
            break
        previous = noise.cost
    block = (frame * min(_BLOCKS, len(xy))) // len(xy)
    deviations, redundancy = _deviations(state, observed, noise, (block, joint), lenses)
    seen = np.isfinite(observed[..., 0]).sum(axis=0)
    share = noise.weights.sum(axis=0) / np.maximum(seen, 1)
    sigma_px = float(np.sqrt(noise.variance))
    return Bundle(_rig_of(state, rig), sigma_px, share, *deviations, redundancy, noise.cost / seen.sum())


def measured(xy: Array, xyz: Array, rig: Rig) -> Fit:
    """How keypoints fit the cameras of a rig as they are.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        xyz: Where these cameras place the joints, `(F, J, 3)`.
        rig: The cameras.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    observed, points, *_ = _usable(xy, xyz, MAX_POINTS)
    R, t, K = (np.stack([getattr(camera, name) for camera in rig.cameras]) for name in ("R", "t", "K"))
    areas = np.array([np.prod(camera.image_size) for camera in rig.cameras], dtype=float)
    squared = squared_errors(R, t, K, np.zeros(len(rig)), points, observed)
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


def _usable(xy: Array, xyz: Array, max_points: int) -> tuple[Array, Array, Index, Index]:
    """Keypoints `(N, V, 2)`, points `(N, 3)`, frames and joints `(N,)` of joints that two views see, evenly thinned."""
    observed = np.ascontiguousarray(xy.transpose(0, 2, 1, 3)).reshape(-1, xy.shape[1], 2)
    points = xyz.reshape(-1, 3)
    usable = np.isfinite(points).all(axis=-1) & (np.isfinite(observed[..., 0]).sum(axis=-1) >= 2)
    chosen = np.flatnonzero(usable)
    if len(chosen) < _MIN_POINTS:
        raise GeometryError(f"{len(chosen)} joints are seen by two views, at least {_MIN_POINTS} are needed")
    if len(chosen) > max_points:
        chosen = chosen[np.linspace(0, len(chosen) - 1, max_points).astype(int)]
    return observed[chosen], points[chosen], chosen // xyz.shape[1], chosen % xyz.shape[1]


def _squared_errors(state: _State, observed: Array) -> Array:
    return squared_errors(state.R, state.t, state.K, state.bend, state.points, observed)


def _step(
    state: _State, observed: Array, squared: Array, noise: _Noise, damping: float, lenses: Lenses
) -> tuple[_State, float, bool]:
    """One accepted Levenberg-Marquardt step under fixed weights; False where none lowers the cost."""
    w = _effective(noise.weights)
    used = w > 0
    diagonal, slope, pull = lenses.pull(state.K, state.bend, noise.variance)
    cost = float(w[used] @ squared[used]) + pull
    free = _free_directions(state, lenses)
    one_group = np.zeros(len(observed), dtype=np.int64)
    while damping < _MAX_LAMBDA:
        arguments = (state.R, state.t, state.K, state.bend, state.points, observed, w, lenses.free, damping)
        S, own, gradient = reduced_system(*arguments, one_group)
        raised = np.concatenate([np.diag(block) for block in own[0]])
        matrix = free.T @ (S[0] + np.diag(diagonal + damping * raised)) @ free
        step = free @ np.linalg.lstsq(matrix, -free.T @ (gradient[0] + slope), rcond=1e-14)[0]
        cameras = step.reshape(len(state.R), -1)
        candidate = _moved(state, cameras, point_steps(*arguments, cameras))
        # infinite if a joint fell behind a camera
        trial = float(w[used] @ _squared_errors(candidate, observed)[used])
        trial += lenses.pull(candidate.K, candidate.bend, noise.variance)[2]
        if trial <= cost * (1 + _ROUNDING):
            return candidate, max(damping / 10, 1e-10), True
        damping *= 10
    return state, _START_LAMBDA, False


def _effective(weights: Array) -> Array:
    """Weights `(N, V)` without joints that fewer than two views determine: they would make the system singular."""
    second = np.partition(weights, -2, axis=1)[:, -2]
    return np.where((second[:, None] > _NO_WEIGHT) & (weights > _NO_WEIGHT), weights, 0.0)


def _free_directions(state: _State, lenses: Lenses) -> Array:
    """Directions `(P V, Q)` in which cameras may move: the first stays, and so does the first baseline's length."""
    views, p = len(state.R), lenses.free
    every = np.eye(p * views)
    columns = [every[:, p * v : p * v + POSE] for v in range(2, views)]
    first, second = (-state.R[v].T @ state.t[v] for v in (0, 1))
    along = state.R[1] @ (second - first)  # moving t along it changes the baseline's length
    across = np.linalg.svd(along[None])[2][1:]
    turning = every[:, p : p + 3] + every[:, p + 3 : p + 6] @ _turned_translation(state.t[1], along)
    columns = [turning, every[:, p + 3 : p + 6] @ across.T, *columns]
    return np.concatenate([*columns, lenses.directions()], axis=1)


def _turned_translation(t: Array, along: Array) -> Array:
    """What must be added to a rotation's own effect for the centre to keep its distance from the first camera."""
    unit = along / np.linalg.norm(along)
    return -np.outer(unit, unit @ skew(t))


def _moved(state: _State, cameras: Array, points: Array) -> _State:
    turns = np.stack([np.asarray(cv2.Rodrigues(step[:3])[0], dtype=float) for step in cameras])
    return _State(
        turns @ state.R,
        state.t + cameras[:, 3:6],
        *moved(state.K, state.bend, cameras[:, POSE:]),
        state.points + points,
    )


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
    state: _State, observed: Array, noise: _Noise, clusters: tuple[Index, Index], lenses: Lenses
) -> tuple[tuple[Array, Array, Array, Array, Array], float]:
    """Deviations `(V,)` of rotation (radians), place and focal length (share), of the first two in the rig; redundancy.

    Errors may go together within a cluster, in each of two ways of clustering: what either adds to a variance that
    independent keypoints would give is added up (two-way clusters, Cameron, Gelbach and Miller 2011).
    """
    free, weights = _free_directions(state, lenses), _effective(noise.weights)
    arguments = (state.R, state.t, state.K, state.bend, state.points, observed, weights, lenses.free, 0.0)
    prior = free.T * lenses.pull(state.K, state.bend, noise.variance)[0] @ free
    clustered: list[Array] = []
    for cluster in clusters:
        S, _, gradient = reduced_system(*arguments, np.unique(cluster, return_inverse=True)[1])
        S = free.T @ S @ free
        clustered.append(without_each(S, gradient @ free, prior))
    whole = S.sum(axis=0)
    bread = inverse(whole + prior)
    independent, own = noise.variance * bread @ whole @ bread, noise.variance * lenses.belief * bread @ prior @ bread
    together = sum(clustered) - independent
    # with few clusters a jackknife may be too optimistic; what the model says itself is the least that there is
    variances = (spread(free @ (C + own) @ free.T, state.R, state.t) for C in (together, independent))
    redundancy = max(float(np.trace(whole @ together) / max(np.trace(whole @ independent), 1e-300)), 1.0)
    rotation, place, focal, turn, way = np.sqrt(np.maximum(np.maximum(*variances), 0.0))
    return (rotation, place, focal, turn, way), redundancy


def _rig_of(state: _State, rig: Rig) -> Rig:
    """The cameras in the world of the first one, with the first baseline's length as it was."""
    factor = np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center)
    factor /= np.linalg.norm(state.R[0].T @ state.t[0] - state.R[1].T @ state.t[1])
    origin = -state.R[0].T @ state.t[0]
    centers = [origin + factor * (-R.T @ t - origin) for R, t in zip(state.R, state.t)]
    cameras: list[Camera] = [
        bent(replace(camera, K=K, R=R, t=-R @ center), float(bend))
        for camera, K, R, center, bend in zip(rig.cameras, state.K, state.R, centers, state.bend)
    ]
    return replace(rig, cameras=tuple(cameras))
