"""Keypoints as a mixture: near their joint's projection (Gaussian), or anywhere in the image (uniform)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _squared_error(R: Array, t: Array, K: Array, bend: float, X: Array, xy: Array) -> float:
    """Squared reprojection error in px; NaN where the keypoint is missing, infinite where the camera sees no point."""
    z = R[2, 0] * X[0] + R[2, 1] * X[1] + R[2, 2] * X[2] + t[2]
    if not z > 0.0:
        return np.inf if xy[0] == xy[0] else np.nan
    x = R[0, 0] * X[0] + R[0, 1] * X[1] + R[0, 2] * X[2] + t[0]
    y = R[1, 0] * X[0] + R[1, 1] * X[1] + R[1, 2] * X[2] + t[1]
    bent = bend * (x * x + y * y) / (z * z)
    if not 1.0 + 3.0 * bent > 0.0:  # past where a barrel lens would fold the image over
        return np.inf if xy[0] == xy[0] else np.nan
    u = (K[0, 0] * x + K[0, 1] * y) * (1.0 + bent) / z + K[0, 2] - xy[0]
    v = K[1, 1] * y * (1.0 + bent) / z + K[1, 2] - xy[1]
    return u * u + v * v


@njit(cache=True, nogil=True)
def squared_errors(R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array) -> Array:
    """Squared reprojection errors `(N, V)` px; NaN where a keypoint is missing, infinite where no point is seen.

    Cameras as `schur.reduced_system` has them.
    """
    out = np.empty((len(points), len(R)))
    for n in range(len(points)):
        for v in range(len(R)):
            out[n, v] = _squared_error(R[v], t[v], K[v], bend[v], points[n], xy[n, v])
    return out


@njit(cache=True, nogil=True)
def expectation(squared: Array, variance: float, share: float, areas: Array) -> tuple[Array, Array]:
    """One E step, and what the M step needs.

    Args:
        squared: Squared errors `(N, V)` as `squared_errors` gives them.
        variance: Of a coordinate of an inlier, px squared.
        share: Prior probability of an inlier.
        areas: Of the images, `(V,)` px squared.

    Returns:
        Probability of each keypoint to be an inlier `(N, V)`, 0 where missing; and five sums: keypoints seen, their
        probabilities, squared errors and degrees of freedom of joints that two inliers determine (three go to the
        joint itself), and the negative log likelihood.
    """
    weights, sums = np.zeros(squared.shape), np.zeros(5)
    peak = share / (2 * np.pi * variance)
    for n in range(len(squared)):
        own, errors = 0.0, 0.0
        for v in range(squared.shape[1]):
            if squared[n, v] != squared[n, v]:
                continue
            inlier, gross = peak * np.exp(-squared[n, v] / (2 * variance)), (1 - share) / areas[v]
            weights[n, v] = inlier / (inlier + gross)
            own += weights[n, v]
            errors += weights[n, v] * squared[n, v] if weights[n, v] > 0 else 0.0
            sums[0] += 1
            sums[4] -= np.log(inlier + gross)
        sums[1] += own
        if own > 1.5:  # joints with fewer than two good views tell nothing of the noise
            sums[2] += errors
            sums[3] += 2 * own - 3
    return weights, sums
