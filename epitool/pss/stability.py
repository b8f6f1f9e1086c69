"""Agreement between runs of k-means: the paper's analysis of its own score (section 3.4).

For every pair of runs, clusters are matched one to one so that the sum of their intersections over union is greatest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from epitool.parallel import run_parallel
from epitool.pss.codebook import Codebook, normalized

Array = NDArray[np.float64]
Labels = NDArray[np.uint16]

_PART = 4096  # poses per part, whose products with a codebook fit in the processor's cache


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of P pairs of clusterings.

    Attributes:
        iou: Mean intersection over union of the matched clusters, `(P,)`.
        share: Share of the vectors that are in matched clusters, `(P,)`.
    """

    iou: Array
    share: Array


def agreement(labels: Sequence[Labels], k: int, jobs: int = 1) -> Agreement:
    """Compare every pair of clusterings of the same vectors.

    Args:
        labels: Clusters of the vectors in each of R clusterings, `(N,)` from 0 to k - 1.
        k: Number of clusters.
        jobs: Number of clusterings that are compared with the others at a time.

    Returns:
        Pairs in the order (0, 1), (0, 2) ... (1, 2), P = R (R - 1) / 2.
    """
    stack = np.stack(labels).astype(np.uint8 if k <= 256 else np.uint16)

    def compare(a: int) -> list[tuple[float, float]]:
        return [_matched(contingency(stack[a], stack[b], k)) for b in range(a + 1, len(stack))]

    pairs = np.array([pair for row in run_parallel(compare, range(len(stack) - 1), jobs) for pair in row])
    return Agreement(*pairs.reshape(-1, 2).T)


def _matched(table: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean IoU of matched clusters of a contingency table `(k, k)`, and the share of the vectors in them."""
    union = table.sum(axis=0)[None, :] + table.sum(axis=1)[:, None] - table
    iou = table / np.maximum(union, 1)
    matched = linear_sum_assignment(iou, maximize=True)
    return float(iou[matched].mean()), float(table[matched].sum() / table.sum())


def contingency(a: Labels, b: Labels, k: int) -> NDArray[np.int64]:
    """Return the number of vectors in cluster i of one clustering and cluster j of another, `(k, k)`."""
    return np.bincount(a.astype(np.int64) * k + b, minlength=k * k).reshape(k, k)


def mpss_by_codebook(prediction: Array, truth: Array, codebooks: Sequence[Codebook], root: int, jobs: int = 1) -> Array:
    """Return mPSS of predicted against true poses `(N, J, 3)` by each of R codebooks, `(R,)` in percent.

    It is NaN without poses. Poses and centres have length one, so the nearest centre is the one with the largest inner
    product.

    Raises:
        ValueError: The codebooks have different alignments.
    """
    if len({codebook.yaw for codebook in codebooks}) != 1:
        raise ValueError("codebooks of different alignments")
    centers = [codebook.centers.reshape(codebook.k, -1).T.astype(np.float32) for codebook in codebooks]

    def agreeing(start: int) -> list[int]:
        part = slice(start, start + _PART)
        unit = np.stack([normalized(poses[part], root, codebooks[0].yaw) for poses in (prediction, truth)])
        flat = unit.reshape(2, unit.shape[1], -1)
        a, b = flat[:, np.isfinite(flat).all(axis=(0, 2))].astype(np.float32)
        same = [np.count_nonzero((a @ center).argmax(axis=1) == (b @ center).argmax(axis=1)) for center in centers]
        return [*same, len(a)]

    with threadpool_limits(1, user_api="blas"):
        counts = np.array(run_parallel(agreeing, range(0, len(prediction), _PART), jobs), dtype=np.float64)
    *same, known = counts.reshape(-1, len(centers) + 1).sum(axis=0)
    return 100 * np.array(same) / (known or np.nan)
