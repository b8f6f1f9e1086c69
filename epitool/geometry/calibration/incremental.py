"""A growing rig: starting from one pair of views, the others are placed by resection and all are adjusted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.bundle_adjustment import MAX_POINTS, TOLERANCE, Bundle, adjust
from epitool.geometry.calibration.lens_priors import Lenses, largest_change
from epitool.geometry.calibration.resection import Resection, resect, resection_threshold
from epitool.geometry.doubts import Doubt, Kind, doubt_of_unplaced
from epitool.geometry.triangulation.labels import make_labels
from epitool.geometry.two_view.epipolar import b_from_a
from epitool.geometry.two_view.relative_pose import PairPose
from epitool.labels import Labels
from epitool.parallel import run_parallel
from epitool.pose import Keypoints

Array = NDArray[np.float64]
_SEEDS = 5  # number of pairs from which growth is tried
_CONVINCING, _CONVINCING_SD = 0.55, np.radians(5.0)  # inlier share and deviation of rotations of a convincing rig
_MIN_PARALLAX_DEG = 2.0  # depth is mostly noise below this
_MIN_INLIERS = 0.4  # share of a view's joints that must fit for it to be placed
_POINTS, _TOLERANCE = 3000, 1e-5  # settings of an adjustment during growth
_LOOKS, _SETTLED = 8, 0.05  # most adjustments of lenses, and the change, in prior deviations, at which they stop


@dataclass(frozen=True, eq=False)
class Growth:
    """A rig and the views that could not be placed in it.

    Attributes:
        rig: The cameras in the order of the views; the first at the origin.
        left_out: Views without a place, with the reason.
    """

    rig: Rig
    left_out: dict[str, Doubt]


def grow_best_rig(
    keypoints: Keypoints,
    intrinsics: Sequence[Camera],
    pairs: dict[tuple[str, str], PairPose],
    seed: int,
    jobs: int,
) -> Growth:
    """Grow rigs from the most promising pairs of views until one is convincing; otherwise return the most likely one.

    Args:
        keypoints: 2D joints of a few hundred frames.
        intrinsics: K, distortion and image size of every view.
        pairs: Relative poses that were found, by the views' names.
        seed: Seed of the random sampling.
        jobs: Number of resections run in parallel.

    Raises:
        GeometryError: No pair can be triangulated.
    """
    cameras = {camera.name: camera for camera in intrinsics}
    seen = dict(zip(keypoints.views, keypoints.seen.sum(axis=(0, 2)).tolist(), strict=True))
    best: tuple[float, Growth] | None = None
    failure = GeometryError("no pair of views can be triangulated")
    for names in sorted(pairs, key=lambda names: -_promise(pairs[names]))[:_SEEDS]:
        pose, (a, b) = pairs[names], names
        first = replace(cameras[a], R=np.eye(3), t=np.zeros(3))
        rig = Rig((first, replace(cameras[b], R=pose.R, t=pose.t)), "arbitrary", "none")
        try:
            grown, bundle = _grow(keypoints, rig, cameras, seed, jobs)
        except GeometryError as error:
            failure = error
            continue
        cost = _total_cost(bundle, cameras, seen)
        best = (cost, grown) if best is None or cost < best[0] else best
        if not grown.left_out and _convinces(bundle) and not pose.flat:
            break
    if best is None:
        raise failure
    return best[1]


def _total_cost(bundle: Bundle, cameras: dict[str, Camera], seen: dict[str, int]) -> float:
    """Return the negative log likelihood of all keypoints; those of views without a place count as uniform."""
    total = 0.0
    for name, camera in cameras.items():
        anywhere = float(np.log(np.prod(camera.image_size)))
        total += seen[name] * (bundle.cost if name in bundle.rig.names else anywhere)
    return total


def _convinces(bundle: Bundle) -> bool:
    """Return whether all views of an adjusted rig fit well and have certain rotations."""
    return bool((bundle.inlier_share > _CONVINCING).all() and (bundle.rotation_sd < _CONVINCING_SD).all())


def adjust_rig(
    keypoints: Keypoints,
    rig: Rig,
    jobs: int,
    *,
    lenses: Lenses | None = None,
    rough: bool = False,
) -> Bundle:
    """Adjust the rig's cameras to the keypoints of its views, after triangulating them.

    Args:
        keypoints: Keypoints of the rig's views, and possibly others.
        rig: Approximate cameras.
        jobs: Number of chunks of frames processed in parallel.
        lenses: Prior knowledge of the lenses, as for `adjust`.
        rough: Whether to use fewer joints and iterations, which is enough for an intermediate result.

    Raises:
        GeometryError: Too few joints can be triangulated.
    """
    return adjust_to_labels(_labels(keypoints, rig, jobs), keypoints.take_of, lenses=lenses, rough=rough)


def adjust_to_labels(
    labels: Labels, take_of: NDArray[np.int64], *, lenses: Lenses | None = None, rough: bool = False
) -> Bundle:
    """Adjust the cameras with which a recording was labelled.

    Args:
        labels: Joints and keypoints, with the approximate cameras.
        take_of: The take or person that each frame is of, `(F,)`.
        lenses: Prior knowledge of the lenses, as for `adjust`.
        rough: As for `adjust_rig`.

    Raises:
        GeometryError: Too few joints have a place.
    """
    rig, keypoints = labels.rig, labels.keypoints
    xy = rig.undistort(keypoints.xy)
    most, tolerance = (_POINTS, _TOLERANCE) if rough else (MAX_POINTS, TOLERANCE)
    return adjust(
        xy, keypoints.confidence, labels.poses.xyz, rig, lenses=lenses, max_points=most, tolerance=tolerance,
        take_of=take_of,
    )  # fmt: skip


def adjust_lenses(keypoints: Keypoints, rig: Rig, jobs: int, lenses: Lenses) -> tuple[Rig, Lenses]:
    """Return the rig with lenses adjusted to the joints, and the lens priors weighted for the joints' redundancy.

    Each round undistorts and triangulates with the lenses of the round before.

    Args:
        keypoints: 2D joints of a few hundred frames.
        rig: The cameras as they were placed.
        jobs: Number of chunks of frames processed in parallel.
        lenses: Prior knowledge of the lenses.

    Raises:
        GeometryError: Too few joints can be triangulated.
    """
    if not lenses.sd.any():
        return rig, lenses
    bundle = adjust_rig(keypoints, rig, jobs, rough=True)
    for _ in range(_LOOKS):
        lenses, before = replace(lenses, belief=bundle.redundancy), bundle.rig
        bundle = adjust_rig(keypoints, before, jobs, lenses=lenses, rough=True)
        if largest_change(before, bundle.rig, lenses) < _SETTLED:
            break
    return bundle.rig, replace(lenses, belief=bundle.redundancy)


def _labels(keypoints: Keypoints, rig: Rig, jobs: int) -> Labels:
    """Label the keypoints of the rig's views."""
    return make_labels(keypoints.select_views(rig.names), rig, jobs=jobs)


def _promise(pose: PairPose) -> float:
    """Return how good a start a pair is: many joints that agree, seen under angles that determine depth."""
    depth = min(pose.parallax_deg / 20.0, 1.0) if pose.parallax_deg > _MIN_PARALLAX_DEG else 0.0
    return pose.matches * pose.inlier_share**2 * depth


def _grow(keypoints: Keypoints, rig: Rig, cameras: dict[str, Camera], seed: int, jobs: int) -> tuple[Growth, Bundle]:
    """Place all views that fit, adjust, and try the others again with the adjusted rig."""
    while True:
        bundle = adjust_rig(keypoints, rig, jobs, rough=True)
        rig = bundle.rig
        found = _resections(keypoints, bundle, cameras, seed, jobs)
        good = {n: r for n, r in found.items() if isinstance(r, Resection) and r.inlier_share >= _MIN_INLIERS}
        if not good:
            return Growth(
                order_cameras(rig, list(cameras)), {name: _reason(name, r) for name, r in found.items()}
            ), bundle
        placed = [replace(cameras[name], R=r.R, t=r.t) for name, r in good.items()]
        rig = replace(rig, cameras=(*rig.cameras, *placed))


def _resections(
    keypoints: Keypoints, bundle: Bundle, cameras: dict[str, Camera], seed: int, jobs: int
) -> dict[str, Resection | str]:
    """Return the places of the views that the rig lacks, or the reasons why they have none."""
    rig = bundle.rig
    missing = [name for name in cameras if name not in rig.names]
    if not missing:
        return {}
    labels = _labels(keypoints, rig, jobs)

    def place(name: str) -> Resection | str:
        own = keypoints.select_views([name])
        xy = cameras[name].undistort(own.xy[:, 0])
        trust = bundle.noise.inlier_share[bundle.noise.levels(own.confidence[:, 0])]
        threshold = resection_threshold(xy, bundle.sigma_px)
        try:
            return resect(xy, labels.poses.xyz, cameras[name].K, keypoints.skeleton, threshold, seed, trust)
        except GeometryError as error:
            return str(error)

    return dict(zip(missing, run_parallel(place, missing, jobs), strict=True))


def _reason(view: str, found: Resection | str) -> Doubt:
    """Return the reason why a view has no place."""
    if isinstance(found, str):
        return doubt_of_unplaced(view, found)
    return Doubt(Kind.MISFIT, "warn", (view,), found.inlier_share, _MIN_INLIERS, {"joints": found.matches})


def order_cameras(rig: Rig, names: Sequence[str]) -> Rig:
    """Return the cameras in the order of these names, in the world of the first, the first baseline of length 1.

    Raises:
        GeometryError: The first two cameras have the same place.
    """
    first, *others = (rig.cameras[rig.names.index(name)] for name in names if name in rig.names)
    moved = [(camera, *b_from_a(first, camera)) for camera in (first, *others)]
    turned = [replace(camera, R=R, t=t) for camera, R, t in moved]
    length = float(np.linalg.norm(turned[0].center - turned[1].center))
    if not length > 0:
        raise GeometryError(f"views {turned[0].name} and {turned[1].name} are at one place; is one video given twice?")
    return replace(rig, cameras=tuple(turned)).scaled(1 / length, "arbitrary", "none")
