"""Relative pose of two cameras from the joints of one person over all frames, robust to exchanged sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.errors import GeometryError
from epitool.geometry.two_view.epipolar import (
    angle_between,
    essential_from_fundamental,
    fundamental_by_ransac,
    fundamental_of_pose,
    pose_by_cheirality,
    pose_by_poselib,
    rays_of,
    require_matches,
    sampson_distance,
)
from epitool.geometry.two_view.swaps import relative_swaps
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_ROUNDS = 4
_ENOUGH = 2000  # most matches from which a pose is sampled; more would be slower and hardly better
_PLANE_MATCHES = 300
_PLANE_NOISE = 3.0  # factor of the epipolar threshold: a homography has errors in both directions
_FLAT = 0.7  # usual ratios: 0.02 to 0.2 for moving people, up to 0.76 for one who stands still, 0.75 or more in a plane
_CONVINCING = 0.75  # no other start is tried above this share of inliers
Solver = Callable[[Array, Array, float], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class PairPose:
    """Relative pose b_from_a of two views.

    Attributes:
        R: Rotation `(3, 3)`.
        t: Unit translation `(3,)`.
        swapped: Frames `(F,)` in which exactly one view has its sides exchanged.
        matches: Number of joints seen in both views.
        inlier_share: Share of matches within the threshold.
        sampson_px: Median Sampson distance of the inliers.
        parallax_deg: Median angle between the rays of the inliers.
        planar_share: Share of matches that a homography explains too; near `inlier_share` for a flat scene.
    """

    R: Array
    t: Array
    swapped: NDArray[np.bool_]
    matches: int
    inlier_share: float
    sampson_px: float
    parallax_deg: float
    planar_share: float

    @property
    def flat(self) -> bool:
        """Whether a homography explains most of what the pose explains; two poses then fit the joints equally well."""
        return self.planar_share > _FLAT * self.inlier_share


def estimate_pair(a: Array, b: Array, K_a: Array, K_b: Array, skeleton: Skeleton, method: str, seed: int) -> PairPose:
    """Estimate the relative pose from undistorted joints `(F, J, 2)`, NaN where unseen.

    RANSAC cannot be trusted to reject a whole frame with left and right exchanged, because its joints agree with each
    other. So two starts are tried: the joints as they are, and midpoints of left and right joints, which an exchange
    does not change. From each, pose estimation alternates with the decision which frames are exchanged, and the result
    that explains the joints best is kept.

    Args:
        a: Joints in the first view.
        b: Joints in the second view.
        K_a: Intrinsics of the first view.
        K_b: Intrinsics of the second view.
        skeleton: Skeleton of the joints.
        method: "essential" (PoseLib) or "fundamental" (the paper).
        seed: Seed of the random sampling.

    Raises:
        GeometryError: Too few joints are seen in both views, or they determine no pose.
    """
    seen = np.isfinite(a).all(axis=-1) & np.isfinite(b).all(axis=-1)
    require_matches(int(seen.sum()))
    solve = _solver(method, K_a, K_b, seed)
    best: tuple[float, PairPose] | None = None
    failure = GeometryError("no relative pose explains the joints; are the views in sync?")
    for joints_a, joints_b in ((a, b), (midline(a, skeleton), midline(b, skeleton))):
        both = np.isfinite(joints_a).all(axis=-1) & np.isfinite(joints_b).all(axis=-1)
        try:
            scored = _alternate((joints_a[both], joints_b[both]), a, b, seen, K_a, K_b, skeleton, solve)
        except GeometryError as error:
            failure = error
            continue
        if best is None or scored[0] < best[0]:
            best = scored
        if best[1].inlier_share > _CONVINCING:
            break
    if best is None:
        raise failure
    return best[1]


def _alternate(
    start: tuple[Array, Array], a: Array, b: Array, seen: NDArray[np.bool_],
    K_a: Array, K_b: Array, skeleton: Skeleton, solve: Solver,
) -> tuple[float, PairPose]:  # fmt: skip
    """Alternate pose and exchanged frames until they no longer change; return (capped cost, result)."""
    cap = initial_threshold(a[seen], b[seen])
    threshold = cap
    R, t = solve(*start, threshold)
    swapped = np.zeros(len(a), dtype=bool)
    for _ in range(_ROUNDS):
        F = fundamental_of_pose(R, t, K_a, K_b)
        found = relative_swaps(F, a, b, skeleton, cap)
        right = np.where(found[:, None, None], b[:, skeleton.flip_order], b)
        both = np.isfinite(a).all(axis=-1) & np.isfinite(right).all(axis=-1)
        distance = sampson_distance(F, a[both], right[both])
        # 2.5 robust standard deviations: 1.4826 times the median is that of a Gaussian
        threshold = float(np.clip(2.5 * 1.4826 * np.median(distance), 1e-3 * cap, cap))
        R, t = solve(a[both], right[both], threshold)
        if (found == swapped).all():
            break
        swapped = found
    distance = sampson_distance(fundamental_of_pose(R, t, K_a, K_b), a[both], right[both])
    inliers = distance < cap
    cost = float(np.minimum(distance, cap).mean())
    median = float(np.median(distance[inliers])) if inliers.any() else float("nan")
    parallax = _parallax_deg(a[both][inliers], right[both][inliers], R, K_a, K_b)
    planar = _planar_share(a[both], right[both], threshold)
    return cost, PairPose(R, t, swapped, int(both.sum()), float(inliers.mean()), median, parallax, planar)


def _planar_share(a: Array, b: Array, threshold_px: float) -> float:
    """Return the share of matches `(N, 2)`, of a few hundred, within a threshold of the best homography."""
    some = evenly_spread(len(a), _PLANE_MATCHES)
    _, near = cv2.findHomography(a[some], b[some], cv2.RANSAC, _PLANE_NOISE * threshold_px, maxIters=200)
    return float(near.mean()) if near is not None else 0.0


def _parallax_deg(a: Array, b: Array, R: Array, K_a: Array, K_b: Array) -> float:
    """Return the median angle between the rays of matches `(N, 2)`; NaN without any."""
    if not len(a):
        return float("nan")
    return float(np.degrees(np.median(angle_between(rays_of(a, K_a) @ R.T, rays_of(b, K_b)))))


def _solver(method: str, K_a: Array, K_b: Array, seed: int) -> Solver:
    """Return the function that estimates a pose from matches and a threshold by this method."""

    def estimate_by_essential(a: Array, b: Array, threshold: float) -> tuple[Array, Array]:
        some = np.random.default_rng(seed).permutation(len(a))[:_ENOUGH]
        R, t, _ = pose_by_poselib(a[some], b[some], K_a, K_b, threshold, seed)
        return R, t

    def estimate_by_fundamental(a: Array, b: Array, threshold: float) -> tuple[Array, Array]:
        F = fundamental_by_ransac(a, b, threshold, seed)
        near = sampson_distance(F, a, b) < threshold
        E = essential_from_fundamental(F, K_a, K_b)
        R, t, _ = pose_by_cheirality(E, rays_of(a[near], K_a), rays_of(b[near], K_b))
        return R, t

    return {"essential": estimate_by_essential, "fundamental": estimate_by_fundamental}[method]


def initial_threshold(*views: Array) -> float:
    """Return 2% of the person's spread in each view's joints `(N, 2)`.

    This allows for the noise of any useful detector while its noise is unknown.
    """
    return 0.02 * float(np.mean([np.ptp(np.percentile(xy, [5, 95], axis=0), axis=0).max() for xy in views]))
