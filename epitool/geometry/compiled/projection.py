"""Projection of points by cameras without distortion, and its derivative by the point.

A camera `P = K [R | t]` sees the point X at `(u, v) = (a / c, b / c)` with `(a, b, c) = P (X, 1)`. The last row of K is
(0, 0, 1) and R is a rotation, so c is the depth, which is positive in front of the camera. By the quotient rule the
derivative of u by X is `(P[0, :3] - u P[2, :3]) / c`; for v, P[1] replaces P[0] (Hartley & Zisserman, section 6.1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import formula

Array = NDArray[np.float64]


class Views(NamedTuple):
    """Cameras as solvers need them.

    Attributes:
        P: Projection matrices `(V, 3, 4)`.
        centers: Camera centres `(V, 3)`.
        back: Matrices from pixel to direction in the world, `(V, 3, 3)`.
    """

    P: Array
    centers: Array
    back: Array


@formula
def project(P: Array, v: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return the pixel of a point in view v, and 1 over its depth, which is positive and finite in front of it."""
    over_depth = 1.0 / (P[v, 2, 0] * x + P[v, 2, 1] * y + P[v, 2, 2] * z + P[v, 2, 3])
    return (
        (P[v, 0, 0] * x + P[v, 0, 1] * y + P[v, 0, 2] * z + P[v, 0, 3]) * over_depth,
        (P[v, 1, 0] * x + P[v, 1, 1] * y + P[v, 1, 2] * z + P[v, 1, 3]) * over_depth,
        over_depth,
    )


@formula
def pixel_derivative(P: Array, v: int, row: int, pixel: float, over_depth: float) -> tuple[float, float, float]:
    """Return the derivative by the point of the first (row 0) or second (row 1) coordinate of its pixel in view v."""
    return (
        (P[v, row, 0] - pixel * P[v, 2, 0]) * over_depth,
        (P[v, row, 1] - pixel * P[v, 2, 1]) * over_depth,
        (P[v, row, 2] - pixel * P[v, 2, 2]) * over_depth,
    )


@formula
def squared_error(P: Array, v: int, X: Array, x: float, y: float) -> float:
    """Return the squared distance of a point's projection in view v from pixel (x, y).

    It is infinite for a point behind the view, and NaN without a pixel.
    """
    px, py, over_depth = project(P, v, X[0], X[1], X[2])
    if not 0.0 < over_depth < np.inf:
        return np.inf
    return (px - x) ** 2 + (py - y) ** 2


@njit(cache=True, nogil=True, error_model="numpy")
def reprojection_errors(P: Array, xyz: Array, xy: Array) -> Array:
    """Return distances `(F, V, J)` px of projected points `(F, J, 3)` from undistorted keypoints `(F, V, J, 2)`.

    Distances are NaN for points behind a view.
    """
    F, V, J = xy.shape[:3]
    out = np.empty((F, V, J))
    for f in range(F):
        for v in range(V):
            for j in range(J):
                error = squared_error(P, v, xyz[f, j], xy[f, v, j, 0], xy[f, v, j, 1])
                out[f, v, j] = np.sqrt(error) if error < np.inf else np.nan
    return out
