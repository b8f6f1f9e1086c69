"""Reduced normal equations of bundle adjustment: cameras with the joints eliminated (Schur complement).

The first `free` parameters of each camera, in the order of `compiled.lens`, are adjusted. See Triggs et al., Bundle
Adjustment - A Modern Synthesis (2000), section 6.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.lens import linearize
from epitool.geometry.compiled.symmetric import invert_matrix

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _damped_inverse(A: Array, damping: float, inverse: Array) -> None:
    """Write the inverse `(3, 3)` of a point's block, with diagonal raised in place; 0 where no view sees the point.

    Only the upper triangle of the block is read.
    """
    size = A[0, 0] + A[1, 1] + A[2, 2]
    if not size > 0.0:
        inverse[:] = 0.0
        return
    for k in range(3):
        A[k, k] += damping * A[k, k] + 1e-12 * size
    invert_matrix(A, inverse)


@njit(cache=True, nogil=True)
def _point_blocks(
    R: Array, t: Array, K: Array, bend: Array, X: Array, xy: Array, weight: Array,
    H_cc: Array, H_cp: Array, g_c: Array, H_pp: Array, g_p: Array, Jc: Array, Jp: Array, r: Array,
) -> None:  # fmt: skip
    """Add the blocks of one point `(3,)`, seen at `(V, 2)` with weights `(V,)`, to H_cc, and write its own blocks.

    An H_cc of no views is left alone, for callers that do not need it. Jc, Jp and r are work arrays: allocating arrays
    for every point would take longer than the arithmetic.
    """
    free = Jc.shape[1]
    H_pp[:] = 0.0
    g_p[:] = 0.0
    for v in range(len(R)):
        if weight[v] <= 0.0:
            H_cp[v] = 0.0
            g_c[v] = 0.0
            continue
        linearize(R, t, K, bend, v, X, xy, Jc, Jp, r)
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
            for j in range(i, 3):
                H_pp[i, j] += a * Jp[0, j] + b * Jp[1, j]


@njit(cache=True, nogil=True)
def reduced_system(
    R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array, weights: Array, free: int, damping: float,
    group: NDArray[np.int64],
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return the normal equations of the cameras after elimination of the points.

    Args:
        R: Rotations `(V, 3, 3)`.
        t: Translations `(V, 3)`.
        K: Intrinsics `(V, 3, 3)`.
        bend: Changes of k1 `(V,)`.
        points: Points `(N, 3)`, in the rig's world.
        xy: Undistorted keypoints `(N, V, 2)` px; not read where the weight is 0.
        weights: Weights `(N, V)`; 0 for what is not seen.
        free: Number of a camera's parameters that may change, P: 6, 7 or 11.
        damping: Relative increase of the points' diagonals.
        group: Group of each point out of G, `(N,)`; for covariances that allow for correlated errors.

    Returns:
        Contribution of each group: S `(G, P V, P V)`; the cameras' own blocks `(G, V, P, P)`, whose diagonals damping
            raises; gradients `(G, P V)`.
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
                # Schur complement: S = H_cc - H_cp H_pp^-1 H_pc and, likewise, g_c - H_cp H_pp^-1 g_p
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
    """Return the steps `(N, 3)` of the points for the cameras' step `(V, P)`; arguments are as for `reduced_system`."""
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
            # back-substitution: -H_pp^-1 (g_p + H_pc d_c)
            steps[n, k] = -(inverse[k, 0] * g_p[0] + inverse[k, 1] * g_p[1] + inverse[k, 2] * g_p[2])
    return steps
