"""Directions of a body: unit vectors, rotations between them, and the axes of its pelvis and chest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_OPPOSITE = 1e-9  # 1 plus the cosine, below which directions are opposite


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


def least_rotation(start: Array, end: Array) -> Array:
    """Return the least rotations `(..., 3, 3)` that turn unit vectors `start` `(..., 3)` into `end` `(..., 3)`.

    Between opposite ones it is a half-turn about an axis at right angles to both. NaN where a vector is NaN.
    """
    axis, cosine = np.cross(start, end), dot(start, end)[..., None, None]
    cross = np.zeros((*axis.shape, 3))
    cross[..., [2, 0, 1], [1, 2, 0]], cross[..., [1, 2, 0], [2, 0, 1]] = axis, -axis
    aside = np.eye(3)[np.abs(start).argmin(axis=-1)]
    about = unit_vectors(aside - dot(aside, start)[..., None] * start)
    half_turn = 2 * about[..., :, None] * about[..., None, :] - np.eye(3)
    opposite = 1 + cosine < _OPPOSITE
    return np.where(opposite, half_turn, np.eye(3) + cross + cross @ cross / np.where(opposite, 1.0, 1 + cosine))
