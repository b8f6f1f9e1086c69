"""Two-view geometry: fundamental and essential matrix, cheirality, Sampson distance.

Names read from right to left: `b_from_a` maps from camera a to camera b, and `x_b.T @ F @ x_a = 0`. Pixels are
undistorted.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous
from epitool.camera import Camera
from epitool.errors import GeometryError
from epitool.geometry.compiled.rays import closest_approach
from epitool.geometry.compiled.sampson import squared_sampson

Array = NDArray[np.float64]
_FEWEST_SAMPLES = 100  # samples that RANSAC draws even where nearly all matches agree
_PARALLEL = 1e-6  # radians; rays at a smaller angle count as parallel
MIN_MATCHES = 16  # twice what the eight-point method needs


def skew(t: Array) -> Array:
    """Return the cross-product matrix `(3, 3)` of a vector `(3,)`."""
    x, y, z = t
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def fundamental_of_pose(R: Array, t: Array, K_a: Array, K_b: Array) -> Array:
    """Return F `(3, 3)` of a relative pose b_from_a, scaled to unit norm."""
    F = np.linalg.inv(K_b).T @ skew(t) @ R @ np.linalg.inv(K_a)
    return F / np.linalg.norm(F)


def b_from_a(a: Camera, b: Camera) -> tuple[Array, Array]:
    """Return the relative pose R `(3, 3)`, t `(3,)` of two cameras, so that `x_b = R @ x_a + t` in their axes."""
    R = b.R @ a.R.T
    return R, b.t - R @ a.t


def fundamental_of_cameras(a: Camera, b: Camera) -> Array:
    """Return F `(3, 3)` of two cameras, scaled to unit norm: `x_b.T @ F @ x_a = 0`."""
    return fundamental_of_pose(*b_from_a(a, b), a.K, b.K)


def rays_of(xy: Array, K: Array) -> Array:
    """Return directions `(..., 3)` with z = 1 in which a camera sees undistorted pixels `(..., 2)`."""
    return homogeneous(xy) @ np.linalg.inv(K).T


def angle_between(a: Array, b: Array) -> Array:
    """Return angles `(...)` between vectors `(..., 3)`, in radians, accurate also when they are small."""
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.arctan2(sine, (a * b).sum(axis=-1)))


def sampson_distance(F: Array, a: Array, b: Array) -> Array:
    """Return first-order distances `(...)` px of matches `(..., 2)` from x_b^T F x_a = 0.

    See Hartley & Zisserman 11.4.3.
    """
    return np.sqrt(squared_sampson(F, a[..., 0], a[..., 1], b[..., 0], b[..., 1]))


def fundamental_by_ransac(a: Array, b: Array, threshold_px: float, seed: int) -> Array:
    """Estimate F `(3, 3)` from matches `(N, 2)` by RANSAC (paper, section 3.1).

    Raises:
        GeometryError: There are too few matches or they determine no fundamental matrix.
    """
    require_matches(len(a))
    cv2.setRNGSeed(seed)
    F, _ = cv2.findFundamentalMat(a, b, cv2.FM_RANSAC, threshold_px, 0.9999, 10000)
    if F is None or F.shape != (3, 3):
        raise GeometryError(f"RANSAC finds no fundamental matrix in {len(a)} matches; are the views in sync?")
    return np.asarray(F, dtype=float)


def essential_from_fundamental(F: Array, K_a: Array, K_b: Array) -> Array:
    """Return E = K_b^T F K_a; this is the paper's K^T F K where both cameras share one K."""
    return K_b.T @ F @ K_a


def decompose_essential(E: Array) -> list[tuple[Array, Array]]:
    """Return the four relative poses (R, unit t) of an essential matrix (Hartley & Zisserman 9.6.2)."""
    U, _, Vt = np.linalg.svd(E)
    W = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    rotations = [sign * R for R in (U @ W @ Vt, U @ W.T @ Vt) for sign in [np.sign(np.linalg.det(R))]]
    return [(R, sign * U[:, 2]) for R in rotations for sign in (1.0, -1.0)]


def depths_along_rays(R: Array, t: Array, ray_a: Array, ray_b: Array) -> tuple[Array, Array]:
    """Return depths `(...)` in a and in b at which rays `(..., 3)` with z = 1 come closest.

    Depths are NaN where the rays are parallel to within a millionth of a radian.
    """
    turned = ray_a @ R.T
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_a, depth_b, squared_sine = closest_approach(*np.moveaxis(turned, -1, 0), *np.moveaxis(ray_b, -1, 0), *-t)
    apart = squared_sine > _PARALLEL**2
    return np.where(apart, depth_a, np.nan), np.where(apart, depth_b, np.nan)


def pose_by_cheirality(E: Array, ray_a: Array, ray_b: Array) -> tuple[Array, Array, float]:
    """Return the decomposition of E that puts the most points in front of both cameras (paper, section 3.1).

    Returns:
        R, unit t (b_from_a), and the share of points with positive depth in both views.

    Raises:
        GeometryError: No decomposition has more than half of the points in front of both cameras.
    """
    best: tuple[Array, Array, float] | None = None
    for R, t in decompose_essential(E):
        depth_a, depth_b = depths_along_rays(R, t, ray_a, ray_b)
        share = float(((depth_a > 0) & (depth_b > 0)).mean())
        if best is None or share > best[2]:
            best = (R, t, share)
    if best is None or best[2] <= 0.5:
        raise GeometryError("in no decomposition of E do most joints lie in front of both cameras")
    return best


def pose_by_poselib(
    a: Array, b: Array, K_a: Array, K_b: Array, threshold_px: float, seed: int, most: int = 20000
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Estimate the relative pose from matches `(N, 2)` by PoseLib.

    It uses LO-RANSAC with the five-point solver and robust refinement.

    At the most so many samples are drawn as `most` says.

    Returns:
        R, unit t (b_from_a), and which matches are inliers.

    Raises:
        GeometryError: There are too few matches or PoseLib finds no pose.
    """
    import poselib

    require_matches(len(a))
    ransac = {"max_epipolar_error": threshold_px, "seed": seed, "max_iterations": most}
    ransac["min_iterations"] = min(_FEWEST_SAMPLES, most)
    refine = {"loss_type": "TRUNCATED", "loss_scale": threshold_px, "max_iterations": 100}
    pose, report = poselib.estimate_relative_pose(a, b, pinhole(K_a), pinhole(K_b), ransac, refine)
    t = np.array(pose.t)
    if not report["num_inliers"] or not np.linalg.norm(t) > 0:
        raise GeometryError(f"no relative pose explains the {len(a)} matches; are the views in sync?")
    return np.array(pose.R), t / np.linalg.norm(t), np.array(report["inliers"], dtype=bool)


def pinhole(K: Array) -> dict[str, Any]:
    """Return a camera matrix `(3, 3)` as PoseLib's camera, whose image size no solver uses."""
    return {"model": "PINHOLE", "width": 1, "height": 1, "params": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]}


def require_matches(count: int) -> None:
    """Refuse too few matches.

    Raises:
        GeometryError: There are fewer than MIN_MATCHES.
    """
    if count < MIN_MATCHES:
        raise GeometryError(f"{count} joints seen in both views, at least {MIN_MATCHES} are needed")
