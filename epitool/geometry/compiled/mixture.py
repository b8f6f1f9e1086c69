"""Keypoints as a mixture: near their joint's projection (Gaussian), or anywhere in the image (uniform)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.point import invert

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def squared_errors(R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array) -> Array:
    """Squared reprojection errors `(N, V)` px; NaN where a keypoint is missing, infinite where no point is seen.

    Cameras as `schur_complement.reduced_system` has them.
    """
    # in scalars and one function: a view of an array for every projection would cost more than the arithmetic
    out = np.empty((len(points), len(R)))
    for n in range(len(points)):
        X, Y, Z = points[n, 0], points[n, 1], points[n, 2]
        for v in range(len(R)):
            z = R[v, 2, 0] * X + R[v, 2, 1] * Y + R[v, 2, 2] * Z + t[v, 2]
            x = (R[v, 0, 0] * X + R[v, 0, 1] * Y + R[v, 0, 2] * Z + t[v, 0]) / z
            y = (R[v, 1, 0] * X + R[v, 1, 1] * Y + R[v, 1, 2] * Z + t[v, 1]) / z
            bent = bend[v] * (x * x + y * y)
            if z > 0.0 and 1.0 + 3.0 * bent > 0.0:
                a = (K[v, 0, 0] * x + K[v, 0, 1] * y) * (1.0 + bent) + K[v, 0, 2] - xy[n, v, 0]
                b = K[v, 1, 1] * y * (1.0 + bent) + K[v, 1, 2] - xy[n, v, 1]
                out[n, v] = a * a + b * b
            else:  # behind, or past where a barrel lens would fold the image over
                out[n, v] = np.inf if xy[n, v, 0] == xy[n, v, 0] else np.nan
    return out


@njit(cache=True, nogil=True)
def expectation(squared: Array, variance: Array, share: Array, areas: Array) -> tuple[Array, float]:
    """One E step.

    Args:
        squared: Squared errors `(N, V)` as `squared_errors` gives them.
        variance: Of a coordinate of each keypoint were it an inlier, `(N, V)` px squared.
        share: Prior probability of each to be one, `(N, V)`.
        areas: Of the images, `(V,)` px squared.

    Returns:
        Probability of each keypoint to be an inlier `(N, V)`, 0 where missing; and the negative log likelihood.
    """
    weights, cost = np.zeros(squared.shape), 0.0
    for n in range(len(squared)):
        for v in range(squared.shape[1]):
            if squared[n, v] != squared[n, v]:
                continue
            peak = share[n, v] / (2 * np.pi * variance[n, v])
            inlier, gross = peak * np.exp(-squared[n, v] / (2 * variance[n, v])), (1 - share[n, v]) / areas[v]
            weights[n, v] = inlier / (inlier + gross)
            cost -= np.log(inlier + gross)
    return weights, cost


@njit(cache=True, nogil=True)
def freedoms(R: Array, t: Array, K: Array, points: Array, precision: Array) -> Array:
    """What each keypoint's squared error is of its variance on average, `(N, V)`: 2 less its leverage.

    A point follows its own keypoints, and most the precise ones: of n keypoints three of 2 n coordinates are lost, in
    shares of precision times the trace of J H^-1 J', with H the sum of precision times J'J. 0 where no more than one
    keypoint counts, which any point fits.

    Args:
        R: Rotations `(V, 3, 3)`.
        t: Translations `(V, 3)`.
        K: Intrinsics `(V, 3, 3)`.
        points: `(N, 3)`; those that are not numbers have no freedom.
        precision: Inverse variance of each keypoint `(N, V)` times its probability to be an inlier.
    """
    out = np.zeros(precision.shape)
    J, H, C = np.empty((len(R), 2, 3)), np.empty(6), np.empty((3, 3))
    for n in range(len(points)):
        X = points[n]
        if X[0] != X[0]:
            continue
        H[:] = 0.0
        for v in range(len(R)):
            if precision[n, v] > 0.0:
                _derivative(R[v], t[v], K[v], X, J[v])
                m = 0
                for i in range(3):
                    for k in range(i, 3):
                        H[m] += precision[n, v] * (J[v, 0, i] * J[v, 0, k] + J[v, 1, i] * J[v, 1, k])
                        m += 1
        if not invert(H, C):
            continue
        for v in range(len(R)):
            if precision[n, v] > 0.0:
                taken = 0.0
                for i in range(3):
                    for k in range(3):
                        taken += C[i, k] * (J[v, 0, i] * J[v, 0, k] + J[v, 1, i] * J[v, 1, k])
                out[n, v] = max(2.0 - precision[n, v] * taken, 0.0)
    return out


@njit(cache=True, nogil=True)
def _derivative(R: Array, t: Array, K: Array, X: Array, J: Array) -> None:
    """Of a projection by the point, `(2, 3)`, in place."""
    x = R[0, 0] * X[0] + R[0, 1] * X[1] + R[0, 2] * X[2] + t[0]
    y = R[1, 0] * X[0] + R[1, 1] * X[1] + R[1, 2] * X[2] + t[1]
    z = R[2, 0] * X[0] + R[2, 1] * X[1] + R[2, 2] * X[2] + t[2]
    u, v = (K[0, 0] * x + K[0, 1] * y) / z, K[1, 1] * y / z
    for k in range(3):
        J[0, k] = (K[0, 0] * R[0, k] + K[0, 1] * R[1, k] - u * R[2, k]) / z
        J[1, k] = (K[1, 1] * R[1, k] - v * R[2, k]) / z
