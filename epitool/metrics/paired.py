"""Pairs of predicted and true poses under the alignments of the metrics."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.align import MIN_JOINTS
from epitool.metrics.rotation import nearest_rotation

Array = NDArray[np.float64]

ROOT, SCALE, SIMILARITY = 0, 1, 2  # alignments


class Paired:
    """N predicted and true poses, stored with poses last so that every operation runs over many poses.

    The results of a pose do not depend on the others.

    Attributes:
        valid: Which joints are in both poses, `(J, N)`.
        count: Number of these joints, `(N,)`.
    """

    def __init__(self, prediction: Array, truth: Array, root: int, published: bool) -> None:
        """Store poses `(N, J, 3)` of any float type.

        Args:
            prediction: Predicted poses; a joint that is NaN is missing.
            truth: True poses, likewise.
            root: Index of the root.
            published: Whether to follow the protocol "epipolarpose".
        """
        self._given = tuple(np.array(poses.T, dtype=np.float64, order="C") for poses in (prediction, truth))
        self.valid = np.isfinite(self._given[0]).all(axis=0) & np.isfinite(self._given[1]).all(axis=0)
        self.count = self.valid.sum(axis=0)
        self._whole, self._root, self._published = bool(self.valid.all()), root, published
        for poses in self._given:
            self._clear(poses)

    @np.errstate(over="ignore", invalid="ignore")  # extremely large poses, whose errors are inf or NaN
    def differences(self, alignment: int) -> tuple[Array, NDArray[np.bool_]]:
        """Return aligned prediction - truth `(3, J, N)`, and for which poses it is defined `(N,)`.

        It is zero at missing joints.

        Args:
            alignment: ROOT, SCALE or SIMILARITY.
        """
        enough, rooted = self.count >= MIN_JOINTS, self.valid[self._root]
        if alignment == SIMILARITY:
            p, g = self._rooted if self._published else self._centered
            scale, R = self._similarity
            return _rotated(scale * R, p, g), enough & rooted if self._published else enough
        p, g = self._rooted
        if alignment == ROOT:
            return p - g, (self.count > 1) & rooted
        if self._published:
            return self._similarity[0] * p - g, enough & rooted
        return _least_squares_factor(p, g) * p - g, (self.count > 1) & rooted

    @cached_property
    def _rooted(self) -> tuple[Array, Array]:
        """Poses relative to their root; unchanged where the root is missing."""
        p, g = (self._moved(poses, poses[:, self._root]) for poses in self._given)
        return p, g

    @cached_property
    def _centered(self) -> tuple[Array, Array]:
        """Poses relative to the mean of their joints."""
        p, g = (self._moved(poses, poses.sum(axis=1) / np.maximum(self.count, 1)) for poses in self._given)
        return p, g

    @cached_property
    def _similarity(self) -> tuple[Array, Array]:
        """Scales `(N,)` and rotations `(3, 3, N)` of Procrustes alignment."""
        p, g = self._centered
        p_size, g_size = np.sqrt(_inner(p, p)), np.sqrt(_inner(g, g))
        size = p_size * g_size
        R, trace = nearest_rotation(np.einsum("ijn,kjn->ikn", g, p) / np.where(size > 0, size, 1.0))
        # The matrix was divided by both sizes; the least-squares scale is trace(R^T H) / |p|^2 (Umeyama 1991).
        return trace * g_size / np.where(p_size > 0, p_size, 1.0), R

    def _moved(self, poses: Array, origin: Array) -> Array:
        moved = poses - origin[:, None]
        self._clear(moved)
        return moved

    def _clear(self, poses: Array) -> None:
        """Set missing joints to the origin."""
        if not self._whole:
            np.copyto(poses, 0.0, where=~self.valid)


def _rotated(R: Array, p: Array, g: Array) -> Array:
    """Return R p - g.

    It is computed row by row, because passes over many poses are faster than small matrix products for each pose.
    """
    made, product = -g, np.empty_like(g[0])
    for i in range(3):
        for k in range(3):
            made[i] += np.multiply(R[i, k], p[k], out=product)
    return made


def _least_squares_factor(p: Array, g: Array) -> Array:
    """Return the factor `(N,)` on p that minimises its squared distance from g; 1 where p has no extent."""
    product, square = _inner(p, g), _inner(p, p)
    return np.where(square > 0, product / np.where(square > 0, square, 1.0), 1.0)


def _inner(a: Array, b: Array) -> Array:
    """Return the inner products of poses `(3, J, N)` as vectors, `(N,)`."""
    return np.einsum("ijn,ijn->n", a, b)
