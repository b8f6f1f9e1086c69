"""Reduced normal equations of bundle adjustment: cameras with the joints eliminated (Schur complement).

A camera has up to eleven parameters, of which the first so many are free: rotation w and translation u, by which it
moves as `exp(w) R, t + u`; the logarithm of its focal length; its principal point; its bend, by which what is at
`(x, y)` on the plane z = 1 appears at `(1 + bend r^2) (x, y)`; and the logarithm of fx / fy. See Triggs et al., Bundle
Adjustment - A Modern Synthesis (2000), section 6.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
POSE, FOCAL, LENS = 6, 7, 11  # parameters of a camera: its pose alone, with focal length, with all of its lens


@njit(cache=True, nogil=True, error_model="numpy")
def _linearize(
    R: Array, t: Array, K: Array, bend: float, X: Array, xy: Array, Jc: Array, Jp: Array, residual: Array
) -> None:
    """Residual `(2,)` of one projection and its derivatives by camera `(2, P)` and point `(2, 3)`, in place."""
    # in scalars: a small array for every projection would cost more than the arithmetic
    rx = R[0, 0] * X[0] + R[0, 1] * X[1] + R[0, 2] * X[2]
    ry = R[1, 0] * X[0] + R[1, 1] * X[1] + R[1, 2] * X[2]
    rz = R[2, 0] * X[0] + R[2, 1] * X[1] + R[2, 2] * X[2]
    over_z = 1.0 / (rz + t[2])
    x, y = (rx + t[0]) * over_z, (ry + t[1]) * over_z
    rr = x * x + y * y
    grown = 1.0 + bend * rr
    across, along_x, along_y = 2.0 * bend * x * y, grown + 2.0 * bend * x * x, grown + 2.0 * bend * y * y
    u, v = (K[0, 0] * x + K[0, 1] * y) * grown, K[1, 1] * y * grown
    residual[0], residual[1] = u + K[0, 2] - xy[0], v + K[1, 2] - xy[1]
    for row in range(2):
        a = (K[row, 0] * along_x + K[row, 1] * across) * over_z
        b = (K[row, 0] * across + K[row, 1] * along_y) * over_z
        c = -(a * x + b * y)
        Jc[row, 0], Jc[row, 1], Jc[row, 2] = c * ry - b * rz, a * rz - c * rx, b * rx - a * ry
        Jc[row, 3], Jc[row, 4], Jc[row, 5] = a, b, c
        for k in range(3):
            Jp[row, k] = a * R[0, k] + b * R[1, k] + c * R[2, k]
    if Jc.shape[1] > 6:
        Jc[0, 6], Jc[1, 6] = u, v
    if Jc.shape[1] > 7:
        Jc[0, 7], Jc[1, 7], Jc[0, 8], Jc[1, 8] = 1.0, 0.0, 0.0, 1.0
        Jc[0, 9], Jc[1, 9] = (K[0, 0] * x + K[0, 1] * y) * rr, K[1, 1] * y * rr
        Jc[0, 10], Jc[1, 10] = u / 2, -v / 2


@njit(cache=True, nogil=True)
def _damped_inverse(A: Array, damping: float, inverse: Array) -> None:
    """Inverse `(3, 3)` of a point's block, whose diagonal is raised in place; zero where no view sees the point."""
    size = A[0, 0] + A[1, 1] + A[2, 2]
    if not size > 0.0:
        inverse[:] = 0.0
        return
    for k in range(3):
        A[k, k] += damping * A[k, k] + 1e-12 * size
    for i in range(3):
        for j in range(3):  # the adjugate of a symmetric matrix, by cyclic indices
            i1, i2, j1, j2 = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            inverse[j, i] = A[i1, j1] * A[i2, j2] - A[i1, j2] * A[i2, j1]
    det = A[0, 0] * inverse[0, 0] + A[0, 1] * inverse[1, 0] + A[0, 2] * inverse[2, 0]
    for i in range(3):
        for j in range(3):
            inverse[i, j] /= det


@njit(cache=True, nogil=True)
def _point_blocks(
    R: Array, t: Array, K: Array, bend: Array, X: Array, xy: Array, weight: Array,
    H_cc: Array, H_cp: Array, g_c: Array, H_pp: Array, g_p: Array, Jc: Array, Jp: Array, r: Array,
) -> None:  # fmt: skip
    """Blocks that one point `(3,)`, seen at `(V, 2)` with weights `(V,)`, adds to H_cc, and its own: all in place.

    H_cc of no views is left alone, for a caller that does not need it. Jc, Jp and r are room to work in: arrays made
    anew for every point would take longer than the arithmetic.
    """
    free = Jc.shape[1]
    H_pp[:] = 0.0
    g_p[:] = 0.0
    for v in range(len(R)):
        if weight[v] <= 0.0:
            H_cp[v] = 0.0
            g_c[v] = 0.0
            continue
        _linearize(R[v], t[v], K[v], bend[v], X, xy[v], Jc, Jp, r)
        for i in range(free):
            a, b = weight[v] * Jc[0, i], weight[v] * Jc[1, i]
            g_c[v, i] = a * r[0] + b * r[1]
            if len(H_cc):
                for j in range(i, free):
                    H_cc[v, i, j] += a * Jc[0, j] + b * Jc[1, j]
            for j in range(3):
                H_cp[v, i, j] = a * Jp[0, j] + b * Jp[1, j]
        for i in range(3):
            a, b = weight[v] * Jp[0, i], weight[v] * Jp[1, i]
            g_p[i] += a * r[0] + b * r[1]
            for j in range(3):
                H_pp[i, j] += a * Jp[0, j] + b * Jp[1, j]


@njit(cache=True, nogil=True)
def reduced_system(
    R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array, weights: Array, free: int, damping: float,
    group: NDArray[np.int64],
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Normal equations of the cameras after the points are eliminated.

    Args:
        R: Rotations `(V, 3, 3)`.
        t: Translations `(V, 3)`.
        K: Intrinsics `(V, 3, 3)`.
        bend: `(V,)`.
        points: `(N, 3)`, in the rig's world.
        xy: Undistorted keypoints `(N, V, 2)` px; whatever stands where the weight is 0 is not read.
        weights: `(N, V)`; 0 for what is not seen.
        free: How many of a camera's parameters may change, P: 6, 7 or 11.
        damping: Relative increase of the points' diagonals.
        group: Which of G groups each point belongs to, `(N,)`; for covariances that allow for errors that go together.

    Returns:
        What each group adds: S `(G, P V, P V)`; the cameras' own blocks `(G, V, P, P)`, whose diagonals damping raises;
        gradients `(G, P V)`.
    """
    views, p, groups = len(R), free, group.max() + 1
    S, H_cc = np.zeros((groups, p * views, p * views)), np.zeros((groups, views, p, p))
    gradient = np.zeros((groups, p * views))
    H_cp, g_c, eliminated = np.zeros((views, p, 3)), np.zeros((views, p)), np.zeros((p, 3))
    H_pp, g_p, inverse = np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3))
    Jc, Jp, r = np.zeros((2, p)), np.zeros((2, 3)), np.zeros(2)
    for n in range(len(points)):
        into_S = S[group[n]]
        _point_blocks(R, t, K, bend, points[n], xy[n], weights[n], H_cc[group[n]], H_cp, g_c, H_pp, g_p, Jc, Jp, r)
        _damped_inverse(H_pp, damping, inverse)
        for a in range(views):
            if weights[n, a] <= 0.0:
                continue
            for i in range(free):
                for k in range(3):
                    total = 0.0
                    for m in range(3):
                        total += H_cp[a, i, m] * inverse[m, k]
                    eliminated[i, k] = total
                into = eliminated[i, 0] * g_p[0] + eliminated[i, 1] * g_p[1] + eliminated[i, 2] * g_p[2]
                gradient[group[n], p * a + i] += g_c[a, i] - into
            for b in range(a, views):
                if weights[n, b] <= 0.0:
                    continue
                for i in range(free):
                    for j in range(free):
                        into_S[p * a + i, p * b + j] -= (
                            eliminated[i, 0] * H_cp[b, j, 0]
                            + eliminated[i, 1] * H_cp[b, j, 1]
                            + eliminated[i, 2] * H_cp[b, j, 2]
                        )
    for g in range(groups):
        for v in range(views):
            for i in range(p):
                for j in range(p):
                    H_cc[g, v, i, j] = H_cc[g, v, min(i, j), max(i, j)]
                    S[g, p * v + i, p * v + j] += H_cc[g, v, i, j]
        for i in range(p * views):
            for j in range(i):
                S[g, i, j] = S[g, j, i]
    return S, H_cc, gradient


@njit(cache=True, nogil=True)
def point_steps(
    R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array, weights: Array, free: int, damping: float,
    camera_step: Array,
) -> Array:  # fmt: skip
    """Steps `(N, 3)` of the points that go with the cameras' step `(V, P)`; arguments as `reduced_system`."""
    views, p = len(R), free
    steps = np.zeros((len(points), 3))
    H_cc, H_cp, g_c = np.zeros((0, p, p)), np.zeros((views, p, 3)), np.zeros((views, p))
    H_pp, g_p, inverse = np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3))
    Jc, Jp, r = np.zeros((2, p)), np.zeros((2, 3)), np.zeros(2)
    for n in range(len(points)):
        _point_blocks(R, t, K, bend, points[n], xy[n], weights[n], H_cc, H_cp, g_c, H_pp, g_p, Jc, Jp, r)
        _damped_inverse(H_pp, damping, inverse)
        for v in range(views):
            for i in range(free):
                for k in range(3):
                    g_p[k] += H_cp[v, i, k] * camera_step[v, i]
        for k in range(3):
            steps[n, k] = -(inverse[k, 0] * g_p[0] + inverse[k, 1] * g_p[1] + inverse[k, 2] * g_p[2])
    return steps
