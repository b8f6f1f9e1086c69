"""3D joints from two or more calibrated views."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.gauss_newton import reprojection
from epitool.geometry.hypotheses import Views
from epitool.geometry.nview import solve_frames
from epitool.geometry.vector_median import median_of_pairs

Array = NDArray[np.float64]
_NOISE_FRAMES, _NOISE_ROUNDS = 200, 5
_FIRST_NOISE = 0.005  # of the person's range in the images
_ENOUGH = 50  # points seen by three views, to tell gross errors by
_MEDIAN_OF_ONE = 0.455  # of chi square with one degree of freedom: two views, one point
_LEAST_CONFIDENCE = 1e-3


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Triangulated joints.

    Attributes:
        xyz: World points `(F, J, 3)`; NaN where fewer than two views saw the joint, no point lies before them, or
            it is open which views are right: two views alone that contradict each other by 5 sigma, two views against
            the others that meet far from the body, or places that are about as likely.
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
        confidence: That a usual keypoint has; the odds of a keypoint are in proportion to its own.
    """

    sigma_px: float
    inlier_share: float
    confidence: float = 1.0


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
    xy, confidence, views = _contiguous(xy), _contiguous(confidence), solver_views(rig, noise)
    if combine == "robust":
        xyz, covariance, weights = solve_frames(views, xy, confidence)
        used = weights > 0.5
    else:
        xyz, used = median_of_pairs(xy, rig, method)
        covariance = point_covariance(xyz, used, rig, noise.sigma_px)
    trust = (used * confidence).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    return Triangulation(xyz, trust, reprojection(views.P, xyz, xy), covariance, used)


def estimate_noise(xy: Array, confidence: Array, rig: Rig) -> KeypointNoise:
    """The noise and the share of gross errors, from a bounded sample of the frames (EM with the points).

    Keypoints as for `triangulate`. Two views alone do not tell gross errors from noise; there the median does.
    """
    frames = np.unique(np.linspace(0, len(xy) - 1, min(len(xy), _NOISE_FRAMES)).astype(int))
    xy, confidence = _contiguous(xy[frames]), _contiguous(confidence[frames])
    seen = np.isfinite(xy[..., 0])
    if not seen.any():
        return KeypointNoise(1.0, 0.9)
    noise = KeypointNoise(_first_guess(xy), 0.9, max(float(confidence[seen].mean()), _LEAST_CONFIDENCE))
    for _ in range(_NOISE_ROUNDS):
        views = solver_views(rig, noise)
        xyz, _, weights = solve_frames(views, xy, confidence)
        squared = reprojection(views.P, xyz, xy) ** 2
        known = np.isfinite(xyz[..., 0])
        many = known & (seen.sum(axis=1) > 2)
        if many.sum() >= _ENOUGH:
            inliers = (weights > 0) & many[:, None]
            total = float(weights[inliers].sum())
            variance = float(weights[inliers] @ squared[inliers]) / max(2 * total - 3 * many.sum(), 1.0)
            share = float(np.clip(total / (seen & many[:, None]).sum(), 0.05, 0.995))
        elif known.any():
            variance = float(np.median(np.nansum(squared, axis=1)[known])) / _MEDIAN_OF_ONE
            share = noise.inlier_share
        else:
            break
        noise = replace(noise, sigma_px=max(variance, 1e-6) ** 0.5, inlier_share=share)
    return noise


def _first_guess(xy: Array) -> float:
    """A noise in px, generous, from how far a view's keypoints `(F, V, J, 2)` are spread."""
    views = np.moveaxis(xy, 1, 0).reshape(xy.shape[1], -1, 2)
    extents = [float(np.ptp(view[np.isfinite(view[:, 0])], axis=0).max(initial=0.0)) for view in views]
    return max(_FIRST_NOISE * max(extents), 1e-3)


def _contiguous(values: Array) -> Array:
    return np.ascontiguousarray(values, dtype=float)


def solver_views(rig: Rig, noise: KeypointNoise) -> Views:
    """The cameras, and the odds of a keypoint of confidence 1: noise against anywhere in the image."""
    P, centers = (np.stack([getattr(camera, name) for camera in rig.cameras]) for name in ("P", "center"))
    areas = np.array([float(np.prod(camera.image_size)) for camera in rig.cameras])
    odds = noise.inlier_share / (1 - noise.inlier_share) * areas / (2 * np.pi * noise.sigma_px**2)
    return Views(P, centers, _inverse(P[:, :, :3]), odds / noise.confidence, float(noise.sigma_px) ** -2)


def _inverse(M: Array) -> Array:
    """Inverses of matrices `(V, 3, 3)`; LAPACK would wake all of its threads, which costs a good part of a chunk."""
    adjugate = np.cross(M[:, [1, 2, 0]], M[:, [2, 0, 1]])
    return np.swapaxes(adjugate, 1, 2) / (M[:, 0] * adjugate[:, 0]).sum(axis=1)[:, None, None]


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
