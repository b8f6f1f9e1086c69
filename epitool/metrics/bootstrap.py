"""Confidence intervals of metrics by resampling whole sequences (95%).

Poses of one sequence resemble each other, so their number says little about how well a mean is known. Therefore
sequences are drawn, with replacement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit  # scipy.stats has these too, but takes a second to import

Array = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95
LEAST_SEQUENCES = 5  # with fewer their variance cannot be estimated
_DRAWS, _AT_A_TIME = 2000, 200
_MOST_KEPT = 1000  # sequences whose draws are kept for the next metric; those of many would fill the memory


class Bootstrap:
    """Bootstrap over the sequences that poses belong to."""

    def __init__(self, sequences: NDArray[np.integer[Any]], seed: int = 0) -> None:
        """Prepare for poses whose sequences `(N,)` are given by number.

        Args:
            sequences: Any integers.
            seed: Seed of the draws; the same for all values that are to be compared.
        """
        numbers, self.groups = np.unique(sequences, return_inverse=True)
        self.groups = self.groups.ravel()
        self.count = len(numbers)
        self._seed = seed

    def interval(self, values: Array) -> Interval | None:
        """Return the interval of the mean of the values `(N,)` that are not NaN.

        It is None with fewer than five sequences or without values.

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
        """Return the intervals of the means of M quantities, low and high `(2, M)`.

        Each sequence has a sum and a count of each quantity, `(G, M)`. The interval is NaN for quantities of fewer than
        five sequences; None is returned if fewer than five have any.

        Percentiles are widened for few sequences in the same way as a t interval (Hesterberg, The American Statistician
        2015).
        """
        used = (counts > 0).any(axis=1)
        if used.sum() < LEAST_SEQUENCES:
            return None
        enough = (counts > 0).sum(axis=0) >= LEAST_SEQUENCES
        found = np.full((2, counts.shape[1]), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            # A mean over poses is a ratio: both its sum and its count vary with the sequences drawn.
            means = np.concatenate([(w @ sums[used]) / (w @ counts[used]) for w in _draws(self._seed, int(used.sum()))])
        if enough.any():
            found[:, enough] = np.nanquantile(means[:, enough], _quantiles(int(used.sum())), axis=0)
        return found


def _draws(seed: int, count: int) -> Iterable[Array]:
    """Return how often each of the sequences is drawn, `(draws, count)`, in parts."""
    return _kept_draws(seed, count) if count <= _MOST_KEPT else _draw(seed, count)


@lru_cache(maxsize=4)
def _kept_draws(seed: int, count: int) -> tuple[Array, ...]:
    return tuple(_draw(seed, count))


def _draw(seed: int, count: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for _ in range(_DRAWS // _AT_A_TIME):
        yield rng.multinomial(count, np.full(count, 1 / count), _AT_A_TIME).astype(np.float64)


def _quantiles(count: int) -> tuple[float, float]:
    """Return the quantiles of the expanded percentile interval (Hesterberg 2015) for n = count sequences.

    The normal quantile of a plain percentile interval is replaced by that of t with n - 1 degrees of freedom, times
    sqrt(n / (n - 1)) because the variance under resampling is too small by the factor (n - 1) / n.
    """
    tail = float(ndtr(np.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 - LEVEL) / 2)))
    return tail, 1 - tail
