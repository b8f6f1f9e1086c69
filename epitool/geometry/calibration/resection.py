"""A camera's place from joints whose places are known, robust to exchanged sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError
from epitool.geometry.two_view.epipolar import MIN_MATCHES, require_matches
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_ROUNDS = 3
_ENOUGH = 2000  # matches that a pose is sampled from
_CONVINCING = 0.75  # share of inliers from which no other start is tried


@dataclass(frozen=True, eq=False)
class Resection:
    """Where a camera stands.

    Attributes:
        R: Rotation `(3, 3)`, camera from world.
        t: Translation `(3,)`.
        matches: Joints that it sees and whose places are known.
        inlier_share: Share of them within the threshold, of those expected there by how far each is trusted.
        gain: Sum over joints of 1 minus the squared error in thresholds, none below 0: what places are compared by.
    """

    R: Array
    t: Array
    matches: int
    inlier_share: float
    gain: float


def resect(
    xy: Array, xyz: Array, K: Array, skeleton: Skeleton, threshold_px: float, seed: int, trust: Array | None = None
) -> Resection:
    """Pose of a camera from undistorted joints `(F, J, 2)` and world points `(F, J, 3)`, NaN where unknown.

    PoseLib's LO-RANSAC with the three-point solver, in turn with the decision in which frames the view's sides are
    exchanged against the world's; started also from midpoints of left and right where the joints do not convince.

    Args:
        xy: The view's joints.
        xyz: Where they are.
        K: Its intrinsics.
        skeleton: Of the joints.
        threshold_px: From here an error is gross.
        seed: Of the random sampling.
        trust: Probability of each joint to be no gross error, `(F, J)`; 1 where it is left out.

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


def _alternate(
    image: Array, world: Array, xy: Array, xyz: Array, trust: Array,
    K: Array, skeleton: Skeleton, threshold_px: float, seed: int,
) -> Resection:  # fmt: skip
    """Pose and exchanged frames in turn until they no longer change."""
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
    share = float(weight @ (error[known] < 1) / (weight @ weight))
    return Resection(R, t, int(known.sum()), share, float((1 - error[known] ** 2).sum()))


def _pose(xy: Array, xyz: Array, K: Array, threshold_px: float, seed: int) -> tuple[Array, Array]:
    import poselib

    known = np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0])
    image, world = xy[known], xyz[known]
    require_matches(len(image))
    some = np.random.default_rng(seed).permutation(len(image))[:_ENOUGH]
    camera = {"model": "PINHOLE", "width": 1, "height": 1, "params": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]}
    # a thousand samples find what three joints in ten agree on; with fewer no view is placed
    ransac = {"max_reproj_error": threshold_px, "seed": seed, "max_iterations": 1000, "min_iterations": 100}
    # far from the unit of the world, PoseLib's refinement would stop early
    size = float(np.median(np.abs(world - np.median(world, axis=0)))) or 1.0
    pose, report = poselib.estimate_absolute_pose(image[some], world[some] / size, camera, ransac, {})
    if not report["num_inliers"]:
        raise GeometryError(f"no place of the camera explains {len(image)} joints")
    return np.array(pose.R), np.array(pose.t) * size


def _errors(xy: Array, xyz: Array, R: Array, t: Array, K: Array, cap: float) -> Array:
    """Reprojection error `(F, J)` px, at most `cap`; NaN where unknown."""
    place = (xyz @ R.T + t) @ K.T
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(place[..., :2] / place[..., 2:] - xy, axis=-1)
        error = np.where(place[..., 2] > 0, error, np.inf)
    known = np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0])
    return np.where(known, np.minimum(error, cap), np.nan)
