"""Calibration of cameras from the joints of one person.

By default, poses of all pairs of views are estimated, a rig grows from the pair to which the other views resect best,
and all cameras and joints are adjusted together. With the fundamental matrix, consecutive pairs are chained as in the
paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from epitool.camera import Camera, Rig, centred_intrinsics, undistort_views
from epitool.errors import GeometryError
from epitool.geometry.calibration.bundle_adjustment import Bundle
from epitool.geometry.calibration.first_rig import (
    first_rig,
    informative_frames,
    with_focal,
    with_likely_focal,
)
from epitool.geometry.calibration.incremental import Growth, adjust_lenses, adjust_rig, adjust_to_labels, order_cameras
from epitool.geometry.calibration.lens_priors import (
    Lenses,
    priors_of_free_focals,
    priors_of_known,
    priors_of_known_focals,
    priors_of_stated,
    priors_of_unknown,
)
from epitool.geometry.calibration.paper_chain import chain_poses
from epitool.geometry.calibration.verdict import Evidence, Verdict, doubts_of_lenses, judge
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.triangulation.bones import bone_spread
from epitool.geometry.triangulation.labels import make_labels
from epitool.geometry.two_view.relative_pose import PairPose, estimate_pair
from epitool.labels import Labels
from epitool.parallel import run_parallel
from epitool.pose import Keypoints, usual_side

Array = NDArray[np.float64]
_GROWTH_FRAMES = 300
_MOVES, _STANDS = 0.05, 0.01  # share of the person's size: median distance of a joint from its median place
_MOST_MOVING = 0.9  # quantile over joints: people who sit or lie move only some
_BETTER = 1.03  # factor of the scatter from which other focal lengths explain the joints better
FRAME_BUDGET = 2000  # with more frames than this, model error dominates the cameras' error
_LENSES = {
    "known": priors_of_known,
    "field": priors_of_known_focals,
    "refined": priors_of_stated,
    "unknown": priors_of_unknown,
}


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras up to scale, the first at the origin.

    Attributes:
        rig: The cameras; the unit is "arbitrary", the first baseline has length 1.
        pairs: Relative pose of each solved pair of views, by their names.
        left_out: Views that could not be placed, with the reason.
        bundle: Result of the adjustment over all views; None without one.
        verdict: Whether to trust the calibration; None without an adjustment.
    """

    rig: Rig
    pairs: dict[tuple[str, str], PairPose] = field(default_factory=dict)
    left_out: dict[str, Doubt] = field(default_factory=dict)
    bundle: Bundle | None = None
    verdict: Verdict | None = None


def assumed_intrinsics(name: str, image_size: tuple[int, int], fov_deg: float) -> Camera:
    """Return a camera whose longer side spans `fov_deg` degrees, with centred principal point and no distortion.

    >>> round(assumed_intrinsics("a", (1920, 1080), 60.0).focal)
    1663
    """
    focal = max(image_size) / 2 / np.tan(np.radians(fov_deg) / 2)
    return Camera(name, centred_intrinsics(image_size, focal), np.zeros(0), np.eye(3), np.zeros(3), image_size)


def calibrate(
    keypoints: Keypoints,
    intrinsics: Sequence[Camera],
    *,
    method: str = "essential",
    seed: int = 0,
    jobs: int = -1,
    focal: str = "known",
    start: Sequence[Camera] | None = None,
) -> Calibration:
    """Recover the cameras up to scale.

    Args:
        keypoints: 2D joints; for "fundamental", views in the order in which neighbours overlap.
        intrinsics: K, distortion and image size of every view.
        method: "essential" (all pairs by PoseLib, growth, bundle adjustment) or "fundamental" (the paper).
        seed: Seed of the random sampling.
        jobs: Number of pairs solved in parallel.
        focal: Prior knowledge of the lenses. "known": `intrinsics` are exact; "field": only focal lengths are exact;
            "refined": `intrinsics` are approximate; "unknown": `intrinsics` are typical values.
        start: Cameras with the focal lengths to begin with where `focal` is "unknown", for example those that other
            joints gave; None to look for them.

    Raises:
        GeometryError: No two views share enough joints, or they determine no pose.
    """
    with threadpool_limits(1, user_api="blas"):  # the summation order of BLAS threads would change the last bits
        if method == "fundamental":
            return _calibrate_chain(keypoints, intrinsics, seed, jobs)
        return _calibrate_all(keypoints, intrinsics, seed, jobs, focal, start)


def _calibrate_all(
    keypoints: Keypoints,
    intrinsics: Sequence[Camera],
    seed: int,
    jobs: int,
    focal: str,
    start: Sequence[Camera] | None,
) -> Calibration:
    """Calibrate from all pairs of views, without views in which nothing moves."""
    still = {view: Doubt(Kind.STILL, "warn", (view,)) for view in still_views(keypoints)}
    if still:
        intrinsics = [camera for camera in intrinsics if camera.name not in still]
        if len(intrinsics) < 2:
            frozen = "its joints do not move while those of other views do; is its recording frozen?"
            raise GeometryError("; ".join(f"view {view}: {frozen}" for view in still))
        keypoints = keypoints.select_views([camera.name for camera in intrinsics])
    keypoints = informative_frames(keypoints, FRAME_BUDGET)
    sample = informative_frames(keypoints, _GROWTH_FRAMES)
    lenses, begin = _LENSES[focal](intrinsics), intrinsics
    if focal == "unknown" and len(intrinsics) > 2:  # two views of one person do not determine focal lengths
        known = [camera for camera in start or () if camera.name in keypoints.views]
        begin = known or with_likely_focal(sample, intrinsics, seed, jobs)
    grown, pairs = first_rig(sample, begin, seed, jobs)
    grown = replace(grown, left_out={**still, **grown.left_out})
    bundle, verdict, left_out = _settled(keypoints, grown, pairs, jobs, lenses)
    if focal in ("unknown", "field"):
        verdict = verdict.with_doubts(doubts_of_lenses(verdict, bundle))
    if begin is not intrinsics and len(bundle.rig) == 2:
        # The search for focal lengths trusted views that do not fit; without them, begin at the usual lenses.
        two = [camera for camera in intrinsics if camera.name in bundle.rig.names]
        alone = _calibrate_all(keypoints.select_views(bundle.rig.names), two, seed, jobs, focal, None)
        judged = replace(alone.verdict, left_out=left_out) if alone.verdict else None
        return replace(alone, pairs=pairs | alone.pairs, left_out=left_out, verdict=judged)
    return Calibration(bundle.rig, pairs, left_out, bundle, verdict)


def _settled(
    keypoints: Keypoints,
    grown: Growth,
    pairs: dict[tuple[str, str], PairPose],
    jobs: int,
    lenses: Lenses,
) -> tuple[Bundle, Verdict, dict[str, Doubt]]:
    """Adjust the cameras finally; leave out views that then do not fit, as long as two others remain."""
    rig, left_out = grown.rig, dict(grown.left_out)
    while True:
        sample = informative_frames(keypoints, _GROWTH_FRAMES)
        rig, believed = adjust_lenses(sample, rig, jobs, lenses)
        bundle = adjust_rig(keypoints, rig, jobs, lenses=believed, rough=True)
        # adjust again with the exchanged sides and gross errors found by the first adjustment's cameras
        believed = replace(believed, belief=bundle.redundancy)
        bundle = adjust_rig(keypoints, bundle.rig, jobs, lenses=believed)
        verdict = judge(bundle, _evidence(keypoints, bundle, pairs), left_out)
        kept = [name for name in bundle.rig.names if name not in verdict.strangers]
        if not verdict.strangers or len(kept) < 2:
            return bundle, verdict, left_out
        left_out |= verdict.strangers
        rig = order_cameras(bundle.rig.select(kept), kept)


def _evidence(keypoints: Keypoints, bundle: Bundle, pairs: dict[tuple[str, str], PairPose]) -> Evidence:
    """Return the evidence from the joints about the rig, apart from how well they fit it."""
    rig = bundle.rig
    sample = informative_frames(keypoints, _GROWTH_FRAMES).select_views(rig.names)
    labels = make_labels(sample, rig, jobs=1)
    sides = labels.boxes()[..., 2]
    among = {names: pair for names, pair in pairs.items() if set(names) <= set(rig.names)}
    lenses = {} if bundle.focal_sd.any() or len(rig) < 3 else _focal_ratios(labels, sample.take_of)
    return Evidence(
        frames=int(np.isfinite(labels.poses.xyz[..., 0]).any(axis=1).sum()),
        person_px=float(np.nanmedian(sides)) if np.isfinite(sides).any() else np.nan,
        parallax_deg={names: pair.parallax_deg for names, pair in among.items()},
        flat=bool(among) and all(pair.flat for pair in among.values()),
        focal_ratio=lenses,
        bone_spread=bone_spread(labels, sample.take_of),
    )


def _focal_ratios(labels: Labels, take_of: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Return the focal lengths of an adjustment that frees them, relative to the stated ones, with their deviations.

    Return nothing where the joints fit hardly better that way: biased joints of a detector change focal lengths too, by
    26% in one recording with a known lens, but then the fit does not improve.
    """
    rig = labels.rig
    known, free = (
        adjust_to_labels(labels, take_of, lenses=way(rig.cameras), rough=True)
        for way in (priors_of_known, priors_of_free_focals)
    )
    if known.sigma_px < _BETTER * free.sigma_px:
        return {}
    ratios = [after.focal / before.focal for after, before in zip(free.rig.cameras, rig.cameras, strict=True)]
    return dict(zip(rig.names, zip(ratios, free.focal_sd.tolist(), strict=True), strict=True))


def use_found_lenses(intrinsics: Sequence[Camera], rig: Rig, focal: str) -> list[Camera]:
    """Return the cameras of all views with what is known of their lenses, to place views that the rig lacks.

    Args:
        intrinsics: Cameras of all views, as `calibrate` was given them.
        rig: Cameras that it found for some of them.
        focal: As it was given to `calibrate`; where it is "unknown", focal lengths are those that the rig has.
    """
    if focal != "unknown":
        return list(intrinsics)
    start = {camera.name: camera.focal for camera in intrinsics}
    return with_focal(intrinsics, float(np.median([camera.focal / start[camera.name] for camera in rig.cameras])))


def still_views(keypoints: Keypoints) -> list[str]:
    """Return views in which nothing moves while something does in others; such views fit many geometries."""
    moves = []
    for v in range(len(keypoints.views)):
        seen = keypoints.seen[:, v]
        steps = [_scatter(keypoints.xy[seen[:, j], v, j]) for j in range(seen.shape[1]) if seen[:, j].sum() > 1]
        side = usual_side(keypoints.xy[:, v])
        moves.append(float(np.quantile(steps, _MOST_MOVING) / side) if steps and side > 0 else np.nan)
    if not any(moved > _MOVES for moved in moves):
        return []
    return [view for view, moved in zip(keypoints.views, moves, strict=True) if moved < _STANDS]


def _scatter(xy: Array) -> float:
    """Return the median distance of points `(N, 2)` from their median, by axis; the larger of both."""
    return float(np.median(np.abs(xy - np.median(xy, axis=0)), axis=0).max())


def _calibrate_chain(keypoints: Keypoints, intrinsics: Sequence[Camera], seed: int, jobs: int) -> Calibration:
    """Calibrate by chaining consecutive pairs (paper, section 3.1)."""
    xy = undistort_views(keypoints.xy, intrinsics)

    def solve(v: int) -> PairPose:
        K_a, K_b = intrinsics[v].K, intrinsics[v + 1].K
        try:
            return estimate_pair(xy[:, v], xy[:, v + 1], K_a, K_b, keypoints.skeleton, "fundamental", seed)
        except GeometryError as error:
            raise GeometryError(f"views {intrinsics[v].name} and {intrinsics[v + 1].name}: {error}") from None

    pairs = run_parallel(solve, range(len(intrinsics) - 1), jobs)
    names = [camera.name for camera in intrinsics]
    rig = chain_poses(xy, keypoints.skeleton, intrinsics, pairs)
    return Calibration(rig, dict(zip(itertools.pairwise(names), pairs, strict=True)))
