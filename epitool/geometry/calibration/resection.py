"""Pose of a camera from joints with known places, robust to exchanged sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError
from epitool.geometry.two_view.epipolar import MIN_MATCHES, pinhole, require_matches
from epitool.geometry.two_view.relative_pose import initial_threshold
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_ROUNDS = 3
_WIDE = 4.0  # standard deviations of the noise that the threshold allows
_ENOUGH = 2000  # most matches from which a pose is sampled
_CONVINCING = 0.75  # no other start is tried above this share of inliers


@dataclass(frozen=True, eq=False)
class Resection:
    """Pose of a resected camera.

    Attributes:
        R: Rotation `(3, 3)`, camera from world.
        t: Translation `(3,)`.
        matches: Number of joints that it sees and whose places are known.
        inlier_share: Share of these within the threshold, relative to the number expected from how far each is trusted.
        gain: Sum over joints of 1 minus the squared error in thresholds, none below 0; poses are compared by it.
    """

    R: Array
    t: Array
    matches: int
    inlier_share: float
    gain: float


def resect(
    xy: Array, xyz: Array, K: Array, skeleton: Skeleton, threshold_px: float, seed: int, trust: Array | None = None
) -> Resection:
    """Return the pose of a camera from undistorted joints `(F, J, 2)` and world points `(F, J, 3)`, NaN where unknown.

    PoseLib's LO-RANSAC with the three-point solver alternates with the decision in which frames the view's sides are
    exchanged relative to the world's. It is also started from midpoints of left and right if the joints do not
    convince.

    Args:
        xy: Joints in the view.
        xyz: Places of the joints.
        K: Intrinsics of the view.
        skeleton: Skeleton of the joints.
        threshold_px: Error from which a joint is a gross error.
        seed: Seed of the random sampling.
        trust: Probability of each joint not being a gross error, `(F, J)`; 1 by default.

    Raises:
        GeometryError: There are too few joints, or no pose explains them.
    """
    known = np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0])
    if known.sum() < MIN_MATCHES:
        raise GeometryError(
            f"it shows {int(known.sum())} joints that other views place, at least {MIN_MATCHES} are needed"
        )
    trust = np.ones(xy.shape[:2]) if trust is None else trust
    best: Resection | None = None
    failure = GeometryError("no place of the camera explains the joints")
    for image, world in ((xy, xyz), (midline(xy, skeleton), midline(xyz, skeleton))):
        try:
            found = _alternate(image, world, xy, xyz, trust, K, skeleton, threshold_px, seed)
        except GeometryError as error:
            failure = error
            continue
        best = found if best is None or found.gain > best.gain else best
        if best.inlier_share > _CONVINCING:
            break
    if best is None:
        raise failure
    return best


def resection_threshold(xy: Array, sigma_px: float) -> float:
    """Return the error, px, from which a joint of a view is a gross error in its resection.

    Args:
        xy: Joints `(F, J, 2)` of the view, NaN where missing.
        sigma_px: Noise of the joints, px.
    """
    shown = xy[np.isfinite(xy[..., 0])]
    return max(initial_threshold(shown) if len(shown) else 0.0, _WIDE * sigma_px)


def _alternate(
    image: Array, world: Array, xy: Array, xyz: Array, trust: Array,
    K: Array, skeleton: Skeleton, threshold_px: float, seed: int,
) -> Resection:  # fmt: skip
    """Estimate pose and exchanged frames in turn until they no longer change."""
    R, t = _pose(image, world, K, threshold_px, seed)
    swapped = np.zeros(len(xy), dtype=bool)
    for _ in range(_ROUNDS):
        kept, turned = (_errors(view, xyz, R, t, K, threshold_px) for view in (xy, xy[:, skeleton.flip_order]))
        found = np.nansum(turned**2, axis=1) < 0.5 * np.nansum(kept**2, axis=1)
        upright = np.where(found[:, None, None], xy[:, skeleton.flip_order], xy)
        R, t = _pose(upright, xyz, K, threshold_px, seed)
        if (found == swapped).all():
            break
        swapped = found
    error = _errors(upright, xyz, R, t, K, threshold_px) / threshold_px
    known = np.isfinite(error)
    weight = np.where(swapped[:, None], trust[:, skeleton.flip_order], trust)[known]
    # a joint with trust w fits with probability w, so the weighted count is expected to be the sum of w^2
    share = float(weight @ (error[known] < 1) / (weight @ weight))
    return Resection(R, t, int(known.sum()), share, float((1 - error[known] ** 2).sum()))


def _pose(xy: Array, xyz: Array, K: Array, threshold_px: float, seed: int) -> tuple[Array, Array]:
    """Return the pose by PoseLib's LO-RANSAC from joints and points of any shape, NaN where unknown."""
    import poselib

    known = np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0])
    image, world = xy[known], xyz[known]
    require_matches(len(image))
    some = np.random.default_rng(seed).permutation(len(image))[:_ENOUGH]
    # a thousand samples find a pose that three joints in ten agree on; views with fewer are not placed
    ransac = {"max_reproj_error": threshold_px, "seed": seed, "max_iterations": 1000, "min_iterations": 100}
    # PoseLib's refinement would stop early if the size of the world were far from 1
    size = float(np.median(np.abs(world - np.median(world, axis=0)))) or 1.0
    pose, report = poselib.estimate_absolute_pose(image[some], world[some] / size, pinhole(K), ransac, {})
    if not report["num_inliers"]:
        raise GeometryError(f"no place of the camera explains {len(image)} joints")
    return np.array(pose.R), np.array(pose.t) * size


def _errors(xy: Array, xyz: Array, R: Array, t: Array, K: Array, cap: float) -> Array:
    """Return the reprojection error `(F, J)` px, at most `cap`; NaN where unknown."""
    place = (xyz @ R.T + t) @ K.T
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(place[..., :2] / place[..., 2:] - xy, axis=-1)
        error = np.where(place[..., 2] > 0, error, np.inf)
    known = np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0])
    return np.where(known, np.minimum(error, cap), np.nan)
