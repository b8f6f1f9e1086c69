"""People who are known by all of their pieces: those who are one are joined, and those who cannot be are nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.likeness import CLEAR, IMPOSSIBLE, Scene, compare_bones, compare_places
from epitool.geometry.people.pieces import Pieces
from epitool.geometry.people.tracking import median_over

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_IMPOSSIBLE_SIZE, _IMPOSSIBLE_PROPORTIONS = 0.7, 0.3  # log lengths: half or double, and a third more or less
_REUNITED = 150  # people with most sightings, who are compared with each other in the end
_FAR = 1 << 30  # frames
_SPAN = ("first", "last", "begin", "end", "since", "until")


def reunited(person_of: Indices, pieces: Pieces, scene: Scene) -> Indices:
    """Return the people of pieces `(Q,)`, those joined who are clearly one now that all is known of them.

    Two are one if the odds are clear, and clearly better than those of either with anybody who is there at the same
    time as the other.
    """
    own = person_of.copy()
    most = np.argsort(-np.bincount(own[own >= 0], pieces.sightings[own >= 0]), kind="stable")[:_REUNITED]
    spans = [_Spans.of(own == person, pieces) for person in most]
    weighted = [np.nan_to_num(values / pieces.variance) for values in (pieces.bones, np.ones_like(pieces.bones))]
    total, weight = (np.stack([of[own == person].sum(axis=0) for person in most]) for of in weighted)
    odds = np.full((len(most), len(most)), IMPOSSIBLE)
    apart = np.zeros(odds.shape, dtype=bool)
    for i in range(len(most)):
        _compare(i, odds, apart, spans, total, weight, scene)
    while True:
        i, j = divmod(int(odds.argmax()), len(odds))
        if odds[i, j] <= CLEAR:
            return own
        rivals = np.append(odds[i, ~apart[j]], odds[j, ~apart[i]])
        if odds[i, j] - rivals.max(initial=0.0) <= CLEAR:
            odds[i, j] = odds[j, i] = 0.0  # who it is cannot be told
            continue
        own[own == most[j]] = most[i]
        spans[i] = spans[i].joined(spans[j])
        total[i], weight[i] = total[i] + total[j], weight[i] + weight[j]
        odds[j], odds[:, j], apart[j], apart[:, j] = IMPOSSIBLE, IMPOSSIBLE, True, True
        weight[j], spans[j] = 0.0, _Spans.of(np.zeros(len(own), dtype=bool), pieces)
        _compare(i, odds, apart, spans, total, weight, scene)


def possible(own: Indices, pieces: Pieces) -> Indices:
    """Return the people of pieces `(Q,)`, -1 for those whose bones are nobody's, against the usual ones of the scene.

    Parts of several people, who were matched by chance, make bodies of impossible size or proportions.
    """
    if not pieces.bones.size:
        return own
    usual = median_over(pieces.bones[own >= 0].T)
    out = own.copy()
    for person in np.unique(own[own >= 0]):
        off = median_over((pieces.bones[own == person] - usual).T)
        off = off[np.isfinite(off)]
        if len(off):
            size = float(np.median(off))
            if abs(size) > _IMPOSSIBLE_SIZE or np.abs(off - size).mean() > _IMPOSSIBLE_PROPORTIONS:
                out[own == person] = -1
    return out


def _compare(
    i: int, odds: Array, apart: NDArray[np.bool_], spans: list[_Spans], total: Array, weight: Array, scene: Scene
) -> None:
    """Write the odds of one person with all others, and whether they are never there together, in place."""
    with np.errstate(divide="ignore", invalid="ignore"):
        own, other = total[i] / weight[i], total / weight
        bones = compare_bones(own - other, 1 / weight[i] + 1 / weight + 2 * scene.bias**2)
    apart[i] = apart[:, i] = [j != i and spans[i].apart_from(spans[j]) for j in range(len(spans))]
    places = np.array(
        [compare_places(*spans[i].step_to(spans[j]), scene) if apart[i, j] else 0.0 for j in range(len(spans))]
    )
    there = apart[i] & (weight > 0).any(axis=1)
    odds[i] = odds[:, i] = np.where(there, bones + places, IMPOSSIBLE)


@dataclass(frozen=True, eq=False)
class _Spans:
    """When somebody is there, in the order of time: first and last frames, places of both, and their frames."""

    first: Indices
    last: Indices
    begin: Array
    end: Array
    since: Indices
    until: Indices

    @classmethod
    def of(cls, mine: NDArray[np.bool_], pieces: Pieces) -> _Spans:
        """Return the spans of some pieces."""
        return cls(*(getattr(pieces, name)[mine] for name in _SPAN))

    def joined(self, other: _Spans) -> _Spans:
        """Return the spans of both."""
        order = np.argsort(np.concatenate([self.first, other.first]), kind="stable")
        return _Spans(*(np.concatenate([getattr(self, name), getattr(other, name)])[order] for name in _SPAN))

    def apart_from(self, other: _Spans) -> bool:
        """Return whether no span overlaps any of the other's."""
        after = np.searchsorted(self.first, other.last, side="right")
        return bool((np.append(-1, self.last)[after] < other.first).all())

    def step_to(self, other: _Spans) -> tuple[Array, Indices]:
        """Return the step `(3,)` over the shortest gap between both, and its number of frames."""
        steps = [(int(b.since[0] - a.until[-1]), b.begin[0] - a.end[-1]) for a, b in ((self, other), (other, self))]
        ahead = [step for step in steps if step[0] > 0] or [(_FAR, np.full(3, np.nan))]
        gap, step = min(ahead, key=lambda each: each[0])
        return step, np.array(gap)
