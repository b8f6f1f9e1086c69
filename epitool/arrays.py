"""Functions on arrays that several packages share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def frozen_array(values: ArrayLike, shape: tuple[int | None, ...], what: str, dtype: type = np.float64) -> NDArray[Any]:
    """Return a read-only array after checking its shape; None in `shape` stands for any length.

    An array that is read-only already is not copied.

    Raises:
        ValueError: The array has another shape.
    """
    if isinstance(values, np.ndarray) and values.base is None and not values.flags.writeable and values.dtype == dtype:
        array: NDArray[Any] = values
    else:
        array = np.array(values, dtype=dtype)
    if array.ndim != len(shape) or any(want is not None and want != have for want, have in zip(shape, array.shape)):
        raise ValueError(f"{what} has shape {array.shape}, expected {shape}")
    array.setflags(write=False)
    return array


def homogeneous(xy: Array) -> Array:
    """Append a 1 to points `(..., 2)`."""
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)


def inverses(K: Array) -> Array:
    """Return the inverses of many matrices `(..., 3, 3)`, such as intrinsics: cross products over the determinant.

    numpy's `inv` starts the threads of BLAS for each matrix, which takes seconds where other work uses the processor.
    """
    a, b, c = np.moveaxis(K, -1, 0)
    rows = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-2)
    return np.asarray(rows / (a * rows[..., 0, :]).sum(axis=-1)[..., None, None])


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
