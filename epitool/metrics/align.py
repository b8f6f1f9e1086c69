"""Alignment of poses by their root or by a similarity (Procrustes)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.rotation import nearest_rotation

Array = NDArray[np.float64]

MIN_JOINTS = 3  # a similarity always fits two joints exactly


class Similarity(NamedTuple):
    """Similarity transforms `aligned = scale * pose @ R.T + t`, one for each pose.

    Attributes:
        scale: Factors `(...)`.
        R: Rotations `(..., 3, 3)`.
        t: Translations `(..., 3)`.
    """

    scale: Array
    R: Array
    t: Array

    def __call__(self, pose: Array) -> Array:
        """Transform poses `(..., J, 3)`."""
        return self.scale[..., None, None] * pose @ np.swapaxes(self.R, -1, -2) + self.t[..., None, :]


def root_centered(pose: Array, root: int) -> Array:
    """Return poses `(..., J, 3)` with the root at the origin; all NaN where the root is NaN.

    >>> root_centered(np.array([[1.0, 2, 3], [1, 2, 5]]), root=0).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
    """
    return pose - pose[..., root, None, :]


def procrustes(prediction: Array, truth: Array) -> Similarity:
    """Return the least-squares similarity of each pose `(..., J, 3)` to the truth (Umeyama, PAMI 1991).

    Only rotations are allowed, no reflections. For a collinear or flat pose the rotation is ambiguous but the distance
    is not; one of the best rotations is returned. Where fewer than three joints are in both poses, the translation is
    NaN.
    """
    p, g, valid = paired(prediction, truth)
    count = valid.sum(axis=-1)
    divisor = np.maximum(count, 1)[..., None]
    p_mean, g_mean = p.sum(axis=-2) / divisor, g.sum(axis=-2) / divisor
    p = np.where(valid[..., None], p - p_mean[..., None, :], 0.0)
    g = np.where(valid[..., None], g - g_mean[..., None, :], 0.0)
    # Scaling both to unit size keeps products of tiny or huge poses within the range of floats.
    p_size, g_size = _size(p), _size(g)
    H = np.swapaxes(g / g_size, -1, -2) @ (p / p_size)
    R, trace = nearest_rotation(np.moveaxis(H.reshape(-1, 3, 3), 0, -1))
    R, scale = np.moveaxis(R, -1, 0).reshape(H.shape), trace.reshape(count.shape) * (g_size / p_size)[..., 0, 0]
    t = g_mean - scale[..., None] * (R @ p_mean[..., None])[..., 0]
    return Similarity(scale, R, np.where((count >= MIN_JOINTS)[..., None], t, np.nan))


def procrustes_align(prediction: Array, truth: Array) -> Array:
    """Apply the similarity that brings each prediction `(..., J, 3)` closest to its truth.

    >>> truth = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 1]])
    >>> turned = truth[:, [1, 2, 0]]
    >>> bool(np.allclose(procrustes_align(5 - 2 * turned[:, [0, 2, 1]], truth), truth))
    True
    """
    return procrustes(prediction, truth)(prediction)


def missing_joints(prediction: Array, truth: Array) -> NDArray[np.int64]:
    """Return the number of joints of each pose that are NaN in the prediction or in the truth, `(...)`."""
    return (~paired(prediction, truth)[2]).sum(axis=-1)


def paired(prediction: Array, truth: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return poses `(..., J, 3)` in float64 and which joints are in both `(..., J)`.

    A joint that is missing in either pose is zero in both.
    """
    p, g = np.broadcast_arrays(np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64))
    valid = np.isfinite(p).all(axis=-1) & np.isfinite(g).all(axis=-1)
    return np.where(valid[..., None], p, 0.0), np.where(valid[..., None], g, 0.0), valid


def _size(centered: Array) -> Array:
    size = np.sqrt((centered * centered).sum(axis=(-2, -1), keepdims=True))
    return np.where(size > 0, size, 1.0)
