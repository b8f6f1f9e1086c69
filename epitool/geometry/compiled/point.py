"""A point and its keypoints: reprojection error, Gauss-Newton step, covariance; for one point at a time in numba.

Keypoints are undistorted pixels, `P (V, 3, 4)` the cameras' projection matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Views(NamedTuple):
    """Cameras as the solver needs them.

    Attributes:
        P: Projection matrices `(V, 3, 4)`.
        centers: `(V, 3)`.
        back: Pixel to direction in the world, `(V, 3, 3)`.
    """

    P: Array
    centers: Array
    back: Array


@njit(cache=True, nogil=True, error_model="numpy")
def copy(values: Array, out: Array) -> None:
    """As `out[:] = values`, for few values many times faster, and compiled in a tenth of the time."""
    for k in range(len(values)):
        out[k] = values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def copy_matrix(values: Array, out: Array) -> None:
    """`copy` of `(m, n)`."""
    for k in range(len(values)):
        copy(values[k], out[k])


@njit(cache=True, nogil=True, error_model="numpy")
def step(P: Array, xy: Array, weights: Array, X: Array, H: Array) -> tuple[float, float]:
    """One Gauss-Newton step of X `(3,)` in place under weights `(V,)`; the normal matrix goes into H.

    Returns twice the cost that the step is expected to save (NaN where H is singular) and the largest weighted
    squared error of a view before the step.
    """
    x, y, z, worst = X[0], X[1], X[2], 0.0
    g0, g1, g2, h00, h01, h02, h11, h12, h22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for v in range(len(P)):
        w = weights[v]
        if w <= 0.0:
            continue
        depth = P[v, 2, 0] * x + P[v, 2, 1] * y + P[v, 2, 2] * z + P[v, 2, 3]
        inverse, error = 1.0 / depth, 0.0
        for row in range(2):
            u = (P[v, row, 0] * x + P[v, row, 1] * y + P[v, row, 2] * z + P[v, row, 3]) * inverse
            a, b, c = P[v, row, 0] - u * P[v, 2, 0], P[v, row, 1] - u * P[v, 2, 1], P[v, row, 2] - u * P[v, 2, 2]
            scale = w * inverse * inverse
            r = u - xy[v, row]
            error += r * r
            r *= w * inverse
            g0, g1, g2 = g0 + r * a, g1 + r * b, g2 + r * c
            h00, h01, h02 = h00 + scale * a * a, h01 + scale * a * b, h02 + scale * a * c
            h11, h12, h22 = h11 + scale * b * b, h12 + scale * b * c, h22 + scale * c * c
        worst = max(worst, w * error) if depth > 0.0 else np.inf
    H[0], H[1], H[2], H[3], H[4], H[5] = h00, h01, h02, h11, h12, h22
    c00, c01, c02 = h11 * h22 - h12 * h12, h02 * h12 - h01 * h22, h01 * h12 - h02 * h11
    c11, c12, c22 = h00 * h22 - h02 * h02, h01 * h02 - h00 * h12, h00 * h11 - h01 * h01
    det = h00 * c00 + h01 * c01 + h02 * c02
    if not det > 0.0:
        return np.nan, worst
    d0 = (c00 * g0 + c01 * g1 + c02 * g2) / det
    d1 = (c01 * g0 + c11 * g1 + c12 * g2) / det
    d2 = (c02 * g0 + c12 * g1 + c22 * g2) / det
    X[0], X[1], X[2] = x - d0, y - d1, z - d2
    return g0 * d0 + g1 * d1 + g2 * d2, worst


@njit(cache=True, nogil=True, error_model="numpy")
def squared_error(P: Array, xy: Array, X: Array) -> float:
    """Squared reprojection error in one view; infinite behind it, NaN where the keypoint is missing."""
    z = P[2, 0] * X[0] + P[2, 1] * X[1] + P[2, 2] * X[2] + P[2, 3]
    if z <= 0.0:
        return np.inf
    u = (P[0, 0] * X[0] + P[0, 1] * X[1] + P[0, 2] * X[2] + P[0, 3]) / z - xy[0]
    v = (P[1, 0] * X[0] + P[1, 1] * X[1] + P[1, 2] * X[2] + P[1, 3]) / z - xy[1]
    return u * u + v * v


@njit(cache=True, nogil=True, error_model="numpy")
def invert(H: Array, out: Array) -> bool:
    """Covariance `(3, 3)`: the inverse of a normal matrix, given by its upper triangle `(6,)`; False where singular."""
    out[0, 0], out[1, 1], out[2, 2] = H[3] * H[5] - H[4] * H[4], H[0] * H[5] - H[2] * H[2], H[0] * H[3] - H[1] * H[1]
    out[0, 1], out[0, 2] = H[2] * H[4] - H[1] * H[5], H[1] * H[4] - H[2] * H[3]
    out[1, 2] = H[1] * H[2] - H[0] * H[4]
    det = H[0] * out[0, 0] + H[1] * out[0, 1] + H[2] * out[0, 2]
    if not det > 1e-18 * (H[0] + H[3] + H[5]) ** 3:
        return False
    for i in range(3):
        for k in range(i, 3):
            out[i, k] /= det
            out[k, i] = out[i, k]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def reprojection(P: Array, xyz: Array, xy: Array) -> Array:
    """Distances `(F, V, J)` px of points `(F, J, 3)` from undistorted keypoints `(F, V, J, 2)`; NaN behind a view."""
    F, V, J = xy.shape[:3]
    out = np.empty((F, V, J))
    for f in range(F):
        for v in range(V):
            for j in range(J):
                error = squared_error(P[v], xy[f, v, j], xyz[f, j])
                out[f, v, j] = np.sqrt(error) if error < np.inf else np.nan
    return out
