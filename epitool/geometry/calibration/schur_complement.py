"""Reduced normal equations of bundle adjustment: cameras with the joints eliminated (Schur complement).

The first `free` parameters of each camera, in the order of `compiled.lens`, are adjusted. See Triggs et al., Bundle
Adjustment - A Modern Synthesis (2000), section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import compiled, formula
from epitool.geometry.compiled.lens import linearize
from epitool.geometry.compiled.symmetric import invert_matrix

Array = NDArray[np.float64]


class System(NamedTuple):
    """Normal equations of the cameras, and how the points follow from the cameras.

    Attributes:
        S: Contribution of each group, `(G, P V, P V)`.
        own: The cameras' own blocks, whose diagonals damping raises, `(G, V, P, P)`.
        gradient: Gradients `(G, P V)`.
        following: `H_pp^-1 H_pc` of each point, `(N, 3, P V)`.
        alone: `H_pp^-1 g_p` of each point, `(N, 3)`.
    """

    S: Array
    own: Array
    gradient: Array
    following: Array
    alone: Array


class _Work(NamedTuple):
    """Blocks of one point, and work arrays: allocating them for every point would take longer than the arithmetic."""

    H_pc: Array
    g_c: Array
    H_pp: Array
    g_p: Array
    inverse: Array
    Jc: Array
    Jp: Array
    r: Array


@formula
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


@formula
def _point_blocks(
    R: Array, t: Array, K: Array, bend: Array, X: Array, xy: Array, weight: Array, H_cc: Array, work: _Work
) -> None:
    """Add the blocks of one point `(3,)`, seen at `(V, 2)` with weights `(V,)`, to H_cc, and write its own blocks."""
    H_pc, g_c, H_pp, g_p, Jc, Jp, r = work.H_pc, work.g_c, work.H_pp, work.g_p, work.Jc, work.Jp, work.r
    free = Jc.shape[1]
    H_pp[:] = 0.0
    g_p[:] = 0.0
    H_pc[:] = 0.0
    g_c[:] = 0.0
    for v in range(len(R)):
        if weight[v] <= 0.0:
            continue
        linearize(R, t, K, bend, v, X, xy, Jc, Jp, r)
        for i in range(free):
            a, b = weight[v] * Jc[0, i], weight[v] * Jc[1, i]
            g_c[free * v + i] = a * r[0] + b * r[1]
            for j in range(i, free):
                H_cc[v, i, j] += a * Jc[0, j] + b * Jc[1, j]
            for j in range(3):
                H_pc[j, free * v + i] = a * Jp[0, j] + b * Jp[1, j]
        for i in range(3):
            a, b = weight[v] * Jp[0, i], weight[v] * Jp[1, i]
            g_p[i] += a * r[0] + b * r[1]
            for j in range(i, 3):
                H_pp[i, j] += a * Jp[0, j] + b * Jp[1, j]


def reduced_system(
    R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array, weights: Array, free: int, damping: float,
    group: NDArray[np.int64],
) -> System:  # fmt: skip
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
    """
    views, p, groups = len(R), free, int(group.max()) + 1
    found = System(
        np.zeros((groups, p * views, p * views)), np.zeros((groups, views, p, p)), np.zeros((groups, p * views)),
        np.zeros((len(points), 3, p * views)), np.zeros((len(points), 3)),
    )  # fmt: skip
    work = _Work(*(np.empty(shape) for shape in ((3, p * views), p * views, (3, 3), 3, (3, 3), (2, p), (2, 3), 2)))
    _reduce(R, t, K, bend, points, xy, weights, damping, group, found, work)
    own = _symmetric(found.own)
    for v in range(views):
        block = slice(p * v, p * (v + 1))
        found.S[:, block, block] += own[:, v]
    return found._replace(S=_symmetric(found.S), own=own)


def _symmetric(upper: Array) -> Array:
    """Return symmetric matrices `(..., n, n)` that are given by their upper triangles."""
    filled: Array = np.triu(upper) + np.swapaxes(np.triu(upper, 1), -1, -2)
    return filled


@compiled
def _reduce(
    R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array, weights: Array, damping: float,
    group: NDArray[np.int64], found: System, work: _Work,
) -> None:  # fmt: skip
    """Add to S, without the cameras' own blocks, and to the upper triangles of those blocks; write the rest."""
    H_pc, g_c, g_p, inverse = work.H_pc, work.g_c, work.g_p, work.inverse
    for n in range(len(points)):
        g = group[n]
        _point_blocks(R, t, K, bend, points[n], xy[n], weights[n], found.own[g], work)
        _damped_inverse(work.H_pp, damping, inverse)
        for k in range(3):
            found.alone[n, k] = inverse[k, 0] * g_p[0] + inverse[k, 1] * g_p[1] + inverse[k, 2] * g_p[2]
            for q in range(len(g_c)):
                along = inverse[k, 0] * H_pc[0, q] + inverse[k, 1] * H_pc[1, q] + inverse[k, 2] * H_pc[2, q]
                found.following[n, k, q] = along
        for p in range(len(g_c)):
            # Schur complement: S = H_cc - H_cp H_pp^-1 H_pc and, likewise, g_c - H_cp H_pp^-1 g_p
            a, b, c = found.following[n, 0, p], found.following[n, 1, p], found.following[n, 2, p]
            found.gradient[g, p] += g_c[p] - (a * g_p[0] + b * g_p[1] + c * g_p[2])
            for q in range(len(g_c)):  # whole rows, which the processor takes several numbers at a time
                found.S[g, p, q] -= a * H_pc[0, q] + b * H_pc[1, q] + c * H_pc[2, q]


def point_steps(found: System, camera_step: Array) -> Array:
    """Return the steps `(N, 3)` of the points for the cameras' step `(V, P)`: -H_pp^-1 (g_p + H_pc d_c)."""
    return np.asarray(-(found.alone + found.following @ camera_step.ravel()))
