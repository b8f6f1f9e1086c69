"""3D joints from two or more calibrated views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.mixture import squared_errors
from epitool.geometry.nview import solve_points
from epitool.geometry.vector_median import median_of_pairs, reprojection

Array = NDArray[np.float64]
_NOISE_FRAMES, _NOISE_ROUNDS = 200, 5
_FIRST_NOISE = 0.005  # of the person's range in the images
_ENOUGH = 50  # points seen by three views, to tell gross errors by
_MEDIAN_OF_ONE = 0.455  # of chi square with one degree of freedom: two views, one point
_SURE = 6.0  # lead in log likelihood from which no other place is thought of
_DECIDED = 2.0  # under it the joint is left out
_BODY_JOINTS = 4


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Triangulated joints.

    Attributes:
        xyz: World points `(F, J, 3)`; NaN where fewer than two views saw the joint, no point lies before them, or
            the views leave open which of them is right.
        confidence: `(F, J)`: mean confidence of the keypoints that the point rests on.
        reprojection_px: Distance of the projected point from each view's keypoint, `(F, V, J)` undistorted px.
        covariance: Of `xyz`, `(F, J, 3, 3)` in the rig's unit squared; NaN where that is NaN.
        used: Keypoints that the point rests on, `(F, V, J)`.
    """

    xyz: Array
    confidence: Array
    reprojection_px: Array
    covariance: Array
    used: NDArray[np.bool_]


@dataclass(frozen=True)
class KeypointNoise:
    """What is known of a detector's errors.

    Attributes:
        sigma_px: Standard deviation of a coordinate of a keypoint that is no gross error.
        inlier_share: Share of keypoints that are no gross errors.
    """

    sigma_px: float
    inlier_share: float


def triangulate(
    xy: Array,
    confidence: Array,
    rig: Rig,
    *,
    method: str = "polynomial",
    combine: str = "robust",
    noise: KeypointNoise | None = None,
) -> Triangulation:
    """Triangulates undistorted joints `(F, V, J, 2)`, NaN where unseen, with confidence `(F, V, J)`.

    Args:
        xy: Keypoints.
        confidence: A keypoint of twice the usual confidence has twice the usual odds of being no gross error.
        rig: The cameras.
        method: How "vector-median" solves a pair of views: "polynomial" (Hartley and Sturm's optimum; the paper) or
            "dlt" (linear; Hartley & Zisserman 12.2).
        combine: "robust": the likeliest of all pairs' points, refined over all views that agree with it; or
            "vector-median": consecutive pairs, and of their points the vector median (paper, section 3.1).
        noise: Of the keypoints; estimated from them where it is not given.
    """
    noise = noise or estimate_noise(xy, confidence, rig)
    if combine == "robust":
        xyz, covariance, used = _robust(xy, confidence, rig, noise)
    else:
        xyz, used = median_of_pairs(xy, rig, method)
        covariance = point_covariance(xyz, used, rig, noise.sigma_px)
    count = np.maximum(used.sum(axis=1), 1)
    trust = np.where(used, confidence, 0.0).sum(axis=1) / count
    return Triangulation(xyz, trust, reprojection(xyz, xy, rig), covariance, used)


def estimate_noise(xy: Array, confidence: Array, rig: Rig) -> KeypointNoise:
    """The noise and the share of gross errors, from a bounded sample of the frames (EM with the points).

    Keypoints as for `triangulate`. Two views alone do not tell gross errors from noise; there the median does.
    """
    frames = np.unique(np.linspace(0, len(xy) - 1, min(len(xy), _NOISE_FRAMES)).astype(int)) if len(xy) else []
    points, trust = _by_point(xy[frames]), _by_point(confidence[frames])
    extent = np.nanmax(points, axis=0, initial=0.0) - np.nanmin(points, axis=0, initial=np.inf) if len(points) else 0.0
    widest = float(np.max(np.where(np.isfinite(extent), extent, 0.0), initial=0.0))
    variance, share = max((_FIRST_NOISE * widest) ** 2, 1e-6), 0.9
    near = np.zeros((len(points), 4))
    for _ in range(_NOISE_ROUNDS):
        xyz, _, weights, _ = solve_points(
            *_matrices(rig), points, _odds(trust, points, rig, variance, share), variance, near
        )
        squared = _squared_errors(xyz, points, rig)
        known = np.isfinite(xyz[:, 0])
        many = known & (np.isfinite(points[..., 0]).sum(axis=1) > 2)
        if many.sum() >= _ENOUGH:
            total = weights[many].sum()
            freedom = 2 * total - 3 * many.sum()
            inliers = weights[many] > 0
            variance = max(float(weights[many][inliers] @ squared[many][inliers]) / max(freedom, 1.0), 1e-6)
            share = float(np.clip(total / np.isfinite(points[many, :, 0]).sum(), 0.05, 0.995))
        elif known.any():
            variance = max(float(np.median(np.nansum(squared[known], axis=1)) / _MEDIAN_OF_ONE), 1e-6)
    return KeypointNoise(float(np.sqrt(variance)), share)


def _robust(xy: Array, confidence: Array, rig: Rig, noise: KeypointNoise) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Points, covariances and the keypoints used; what views leave open is decided by nearness to the body."""
    variance = noise.sigma_px**2
    points = _by_point(xy)
    odds = _odds(_by_point(confidence), points, rig, variance, noise.inlier_share)
    near = np.zeros((len(points), 4))
    solved = list(solve_points(*_matrices(rig), points, odds, variance, near))
    open_ones = np.flatnonzero(solved[3] < _SURE)
    if len(open_ones):
        near = _around_body(np.where(solved[3][:, None] < _SURE, np.nan, solved[0]), xy.shape[2])
        anew = solve_points(*_matrices(rig), points[open_ones], odds[open_ones], variance, near[open_ones])
        for values, part in zip(solved, anew, strict=True):
            values[open_ones] = part
    xyz, covariance, weights, lead = solved
    undecided = lead < _DECIDED
    xyz[undecided], covariance[undecided], weights[undecided] = np.nan, np.nan, 0.0
    frames, views, joints = xy.shape[:3]
    used = (weights > 0.5).reshape(frames, joints, views).transpose(0, 2, 1)
    full = covariance[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(frames, joints, 3, 3)
    return xyz.reshape(frames, joints, 3), full, used


def _around_body(xyz: Array, joints: int) -> Array:
    """Where each joint is expected `(N, 4)`: about the median of its frame's joints, as far as joints usually are."""
    frames = xyz.reshape(-1, joints, 3)
    known = np.isfinite(frames[..., 0])
    center = _nanmedian(frames)
    away = ((frames - center[:, None]) ** 2).sum(axis=-1)
    usual = float(np.median(away[known])) if known.any() else np.inf
    precision = np.where(known.sum(axis=1) >= _BODY_JOINTS, 3 / max(usual, 1e-12), 0.0)
    return np.repeat(np.column_stack([np.nan_to_num(center), precision]), joints, axis=0)


def _nanmedian(xyz: Array) -> Array:
    """Median over joints `(F, J, 3)` that are there; NaN, silently, where none is."""
    order = np.sort(xyz, axis=1)  # NaN last
    count = np.isfinite(xyz[..., 0]).sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    return np.take_along_axis(order, middle[:, None, None], axis=1)[:, 0]


def _by_point(values: Array) -> Array:
    """`(F, V, J, ...)` as `(F J, V, ...)`."""
    moved = np.ascontiguousarray(np.moveaxis(values, 2, 1), dtype=float)
    return moved.reshape(-1, *moved.shape[2:])


def _matrices(rig: Rig) -> tuple[Array, Array, Array]:
    P = np.stack([camera.P for camera in rig.cameras])
    centers = np.stack([camera.center for camera in rig.cameras])
    return P, centers, np.stack([camera.R.T @ np.linalg.inv(camera.K) for camera in rig.cameras])


def _odds(confidence: Array, points: Array, rig: Rig, variance: float, share: float) -> Array:
    """Log odds `(N, V)` of being an inlier at no error: noise against anywhere in the image, and the confidence."""
    areas = np.array([np.prod(camera.image_size) for camera in rig.cameras], dtype=float)
    seen = np.isfinite(points[..., 0])
    usual = float(confidence[seen].mean()) if seen.any() else 1.0
    relative = np.maximum(confidence / max(usual, 1e-9), 1e-3)
    return np.log(areas / (2 * np.pi * variance)) + np.log(share / (1 - share)) + np.log(relative)


def _squared_errors(xyz: Array, points: Array, rig: Rig) -> Array:
    """Squared reprojection errors `(N, V)` px of points `(N, 3)` to keypoints `(N, V, 2)`."""
    R, t, K = (np.stack([getattr(camera, name) for camera in rig.cameras]) for name in ("R", "t", "K"))
    return squared_errors(R, t, K, xyz, points)


def point_covariance(xyz: Array, used: NDArray[np.bool_], rig: Rig, sigma_px: float) -> Array:
    """Covariance `(F, J, 3, 3)` of points `(F, J, 3)` that rest on the keypoints `used (F, V, J)`, to first order."""
    information = np.zeros((*xyz.shape, 3))
    for v, camera in enumerate(rig.cameras):
        in_camera = camera.to_camera(xyz)
        z = in_camera[..., 2]
        J = np.zeros((*xyz.shape[:-1], 2, 3))
        with np.errstate(divide="ignore", invalid="ignore"):
            J[..., 0, 0], J[..., 1, 1] = camera.K[0, 0] / z, camera.K[1, 1] / z
            J[..., 0, 1] = camera.K[0, 1] / z
            J[..., :, 2] = -(in_camera[..., :2] @ camera.K[:2, :2].T) / z[..., None] ** 2
        J = np.where(used[:, v, :, None, None], J @ camera.R, 0.0)
        information += np.swapaxes(J, -1, -2) @ J
    determined = np.isfinite(xyz[..., 0]) & (used.sum(axis=1) >= 2)
    safe = np.where(determined[..., None, None], information, np.eye(3))
    return np.where(determined[..., None, None], sigma_px**2 * np.linalg.inv(safe), np.nan)
