"""Identities from pieces of tracks: who comes back is known by bones, place, time and the way they face.

A track that goes on after two have met is the same person's if they were far enough apart all the time, and otherwise
if where both went, which way they faced and their bones say so; those who exchanged tracks get their own back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.hypotheses import divide_pieces
from epitool.geometry.people.pieces import Pieces, Sightings, pieces_of
from epitool.geometry.people.tracking import median_over
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_BIAS = (0.02, 0.03, 0.15)  # least, usual and largest deviation of a bone between two pieces of one person
_COMPARED = 5  # pairs of pieces from which that deviation is measured
_BY_MARGIN, _SUREST = 8.0, 4.0  # log odds that a track goes on as the same person by size of its margin, and the most
_BY_BONES = 2.0  # by so much more the bones tell than if all that they have in common in a piece were error
_UNUSUAL = 0.2  # log length of a bone over the usual one; the farther off it is, the less it can be trusted
_BRIEF = 3  # sightings; what is seen for less is by chance, unless it is somebody known
_JUMP, _STEP = 5.0, 0.3  # of the usual pace and of a size; who comes farther in a frame may be another
_AT_JUMPS = 0.5  # the largest margin then: a piece ends there, and mostly goes on
_IMPOSSIBLE_SIZE, _IMPOSSIBLE_PROPORTIONS = 0.7, 0.3  # log lengths: half or double, and a third more or less
_IMPOSSIBLE_SCATTER = 0.3  # of log lengths from frame to frame; those of people whom nobody covers are up to 0.25
_TIMES_USUAL = 1.5  # before close views depth is uncertain and everyone's bones change: by so much more
_AGREED_BY = 2.5  # views on average; with more, changing bones are those of somebody who is covered


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
    pace = _pace(sightings.names, sightings.frames, sightings.centers)
    jumps = pace > max(_JUMP * _middle(pace), _STEP * _middle(sightings.sizes))
    margin = np.where(jumps, np.minimum(sightings.margin, _AT_JUMPS), sightings.margin)
    pieces = pieces_of(sightings._replace(margin=margin), members, candidates, rig, skeleton)
    own = np.append(people_of(pieces), -1)[pieces.of_sighting]
    return _once_a_frame(own, sightings.frames, (members >= 0).sum(axis=1))


def people_of(pieces: Pieces) -> Indices:
    """Return the person of each piece, `(Q,)`; -1 for nobody: what is seen too briefly to be anybody by itself.

    If nobody is seen for longer, each track is somebody.
    """
    if (pieces.sightings < _BRIEF).all():
        return np.unique(pieces.track, return_inverse=True)[1]
    unusual = pieces.bones - median_over(pieces.bones.T)
    variance = (pieces.variance + _bias(pieces) ** 2) * (1 + (unusual / _UNUSUAL) ** 2)
    weight = np.nan_to_num(_BY_BONES / variance)
    goes_on = np.minimum(_BY_MARGIN * np.maximum(pieces.margin, 0.0), _SUREST)

    def odds_of(last: Indices, piece: int) -> Array:
        way = pieces.ways.odds(pieces.end.take(last), pieces.begin.take(piece))
        turned = pieces.facings.odds(last, piece, pieces.first[piece] - pieces.last[last])
        odds = np.nan_to_num(way) + turned + np.where(last == pieces.before[piece], goes_on[piece], 0.0)
        return np.where(pieces.last[last] < pieces.first[piece], odds, -np.inf)

    own = divide_pieces(weight, weight * np.nan_to_num(unusual), odds_of)
    own[np.bincount(own, pieces.sightings)[own] < _BRIEF] = -1
    return possible(own, pieces)


def _once_a_frame(own: Indices, frames: Indices, count: Indices) -> Indices:
    """Return the people `(N,)` with -1 for all but the largest group of each in a frame."""
    order = np.lexsort((-count, own, frames))
    again = (np.diff(own[order]) == 0) & (np.diff(frames[order]) == 0)
    out = own.copy()
    out[order[1:][again]] = -1
    return out


def _pace(names: Indices, frames: Indices, centers: Array) -> Array:
    """Return how far people have come since their track was seen before, by frame, `(N,)`; NaN where it was not."""
    order = np.lexsort((frames, names))
    step = np.linalg.norm(np.diff(centers[order], axis=0), axis=-1) / np.maximum(np.diff(frames[order]), 1)
    pace = np.full(len(names), np.nan)
    pace[order[1:]] = np.where((np.diff(names[order]) == 0) & (names[order][1:] >= 0), step, np.nan)
    return pace


def _bias(pieces: Pieces) -> Array:
    """Return how much bones `(B,)` differ between neighbouring pieces of a track, less what their noise explains.

    Detectors are wrong in their own way in every pose, about some bones more than about others. A bone that few pairs
    of pieces show is as good as the usual one.
    """
    other = np.flatnonzero(pieces.before >= 0)
    one = pieces.before[other]
    apart = pieces.bones[one] - pieces.bones[other]
    known = np.isfinite(apart)
    if len(other) < _COMPARED or not known.any():
        return np.full(apart.shape[1], _BIAS[1])
    excess = (apart**2) / 0.455 - (pieces.variance[one] + pieces.variance[other])
    usual, count = max(float(np.median(excess[known])), 0.0), known.sum(axis=0)
    each = np.maximum(np.nan_to_num(median_over(excess.T)), 0.0)
    squared = (count * each + _COMPARED * usual) / (count + _COMPARED)
    return np.clip(np.sqrt(squared / 2), _BIAS[0], _BIAS[2])


def _middle(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def possible(own: Indices, pieces: Pieces) -> Indices:
    """Return the people of pieces `(Q,)`, -1 for those whose bones are nobody's.

    Parts of several people, who were matched by chance, make bodies of impossible size or proportions, or bones whose
    lengths change from frame to frame, against the usual ones of the scene. Those of somebody whom others cover change
    as well, but three views do not agree by chance for long.
    """
    if not pieces.bones.size:
        return own
    usual = median_over(pieces.bones[own >= 0].T)
    most = max(_IMPOSSIBLE_SCATTER, _TIMES_USUAL * _middle(pieces.scatter[own >= 0]))
    out = own.copy()
    for person in np.unique(own[own >= 0]):
        mine = own == person
        off, scatter = median_over((pieces.bones[mine] - usual).T), pieces.scatter[mine]
        off, scatter = off[np.isfinite(off)], scatter[np.isfinite(scatter)]
        if len(off):
            size = float(np.median(off))
            odd = abs(size) > _IMPOSSIBLE_SIZE or np.abs(off - size).mean() > _IMPOSSIBLE_PROPORTIONS
            by_two_views = np.average(pieces.views[mine], weights=pieces.sightings[mine]) < _AGREED_BY
            if odd or (by_two_views and np.median(scatter) > most):
                out[mine] = -1
    return out
