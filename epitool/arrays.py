"""Functions on arrays that several packages share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def homogeneous(xy: Array) -> Array:
    """Append a 1 to points `(..., 2)`."""
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)


def mean_known(values: Array, axis: int) -> Array:
    """Return the mean of the finite values over an axis; NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def median_known(values: Array, axis: int) -> Array:
    """Return the median of the values that are not NaN over an axis; NaN where none is finite."""
    ordered = np.moveaxis(values, axis, -1)
    known = np.isfinite(ordered).any(axis=-1)
    out = np.full(known.shape, np.nan)
    out[known] = np.nanmedian(ordered[known], axis=-1)
    return out


def evenly_spread(count: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` indices out of `count`, spread evenly from the first to the last.

    >>> evenly_spread(9, 3).tolist(), evenly_spread(2, 3).tolist(), evenly_spread(0, 3).tolist()
    ([0, 4, 8], [0, 1], [])
    """
    return np.linspace(0, count - 1, min(count, most)).astype(np.intp)
