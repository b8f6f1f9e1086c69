"""Identities from pieces of tracks: who comes back is known by their bones, and by where and when they left.

Pieces are taken in the order of time. Each joins the person whom it fits better, by a likelihood ratio, than somebody
new and than anybody else, or else it is somebody new. A track that goes on after two have met is the same person unless
bones clearly say otherwise, so that those who exchanged tracks get their own back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.likeness import CLEAR, IMPOSSIBLE, PLACE_NOISE, Scene, compare_bones, compare_places
from epitool.geometry.people.pieces import Pieces, pieces_of
from epitool.geometry.people.reuniting import possible, reunited
from epitool.geometry.people.tracking import median_over, sightings_of
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_BIAS = (0.01, 0.03, 0.15)  # least, usual and largest deviation of a bone between two pieces of one person
_COMPARED = 5  # pairs of pieces from which that deviation is measured
_GOES_ON = 4.0  # log odds that a track goes on as the same person
_BRIEF = 3  # sightings; what is seen for less is by chance, unless it is somebody known
_WITHIN = 60  # frames; pieces that begin within so many are assigned together
_JUMP = 5.0  # of the usual pace; who comes faster may be another


@dataclass(eq=False)
class _Known:
    """People known so far: number of the last piece, and weighted sums of log bone lengths."""

    last: list[int] = field(default_factory=list)
    total: list[Array] = field(default_factory=list)
    weight: list[Array] = field(default_factory=list)

    def take(self, person: int, piece: int, pieces: Pieces) -> int:
        """Add a piece to a person, -1 for a new one; return the person."""
        weight = np.nan_to_num(1 / pieces.variance[piece])
        total = weight * np.nan_to_num(pieces.bones[piece])
        if person < 0:
            self.last.append(piece)
            self.total.append(total)
            self.weight.append(weight)
            return len(self.last) - 1
        self.last[person] = piece
        self.total[person], self.weight[person] = self.total[person] + total, self.weight[person] + weight
        return person


class Sightings(NamedTuple):
    """Groups of detections, N of them, as followed from frame to frame.

    Attributes:
        names: Tracks `(N,)`; -1 for none.
        near: Whether they may be confused with somebody near, `(N,)`.
        frames: Frames `(N,)`, not decreasing.
        centers: Places `(N, 3)`; NaN where unknown.
        sizes: Sizes in the scene's unit, `(N,)`.
    """

    names: Indices
    near: NDArray[np.bool_]
    frames: Indices
    centers: Array
    sizes: Array


def identities_of(
    sightings: Sightings, members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton
) -> Indices:
    """Return the person of each sighting, `(N,)`; -1 for nobody.

    Args:
        sightings: Groups as followed.
        members: Candidates of the groups in every view, `(N, V)`; -1 for none.
        candidates: All people found, distorted pixels.
        rig: The cameras.
        skeleton: Skeleton of the candidates.
    """
    names, near, frames, centers, sizes = sightings
    pace = _pace(names, frames, centers)
    unsure = near | (pace > max(_JUMP * _middle(pace), PLACE_NOISE * _middle(sizes)))
    pieces = pieces_of(names, unsure, frames, centers, members, candidates, rig, skeleton)
    person = rejoined(pieces, scene_of(pieces, centers, _middle(sizes), _middle(pace)))
    own = np.append(person, -1)[_with_meetings(pieces.of_sighting, names)]
    return _once_a_frame(own, frames, (members >= 0).sum(axis=1))


def _with_meetings(piece: Indices, names: Indices) -> Indices:
    """Return the piece of each sighting `(N,)`, those between two pieces of a track given to the nearer one."""
    out = piece.copy()
    for track in sightings_of(names):
        known = np.flatnonzero(piece[track] >= 0)
        middle = (known[:-1] + known[1:] + 1) // 2
        out[track] = piece[track[known[np.searchsorted(middle, np.arange(len(track)), side="right")]]]
    return out


def _once_a_frame(own: Indices, frames: Indices, count: Indices) -> Indices:
    """Return the people `(N,)` with -1 for all but the largest group of each in a frame."""
    order = np.lexsort((-count, own, frames))
    again = (np.diff(own[order]) == 0) & (np.diff(frames[order]) == 0)
    out = own.copy()
    out[order[1:][again]] = -1
    return out


def rejoined(pieces: Pieces, scene: Scene) -> Indices:
    """Return the person of each piece, `(Q,)`; -1 for nobody: what is seen too briefly to be anybody by itself.

    If nobody is seen for longer, each track is somebody.
    """
    person_of, known = np.full(len(pieces), -1), _Known()
    brief = pieces.sightings < _BRIEF
    if brief.all():
        return np.unique(pieces.track, return_inverse=True)[1]
    for batch in _batches(pieces):
        chosen = _assign_pieces(*_odds(known, batch, pieces, scene))
        for piece, person in zip(batch.tolist(), chosen.tolist()):
            if person >= 0 or not brief[piece]:
                person_of[piece] = known.take(person, piece, pieces)
    return possible(reunited(person_of, pieces, scene), pieces)


def _pace(names: Indices, frames: Indices, centers: Array) -> Array:
    """Return how far people have come since their track was seen before, by frame, `(N,)`; NaN where it was not."""
    order = np.lexsort((frames, names))
    step = np.linalg.norm(np.diff(centers[order], axis=0), axis=-1) / np.maximum(np.diff(frames[order]), 1)
    pace = np.full(len(names), np.nan)
    pace[order[1:]] = np.where((np.diff(names[order]) == 0) & (names[order][1:] >= 0), step, np.nan)
    return pace


def scene_of(pieces: Pieces, centers: Array, size: float, speed: float) -> Scene:
    """Measure a scene in which people are at these centers `(N, 3)`, usually of this size and speed."""
    spread = 1.4826 * _middle(np.linalg.norm(centers - median_over(centers.T), axis=-1)) / 1.5  # of two directions
    return Scene(max(spread, size), speed, size, _bias(pieces))


def _bias(pieces: Pieces) -> Array:
    """Return how much bones `(B,)` differ between neighbouring pieces of a track, less what their noise explains.

    Detectors are wrong in their own way in every pose, about some bones more than about others. A bone that few pairs
    of pieces show is as good as the usual one.
    """
    order = np.argsort(pieces.track, kind="stable")
    one, other = order[:-1], order[1:]
    same = pieces.track[one] == pieces.track[other]
    apart = pieces.bones[one[same]] - pieces.bones[other[same]]
    known = np.isfinite(apart)
    if same.sum() < _COMPARED or not known.any():
        return np.full(apart.shape[1], _BIAS[1])
    excess = (apart**2) / 0.455 - (pieces.variance[one[same]] + pieces.variance[other[same]])
    usual, count = max(float(np.median(excess[known])), 0.0), known.sum(axis=0)
    each = np.maximum(np.nan_to_num(median_over(excess.T)), 0.0)
    squared = (count * each + _COMPARED * usual) / (count + _COMPARED)
    return np.clip(np.sqrt(squared / 2), _BIAS[0], _BIAS[2])


def _middle(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _batches(pieces: Pieces) -> list[Indices]:
    """Return pieces that begin at about the same time, none after the end of another."""
    batches: list[list[int]] = []
    until = -1
    for q in range(len(pieces)):
        if not batches or pieces.first[q] > until:
            batches.append([])
            until = pieces.first[q] + _WITHIN
        batches[-1].append(q)
        until = min(until, int(pieces.last[q]))
    return [np.array(batch, dtype=np.intp) for batch in batches]


def _odds(known: _Known, batch: Indices, pieces: Pieces, scene: Scene) -> tuple[Array, NDArray[np.bool_]]:
    """Return log odds `(K, m)` that pieces are the people known, rather than new, and whether their track goes on."""
    if not known.last:
        return np.zeros((0, len(batch))), np.zeros((0, len(batch)), dtype=bool)
    last = np.array(known.last)
    weight = np.stack(known.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (np.stack(known.total) / weight)[:, None] - pieces.bones[batch]
        variance = (1 / weight)[:, None] + pieces.variance[batch]
    goes_on = pieces.track[last][:, None] == pieces.track[batch]
    odds = compare_bones(apart, variance + 2 * scene.bias**2)
    gap = np.maximum(pieces.since[batch] - pieces.until[last][:, None], 1)
    odds += compare_places(pieces.end[last][:, None] - pieces.begin[batch], gap, scene)
    odds += _GOES_ON * goes_on
    return np.where(pieces.first[batch] > pieces.last[last][:, None], odds, IMPOSSIBLE), goes_on


def _assign_pieces(odds: Array, goes_on: NDArray[np.bool_]) -> Indices:
    """Return the person `(m,)` of each piece, -1 for somebody new, by the largest sum of log odds (Hungarian method).

    Someone who comes back must be clearly the one, better than in any other assignment; a track that goes on need not.
    """
    chosen = np.full(odds.shape[1], -1)
    total, rows, columns = _best(odds)
    for row, column in zip(rows.tolist(), columns.tolist()):
        without = odds.copy()
        without[row, column] = IMPOSSIBLE
        if goes_on[row, column] or (total - _best(without)[0] > CLEAR and odds[row, column] > CLEAR):
            chosen[column] = row
    return chosen


def _best(odds: Array) -> tuple[float, Indices, Indices]:
    """Return the largest sum of log odds and its rows and columns; columns without a row are somebody new."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed only with several people

    rows, columns = linear_sum_assignment(-np.concatenate([odds, np.zeros((odds.shape[1],) * 2)]))
    kept = (rows < len(odds)) & (odds[np.minimum(rows, len(odds) - 1), columns] > 0) if len(odds) else rows < 0
    rows, columns = rows[kept], columns[kept]
    return float(odds[rows, columns].sum()), rows, columns
