"""How far the mean of a metric would move with other sequences: 95% intervals by resampling whole sequences.

Poses of one sequence resemble each other, so their number says little about how well a mean is known; what is drawn
anew, with replacement, is sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit  # scipy.stats has these too, and takes a second to import

Array = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95
LEAST_SEQUENCES = 5  # fewer say nothing of how much they differ
_DRAWS, _AT_A_TIME = 2000, 200


class Bootstrap:
    """Resamples the sequences that poses belong to."""

    def __init__(self, sequences: NDArray[np.integer[Any]], seed: int = 0) -> None:
        """Prepares for poses whose sequences `(N,)` are given by number.

        Args:
            sequences: Any whole numbers.
            seed: Of the draws; the same for all that is to be compared.
        """
        numbers, self.groups = np.unique(sequences, return_inverse=True)
        self.groups = self.groups.ravel()
        self.count = len(numbers)
        self._seed = seed

    def interval(self, values: Array) -> Interval | None:
        """Of the mean of the values `(N,)` that are not NaN; None with fewer than five sequences or without values.

        >>> values = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 100)
        >>> low, high = Bootstrap(np.repeat(np.arange(6), 100)).interval(values)
        >>> round(low, 1), round(high, 1)
        (1.7, 5.2)
        """
        known = np.isfinite(values)
        sums = np.bincount(self.groups, np.where(known, values, 0.0), self.count).astype(np.float64)
        counts = np.bincount(self.groups, known, self.count)
        found = self.intervals(sums[:, None], counts[:, None].astype(np.float64))
        return None if found is None or not np.isfinite(found).all() else (float(found[0, 0]), float(found[1, 0]))

    def intervals(self, sums: Array, counts: Array) -> Array | None:
        """Of the means of M quantities, low and high `(2, M)`, of which each sequence has a sum and a count `(G, M)`.

        NaN for what fewer than five sequences have; None where that is all.

        Percentiles that are widened for few sequences as a t interval is (Hesterberg, The American Statistician 2015).
        """
        used = (counts > 0).any(axis=1)
        if used.sum() < LEAST_SEQUENCES:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.concatenate([(w @ sums[used]) / (w @ counts[used]) for w in self._draws(int(used.sum()))])
            found = np.nanquantile(means, _quantiles(int(used.sum())), axis=0)
        found[:, (counts > 0).sum(axis=0) < LEAST_SEQUENCES] = np.nan
        return np.asarray(found)

    def _draws(self, count: int) -> Iterator[Array]:
        """How often each sequence is drawn, `(draws, count)`, some draws at a time."""
        rng = np.random.default_rng(self._seed)
        for _ in range(_DRAWS // _AT_A_TIME):
            yield rng.multinomial(count, np.full(count, 1 / count), _AT_A_TIME).astype(np.float64)


def _quantiles(count: int) -> tuple[float, float]:
    tail = float(ndtr(np.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 - LEVEL) / 2)))
    return tail, 1 - tail
