"""Following people before calibrated views: from frame to frame, by where all images show them.

Depth is uncertain where cameras stand close together, but where people are in each image is not. So people are
compared in the images of all views; what a view does not show is projected into it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.crowd import image_distances
from epitool.geometry.people.tracking import GATE, REMEMBERED, assign_tracks, centers_and_sizes, median_over

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
_SAME = 0.1  # sizes; nobody is nearer to somebody else in all images
_PROJECTED = 0.3  # trust in what a view does not show itself
_TENTATIVE, _YOUNG = 0.5, 3  # sizes by which tracks of fewer sightings must be nearer than others


class Seen(NamedTuple):
    """People in one frame, or tracks as last seen, T of them in V views.

    Attributes:
        names: Numbers of tracks `(T,)`; -1 for none yet.
        points: Points `(T, V, M, 2)` px.
        velocity: Motion in each view `(T, V, 2)`, px per frame.
        size: Size in each view `(T, V)` px.
        trust: Weight of each view `(T, V)`.
        seen: Frame `(T,)`.
        age: Number of sightings `(T,)`.
    """

    names: Indices
    points: Array
    velocity: Array
    size: Array
    trust: Array
    seen: Indices
    age: Indices

    def select(self, chosen: Flags) -> Seen:
        """Return some of them."""
        return Seen._make(part[chosen] for part in self)

    def joined(self, other: Seen) -> Seen:
        """Return these and others."""
        return Seen._make(np.concatenate(parts) for parts in zip(self, other, strict=True))


class Follower:
    """Follows people through frames that come in their order.

    Args:
        bridge: Number of frames that somebody may go unseen.
    """

    def __init__(self, bridge: int) -> None:
        self.bridge, self.count = bridge, 0
        self.tracks: Seen | None = None

    def follow(self, points: Array, shown: Flags, frames: Indices) -> tuple[Indices, Array]:
        """Return the track of each of N people `(N,)`, and how much farther any other track is, in sizes, `(N,)`.

        The track is -1 for those without points and for those found twice. The margin is infinite where nobody else
        is near enough to be taken for them.

        Args:
            points: Points in all views `(N, V, M, 2)` px, projected where a view does not show the person.
            shown: Which views show the person, `(N, V)`.
            frames: Their frames `(N,)`, not decreasing and not before those of the last call.
        """
        names, margin = np.full(len(points), -1), np.full(len(points), np.inf)
        size = centers_and_sizes(points)[1]
        usable = (size > 0).any(axis=1)
        trust = np.where(shown, 1.0, _PROJECTED)
        for group in np.split(np.arange(len(points)), np.flatnonzero(np.diff(frames)) + 1):
            group = group[usable[group]]
            group = group[~_twins(points[group], size[group], shown[group])]
            if len(group):
                none = np.full(len(group), -1)
                now = Seen(
                    none, points[group], 0 * points[group][:, :, 0], size[group], trust[group], frames[group], 0 * none
                )
                names[group], margin[group] = self._step(now, int(frames[group[0]]))
        return names, margin

    def _step(self, now: Seen, frame: int) -> tuple[Indices, Array]:
        """Assign the people of one frame to tracks, update the tracks, and return the names and margins."""
        tracks = now.select(np.zeros(len(now.names), dtype=bool)) if self.tracks is None else self.tracks
        tracks = tracks.select(frame - tracks.seen <= self.bridge + 1)
        distance = image_distances(_expected(tracks, frame), now.points, tracks.size, now.size, tracks.trust, now.trust)
        handicap = _TENTATIVE * (tracks.age < _YOUNG)
        rows, columns = assign_tracks(distance, frame - tracks.seen, handicap)
        margin = _margins(distance, rows, columns)
        now.names[columns] = tracks.names[rows]
        new = now.names < 0
        now.names[new] = self.count + np.arange(new.sum())
        self.count += int(new.sum())
        now = _carried(now, tracks, columns, rows, frame)
        rest = np.ones(len(tracks.names), dtype=bool)
        rest[rows] = False
        self.tracks = tracks.select(rest).joined(now)
        return now.names, margin


def _twins(points: Array, size: Array, shown: Flags) -> Flags:
    """Return which people `(G,)` of a frame are at the very place of another whom as many views show, or more.

    Nobody is where somebody else is: a detector has found them twice.
    """
    trust = shown.astype(float)
    same = image_distances(points, points, size, size, trust, trust) < _SAME
    count, number = shown.sum(axis=1), np.arange(len(points))
    first = (count[:, None] > count) | ((count[:, None] == count) & (number[:, None] < number))
    return (same & first).any(axis=0)


def _expected(tracks: Seen, frame: int) -> Array:
    """Return where tracks are in this frame if they go on, `(T, V, M, 2)`."""
    gap = np.minimum(frame - tracks.seen, REMEMBERED)
    return tracks.points + (tracks.velocity * gap[:, None, None])[:, :, None]


def _margins(distance: Array, rows: Indices, columns: Indices) -> Array:
    """Return how much farther, in sizes, each of G people would be from their tracks if they had another one, `(G,)`.

    Two may exchange their tracks, somebody new may have the track of another, or somebody may have one that nobody has.

    Args:
        distance: Distances of T tracks from G people in sizes, `(T, G)`.
        rows: Tracks that are assigned.
        columns: People to whom they are assigned.
    """
    own, margin = distance[rows, columns], np.full(distance.shape[1], np.inf)
    new, free = (np.delete(np.arange(n), used) for n, used in zip(distance.shape[::-1], (columns, rows)))
    exchanged = distance[np.ix_(rows, columns)] - own
    exchanged += exchanged.T
    np.fill_diagonal(exchanged, np.inf)
    taken = distance[np.ix_(rows, new)] - own[:, None]
    other = distance[np.ix_(free, columns)] - own
    least = (part.min(axis=0, initial=np.inf) for part in (exchanged, taken.T, other))
    margin[columns] = np.minimum.reduce(list(least))
    known = distance[np.ix_(free, new)] - GATE
    margin[new] = np.minimum(taken.min(axis=0, initial=np.inf), known.min(axis=0, initial=np.inf))
    return margin


def _carried(now: Seen, tracks: Seen, columns: Indices, rows: Indices, frame: int) -> Seen:
    """Return the people of this frame with velocity, size and unseen points carried over from their tracks."""
    gap = (frame - tracks.seen[rows])[:, None, None]
    step = median_over(np.swapaxes(now.points[columns] - tracks.points[rows], -1, -2)) / gap
    before, expected = tracks.velocity[rows], _expected(tracks, frame)[rows]
    now.velocity[columns] = np.where(np.isfinite(step), (before + step) / 2, before)
    now.points[columns] = np.where(np.isfinite(now.points[columns]), now.points[columns], expected)
    now.age[:] = 1
    now.age[columns] += tracks.age[rows]
    known = tracks.size[rows] > 0
    now.size[columns] = np.where(known, (tracks.size[rows] + np.nan_to_num(now.size[columns])) / 2, now.size[columns])
    return now
