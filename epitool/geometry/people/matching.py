"""Matching people between views before any camera is known: pairs of views first, then groups over all pairs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Camera
from epitool.geometry.people.association import People, take_slots
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.grouping import Epipolar, Pairs, group_detections
from epitool.geometry.people.pair_matching import PairMatch, ViewTracks, match_pair, view_tracks
from epitool.geometry.two_view.epipolar import fundamental_of_pose
from epitool.parallel import run_parallel
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SAMPLED, _BOUND = 200, 30_000  # most frames that are matched, and most comparisons of two views
_TORN = 0.9  # share of the best pose's gain above which another pose may be right as well


def match_views(
    candidates: Candidates, cameras: Sequence[Camera], frames: int, skeleton: Skeleton, seed: int, jobs: int
) -> tuple[People, bool]:
    """Match people between views in a few hundred frames, without following anyone from frame to frame.

    Args:
        candidates: All people found, distorted pixels.
        cameras: Known or assumed intrinsics of every view.
        frames: Number of frames.
        skeleton: Skeleton of the candidates.
        seed: Seed of the random sampling.
        jobs: Number of pairs of views processed at a time.

    Returns:
        The people, and whether the match is ambiguous: with two views, another relative pose explains nearly as much.
        With more views the match is not ambiguous.
    """
    table = candidates.table(frames, len(cameras))
    sample = _sample(table)
    views = [view_tracks(candidates, v, camera, table, sample, skeleton) for v, camera in enumerate(cameras)]
    every = list(itertools.combinations(range(len(views)), 2))
    found = run_parallel(lambda pair: match_pair(views[pair[0]], views[pair[1]], seed), every, jobs)
    matches = {pair: match for pair, match in zip(every, found, strict=True) if match}
    slots = _groups(candidates, cameras, table[sample], views, matches, skeleton)
    torn = len(cameras) == 2 and any(match.rival > _TORN * match.gain for match in matches.values())
    return _everywhere(take_slots(table[sample], slots), sample, frames), torn


def _everywhere(found: Indices, sample: Indices, frames: int) -> People:
    """Return groups `(S, K, V)` of sampled frames as people of all frames, not followed from frame to frame."""
    candidates = np.full((frames, *found.shape[1:]), -1)
    candidates[sample] = found
    names = np.where((candidates >= 0).any(axis=-1), np.arange(found.shape[1]), -1)
    return People(candidates, names)


def _sample(table: Indices) -> Indices:
    """Return frames `(S,)` spread over those in which two views show somebody, fewer if there are many people."""
    good = np.flatnonzero((table[..., 0] >= 0).sum(axis=1) >= 2)
    return good[evenly_spread(len(good), min(_SAMPLED, max(_BOUND // table.shape[2] ** 2, 1)))]


def _groups(
    candidates: Candidates, cameras: Sequence[Camera], table: Indices, views: Sequence[ViewTracks],
    matches: dict[tuple[int, int], PairMatch], skeleton: Skeleton,
) -> Indices:  # fmt: skip
    """Return the slots of the groups in these frames, `(S, K, V)`."""
    pairs: Pairs = {}
    for (a, b), match in matches.items():
        F = fundamental_of_pose(match.R, match.t, cameras[a].K, cameras[b].K)
        size = np.nanmedian(np.concatenate([views[a].size.ravel(), views[b].size.ravel()]))
        pairs[a, b] = Epipolar(F, match.sd * float(size))
    return group_detections(candidates.undistorted(table, cameras), pairs, 1.0, skeleton)
