"""The first rig: poses of all pairs of views, a rig that grows from them, and the focal lengths to begin with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Camera, undistort_views
from epitool.errors import GeometryError
from epitool.geometry.calibration.incremental import Growth, adjust_rig, grow_best_rig
from epitool.geometry.calibration.lens_priors import priors_of_common_factor
from epitool.geometry.two_view.relative_pose import PairPose, estimate_pair
from epitool.parallel import run_parallel
from epitool.pose import Keypoints

Array = NDArray[np.float64]
_GUESS_FRAMES = 100
_FOCAL_GUESSES = (0.7, 1.9, 1.0, 1.5, 0.85, 1.2)  # factors of the assumed focal length; the first two lie far apart
_NAMED = 3  # pairs of views in a message
_SAME_FOCAL = 0.05  # relative difference of focal lengths to which two starts lead, up to which they are the same


def first_rig(
    sample: Keypoints, intrinsics: Sequence[Camera], seed: int, jobs: int
) -> tuple[Growth, dict[tuple[str, str], PairPose]]:
    """Return the rig that grows from the poses of all pairs, and these poses."""
    xy = undistort_views(sample.xy, intrinsics)
    pairs, failures = _all_pairs(xy, sample, intrinsics, seed, jobs)
    if not pairs:
        reasons = {why: [pair for pair, own in failures.items() if own == why] for why in failures.values()}
        raise GeometryError("; ".join(f"{_named(pairs)}: {why}" for why, pairs in reasons.items()))
    return grow_best_rig(sample, intrinsics, pairs, seed, jobs), pairs


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    """Return pairs of views in words."""
    return "views " + ", ".join(f"{a} and {b}" for a, b in pairs[:_NAMED]) + (", ..." if len(pairs) > _NAMED else "")


def _all_pairs(
    xy: Array, keypoints: Keypoints, intrinsics: Sequence[Camera], seed: int, jobs: int
) -> tuple[dict[tuple[str, str], PairPose], dict[tuple[str, str], str]]:
    """Return the poses of all pairs of views by their names, and the reasons why others have none."""
    views = list(itertools.combinations(range(len(intrinsics)), 2))

    def solve(pair: tuple[int, int]) -> PairPose | str:
        a, b = pair
        K_a, K_b = intrinsics[a].K, intrinsics[b].K
        try:
            return estimate_pair(xy[:, a], xy[:, b], K_a, K_b, keypoints.skeleton, "essential", seed)
        except GeometryError as error:
            return str(error)

    names = [(intrinsics[a].name, intrinsics[b].name) for a, b in views]
    results = dict(zip(names, run_parallel(solve, views, jobs), strict=True))
    solved = {name: found for name, found in results.items() if isinstance(found, PairPose)}
    return solved, {name: found for name, found in results.items() if isinstance(found, str)}


def with_focal(intrinsics: Sequence[Camera], factor: float) -> list[Camera]:
    """Return the cameras with focal lengths multiplied by a factor."""
    zoom = np.array([[factor, factor, 1.0], [1.0, factor, 1.0], [1.0, 1.0, 1.0]])
    return [replace(camera, K=zoom * camera.K) for camera in intrinsics]


def with_likely_focal(sample: Keypoints, intrinsics: Sequence[Camera], seed: int, jobs: int) -> list[Camera]:
    """Return the cameras with the common factor on focal lengths that places the most views and explains them best.

    Nearly always all starts lead to one factor, so none is added to two that place all views and agree, unless a third
    one is better.
    """
    few = informative_frames(sample, _GUESS_FRAMES)
    found: list[tuple[int, float, float]] = []
    for guess in _FOCAL_GUESSES:
        try:
            found.append(_from_guess(few, intrinsics, guess, seed, jobs))
        except GeometryError:
            continue
        found.sort()
        if len(found) > 1 and not found[1][0] and abs(np.log(found[0][2] / found[1][2])) < _SAME_FOCAL:
            break
    return with_focal(intrinsics, found[0][2] if found else 1.0)


def _from_guess(
    few: Keypoints, intrinsics: Sequence[Camera], guess: float, seed: int, jobs: int
) -> tuple[int, float, float]:
    """Return how many views are left out, the cost, and the factor on focal lengths, of a start with this factor.

    Raises:
        GeometryError: No rig grows with these focal lengths.
    """
    grown, _ = first_rig(few, with_focal(intrinsics, guess), seed, jobs)
    bundle = adjust_rig(few, grown.rig, jobs, lenses=priors_of_common_factor(intrinsics), rough=True)
    name, focal = bundle.rig.names[0], bundle.rig.cameras[0].focal
    return len(grown.left_out), bundle.cost, focal / next(c.focal for c in intrinsics if c.name == name)


def informative_frames(keypoints: Keypoints, budget: int) -> Keypoints:
    """Select at most `budget` frames evenly from those in which two or more views see at least half of the joints."""
    good = (keypoints.seen.mean(axis=2) >= 0.5).sum(axis=1) >= 2
    chosen = np.flatnonzero(good) if good.any() else np.arange(len(good))
    if len(chosen) == len(good) <= budget:
        return keypoints
    return keypoints.select_frames(chosen[evenly_spread(len(chosen), budget)])
