"""Bundle adjustment of cameras and joints over all views, with errors of the detector told from noise as it goes.

Levenberg-Marquardt on the Schur complement of the joints (Triggs et al., Bundle Adjustment - A Modern Synthesis).
Every keypoint is taken to be either near its joint's projection (Gaussian) or anywhere in the image (uniform); the
noise, the share of gross errors and each keypoint's probability are estimated anew in every iteration (EM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError

Array = NDArray[np.float64]
_MAX_POINTS = 30_000  # more joints than this make cameras no better than the model is true
_MIN_POINTS = 30
_ITERATIONS = 60
_CONVERGED = 1e-7  # relative change of the cost
_START_LAMBDA, _MAX_LAMBDA = 1e-4, 1e8


@dataclass(frozen=True, eq=False)
class Bundle:
    """Adjusted cameras.

    Attributes:
        rig: The cameras; the first is unchanged, and so is the length of the first baseline.
        sigma_px: Standard deviation of a coordinate of a keypoint that is no gross error.
        inlier_share: Estimated share of keypoints that are no gross errors.
    """

    rig: Rig
    sigma_px: float
    inlier_share: float


@dataclass(frozen=True, eq=False)
class _State:
    """Cameras as `R (V, 3, 3)`, `t (V, 3)`, and points `(N, 3)`."""

    R: Array
    t: Array
    points: Array


@dataclass(frozen=True, eq=False)
class _Noise:
    """What EM knows: a coordinate's variance, the inlier share, and each keypoint's probability `(N, V)`."""

    variance: float
    share: float
    weights: Array


def adjust(xy: Array, xyz: Array, rig: Rig) -> Bundle:
    """Adjusts the cameras of a rig to keypoints.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        xyz: Where the joints about are, `(F, J, 3)`, in the rig's world.
        rig: Where the cameras about are.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    observed, points = _usable(xy, xyz)
    K = np.stack([camera.K for camera in rig.cameras])
    state = _State(
        np.stack([camera.R for camera in rig.cameras]), np.stack([camera.t for camera in rig.cameras]), points
    )
    areas = np.array([np.prod(camera.image_size) for camera in rig.cameras], dtype=float)
    noise = _first_noise(observed, _residuals(state, K, observed), areas)
    damping, previous = _START_LAMBDA, np.inf
    for _ in range(_ITERATIONS):
        state, damping, moved = _step(state, K, observed, noise.weights, damping)
        noise = _estimate_noise(_residuals(state, K, observed), noise, areas)
        cost = _negative_log_likelihood(_residuals(state, K, observed), noise, areas)
        if not moved or abs(previous - cost) < _CONVERGED * abs(cost):
            break
        previous = cost
    return Bundle(_rig_of(state, rig), float(np.sqrt(noise.variance)), noise.share)


def _usable(xy: Array, xyz: Array) -> tuple[Array, Array]:
    """Keypoints `(N, V, 2)` and points `(N, 3)` of joints that two views see, evenly thinned to a bounded number."""
    observed = xy.transpose(0, 2, 1, 3).reshape(-1, xy.shape[1], 2)
    points = xyz.reshape(-1, 3)
    usable = np.isfinite(points).all(axis=-1) & (np.isfinite(observed[..., 0]).sum(axis=-1) >= 2)
    chosen = np.flatnonzero(usable)
    if len(chosen) < _MIN_POINTS:
        raise GeometryError(f"{len(chosen)} joints are seen by two views, at least {_MIN_POINTS} are needed")
    if len(chosen) > _MAX_POINTS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _MAX_POINTS).astype(int)]
    return observed[chosen], points[chosen]


def _in_cameras(state: _State) -> Array:
    """Points in every camera's axes, `(N, V, 3)`."""
    return np.einsum("vij,nj->nvi", state.R, state.points) + state.t


def _residuals(state: _State, K: Array, observed: Array) -> Array:
    """Projection minus keypoint `(N, V, 2)` px; NaN where unseen or behind the camera."""
    image = np.einsum("vij,nvj->nvi", K, _in_cameras(state))
    depth = np.where(image[..., 2:] > 0, image[..., 2:], np.nan)
    return image[..., :2] / depth - observed


def _step(state: _State, K: Array, observed: Array, weights: Array, damping: float) -> tuple[_State, float, bool]:
    """One accepted Levenberg-Marquardt step under fixed weights; False where none lowers the cost."""
    residual = _residuals(state, K, observed)
    cost = np.nansum(weights[..., None] * residual**2)
    camera_jacobian, point_jacobian = _jacobians(state, K)
    seen = np.isfinite(residual[..., 0])
    w = np.where(seen, weights, 0.0)
    system = _normal_equations(camera_jacobian, point_jacobian, np.nan_to_num(residual), w)
    while damping < _MAX_LAMBDA:
        candidate = _moved(state, *_solve(*system, damping))
        trial = _residuals(candidate, K, observed)
        lost = (seen & ~np.isfinite(trial[..., 0]) & (w > 0.5)).any()  # a good joint fell behind a camera
        if not lost and np.nansum(weights[..., None] * trial**2) < cost:
            return candidate, max(damping / 10, 1e-10), True
        damping *= 10
    return state, _START_LAMBDA, False


def _jacobians(state: _State, K: Array) -> tuple[Array, Array]:
    """Derivatives of the projections by the cameras' (rotation, translation) `(N, V, 2, 6)` and points `(N, V, 2, 3)`.

    A camera moves as `exp(w) R, t + u`; the derivative of `exp(w) R x` by w is the negative cross matrix of `R x`.
    """
    turned = np.einsum("vij,nj->nvi", state.R, state.points)
    x, y, z = np.moveaxis(turned + state.t, -1, 0)
    projection = np.zeros((*x.shape, 2, 3))
    projection[..., 0, 0], projection[..., 1, 1] = K[:, 0, 0] / z, K[:, 1, 1] / z
    projection[..., 0, 1] = K[:, 0, 1] / z
    projection[..., 0, 2] = -(K[:, 0, 0] * x + K[:, 0, 1] * y) / z**2
    projection[..., 1, 2] = -K[:, 1, 1] * y / z**2
    cross = np.zeros((*x.shape, 3, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = turned[..., 2], -turned[..., 1], turned[..., 0]
    cross -= np.swapaxes(cross, -1, -2)
    camera = np.concatenate([projection @ cross, projection], axis=-1)
    return camera, projection @ state.R


def _normal_equations(Jc: Array, Jp: Array, residual: Array, w: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Blocks of the normal equations: cameras `(V, 6, 6)`, both `(N, V, 6, 3)`, points `(N, 3, 3)`, and gradients."""
    Jc, Jp = np.where(w[..., None, None] > 0, Jc, 0.0), np.where(w[..., None, None] > 0, Jp, 0.0)
    weighted = w[..., None, None] * Jp
    H_cp = np.einsum("nvki,nvkj->nvij", Jc, weighted, optimize=True)
    H_pp = np.einsum("nvki,nvkj->nij", Jp, weighted, optimize=True)
    H_cc = np.einsum("nv,nvki,nvkj->vij", w, Jc, Jc, optimize=True)
    g_c = np.einsum("nv,nvki,nvk->vi", w, Jc, residual, optimize=True)
    g_p = np.einsum("nvki,nvk->ni", weighted, residual, optimize=True)
    return H_cc, H_cp, H_pp, g_c, g_p


def _solve(H_cc: Array, H_cp: Array, H_pp: Array, g_c: Array, g_p: Array, damping: float) -> tuple[Array, Array]:
    """Steps of cameras `(V, 6)`, zero for the first, and points `(N, 3)`; damping scales diagonals, so units cancel."""
    views = len(H_cc)
    diagonal: Array = np.einsum("nii->ni", H_pp)
    floor = 1e-12 * float(diagonal.max()) + 1e-300
    damped = H_pp + np.einsum("ni,ij->nij", damping * diagonal + floor, np.eye(3))
    inverse = np.linalg.inv(damped)
    eliminated = H_cp @ inverse[:, None]
    reduced = -np.einsum("naij,nbkj->aibk", eliminated, H_cp, optimize=True)
    right = -g_c + np.einsum("naij,nj->ai", eliminated, g_p)
    for v in range(views):
        reduced[v, :, v] += H_cc[v] + damping * np.diag(np.diag(H_cc[v]))
    free = slice(6, None)
    matrix = reduced.reshape(6 * views, 6 * views)[free, free]
    step = np.zeros(6 * views)
    step[free] = np.linalg.lstsq(matrix, right.ravel()[free], rcond=1e-14)[0]
    cameras = step.reshape(views, 6)
    points = -np.einsum("nij,nj->ni", inverse, g_p + np.einsum("nvij,vi->nj", H_cp, cameras))
    return cameras, points


def _moved(state: _State, cameras: Array, points: Array) -> _State:
    turns = np.stack([np.asarray(cv2.Rodrigues(step[:3])[0], dtype=float) for step in cameras])
    return _State(turns @ state.R, state.t + cameras[:, 3:], state.points + points)


def _first_noise(observed: Array, residual: Array, areas: Array) -> _Noise:
    """A wide start: the cameras' own error is still in the residuals."""
    squared = (residual**2).sum(axis=-1)
    variance = float(np.nanmedian(squared) / (2 * np.log(2)))  # of a coordinate, were all of them Gaussian
    weights = np.where(np.isfinite(observed[..., 0]), 1.0, 0.0)
    return _estimate_noise(residual, _Noise(max(variance, 1e-12), 0.9, weights), areas)


def _densities(residual: Array, noise: _Noise, areas: Array) -> tuple[Array, Array]:
    """Density of each keypoint as an inlier and as a gross error, `(N, V)`."""
    squared = (residual**2).sum(axis=-1)
    inlier = noise.share * np.exp(-squared / (2 * noise.variance)) / (2 * np.pi * noise.variance)
    return inlier, np.broadcast_to((1 - noise.share) / areas, squared.shape)


def _estimate_noise(residual: Array, noise: _Noise, areas: Array) -> _Noise:
    """One EM step; the variance allows for the three coordinates that each joint takes from its residuals."""
    seen = np.isfinite(residual[..., 0])
    inlier, gross = _densities(np.nan_to_num(residual), noise, areas)
    weights = np.where(seen, inlier / (inlier + gross), 0.0)
    total = weights.sum()
    solved = np.maximum(weights.sum(axis=-1) - 1.5, 0.0)  # joints with fewer than two good views tell nothing
    freedom = (2 * weights.sum(axis=-1) - 3)[solved > 0].sum() - 6 * (residual.shape[1] - 1)
    squared = (weights * (np.nan_to_num(residual) ** 2).sum(axis=-1))[solved > 0].sum()
    variance = max(float(squared / max(freedom, 1.0)), 1e-12)
    share = float(np.clip(total / max(seen.sum(), 1), 0.05, 0.999))
    return _Noise(variance, share, weights)


def _negative_log_likelihood(residual: Array, noise: _Noise, areas: Array) -> float:
    seen = np.isfinite(residual[..., 0])
    inlier, gross = _densities(np.nan_to_num(residual), noise, areas)
    return float(-np.log(inlier + gross)[seen].sum())


def _rig_of(state: _State, rig: Rig) -> Rig:
    """The cameras in the world of the first one, with the first baseline's length as it was."""
    moved = [replace(camera, R=R, t=t) for camera, R, t in zip(rig.cameras, state.R, state.t)]
    factor = _baseline(rig.cameras) / _baseline(moved)
    origin = moved[0].center
    cameras = [replace(camera, t=-camera.R @ (origin + factor * (camera.center - origin))) for camera in moved]
    return replace(rig, cameras=tuple(cameras))


def _baseline(cameras: Sequence[Camera]) -> float:
    return float(np.linalg.norm(cameras[0].center - cameras[1].center))
