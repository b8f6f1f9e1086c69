"""Several people a view: each followed through time by the image alone, and the one who moves most chosen.

Views need not be calibrated. Everything here is the same for a person and for their mirror image, since detectors
exchange left and right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_GATE = 1.0  # farthest step from where a person is expected, in sizes: half a metre on an upright adult
_GATE_GROWTH = 0.2  # and for every further frame of a gap
_WIDEST_GATE = 1.8
_FARTHEST = 2.0  # sizes by which a single point can be off: a gross error must not decide
_TOUCHING = 0.6  # two people nearer than this, in sizes, may be mistaken for each other
_REMEMBERED = 5.0  # frames after which someone unseen is no longer expected to have moved on
_PART = 100_000  # sightings measured at a time
_CLIP = 3.0  # standard deviations
_FORBIDDEN = 1e3  # far above any distance, yet finite: an assignment always exists
_LEAST_SWING = 0.25  # of the deviation
_LEGS = ("left_knee", "left_ankle")


def median_over(values: Array) -> Array:
    """Median over the last axis without NaN, the lower one of two; NaN where there is nothing."""
    ordered = np.sort(values, axis=-1)  # NaN last
    middle = np.maximum(np.isfinite(values).sum(axis=-1) - 1, 0) // 2
    return np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]


def mean_over(values: Array) -> Array:
    """Mean over the second axis without NaN; NaN where there is nothing."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def centers_and_sizes(points: Array) -> tuple[Array, Array]:
    """Median `(..., D)` of points `(..., M, D)`, and twice their median distance from it `(...)`: half a stature."""
    center = median_over(np.swapaxes(points, -1, -2))
    return center, 2 * median_over(np.linalg.norm(points - center[..., None, :], axis=-1))


@dataclass(frozen=True)
class _Tracks:
    """People under way, T of them: where each was last seen, its speed per frame, and when that was."""

    names: Indices
    points: Array
    velocity: Array
    size: Array
    seen: Indices

    def expected(self, frame: int) -> Array:
        gap = np.minimum(frame - self.seen, _REMEMBERED)
        return self.points + (self.velocity * gap[:, None])[:, None]

    def select(self, chosen: NDArray[np.bool_]) -> _Tracks:
        return _Tracks(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def joined(self, other: _Tracks) -> _Tracks:
        return _Tracks(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__dataclass_fields__))


def link(points: Array, frames: Indices, *, bridge: int, cut: bool) -> Indices:
    """Which track each of N sightings belongs to, numbered from 0; -1 where a sighting has no points.

    Frame by frame, tracks are assigned to sightings at the least sum of distances (Hungarian method), a distance being
    the mean over the points, relative to the person's size, from where a constant velocity leads.

    Args:
        points: Points of each sighting `(N, M, D)`, NaN where missing.
        frames: Frame of each sighting `(N,)`, in any order.
        bridge: Frames that a track outlives without being seen.
        cut: End tracks where people touch, rather than risk that they take each other's name.
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
        if cut:
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
    """Indices `(n,)` of each track's sightings in their order, from the names `(N,)` that `link` gives.

    >>> [of_track.tolist() for of_track in sightings_of(np.array([1, -1, 0, 1]))]
    [[2], [0, 3]]
    """
    order = np.argsort(names, kind="stable")
    return np.split(order, np.searchsorted(names[order], np.arange(names.max(initial=-1) + 1)))[1:]


def _started(points: Array, size: Array, frame: int) -> _Tracks:
    count = len(points)
    return _Tracks(np.full(count, -1), points.copy(), np.zeros_like(points[:, 0]), size.copy(), np.full(count, frame))


def _carry(found: _Tracks, before: _Tracks, columns: Indices, rows: Indices, frame: int) -> None:
    """Hands speed, size and unseen points from the tracks before to the same people just found."""
    gap = (frame - before.seen[rows])[:, None]
    step = median_over(np.swapaxes(found.points[columns] - before.points[rows], -1, -2)) / gap
    found.velocity[columns] = np.where(np.isfinite(step), (before.velocity[rows] + step) / 2, before.velocity[rows])
    expected = before.expected(frame)[rows]
    found.points[columns] = np.where(np.isfinite(found.points[columns]), found.points[columns], expected)
    found.size[columns] = (before.size[rows] + found.size[columns]) / 2


def _assign(tracks: _Tracks, points: Array, size: Array, frame: int) -> tuple[Indices, Indices]:
    """Pairs of track and sighting that belong together."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and only several people need it

    if not len(tracks.names):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    distance = _mean_distance(tracks.expected(frame)[:, None], points, (tracks.size[:, None] + size) / 2)
    gate = np.minimum(_GATE + _GATE_GROWTH * (frame - tracks.seen - 1), _WIDEST_GATE)
    allowed = distance < gate[:, None]
    rows, columns = linear_sum_assignment(np.where(allowed, distance, _FORBIDDEN))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def _touching(tracks: _Tracks, found: _Tracks, frame: int) -> NDArray[np.bool_]:
    """Tracks `(T,)` whose person may now be another: near two sightings, or with another track near the same one."""
    size = (tracks.size[:, None] + found.size) / 2
    near = _mean_distance(tracks.expected(frame)[:, None], found.points, size) < _TOUCHING
    contested = near.sum(axis=0) > 1
    return (near.sum(axis=1) > 1) | (near & contested).any(axis=1)


def _mean_distance(a: Array, b: Array, size: Array) -> Array:
    """Mean distance of points `(..., M, D)` in sizes `(...)`, each capped; infinite where none is in both."""
    distance = np.linalg.norm(a - b, axis=-1) / size[..., None]
    shared = np.isfinite(distance)
    total = np.where(shared, np.minimum(distance, _FARTHEST), 0.0).sum(axis=-1)
    return np.where(shared.any(axis=-1), total / np.maximum(shared.sum(axis=-1), 1), np.inf)


def limb_motion(xy: Array, skeleton: Skeleton) -> tuple[Array, Array]:
    """What the limbs do, `(C, K, 2)` in sizes, and the legs' part of it.

    Of every pair of joints: where its middle lies from the body's centre, and how far left and right are apart. In a
    skeleton that does not name sides, every joint stands for a pair.
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
    """How much legs `(N, K, 2)` move over time, in sizes: mean over their joints of the median deviation, less noise.

    The noise is what successive frames differ by beyond a steady motion: a detector's jitter on someone who stands
    still must not count. Few frames a second make a walk look like noise, so that some of it counts in any case.
    """
    series = legs.reshape(len(legs), -1).T
    if len(legs) < 3:
        return 0.0
    deviation = median_over(np.abs(series - median_over(series)[:, None]))
    noise = median_over(np.abs(np.diff(series, n=2))) / np.sqrt(6)
    return float(np.nan_to_num(np.maximum(deviation - noise, _LEAST_SWING * deviation)).mean())


def agreement(a: Array, b: Array) -> float:
    """Mean correlation over time of what limbs do up and down in two views, `(N, K)` each; 0 where not measurable."""
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
    """Columns `(N, K)` without offset and in robust standard deviations, clipped; 0 where missing."""
    centered = values - median_over(values.T)
    spread = 1.4826 * median_over(np.abs(centered).T)
    return np.nan_to_num(np.clip(centered / np.where(spread > 0, spread, np.inf), -_CLIP, _CLIP))
