"""Estimation of a point from its keypoints: Gauss-Newton steps, covariance, and how much error the point absorbs.

Keypoints are undistorted pixels, and `P (V, 3, 4)` are the cameras' projection matrices. With weights w (inverse
variances), derivative J of a projection and residuals r, the normal equations are `H d = g` with `H = sum w J' J` and
`g = sum w J' r`. The point moves by -d, and the inverse of H is its covariance to first order.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.projection import pixel_derivative, project
from epitool.geometry.compiled.symmetric import cofactors, invert

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def gauss_newton_step(P: Array, xy: Array, weights: Array, X: Array, H: Array) -> tuple[float, float]:
    """Take one Gauss-Newton step of X `(3,)` in place with weights `(V,)`; write the normal matrix `(6,)` to H.

    Return twice the expected decrease of the cost (NaN where H is singular), and the largest weighted squared error of
    a view before the step.
    """
    # scalars instead of arrays, because they stay in registers
    x, y, z, worst = X[0], X[1], X[2], 0.0
    g0, g1, g2, h00, h01, h02, h11, h12, h22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for v in range(len(P)):
        w = weights[v]
        if w <= 0.0:
            continue
        px, py, over_depth = project(P, v, x, y, z)
        error = (px - xy[v, 0]) ** 2 + (py - xy[v, 1]) ** 2
        worst = max(worst, w * error) if over_depth > 0.0 else np.inf
        for row in range(2):
            pixel = px if row == 0 else py
            a, b, c = pixel_derivative(P, v, row, pixel, over_depth)
            r, wa, wb = w * (pixel - xy[v, row]), w * a, w * b
            g0, g1, g2 = g0 + r * a, g1 + r * b, g2 + r * c
            h00, h01, h02 = h00 + wa * a, h01 + wa * b, h02 + wa * c
            h11, h12, h22 = h11 + wb * b, h12 + wb * c, h22 + w * c * c
    H[0], H[1], H[2], H[3], H[4], H[5] = h00, h01, h02, h11, h12, h22
    c00, c01, c02, c11, c12, c22, determinant = cofactors(h00, h01, h02, h11, h12, h22)
    if not determinant > 0.0:
        return np.nan, worst
    d0 = (c00 * g0 + c01 * g1 + c02 * g2) / determinant
    d1 = (c01 * g0 + c11 * g1 + c12 * g2) / determinant
    d2 = (c02 * g0 + c12 * g1 + c22 * g2) / determinant
    X[0], X[1], X[2] = x - d0, y - d1, z - d2
    return g0 * d0 + g1 * d1 + g2 * d2, worst


@njit(cache=True, nogil=True, error_model="numpy")
def _normal_matrix(P: Array, X: Array, precision: Array, J: Array, H: Array) -> None:
    """Write the derivatives `(V, 2, 3)` of a point's projections to J, and the weighted normal matrix `(6,)` to H.

    The weights are the precisions of the keypoints.
    """
    H[:] = 0.0
    for v in range(len(P)):
        if precision[v] > 0.0:
            px, py, over_depth = project(P, v, X[0], X[1], X[2])
            J[v, 0, 0], J[v, 0, 1], J[v, 0, 2] = pixel_derivative(P, v, 0, px, over_depth)
            J[v, 1, 0], J[v, 1, 1], J[v, 1, 2] = pixel_derivative(P, v, 1, py, over_depth)
            m = 0
            for i in range(3):
                for k in range(i, 3):
                    H[m] += precision[v] * (J[v, 0, i] * J[v, 0, k] + J[v, 1, i] * J[v, 1, k])
                    m += 1


@njit(cache=True, nogil=True, error_model="numpy")
def freedoms(P: Array, points: Array, precision: Array) -> Array:
    """Return the expected squared error of each keypoint relative to its variance, `(N, V)`: 2 less its leverage.

    A point follows its own keypoints, and the precise ones most. With n keypoints, three of 2 n coordinates are lost,
    in shares of precision times the trace of J H^-1 J'. The result is 0 where at most one keypoint counts, because a
    point fits that exactly.

    Args:
        P: Projection matrices `(V, 3, 4)`.
        points: Points `(N, 3)`; NaN points have no freedom.
        precision: Inverse variance of each keypoint `(N, V)` times its probability of being an inlier.
    """
    out = np.zeros(precision.shape)
    J, H, C = np.empty((len(P), 2, 3)), np.empty(6), np.empty((3, 3))
    for n in range(len(points)):
        if points[n, 0] != points[n, 0]:
            continue
        _normal_matrix(P, points[n], precision[n], J, H)
        if not invert(H, C):
            continue
        for v in range(len(P)):
            if precision[n, v] > 0.0:
                taken = 0.0
                for i in range(3):
                    for k in range(3):
                        taken += C[i, k] * (J[v, 0, i] * J[v, 0, k] + J[v, 1, i] * J[v, 1, k])
                out[n, v] = max(2.0 - precision[n, v] * taken, 0.0)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def covariances(P: Array, points: Array, precision: Array) -> Array:
    """Return the covariances `(N, 3, 3)` of points `(N, 3)` whose keypoints have this precision `(N, V)`.

    A point needs two keypoints; covariances are NaN where it is undetermined.
    """
    out = np.full((len(points), 3, 3), np.nan)
    J, H = np.empty((len(P), 2, 3)), np.empty(6)
    for n in range(len(points)):
        known = 0
        for v in range(len(P)):
            known += precision[n, v] > 0.0
        if known >= 2 and points[n, 0] == points[n, 0]:
            _normal_matrix(P, points[n], precision[n], J, H)
            invert(H, out[n])
    return out
