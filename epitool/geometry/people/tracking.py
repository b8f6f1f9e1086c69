"""Tracking several people through the images of one view, and measures of how they move.

Views need not be calibrated. All results are the same for a person and for their mirror image, since detectors swap
left and right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
GATE = 1.0  # largest step from the predicted position, in sizes: half a metre on an upright adult
_GATE_GROWTH = 0.2  # added for every further frame of a gap
_WIDEST_GATE = 1.8
_FARTHEST = 2.0  # sizes; caps the distance of a single point so that a gross error does not decide
TOUCHING = 0.6  # in sizes; people nearer than this may be mistaken for each other
REMEMBERED = 5.0  # frames without a sighting after which a person is predicted to stand still
_PART = 100_000  # sightings processed at a time
_CLIP = 3.0  # standard deviations
_FORBIDDEN = 1e3  # far above any distance, yet finite so that an assignment always exists
_LEAST_SWING = 0.25  # of the deviation, which counts however noisy it looks
_LEGS = ("left_knee", "left_ankle")


def median_over(values: Array) -> Array:
    """Return the median over the last axis without NaN, the lower of two middle values; NaN where all are NaN."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    middle = np.maximum(np.isfinite(values).sum(axis=-1) - 1, 0) // 2
    return np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]


def centers_and_sizes(points: Array) -> tuple[Array, Array]:
    """Return the median `(..., D)` of points `(..., M, D)`, and twice their median distance from it `(...)`.

    The latter is about half a stature and serves as the unit "size" of a person.
    """
    center = median_over(np.swapaxes(points, -1, -2))
    return center, 2 * median_over(np.linalg.norm(points - center[..., None, :], axis=-1))


class _Tracks(NamedTuple):
    """State of T open tracks: where and when each was last seen, and its velocity per frame."""

    names: Indices
    points: Array
    velocity: Array
    size: Array
    seen: Indices

    def expected(self, frame: int) -> Array:
        gap = np.minimum(frame - self.seen, REMEMBERED)
        return self.points + (self.velocity * gap[:, None])[:, None]

    def select(self, chosen: NDArray[np.bool_]) -> _Tracks:
        return _Tracks._make(part[chosen] for part in self)

    def joined(self, other: _Tracks) -> _Tracks:
        return _Tracks._make(np.concatenate(parts) for parts in zip(self, other, strict=True))


def link_sightings(points: Array, frames: Indices, *, bridge: int) -> Indices:
    """Return the track of each of N sightings, numbered from 0; -1 where a sighting has no points.

    Frame by frame, tracks are assigned to sightings with the least sum of distances (Hungarian method). The distance is
    the mean over the points from the prediction by constant velocity, relative to the person's size. Tracks end where
    people touch, so that they cannot be confused.

    Args:
        points: Points of each sighting `(N, M, D)`, NaN where missing.
        frames: Frame of each sighting `(N,)`, in any order.
        bridge: Number of frames that a track may go unseen.
    """
    names = np.full(len(points), -1)
    parts = np.split(points, np.arange(_PART, len(points), _PART))
    size = np.concatenate([centers_and_sizes(part)[1] for part in parts])
    usable = np.isfinite(size) & (size > 0)
    none = np.zeros(0, dtype=np.intp)
    tracks, following = _Tracks(none, points[:0], points[:0, 0], size[:0], none), 0
    order = np.argsort(frames, kind="stable")
    starts = np.flatnonzero(np.diff(frames[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        group = group[usable[group]]
        if not len(group):
            continue
        frame = int(frames[group[0]])
        tracks = tracks.select(frame - tracks.seen <= bridge + 1)
        found = _started(points[group], size[group], frame)
        tracks = tracks.select(~_touching(tracks, found, frame))
        rows, columns = _assign(tracks, points[group], size[group], frame)
        found.names[columns] = tracks.names[rows]
        new = found.names < 0
        found.names[new] = following + np.arange(new.sum())
        following += int(new.sum())
        _carry(found, tracks, columns, rows, frame)
        rest = np.ones(len(tracks.names), dtype=bool)
        rest[rows] = False
        tracks = tracks.select(rest).joined(found)
        names[group] = found.names
    return names


def sightings_of(names: Indices) -> list[Indices]:
    """Return the indices `(n,)` of each track's sightings in their order, from the names `(N,)` of `link_sightings`.

    >>> [of_track.tolist() for of_track in sightings_of(np.array([1, -1, 0, 1]))]
    [[2], [0, 3]]
    """
    order = np.argsort(names, kind="stable")
    return np.split(order, np.searchsorted(names[order], np.arange(names.max(initial=-1) + 1)))[1:]


def _started(points: Array, size: Array, frame: int) -> _Tracks:
    count = len(points)
    return _Tracks(np.full(count, -1), points.copy(), np.zeros_like(points[:, 0]), size.copy(), np.full(count, frame))


def _carry(found: _Tracks, before: _Tracks, columns: Indices, rows: Indices, frame: int) -> None:
    """Update velocity, size and unseen points of people just found from their tracks before, in place."""
    gap = (frame - before.seen[rows])[:, None]
    step = median_over(np.swapaxes(found.points[columns] - before.points[rows], -1, -2)) / gap
    found.velocity[columns] = np.where(np.isfinite(step), (before.velocity[rows] + step) / 2, before.velocity[rows])
    expected = before.expected(frame)[rows]
    found.points[columns] = np.where(np.isfinite(found.points[columns]), found.points[columns], expected)
    found.size[columns] = (before.size[rows] + found.size[columns]) / 2


def _assign(tracks: _Tracks, points: Array, size: Array, frame: int) -> tuple[Indices, Indices]:
    """Return the rows of tracks and of sightings that belong together."""
    if not len(tracks.names):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    distance = _mean_distance(tracks.expected(frame)[:, None], points, (tracks.size[:, None] + size) / 2)
    return assign_tracks(distance, frame - tracks.seen)


def assign_tracks(distance: Array, since: Indices, handicap: Array | None = None) -> tuple[Indices, Indices]:
    """Return the rows of tracks and of people that belong together: least sum of distances (Hungarian method).

    Args:
        distance: Distances of T tracks from G people in sizes, `(T, G)`.
        since: Frames since each track was seen, `(T,)`.
        handicap: What is added to the distances of each track, `(T,)`, so that others come first; not at all if None.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed only with several people

    gate = np.minimum(GATE + _GATE_GROWTH * (since - 1), _WIDEST_GATE)
    allowed = distance < gate[:, None]
    cost = distance if handicap is None else distance + handicap[:, None]
    rows, columns = linear_sum_assignment(np.where(allowed, cost, _FORBIDDEN))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def _touching(tracks: _Tracks, found: _Tracks, frame: int) -> NDArray[np.bool_]:
    """Return which tracks `(T,)` may be confused: near two sightings, or near one that another track is near too."""
    size = (tracks.size[:, None] + found.size) / 2
    near = _mean_distance(tracks.expected(frame)[:, None], found.points, size) < TOUCHING
    contested = near.sum(axis=0) > 1
    return (near.sum(axis=1) > 1) | (near & contested).any(axis=1)


def _mean_distance(a: Array, b: Array, size: Array) -> Array:
    """Return the mean capped distance of points `(..., M, D)` in sizes `(...)`; infinite where they share none."""
    distance = np.linalg.norm(a - b, axis=-1) / size[..., None]
    shared = np.isfinite(distance)
    total = np.where(shared, np.minimum(distance, _FARTHEST), 0.0).sum(axis=-1)
    return np.where(shared.any(axis=-1), total / np.maximum(shared.sum(axis=-1), 1), np.inf)


def limb_motion(xy: Array, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return positions of the limbs `(C, K, 2)` in sizes, and those of the legs alone.

    For every pair of left and right joints these are the offset of the midpoint from the body's centre and the absolute
    difference of the two, which do not change if sides are swapped. In a skeleton without sides, every joint is a pair.
    """
    points = midline(xy, skeleton)
    center, size = centers_and_sizes(points)
    size = np.where(size > 0, size, np.nan)[:, None]

    def of(pairs: list[tuple[int, int]]) -> Array:
        middle = [((xy[:, a] + xy[:, b]) / 2 - center) / size for a, b in pairs]
        apart = [np.abs(xy[:, a] - xy[:, b]) / size for a, b in pairs]
        return np.stack(middle + apart, axis=1)

    pairs = list(skeleton.flip_pairs) or [(j, j) for j in range(len(skeleton))]
    legs = [pair for pair in pairs if skeleton.joints[pair[0]] in _LEGS]
    return of(pairs), of(legs or pairs)


def swing(legs: Array) -> float:
    """Return how much legs `(N, K, 2)` move over time, in sizes: mean over joints of the median deviation, less noise.

    The noise is measured by second differences, which are zero for steady motion, so that a detector's jitter on
    someone who stands still does not count. At low frame rates a walk looks like noise, so a share of the deviation
    always counts.
    """
    series = legs.reshape(len(legs), -1).T
    if len(legs) < 3:
        return 0.0
    deviation = median_over(np.abs(series - median_over(series)[:, None]))
    noise = median_over(np.abs(np.diff(series, n=2))) / np.sqrt(6)  # the second difference has 6 x variance
    return float(np.nan_to_num(np.maximum(deviation - noise, _LEAST_SWING * deviation)).mean())


def correlate_limbs(a: Array, b: Array) -> float:
    """Return the mean correlation over time of limb heights in two views, `(N, K)` each; 0 where not measurable."""
    both = np.isfinite(a) & np.isfinite(b)
    x, y = (standardized(np.where(both, values, np.nan)) for values in (a, b))
    count = both.sum(axis=0)
    enough = count >= 3
    if not enough.any():
        return 0.0
    product = (x * y).sum(axis=0)[enough]
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))[enough]
    return float((product / np.where(norm > 0, norm, np.inf)).mean())


def standardized(values: Array) -> Array:
    """Return the columns `(N, K)` centred, in robust standard deviations and clipped; 0 where missing."""
    centered = values - median_over(values.T)
    spread = 1.4826 * median_over(np.abs(centered).T)  # MAD to standard deviation of a normal distribution
    return np.nan_to_num(np.clip(centered / np.where(spread > 0, spread, np.inf), -_CLIP, _CLIP))
