"""Directions of a body: unit vectors, and the axes of its pelvis and chest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def dot(a: Array, b: Array) -> Array:
    """Return the scalar products of vectors in the last axis."""
    return np.asarray((a * b).sum(axis=-1))


def unit_vectors(vectors: Array) -> Array:
    """Return vectors `(..., 3)` scaled to length 1; NaN for vectors of length zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, np.nan)


def body_axes(right: Array, up: Array) -> tuple[Array, Array, Array]:
    """Return unit vectors forward, up and right, at right angles to each other.

    Args:
        right: Vectors from the left joint to the right one of hips or shoulders, `(F, 3)`.
        up: Vectors along the trunk `(F, 3)`, of which the part at right angles to `right` is taken.
    """
    third = unit_vectors(right)
    second = unit_vectors(up - dot(up, third)[:, None] * third)
    return np.cross(second, third), second, third
