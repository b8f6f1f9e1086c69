"""All distances between predicted and true poses in one pass, in numba; see `rotation` for the layout.

A joint that is missing has weight 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from epitool.metrics.rotation import LANES, nearest_rotation

ROOT, SCALE, SIMILARITY = 0, 1, 2  # alignments
ERROR, WITHIN, AREA = 0, 1, 2  # values of a pose, each under every alignment
AUC_STEP, AUC_STEPS = 5.0, 30  # thresholds 5, 10, ..., 150, and zero, which no distance is below
_COUNT, _PP, _GG, _ROOTED, _SIMILAR, _FACTOR = range(6)  # rows of what is known of a pair of poses
_VALID = 6  # the row of results after values and axes


@njit(cache=True, nogil=True, error_model="numpy")
def one_pass(
    p: Any, g: Any, root: int, published: bool, threshold: float,
    values: Any, joints: Any, axes: Any, differences: Any,
) -> None:  # fmt: skip
    """Measures the poses of a chunk under the three alignments.

    Args:
        p: Predictions `(N, J, 3)`.
        g: Truth, as p.
        root: Index of the root.
        published: Follow the protocol "epipolarpose".
        threshold: Of PCK.
        values: Filled: error, share within the threshold, and area, of each alignment `(N, alignment, value)`.
        joints: Added to: sum of distances and their number, `(2, alignment, J)`.
        axes: Added to: mean absolute differences of the poses, `(alignment, axis)`.
        differences: Filled, unless it is empty: aligned prediction - truth `(N, alignment, J, 3)`.
    """
    N, J = p.shape[:2]
    P, G, W, D = np.empty((J, 3, LANES)), np.empty((J, 3, LANES)), np.empty((J, LANES)), np.empty((J, 3, LANES))
    A, V, R = np.empty((3, 3, LANES)), np.empty((3, 3, LANES)), np.empty((3, 3, LANES))
    known, shift, result, row = np.empty((6, LANES)), np.empty((3, LANES)), np.empty((7, LANES)), np.empty((2, LANES))
    joint_sums, axis_sums = np.zeros((2, 3, J, LANES)), np.zeros((3, 3, LANES))
    for start in range(0, N, LANES):
        lanes = min(LANES, N - start)
        _load(p, g, start, lanes, root, P, G, W, known)
        _center(P, W, known, shift)
        _center(G, W, known, shift)
        _relate(P, G, W, root, A, known)
        nearest_rotation(A, V, R, known[_SIMILAR])
        _scale(known)
        for a in (SIMILARITY, SCALE, ROOT):
            _align(a, published, root, P, G, W, known, R, shift, result)
            _measure(P, G, W, R, shift, threshold, D, row, joint_sums[:, a], result)
            _average(known, result)
            for k in range(3):
                for b in range(LANES):
                    axis_sums[a, k, b] += result[3 + k, b]
            for b in range(lanes):
                out = values[start + b, a]
                out[0], out[1], out[2] = result[0, b], result[1, b], result[2, b]
            if len(differences):
                _store(D, W, result, lanes, differences[start : start + lanes, a])
    _add_lanes(joint_sums, axis_sums, joints, axes)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _load(
    p: Any, g: Any, start: int, lanes: int, root: int, P: Any, G: Any, W: Any, known: Any
) -> None:  # fmt: skip
    """Some poses as `[joint, axis, lane]`; counts their joints and notes whether the root is there."""
    for b in range(LANES):
        n = start + min(b, lanes - 1)
        count = 0.0
        for j in range(p.shape[1]):
            x, y, z, u, v, w = p[n, j, 0], p[n, j, 1], p[n, j, 2], g[n, j, 0], g[n, j, 1], g[n, j, 2]
            total = ((x + y) + (z + u)) + (v + w)
            there = total - total == 0.0
            P[j, 0, b], P[j, 1, b], P[j, 2, b] = x if there else 0.0, y if there else 0.0, z if there else 0.0
            G[j, 0, b], G[j, 1, b], G[j, 2, b] = u if there else 0.0, v if there else 0.0, w if there else 0.0
            W[j, b] = 1.0 if there and b < lanes else 0.0
            count += W[j, b]
            if j == root:
                known[_ROOTED, b] = 1.0 if there else 0.0
        known[_COUNT, b] = count


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _center(X: Any, W: Any, known: Any, mean: Any) -> None:
    """Moves the mean of the joints with weight to the origin."""
    for i in range(3):
        for b in range(LANES):
            mean[i, b] = 0.0
        for j in range(len(X)):
            for b in range(LANES):
                mean[i, b] += X[j, i, b] * W[j, b]
        for b in range(LANES):
            mean[i, b] /= max(known[_COUNT, b], 1.0)
        for j in range(len(X)):
            for b in range(LANES):
                X[j, i, b] -= mean[i, b]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _relate(P: Any, G: Any, W: Any, root: int, A: Any, known: Any) -> None:
    """Sizes of centred poses, the least-squares factor, and A = sum of g p^T over both sizes, `[column, row, lane]`."""
    known[_PP] = 0.0
    known[_GG] = 0.0
    A[:] = 0.0
    for j in range(len(P)):
        for b in range(LANES):
            w, g0, g1, g2 = W[j, b], G[j, 0, b], G[j, 1, b], G[j, 2, b]
            known[_PP, b] += w * (P[j, 0, b] * P[j, 0, b] + P[j, 1, b] * P[j, 1, b] + P[j, 2, b] * P[j, 2, b])
            known[_GG, b] += w * (g0 * g0 + g1 * g1 + g2 * g2)
            for k in range(3):
                x = w * P[j, k, b]
                A[k, 0, b] += g0 * x
                A[k, 1, b] += g1 * x
                A[k, 2, b] += g2 * x
    for b in range(LANES):
        # Sums over root-relative poses, from those over centred ones.
        p0, p1, p2, g0, g1, g2 = (
            P[root, 0, b],
            P[root, 1, b],
            P[root, 2, b],
            G[root, 0, b],
            G[root, 1, b],
            G[root, 2, b],
        )
        product = A[0, 0, b] + A[1, 1, b] + A[2, 2, b] + known[_COUNT, b] * (p0 * g0 + p1 * g1 + p2 * g2)
        square = known[_PP, b] + known[_COUNT, b] * (p0 * p0 + p1 * p1 + p2 * p2)
        known[_FACTOR, b] = product / square if square > 0.0 else 1.0
        size = np.sqrt(known[_PP, b]) * np.sqrt(known[_GG, b])
        inverse = 1.0 / size if size > 0.0 else 0.0
        for k in range(3):
            for i in range(3):
                A[k, i, b] *= inverse


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _scale(known: Any) -> None:
    """The scale of the similarity from the trace."""
    for b in range(LANES):
        size = np.sqrt(known[_PP, b])
        known[_SIMILAR, b] *= np.sqrt(known[_GG, b]) / (size if size > 0.0 else 1.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _align(
    a: int, published: bool, root: int, P: Any, G: Any, W: Any, known: Any, R: Any, shift: Any, result: Any
) -> None:  # fmt: skip
    """An alignment as `difference = R p - g - shift`, scale in R, and for which poses it is determined."""
    similarity_scale = a == SIMILARITY or (a == SCALE and published)
    on_root = a != SIMILARITY or published
    for b in range(LANES):
        enough = known[_COUNT, b] >= 3.0 if similarity_scale else known[_COUNT, b] > W[root, b]
        result[_VALID, b] = 1.0 if enough and (known[_ROOTED, b] > 0.0 or not on_root) else 0.0
        scale = known[_SIMILAR, b] if similarity_scale else (known[_FACTOR, b] if a == SCALE else 1.0)
        for i in range(3):
            for k in range(3):
                R[i, k, b] = scale * R[i, k, b] if a == SIMILARITY else (scale if i == k else 0.0)
        p0, p1, p2 = P[root, 0, b], P[root, 1, b], P[root, 2, b]
        for i in range(3):
            place = R[i, 0, b] * p0 + R[i, 1, b] * p1 + R[i, 2, b] * p2 - G[root, i, b]
            shift[i, b] = place if on_root else 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _measure(
    P: Any, G: Any, W: Any, R: Any, shift: Any, threshold: float, D: Any, row: Any, joint_sums: Any, result: Any
) -> None:  # fmt: skip
    """Sums over joints of distances, of those within the threshold, of thresholds above them, and of each axis.

    Short loops over few arrays each: the compiler does not vectorise others.
    """
    for k in range(_VALID):
        for b in range(LANES):
            result[k, b] = 0.0
    for j in range(len(P)):
        for b in range(LANES):
            row[1, b] = W[j, b] * result[_VALID, b]
        for i in range(3):
            for b in range(LANES):
                turned = R[i, 0, b] * P[j, 0, b] + R[i, 1, b] * P[j, 1, b] + R[i, 2, b] * P[j, 2, b]
                D[j, i, b] = turned - G[j, i, b] - shift[i, b]
            for b in range(LANES):
                result[3 + i, b] += row[1, b] * abs(D[j, i, b])
        for b in range(LANES):
            row[0, b] = np.sqrt(D[j, 0, b] * D[j, 0, b] + D[j, 1, b] * D[j, 1, b] + D[j, 2, b] * D[j, 2, b])
        for b in range(LANES):
            distance, w = row[0, b], row[1, b]
            joint_sums[0, j, b] += w * distance
            joint_sums[1, j, b] += w
        for b in range(LANES):
            distance, w = row[0, b], row[1, b]
            result[ERROR, b] += w * distance
            result[WITHIN, b] += w if distance <= threshold else 0.0
            result[AREA, b] += w * max(AUC_STEPS - np.floor(distance * (1.0 / AUC_STEP)), 0.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _average(known: Any, result: Any) -> None:
    """Sums over joints to means, shares to percentages.

    Where the alignment is not determined values are NaN, and differences along axes zero.
    """
    for k in range(_VALID):
        unit = 1.0 if k not in (WITHIN, AREA) else 100.0 if k == WITHIN else 100.0 / (AUC_STEPS + 1)
        unknown = np.nan if k < 3 else 0.0
        for b in range(LANES):
            result[k, b] = unit * result[k, b] / known[_COUNT, b] if result[_VALID, b] > 0.0 else unknown


@njit(cache=True, nogil=True, error_model="numpy")
def _store(D: Any, W: Any, result: Any, lanes: int, differences: Any) -> None:
    for b in range(lanes):
        for j in range(len(D)):
            for i in range(3):
                differences[b, j, i] = D[j, i, b] if W[j, b] * result[_VALID, b] > 0.0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _add_lanes(joint_sums: Any, axis_sums: Any, joints: Any, axes: Any) -> None:
    for a in range(3):
        for b in range(LANES):
            for k in range(3):
                axes[a, k] += axis_sums[a, k, b]
            for j in range(joints.shape[2]):
                joints[0, a, j] += joint_sums[0, a, j, b]
                joints[1, a, j] += joint_sums[1, a, j, b]
