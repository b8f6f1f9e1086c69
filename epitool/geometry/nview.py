"""Joints from all views at once, robust to gross errors: pair hypotheses, consensus, Gauss-Newton under a mixture.

A keypoint lies near its joint's projection (Gaussian), or anywhere in the image (uniform); its log odds of being an
inlier are `odds - error^2 / (2 variance)`. A point's score is the log likelihood ratio against no point at all.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
_AGREE = 11.83  # chi square of two coordinates, 99.7%: all views agree
_TWO_VIEWS = 25.0  # chi square of one, 5 sigma: two views alone contradict each other
_ITERATIONS = 6
_PARALLEL = 1e-12  # squared sine of the angle between two rays


@njit(cache=True, nogil=True)
def _step(P: Array, xy: Array, weights: Array, X: Array, H: Array) -> float:
    """One Gauss-Newton step of X `(3,)` in place; fills H with the normal matrix, returns its determinant."""
    g0, g1, g2 = 0.0, 0.0, 0.0
    H[:] = 0.0
    for v in range(len(P)):
        w = weights[v]
        if w <= 0.0:
            continue
        z = 1.0 / (P[v, 2, 0] * X[0] + P[v, 2, 1] * X[1] + P[v, 2, 2] * X[2] + P[v, 2, 3])
        for row in range(2):
            u = (P[v, row, 0] * X[0] + P[v, row, 1] * X[1] + P[v, row, 2] * X[2] + P[v, row, 3]) * z
            a = (P[v, row, 0] - u * P[v, 2, 0]) * z
            b = (P[v, row, 1] - u * P[v, 2, 1]) * z
            c = (P[v, row, 2] - u * P[v, 2, 2]) * z
            r = w * (u - xy[v, row])
            g0 += a * r
            g1 += b * r
            g2 += c * r
            H[0] += w * a * a
            H[1] += w * a * b
            H[2] += w * a * c
            H[3] += w * b * b
            H[4] += w * b * c
            H[5] += w * c * c
    c0, c1, c2 = H[3] * H[5] - H[4] * H[4], H[2] * H[4] - H[1] * H[5], H[1] * H[4] - H[2] * H[3]
    det = H[0] * c0 + H[1] * c1 + H[2] * c2
    if det > 0.0:
        X[0] -= (c0 * g0 + c1 * g1 + c2 * g2) / det
        X[1] -= (c1 * g0 + (H[0] * H[5] - H[2] * H[2]) * g1 + (H[1] * H[2] - H[0] * H[4]) * g2) / det
        X[2] -= (c2 * g0 + (H[1] * H[2] - H[0] * H[4]) * g1 + (H[0] * H[3] - H[1] * H[1]) * g2) / det
    return det


@njit(cache=True, nogil=True)
def _squared_error(P: Array, xy: Array, X: Array) -> float:
    """Squared reprojection error in one view; infinite behind it."""
    z = P[2, 0] * X[0] + P[2, 1] * X[1] + P[2, 2] * X[2] + P[2, 3]
    if not z > 0.0:
        return np.inf
    u = (P[0, 0] * X[0] + P[0, 1] * X[1] + P[0, 2] * X[2] + P[0, 3]) / z - xy[0]
    v = (P[1, 0] * X[0] + P[1, 1] * X[1] + P[1, 2] * X[2] + P[1, 3]) / z - xy[1]
    return u * u + v * v


@njit(cache=True, nogil=True)
def _rays_meet(centers: Array, rays: Array, a: int, b: int, X: Array) -> bool:
    """The point midway between two rays, into X; False where they are parallel or meet behind a camera."""
    dx, dy, dz = centers[b, 0] - centers[a, 0], centers[b, 1] - centers[a, 1], centers[b, 2] - centers[a, 2]
    ab = rays[a, 0] * rays[b, 0] + rays[a, 1] * rays[b, 1] + rays[a, 2] * rays[b, 2]
    ad = rays[a, 0] * dx + rays[a, 1] * dy + rays[a, 2] * dz
    bd = rays[b, 0] * dx + rays[b, 1] * dy + rays[b, 2] * dz
    sine = 1.0 - ab * ab
    if not sine > _PARALLEL:
        return False
    s, t = (ad - ab * bd) / sine, (ab * ad - bd) / sine
    if not (s > 0.0 and t > 0.0):
        return False
    for k in range(3):
        X[k] = 0.5 * (centers[a, k] + s * rays[a, k] + centers[b, k] + t * rays[b, k])
    return True


@njit(cache=True, nogil=True)
def _all_agree(P: Array, xy: Array, seen: Array, X: Array, H: Array, variance: float) -> bool:
    """Refines X with all views that see it; whether each of them then agrees."""
    for _ in range(3):
        if not _step(P, xy, seen, X, H) > 0.0:
            return False
    agree = True
    for v in range(len(P)):
        agree &= seen[v] <= 0.0 or _squared_error(P[v], xy[v], X) < _AGREE * variance
    return agree


@njit(cache=True, nogil=True)
def _score(P: Array, xy: Array, seen: Array, odds: Array, X: Array, variance: float, near: Array) -> float:
    """Log likelihood ratio of a point, with a Gaussian prior `near` (x, y, z, precision) on its place."""
    away = (X[0] - near[0]) ** 2 + (X[1] - near[1]) ** 2 + (X[2] - near[2]) ** 2
    total = -0.5 * near[3] * away if near[3] > 0.0 else 0.0
    for v in range(len(P)):
        if seen[v] > 0.0:
            z = odds[v] - 0.5 * _squared_error(P[v], xy[v], X) / variance
            if z > 30.0:
                total += z
            elif z > -30.0:
                total += np.log1p(np.exp(z))
    return total


@njit(cache=True, nogil=True)
def _best_pair(
    P: Array, centers: Array, rays: Array, xy: Array, seen: Array, odds: Array, variance: float, near: Array,
    best: Array, X: Array, H: Array, pair: Array,
) -> float:  # fmt: skip
    """The two-view optimum that all views together find likeliest, into `best`; returns its lead over the next.

    The next is the likeliest that lies elsewhere: away from the best in a view that agrees with the best.
    """
    score, runner_up = -np.inf, -np.inf
    for a in range(len(P)):
        if seen[a] <= 0.0:
            continue
        for b in range(a + 1, len(P)):
            if seen[b] <= 0.0 or not _rays_meet(centers, rays, a, b, X):
                continue
            pair[:] = 0.0
            pair[a], pair[b] = 1.0, 1.0
            for _ in range(2):
                _step(P, xy, pair, X, H)
            value = _score(P, xy, seen, odds, X, variance, near)
            elsewhere = False
            if score > -np.inf:
                for v in range(len(P)):
                    if seen[v] > 0.0 and _squared_error(P[v], xy[v], best) < _AGREE * variance:
                        elsewhere |= not _squared_error(P[v], xy[v], X) < 4.0 * _AGREE * variance
            if value > score:
                if elsewhere:
                    runner_up = score
                score = value
                best[:] = X
            elif elsewhere and value > runner_up:
                runner_up = value
    return score - runner_up if score > -np.inf else np.nan


@njit(cache=True, nogil=True)
def _refine(P: Array, xy: Array, seen: Array, odds: Array, X: Array, H: Array, variance: float, weights: Array) -> bool:
    """Gauss-Newton with every view weighted by its probability of being an inlier (EM); False where two fail."""
    for n in range(_ITERATIONS + 1):
        total = 0.0
        for v in range(len(P)):
            weights[v] = 0.0
            if seen[v] > 0.0:
                z = odds[v] - 0.5 * _squared_error(P[v], xy[v], X) / variance
                weights[v] = 1.0 / (1.0 + np.exp(-z)) if z > -30.0 else 0.0
                total += weights[v] > 0.5
        if total < 2:
            return False
        if n < _ITERATIONS and not _step(P, xy, weights, X, H) > 0.0:
            return False
    return True


@njit(cache=True, nogil=True)
def solve_points(
    P: Array, centers: Array, inverse: Array, xy: Array, odds: Array, variance: float, near: Array
) -> tuple[Array, Array, Array, Array]:
    """Robust n-view triangulation.

    Args:
        P: Projection matrices `(V, 3, 4)`.
        centers: Of the cameras, `(V, 3)`.
        inverse: World directions from homogeneous pixels, `R^T K^-1 (V, 3, 3)`.
        xy: Undistorted keypoints `(N, V, 2)`; NaN where unseen.
        odds: Log odds `(N, V)` of each keypoint to be an inlier were its error 0.
        variance: Of an inlier's coordinate, px squared.
        near: Where each point is expected, and with what precision `(N, 4)`; precision 0 for no expectation.

    Returns:
        Points `(N, 3)`, NaN where undetermined; upper triangles of their covariances `(N, 6)`; each keypoint's weight
        `(N, V)`; and the lead in log likelihood over the next best place `(N,)`, infinite where all views agree.
    """
    count, views = xy.shape[:2]
    points, covariance = np.full((count, 3), np.nan), np.full((count, 6), np.nan)
    weights, lead = np.zeros((count, views)), np.full(count, np.inf)
    seen, pair, rays = np.zeros(views), np.zeros(views), np.zeros((views, 3))
    X, best, H = np.zeros(3), np.zeros(3), np.zeros(6)
    for n in range(count):
        number, first, second = 0, -1, -1
        for v in range(views):
            seen[v] = 1.0 if xy[n, v, 0] == xy[n, v, 0] else 0.0
            if seen[v] > 0.0:
                number += 1
                first, second = second, v
                norm = 0.0
                for k in range(3):
                    rays[v, k] = inverse[v, k, 0] * xy[n, v, 0] + inverse[v, k, 1] * xy[n, v, 1] + inverse[v, k, 2]
                    norm += rays[v, k] ** 2
                rays[v] /= np.sqrt(norm)
        if number < 2:
            continue
        solved = _rays_meet(centers, rays, first, second, X) and _all_agree(P, xy[n], seen, X, H, variance)
        if solved:
            weights[n] = seen
        elif number == 2:
            solved = _rays_meet(centers, rays, first, second, X) and _contradiction(P, xy[n], seen, X, H) < (
                _TWO_VIEWS * variance
            )
            weights[n] = seen
        else:
            lead[n] = _best_pair(P, centers, rays, xy[n], seen, odds[n], variance, near[n], best, X, H, pair)
            X[:] = best
            solved = lead[n] == lead[n] and _refine(P, xy[n], seen, odds[n], X, H, variance, weights[n])
        if solved and _invert(H, variance, covariance[n]):
            points[n] = X
        else:
            weights[n] = 0.0
    return points, covariance, weights, lead


@njit(cache=True, nogil=True)
def _contradiction(P: Array, xy: Array, seen: Array, X: Array, H: Array) -> float:
    """Squared error of the best point that two views allow, over both."""
    for _ in range(_ITERATIONS):
        if not _step(P, xy, seen, X, H) > 0.0:
            return np.inf
    total = 0.0
    for v in range(len(P)):
        if seen[v] > 0.0:
            total += _squared_error(P[v], xy[v], X)
    return total


@njit(cache=True, nogil=True)
def _invert(H: Array, variance: float, out: Array) -> bool:
    """Covariance `(6,)` from a normal matrix `(6,)`; False where that is singular."""
    out[0], out[3] = H[3] * H[5] - H[4] * H[4], H[0] * H[5] - H[2] * H[2]
    out[1], out[2] = H[2] * H[4] - H[1] * H[5], H[1] * H[4] - H[2] * H[3]
    out[4], out[5] = H[1] * H[2] - H[0] * H[4], H[0] * H[3] - H[1] * H[1]
    det = H[0] * out[0] + H[1] * out[1] + H[2] * out[2]
    if not det > 1e-18 * (H[0] + H[3] + H[5]) ** 3:
        out[:] = np.nan
        return False
    out *= variance / det
    return True
