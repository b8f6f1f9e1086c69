"""Pieces of tracks in which one cannot be taken for another, with their bones and where they begin and end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.tracking import mean_over, median_over, sightings_of
from epitool.geometry.triangulation.labels import chunk_bounds, label_chunk, label_settings, sample_bounds
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
_SHORT = 3  # sightings; shorter pieces between two meetings tell nothing
_GAP = 3  # frames without a sighting that end a piece
_MEASURED = 30  # sightings of a piece from which its bones are measured
_CORRELATED = 3  # errors of so many neighbouring sightings are alike
_LEAST_SPREAD = 0.02  # of a bone's length from frame to frame, however well few frames agree
_KNOWN = 10  # sightings from which a deviation is known by itself
_HARDLY_KNOWN = 0.1  # deviation of a bone's log length where no piece tells it
_LARGEST = 1.0  # log of lengths over the usual; larger ones are gross errors


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of tracks, Q of them in the order in which they begin.

    Attributes:
        of_sighting: Piece of each of N sightings, `(N,)`; -1 for those near somebody else, or of no track.
        track: Track of each piece, `(Q,)`.
        first: First frame, `(Q,)`.
        last: Last frame, `(Q,)`.
        begin: Place where it begins, `(Q, 3)`; NaN where unknown. The first piece of a track begins where the track
            does, and the last one ends where it does, though somebody may be near there.
        end: Place where it ends, `(Q, 3)`.
        since: Frame of `begin`, `(Q,)`.
        until: Frame of `end`, `(Q,)`.
        bones: Logarithms of bone lengths, `(Q, B)`; NaN where unknown.
        variance: Variances of these, `(Q, B)`.
        sightings: Number of sightings, `(Q,)`.
    """

    of_sighting: Indices
    track: Indices
    first: Indices
    last: Indices
    begin: Array
    end: Array
    since: Indices
    until: Indices
    bones: Array
    variance: Array
    sightings: Indices

    def __len__(self) -> int:
        return len(self.track)


def pieces_of(
    names: Indices, near: Flags, frames: Indices, centers: Array, members: Indices, candidates: Candidates, rig: Rig,
    skeleton: Skeleton,
) -> Pieces:  # fmt: skip
    """Divide tracks into pieces.

    Args:
        names: Track of each sighting, `(N,)`; -1 for none.
        near: Whether a sighting is so near to somebody else that they may be confused, `(N,)`.
        frames: Frames of the sightings, `(N,)`, not decreasing.
        centers: Places of the sightings, `(N, 3)`.
        members: Candidates of the sightings in every view, `(N, V)`; -1 for none.
        candidates: All people found, distorted pixels.
        rig: The cameras.
        skeleton: Skeleton of the candidates.
    """
    divided = [_parts(track, near, frames) for track in sightings_of(names)]
    whole = [_extended(track, parts) for track, parts in zip(sightings_of(names), divided)]
    both = list(zip(itertools.chain(*divided), itertools.chain(*whole)))
    both.sort(key=lambda each: (frames[each[0][0]], *members[each[0][0]].tolist()))
    parts, extents = ([each[i] for each in both] for i in range(2))
    of_sighting = np.full(len(names), -1)
    for q, part in enumerate(parts):
        of_sighting[part] = q
    bones, variance = _bones(parts, members, candidates, rig, skeleton)
    core, extent = (np.array([(p[0], p[-1]) for p in of], dtype=np.intp).reshape(-1, 2) for of in (parts, extents))
    begin, end = (_places(extents, centers, part) for part in (slice(None, _SHORT), slice(-_SHORT, None)))
    count = np.array([len(part) for part in parts], dtype=np.intp)
    track, (first, last), (since, until) = names[core[:, 0]], frames[core].T, frames[extent].T
    return Pieces(of_sighting, track, first, last, begin, end, since, until, bones, variance, count)


def _parts(track: Indices, near: Flags, frames: Indices) -> list[Indices]:
    """Return the pieces of one track: runs without gaps in which nobody is near, or all of it if there are none."""
    far = track[~near[track]]
    runs = np.split(far, np.flatnonzero(_interrupted(track, far, frames)) + 1)
    parts = [run for run in runs if len(run) >= _SHORT]
    return parts or [track]


def _extended(track: Indices, parts: list[Indices]) -> list[Indices]:
    """Return the pieces of a track, the first from its beginning and the last to its end."""
    first = [track[track < parts[0][0]], *[track[:0]] * (len(parts) - 1)]
    last = [*[track[:0]] * (len(parts) - 1), track[track > parts[-1][-1]]]
    return [np.concatenate(each) for each in zip(first, parts, last)]


def _interrupted(track: Indices, far: Indices, frames: Indices) -> Flags:
    """Return after which sightings of those far from others a new piece begins."""
    if not len(far):
        return np.zeros(0, dtype=bool)
    rank = np.searchsorted(track, far)
    return (np.diff(rank) > 1) | (np.diff(frames[far]) > _GAP)


def _places(parts: list[Indices], centers: Array, part: slice) -> Array:
    return np.stack([median_over(centers[own[part]].T) for own in parts]) if parts else np.empty((0, 3))


def _bones(
    parts: list[Indices], members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton
) -> tuple[Array, Array]:
    """Return logarithms of bone lengths, left and right together, and their variances, `(Q, B)` each."""
    sampled = [part[np.linspace(0, len(part) - 1, min(len(part), _MEASURED)).astype(int)] for part in parts]
    chosen = np.concatenate(sampled) if parts else np.empty(0, dtype=np.intp)
    logs = _log_lengths(members[chosen], candidates, rig, skeleton)
    usual = median_over(logs.T)
    logs = np.where(np.abs(logs - usual) < _LARGEST, logs, np.nan)
    middle, spread = np.full((2, len(parts), logs.shape[1]), np.nan)
    count = np.zeros(middle.shape, dtype=np.intp)
    bounds = np.cumsum([0, *map(len, sampled)])
    for q, (start, stop) in enumerate(itertools.pairwise(bounds.tolist())):
        own = logs[start:stop].T
        count[q], middle[q] = np.isfinite(own).sum(axis=1), median_over(own)
        spread[q] = 1.4826 * median_over(np.abs(own - middle[q][:, None]))
    variance = 1.57 * _spread_of_each(spread, count) ** 2 / np.maximum(count / _CORRELATED, 1)
    return middle, variance


def _spread_of_each(spread: Array, count: Indices) -> Array:
    """Return the deviations `(Q, B)` of log lengths from frame to frame; those of few frames are near the usual ones.

    Args:
        spread: Deviations within each piece `(Q, B)`, NaN where unknown.
        count: Numbers of lengths that they are from.
    """
    known = np.where(count >= _KNOWN, spread, np.nan)
    usual = np.maximum(median_over(known.T), _LEAST_SPREAD)
    usual = np.where(np.isfinite(usual), usual, _HARDLY_KNOWN)
    own = count - 1
    return np.sqrt((own * np.nan_to_num(spread) ** 2 + _KNOWN * usual**2) / (own + _KNOWN))


def _log_lengths(members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> Array:
    """Return the logarithms of bone lengths of groups `(n, V)`, mean of left and right, `(n, B)`; NaN where unknown.

    A long recording has millions of groups, so they are triangulated some at a time.
    """
    flip = skeleton.flip_order
    bones = [(parent, child) for parent, child in skeleton.bones if child <= flip[child]]
    logs = np.full((len(members), len(bones)), np.nan)
    if not logs.size:
        return logs
    sample = np.concatenate([np.arange(*bounds) for bounds in sample_bounds(len(members))])
    some = _keypoints(members[sample], candidates, rig, skeleton)
    settings = label_settings(some, rig, method="polynomial", combine="robust")
    for start, stop in chunk_bounds(len(members), len(rig), len(skeleton)):
        part = _keypoints(members[start:stop], candidates, rig, skeleton)
        xyz = label_chunk(part, rig, settings).poses.xyz
        with np.errstate(divide="ignore"):
            one, other = (
                np.stack([np.log(np.linalg.norm(xyz[:, of[a]] - xyz[:, of[b]], axis=-1)) for a, b in bones], axis=-1)
                for of in (range(len(skeleton)), flip)
            )
        logs[start:stop] = mean_over(np.stack([one, other], axis=1))
    return logs


def _keypoints(members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> Keypoints:
    """Return groups `(n, V)` as keypoints, a frame for each."""
    xy, confidence = candidates.take(members)
    size = np.array([camera.image_size for camera in rig.cameras])
    return Keypoints(xy, confidence, np.arange(len(members)), rig.names, np.full(members.shape, ""), size, skeleton)
