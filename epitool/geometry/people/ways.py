"""How people move: where somebody who is out of sight for a while is after it, measured where nobody is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
FITTED = 4  # sightings that tell where somebody is and goes
GAPS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # frames
_LEAST = 30  # measurements of a gap
_SAMPLED = 50_000  # sightings that are looked at
_ROUGH = 0.2  # sizes; places where people meet are no better
_FREEDOM = 3  # degrees of freedom of the Student distribution: few go where nobody would expect them
_ROUNDS = 5


class Moments(NamedTuple):
    """Where people are at some moments, and where they go.

    Attributes:
        place: Places `(..., 3)`.
        velocity: Motion by frame, `(..., 3)`.
        frame: Frames `(...)`.
    """

    place: Array
    velocity: Array
    frame: Array

    def take(self, chosen: Indices | int) -> Moments:
        """Return some of them."""
        return Moments(*(values[chosen] for values in self))


def fit_moments(frames: Array, places: Array, at: int) -> Moments:
    """Return the moment with index `at`, 0 or -1, on the straight line through places `(..., n, 3)` in `(..., n)`."""
    since = frames - frames.mean(axis=-1, keepdims=True)
    squares = np.maximum((since**2).sum(axis=-1), 0.5)  # of two neighbouring frames; a single place has no velocity
    velocity = (since[..., None] * places).sum(axis=-2) / squares[..., None]
    return Moments(places.mean(axis=-2) + velocity * since[..., at, None], velocity, frames[..., at])


@dataclass(frozen=True, eq=False)
class Ways:
    """How people move in a scene, in its unit.

    Attributes:
        gaps: Frames for which somebody was out of sight, `(G,)`, increasing.
        kept: Share of the way at the velocities before and after the gap by which they have moved, `(G,)`.
        spread: Covariances of where they are, from there, `(G, 3, 3)`.
        anywhere: Covariance of the step from one person's place to another's, `(3, 3)`.
    """

    gaps: Array
    kept: Array
    spread: Array
    anywhere: Array

    def odds(self, before: Moments, after: Moments) -> Array:
        """Return the log odds `(...)` that somebody has come from one moment to the other, not anybody from anywhere.

        After gaps longer than any that was measured, people may be anywhere.
        """
        gap = np.maximum(after.frame - before.frame, 1)
        near = np.interp(np.log(gap), np.log(self.gaps), np.arange(len(self.gaps)))
        low = near.astype(np.intp)
        share, high = near - low, np.minimum(low + 1, len(self.gaps) - 1)
        kept = (1 - share) * self.kept[low] + share * self.kept[high]
        spread = (1 - share)[..., None, None] * self.spread[low] + share[..., None, None] * self.spread[high]
        most = np.trace(self.anywhere) / np.trace(self.spread[-1])
        longer = np.clip(gap / self.gaps[-1], 1, max(most, 1))
        step = after.place - before.place
        way = (kept * gap / longer)[..., None] * (before.velocity + after.velocity) / 2
        return _log_density(step - way, longer[..., None, None] * spread) - _log_density(step, self.anywhere)


def measure_ways(runs: Sequence[Indices], frames: Indices, centers: Array, size: float) -> Ways:
    """Measure how people move while they are in sight.

    Args:
        runs: Sightings of one person each, in the order of their frames.
        frames: Frames of all sightings, `(N,)`.
        centers: Their places `(N, 3)`; those of the runs are known.
        size: Usual size of a person.
    """
    known = centers[np.isfinite(centers).all(axis=1)]
    anywhere = 2 * np.cov(known.T) + (_ROUGH * size) ** 2 * np.eye(3) if len(known) > 1 else np.eye(3)
    windows, run_of = windows_of(runs)
    before, after = (fit_moments(frames[windows].astype(np.float64), centers[windows], at) for at in (-1, 0))
    found = [_measure_gap(gap, before, after, run_of) for gap in GAPS]
    measured = [(gap, *each) for gap, each in zip(GAPS, found) if each] or [(1, 0.0, anywhere)]
    gaps, kept, spread = (np.array(values, dtype=np.float64) for values in zip(*measured))
    return Ways(gaps, kept, spread + (_ROUGH * size) ** 2 * np.eye(3), anywhere)


def windows_of(runs: Sequence[Indices]) -> tuple[Indices, Indices]:
    """Return successive sightings in some long runs, `(n, FITTED)`, and the numbers of their runs, `(n,)`."""
    long = [run for run in runs if len(run) > 2 * FITTED]
    some = [run[:_SAMPLED] for run in long[:: 1 + sum(map(len, long)) // _SAMPLED]]
    if not some:
        return np.empty((0, FITTED), dtype=np.intp), np.empty(0, dtype=np.intp)
    index, number = np.concatenate(some), np.repeat(np.arange(len(some)), [len(run) for run in some])
    windows, runs_of = (np.lib.stride_tricks.sliding_window_view(of, FITTED) for of in (index, number))
    return windows[whole := runs_of[:, 0] == runs_of[:, -1]], runs_of[whole, 0]


def pairs_apart(gap: int, first: Array, last: Array, run_of: Indices) -> tuple[Indices, Indices] | None:
    """Return the pairs of windows of one run between which a gap lies; None if there are too few.

    Args:
        gap: Frames from the last one of a window to the first one of another.
        first: First frame of each window `(n,)`.
        last: Last frame of each.
        run_of: Run of each, as from `windows_of`.
    """
    if not len(run_of):
        return None
    span = int(first.max()) + 1 + gap + FITTED
    begin, end = run_of * span + first, run_of * span + last
    place = np.minimum(np.searchsorted(begin, end + gap), len(begin) - 1)
    found = begin[place] == end + gap
    return (np.flatnonzero(found), place[found]) if found.sum() >= _LEAST else None


def _measure_gap(gap: int, before: Moments, after: Moments, run_of: Indices) -> tuple[float, Array] | None:
    """Return `Ways.kept` and `Ways.spread` of a gap; None if there are too few of it."""
    pairs = pairs_apart(gap, after.frame, before.frame, run_of)
    if pairs is None:
        return None
    one, other = before.take(pairs[0]), after.take(pairs[1])
    step, way = other.place - one.place, gap * (one.velocity + other.velocity) / 2
    kept = float(np.clip((step * way).sum() / max((way**2).sum(), 1e-300), 0, 1))
    return kept, _scatter(step - kept * way)


def _scatter(off: Array) -> Array:
    """Return the scale `(3, 3)` of a Student distribution of offsets `(n, 3)` from zero, which few large ones widen."""
    scatter = off.T @ off / len(off)
    for _ in range(_ROUNDS):
        scatter = scatter + 1e-9 * (np.trace(scatter) + 1e-300) * np.eye(3)
        weight = (_FREEDOM + 3) / (_FREEDOM + _squared(off, scatter))
        scatter = (weight[:, None] * off).T @ off / len(off)
    return scatter


def _log_density(off: Array, scale: Array) -> Array:
    """Return the log density `(...)` of a Student distribution at offsets `(..., 3)`, but for a constant."""
    tail = (_FREEDOM + 3) / 2 * np.log1p(_squared(off, scale) / _FREEDOM)
    return -tail - np.linalg.slogdet(scale)[1] / 2


def _squared(off: Array, scale: Array) -> Array:
    return np.einsum("...i,...ij,...j->...", off, np.linalg.inv(scale), off)
