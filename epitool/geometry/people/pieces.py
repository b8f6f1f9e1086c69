"""Pieces of tracks in which one cannot be taken for another, with their bones and where they begin and end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.facings import Facings, measure_facings
from epitool.geometry.people.lengths import measure_bones
from epitool.geometry.people.tracking import median_over, sightings_of
from epitool.geometry.people.ways import FITTED, Moments, Ways, fit_moments, measure_ways
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SURE = 0.6  # sizes by which somebody must be nearer to their own track than to others
_SHORT = 3  # sightings; shorter pieces between two meetings tell nothing
_GAP = 3  # frames without a sighting that end a piece


class Sightings(NamedTuple):
    """Groups of detections, N of them, as followed from frame to frame.

    Attributes:
        names: Tracks `(N,)`; -1 for none.
        margin: How much farther, in sizes, any other track is, `(N,)`.
        frames: Frames `(N,)`, not decreasing.
        centers: Places `(N, 3)`; NaN where unknown.
        sizes: Sizes in the scene's unit, `(N,)`.
        across: From their right to their left, `(N, 3)`; NaN where unknown.
    """

    names: Indices
    margin: Array
    frames: Indices
    centers: Array
    sizes: Array
    across: Array


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of tracks, Q of them in the order in which they begin.

    Attributes:
        of_sighting: Piece of each of N sightings, `(N,)`, -1 for those of no track. Where two meet, a piece ends and
            another begins at the sighting that is least sure.
        track: Track of each piece, `(Q,)`.
        first: First frame in which it is sure who it is, `(Q,)`.
        last: Last one, `(Q,)`.
        begin: Where it is then, `(Q, 3)`; NaN where unknown.
        end: Where it is in the end.
        before: The piece before it of the same track, `(Q,)`; -1 for none.
        margin: How sure it is that both are one person's: the margin of the sighting at which it begins, `(Q,)`.
        bones: Logarithms of bone lengths, `(Q, B)`; NaN where unknown.
        variance: Variances of these, `(Q, B)`.
        scatter: Deviations of the logarithms in single frames, `(Q, B)`.
        sightings: Number of sightings in which it is sure who it is, `(Q,)`.
        views: Mean number of views that agree in these, `(Q,)`.
        ways: How people move within the pieces.
        facings: Which way they face where pieces begin and end.
    """

    of_sighting: Indices
    track: Indices
    first: Indices
    last: Indices
    begin: Moments
    end: Moments
    before: Indices
    margin: Array
    bones: Array
    variance: Array
    scatter: Array
    sightings: Indices
    views: Array
    ways: Ways
    facings: Facings

    def __len__(self) -> int:
        return len(self.track)


def pieces_of(sightings: Sightings, members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> Pieces:
    """Divide tracks into pieces.

    Args:
        sightings: Groups as followed.
        members: Candidates of the groups in every view, `(N, V)`; -1 for none.
        candidates: All people found, distorted pixels.
        rig: The cameras.
        skeleton: Skeleton of the candidates.
    """
    names, margin, frames, centers, sizes, across = sightings
    tracks = sightings_of(names)
    cores = [_sure_parts(track, margin, frames) for track in tracks]
    wholes = [_divided(track, parts, margin) for track, parts in zip(tracks, cores)]
    both = list(zip(itertools.chain(*cores), itertools.chain(*wholes)))
    both.sort(key=lambda each: (frames[each[0][0]], *members[each[0][0]].tolist()))
    of_sighting = np.full(len(names), -1)
    for q, (_, whole) in enumerate(both):
        of_sighting[whole] = q
    parts = [core for core, _ in both]
    starts = np.array([whole[0] for _, whole in both], dtype=np.intp)
    ends = np.array([(part[0], part[-1]) for part in parts], dtype=np.intp).reshape(-1, 2)
    known = [part[np.isfinite(centers[part]).all(axis=1)] for part in parts]
    begin, end = (_moments(known, frames[ends[:, at]], frames, centers, at) for at in (0, -1))
    track, (first, last) = names[ends[:, 0]], frames[ends].T
    count = np.array([len(part) for part in parts], dtype=np.intp)
    views = np.array([(members[part] >= 0).sum(axis=1).mean() for part in parts])
    return Pieces(
        of_sighting, track, first, last, begin, end, _pieces_before(track), margin[starts],
        *measure_bones(parts, members, candidates, rig, skeleton), count, views,
        measure_ways(known, frames, centers, float(median_over(sizes))), measure_facings(parts, frames, across),
    )  # fmt: skip


def _sure_parts(track: Indices, margin: Array, frames: Indices) -> list[Indices]:
    """Return the runs of a track without gaps in which nobody else may be meant, or all of it if there are none."""
    sure = track[margin[track] >= _SURE]
    between = (np.diff(np.searchsorted(track, sure)) > 1) | (np.diff(frames[sure]) > _GAP)
    parts = [run for run in np.split(sure, np.flatnonzero(between) + 1) if len(run) >= _SHORT]
    return parts or [track]


def _divided(track: Indices, parts: list[Indices], margin: Array) -> list[Indices]:
    """Return all sightings of a track, divided between its parts where it is least sure."""
    place = np.searchsorted(track, [(part[0], part[-1]) for part in parts])
    gaps = [(before[1] + 1, after[0] + 1) for before, after in itertools.pairwise(place.tolist())]
    return np.split(track, [start + int(margin[track[start:stop]].argmin()) for start, stop in gaps])


def _pieces_before(track: Indices) -> Indices:
    """Return the piece before each piece of the same track, `(Q,)`; -1 for none."""
    order = np.argsort(track, kind="stable")
    same = np.diff(track[order]) == 0
    before = np.full(len(track), -1)
    before[order[1:][same]] = order[:-1][same]
    return before


def _moments(parts: list[Indices], at_frames: Indices, frames: Indices, centers: Array, at: int) -> Moments:
    """Return where pieces begin (`at` 0) or end (-1), from the sightings whose places are known."""
    some = slice(None, FITTED) if at == 0 else slice(-FITTED, None)
    unknown = Moments(np.full(3, np.nan), np.zeros(3), np.zeros(()))
    found = [
        fit_moments(frames[part[some]].astype(np.float64), centers[part[some]], at) if len(part) else unknown
        for part in parts
    ]
    place, velocity = (np.array([each[i] for each in found]).reshape(-1, 3) for i in range(2))
    return Moments(place, velocity, at_frames.astype(np.float64))
