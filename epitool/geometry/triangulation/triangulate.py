"""3D joints from two or more calibrated views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread, inverses
from epitool.camera import Rig
from epitool.geometry.compiled.mixture import best_odds
from epitool.geometry.compiled.point import covariances, freedoms
from epitool.geometry.compiled.projection import Views, reprojection_errors
from epitool.geometry.noise import KeypointNoise, Levels, Residuals, refit_noise, unknown_noise
from epitool.geometry.triangulation.robust import solve_frames
from epitool.geometry.triangulation.vector_median import median_of_pairs

Array = NDArray[np.float64]
_NOISE_FRAMES, _NOISE_ROUNDS = 200, 6
_FIRST_NOISE = 0.005  # share of the person's range in the images
_FIRST_SHARE, _LEAST_VARIANCE = 0.9, 1e-6
_ENOUGH = 50  # points seen by three views that are needed to identify gross errors
_MEDIAN_OF_ONE = 0.455  # median of chi square with one degree of freedom: 4 coordinates less 3 of the point


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Triangulated joints.

    Attributes:
        xyz: World points `(F, J, 3)`; NaN where fewer than two views saw the joint, no point lies in front of them, or
            it is undecided which views are right: only two views that contradict each other by 5 sigma, two views
            against the others that meet far from the body, or places that are about equally likely.
        confidence: Mean probability `(F, J)` that the keypoints a point rests on are not gross errors.
        covariance: Covariance of `xyz`, `(F, J, 3, 3)` in the rig's unit squared; NaN where `xyz` is NaN.
        used: Keypoints that the point rests on, `(F, V, J)`.
    """

    xyz: Array
    confidence: Array
    covariance: Array
    used: NDArray[np.bool_]

    def with_sides_exchanged(self, frames: NDArray[np.bool_], order: NDArray[np.intp]) -> Triangulation:
        """Return the same points with left and right exchanged in all views in some frames.

        Args:
            frames: The frames, `(F,)`.
            order: The skeleton's joints with left and right exchanged, `(J,)`.
        """

        def exchanged(values: NDArray[Any], axis: int) -> NDArray[Any]:
            out = values.copy()
            out[frames] = np.take(values[frames], order, axis=axis)
            return out

        return Triangulation(
            exchanged(self.xyz, 1), exchanged(self.confidence, 1), exchanged(self.covariance, 1),
            exchanged(self.used, 2),
        )  # fmt: skip


def triangulate(
    xy: Array,
    confidence: Array,
    rig: Rig,
    *,
    method: str = "polynomial",
    combine: str = "robust",
    noise: KeypointNoise | None = None,
) -> Triangulation:
    """Triangulate undistorted joints `(F, V, J, 2)`, NaN where unseen, with confidence `(F, V, J)`.

    Args:
        xy: Keypoints.
        confidence: Confidences on any scale; the noise says what they mean.
        rig: The cameras.
        method: How "vector-median" solves a pair of views: "polynomial" (optimum of Hartley and Sturm; the paper) or
            "dlt" (linear; Hartley & Zisserman 12.2).
        combine: "robust": the point of any pair with the highest likelihood, refined over all views that agree with it;
            or "vector-median": the vector median of the points of consecutive pairs (paper, section 3.1).
        noise: Noise of the keypoints; estimated from them if not given.
    """
    noise = noise or estimate_noise(xy, confidence, rig)
    xy, views = _contiguous(xy), solver_views(rig)
    odds, precision = likelihoods(noise, confidence, rig)
    if combine == "robust":
        xyz, covariance, weights = solve_frames(views, xy, odds, precision)
        used = weights > 0.5
    else:
        xyz, used = median_of_pairs(xy, rig, method)
        weights = noise.inlier_share[noise.levels(confidence)]
        by_point = np.swapaxes(np.where(used, precision, 0.0), 1, 2).reshape(-1, len(rig))
        covariance = covariances(views.P, xyz.reshape(-1, 3), by_point).reshape(*xyz.shape, 3)
    trust = (used * weights).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    return Triangulation(xyz, trust, covariance, used)


def estimate_noise(xy: Array, confidence: Array, rig: Rig) -> KeypointNoise:
    """Estimate the noise and the share of gross errors from a bounded sample of the frames (EM with the points).

    Keypoints are as for `triangulate`. Two views alone cannot distinguish gross errors from noise, so the median is
    used for them.
    """
    seen = np.isfinite(xy[..., 0])
    noise = unknown_noise(confidence, seen, _guess_noise(xy), _FIRST_SHARE)
    frames = evenly_spread(len(xy), _NOISE_FRAMES)
    xy, confidence, seen = _contiguous(xy[frames]), confidence[frames], seen[frames]
    if not seen.any():
        return noise
    views, levels = solver_views(rig), noise.levels(confidence)
    for _ in range(_NOISE_ROUNDS):
        odds, precision = likelihoods(noise, confidence, rig)
        xyz, _, weights = solve_frames(views, xy, odds, precision)
        placed = np.isfinite(xyz[..., 0])
        many = placed & (seen.sum(axis=1) > 2)
        enough = many.sum() >= _ENOUGH
        if not placed.any():
            break
        squared = reprojection_errors(views.P, xyz, xy) ** 2
        residuals = _residuals(xyz, squared, weights, precision, levels, views.P, many if enough else placed, seen)
        found = refit_noise(noise, residuals)
        noise = found if enough else _estimate_by_median(found, residuals)
    return noise


def _residuals(
    xyz: Array, squared: Array, weights: Array, precision: Array, levels: Levels, P: Array,
    known: NDArray[np.bool_], seen: NDArray[np.bool_],
) -> Residuals:  # fmt: skip
    """Return the residuals of the keypoints of the joints `known (F, J)`; behind a view, a joint has none there."""
    squared = np.where(known[:, None], squared, np.nan)
    weights = np.where(np.isfinite(squared), weights, 0.0)
    by_point = [np.swapaxes(x, 1, 2).reshape(-1, len(P)) for x in (squared, weights, weights * precision, levels)]
    freedom = freedoms(P, xyz.reshape(-1, 3), by_point[2])
    lost = np.isnan(xyz[..., 0]) & (seen.sum(axis=1) >= 2)
    unplaced = np.swapaxes(np.where(seen, levels, -1), 1, 2)[lost]
    return Residuals(
        by_point[0], by_point[1], freedom, by_point[3], np.tile(np.arange(xyz.shape[1]), len(xyz)), unplaced
    )


def _estimate_by_median(noise: KeypointNoise, residuals: Residuals) -> KeypointNoise:
    """Return the noise with its usual deviation estimated from the median over joints that two views see."""
    chi_square = np.nansum(residuals.squared / noise.relative(residuals.levels, residuals.joint[:, None]), axis=1)
    usual = float(np.median(chi_square[np.isfinite(residuals.squared).any(axis=1)])) / _MEDIAN_OF_ONE
    return noise.with_sigma(max(usual, _LEAST_VARIANCE) ** 0.5)


def likelihoods(noise: KeypointNoise, confidence: Array, rig: Rig) -> tuple[Array, Array]:
    """Return log odds of keypoints `(F, V, J)` being inliers at zero error, and inverse variances of a coordinate."""
    levels = noise.levels(confidence)
    variance, share = noise.variance(levels), noise.inlier_share[levels]
    areas = np.array([float(np.prod(camera.image_size)) for camera in rig.cameras])
    return np.log(best_odds(share, variance, areas[:, None])), 1.0 / variance


def _guess_noise(xy: Array) -> float:
    """Return a generous guess of the noise in px from the spread of a view's keypoints `(F, V, J, 2)`."""
    views = np.moveaxis(xy, 1, 0).reshape(xy.shape[1], -1, 2)
    seen = [view[np.isfinite(view[:, 0])] for view in views]
    extents = [float(np.ptp(view, axis=0).max()) for view in seen if len(view)]
    return max(_FIRST_NOISE * max(extents, default=0.0), 1e-3)


def _contiguous(values: Array) -> Array:
    """Return the values as a C-contiguous array of floats."""
    return np.ascontiguousarray(values, dtype=float)


def solver_views(rig: Rig) -> Views:
    """Return the cameras as solvers need them."""
    P, centers = rig.stacked("P", "center")
    return Views(P, centers, _contiguous(inverses(P[:, :, :3])))
