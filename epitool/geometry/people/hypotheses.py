"""Which pieces of tracks are one person's: the likeliest division of all of them among people.

Pieces are taken in the order of time. Each may be any person so far or somebody new, and what is likely is only known
when more has been seen, so the likeliest hypotheses about all pieces so far are kept, as in tracking with multiple
hypotheses (Reid, 1979).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_KEPT = 30  # hypotheses
_NEW = -2.0  # log odds that somebody is new, rather than any one of those who are out of sight
_STATURE, _PROPORTION = 0.06, 0.03  # standard deviations of log lengths among people, of all bones together and of each


class _States(NamedTuple):
    """People as some hypothesis has them, S of them; the first stands for nobody yet.

    Attributes:
        weight: Sums of weights of their bones, `(S, B)`; see `_body_evidence`.
        total: Sums of weighted log lengths, `(S, B)`.
        evidence: Evidence of their bones, `(S,)`.
        last: The last of their pieces, `(S,)`.
        node: Number of the last of their pieces in their history, `(S,)`.
    """

    weight: Array
    total: Array
    evidence: Array
    last: Indices
    node: Indices

    def select(self, chosen: Indices) -> _States:
        """Return some of them."""
        return _States._make(part[chosen] for part in self)

    def joined(self, other: _States) -> _States:
        """Return these and others."""
        return _States._make(np.concatenate(parts) for parts in zip(self, other, strict=True))


class _History:
    """The pieces of every state, each with the one before it."""

    def __init__(self) -> None:
        self.piece, self.before = [-1], [-1]

    def add(self, piece: int, before: Indices) -> Indices:
        """Return the numbers `(n,)` of a piece after each of these numbers."""
        self.piece += [piece] * len(before)
        self.before += before.tolist()
        return np.arange(len(self.piece) - len(before), len(self.piece))

    def pieces(self, node: int) -> list[int]:
        """Return a piece and all before it."""
        found = []
        while node > 0:
            found.append(self.piece[node])
            node = self.before[node]
        return found


def divide_pieces(weight: Array, total: Array, odds_of: Callable[[Indices, int], Array]) -> Indices:
    """Return the person of each of Q pieces in the order of time, `(Q,)`, numbered from 0.

    Args:
        weight: Weights of the pieces' bones, `(Q, B)`; see `_body_evidence`.
        total: Their weighted log lengths, `(Q, B)`.
        odds_of: Given pieces `(S,)` and a later one, returns the log odds `(S,)` that somebody goes on from the former
            to the latter, by where and when they are; minus infinity where nobody can.
    """
    nobody, alone, history = np.zeros((1, weight.shape[1])), _body_evidence(weight, total), _History()
    states = _States(nobody, nobody, np.zeros(1), np.full(1, -1), np.zeros(1, dtype=np.intp))
    score, people = np.zeros(1), np.zeros((1, 0), dtype=np.intp)  # of each hypothesis; people are numbers of states
    for q in range(len(weight)):
        new = _grown(states, q, weight[q], total[q])
        gain = new.evidence - states.evidence - alone[q]
        gain[1:] += odds_of(states.last[1:], q)
        hypothesis, person, score = _likeliest(score, people, gain)
        people = np.pad(people[hypothesis], ((0, 0), (0, 1)))
        own = np.arange(len(people)), person
        changed, place = np.unique(people[own], return_inverse=True)
        people[own] = len(gain) + place
        new = new.select(changed)._replace(node=history.add(q, states.node[changed]))
        alive = np.unique(np.append(0, people))
        states = states.joined(new).select(alive)
        people = np.searchsorted(alive, people[:, people.any(axis=0)])
    person_of = np.full(len(weight), -1)
    for number, state in enumerate(people[0].tolist()):
        person_of[history.pieces(states.node[state])] = number
    return person_of


def _grown(states: _States, piece: int, weight: Array, total: Array) -> _States:
    """Return the people if each of them had this piece as well, with these bones `(B,)`."""
    weight, total = states.weight + weight, states.total + total
    return _States(weight, total, _body_evidence(weight, total), np.full(len(weight), piece), states.node)


def _likeliest(score: Array, people: Indices, gain: Array) -> tuple[Indices, Indices, Array]:
    """Return the likeliest hypotheses one piece later: numbers of those before, who has the piece, and log odds.

    Args:
        score: Log odds of H hypotheses, `(H,)`.
        people: States of K people in each, `(H, K)`; 0 for nobody.
        gain: Log odds that each of S states has the piece, `(S,)`; the first is nobody. Somebody new is person K.
    """
    known = np.where(people > 0, gain[people], -np.inf)
    new = _NEW + np.log(np.maximum(np.isfinite(known).sum(axis=1, keepdims=True), 1))
    options = score[:, None] + np.concatenate([known, new], axis=1)
    best = np.argsort(-options, axis=None, kind="stable")[:_KEPT]
    best = best[np.isfinite(options.flat[best])]
    return *np.divmod(best, options.shape[1]), options.flat[best]


def _body_evidence(weight: Array, total: Array) -> Array:
    """Return the log likelihood `(...)` of measured bones if one body has them, but for a constant of each measurement.

    The likelihood of two pieces of a track as one body, less those of each as a body of its own, are the log odds that
    they are one person's. Log lengths of a body are the usual ones plus one normal deviation common to all bones and
    one of each.

    Args:
        weight: Sums of the weights (inverse variances) of measured log lengths, `(..., B)`; 0 where none is measured.
        total: Sums of weighted log lengths, as deviations from the usual ones, `(..., B)`.
    """
    shrunk = 1 + weight * _PROPORTION**2
    each = ((_PROPORTION * total) ** 2 / shrunk - np.log(shrunk)).sum(axis=-1)
    weights = 1 + _STATURE**2 * (weight / shrunk).sum(axis=-1)
    common = (_STATURE * (total / shrunk).sum(axis=-1)) ** 2 / weights - np.log(weights)
    return 0.5 * (each + common)
