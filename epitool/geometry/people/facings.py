"""Which way people face: two who have met are told apart by it, as nobody turns around at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.body.axes import unit_vectors
from epitool.geometry.people.ways import FITTED, GAPS, pairs_apart, windows_of

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_MOST_KEPT = 0.97  # of a mean cosine: somebody whose sides were exchanged seems to face the other way


@dataclass(frozen=True, eq=False)
class Facings:
    """Which way people face where Q pieces of their tracks begin and end.

    Attributes:
        begin: Directions from right to left, of length one, `(Q, 3)`; NaN where unknown.
        end: The same at the ends.
        gaps: Frames after which it was measured how far people have turned, `(G,)`, increasing.
        kept: Mean cosine of the angles by which they have, `(G,)`.
    """

    begin: Array
    end: Array
    gaps: Array
    kept: Array

    def odds(self, before: Indices, after: int, gap: Array) -> Array:
        """Return the log odds `(S,)` that somebody faces as they do after a gap because they did before.

        Angles have a wrapped Cauchy distribution (Mardia and Jupp, Directional Statistics, 2000, chapter 3), for
        anybody a uniform one. The odds are even where a direction is unknown, and after longer gaps than were measured.

        Args:
            before: Pieces that end, `(S,)`.
            after: Piece that begins.
            gap: Frames between, `(S,)`.
        """
        if not len(self.gaps):
            return np.zeros(len(before))
        kept = np.interp(np.log(np.maximum(gap, 1)), np.log(self.gaps), self.kept, right=0.0)
        density = (1 - kept**2) / (1 + kept**2 - 2 * kept * (self.end[before] @ self.begin[after]))
        return np.nan_to_num(np.log(density))


def measure_facings(parts: Sequence[Indices], frames: Indices, across: Array) -> Facings:
    """Return which way people face at the beginning and end of each part, and for how long they do.

    Args:
        parts: Sightings of one person each, in the order of their frames.
        frames: Frames of all sightings, `(N,)`.
        across: From everyone's right to their left, `(N, 3)`; NaN where unknown.
    """
    way = unit_vectors(across)
    runs = [part[np.isfinite(way[part]).all(axis=1)] for part in parts]
    begin, end = (
        unit_vectors(np.array([way[run[some]].sum(axis=0) for run in runs]).reshape(-1, 3))
        for some in (slice(FITTED), slice(-FITTED, None))
    )
    windows, run_of = windows_of(runs)
    usual = unit_vectors(way[windows].sum(axis=1))
    first, last = frames[windows[:, [0, -1]].T].astype(np.float64)
    found = [(gap, pairs_apart(gap, first, last, run_of)) for gap in GAPS]
    kept = {gap: (usual[pairs[0]] * usual[pairs[1]]).sum(axis=1).mean() for gap, pairs in found if pairs}
    return Facings(begin, end, np.array(list(kept), float), np.clip(list(kept.values()), 0.0, _MOST_KEPT))
