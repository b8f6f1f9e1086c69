"""The Pose Structure Score: whether a predicted pose falls into the same cluster of poses as the true one.

Section 3.4 of the paper. Every pose, predicted or true, is centred on its root and scaled so that its flattened vector
has length one; the score is 1 where both are nearest to the same of k cluster centres, which k-means found in a
reference set of true poses. Poses keep their orientation: reference, prediction and truth must be in the same kind of
axes (a camera's), or the score means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import frozen_array
from epitool.errors import GeometryError, InputError, UsageError
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

NORMALIZATION = "root-centred, then the flattened pose scaled to length 1"
N_INIT = 10  # starts of k-means; the one with the least inertia is kept
POSES_PER_CLUSTER = 2  # on average, at least


@dataclass(frozen=True, eq=False)
class Codebook:
    """Cluster centres.

    Attributes:
        asked: How many clusters were asked for; fewer are made where there are too few poses.
        centers: `(k, J, 3)`, normalised as poses are.
    """

    asked: int
    centers: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "centers", frozen_array(self.centers, (None, None, 3), "centers"))

    @property
    def k(self) -> int:
        """How many clusters there are."""
        return len(self.centers)

    @property
    def metric(self) -> str:
        """Name of the score: "mPSS@50", with the number of clusters where it is not the one asked for."""
        return f"mPSS@{self.asked}" + ("" if self.k == self.asked else f" (k={self.k})")


@dataclass(frozen=True, eq=False)
class PssModel:
    """Codebooks of one reference set of poses.

    Attributes:
        codebooks: One for each k asked for.
        skeleton: Names and order of the joints.
        seed: Seed of k-means.
        fitted_on: The reference set, in words.
        counted: Poses that the clusters were made from.
        skipped: Poses left out because a joint is missing or all joints coincide.
    """

    codebooks: tuple[Codebook, ...]
    skeleton: Skeleton
    seed: int
    fitted_on: str
    counted: int
    skipped: int

    def codebook(self, k: int) -> Codebook:
        """The codebook made when k clusters were asked for.

        Raises:
            InputError: There is none.
        """
        for codebook in self.codebooks:
            if codebook.asked == k:
                return codebook
        found = ", ".join(str(codebook.asked) for codebook in self.codebooks)
        raise InputError(f"no PSS clusters for k = {k}; there are {found}")


def normalized(poses: Array, root: int) -> Array:
    """Poses `(..., J, 3)` centred on their root and of length one as vectors; NaN where a joint is, or without extent.

    >>> normalized(np.array([[5.0, 5, 5], [8, 5, 9]]), root=0).tolist()
    [[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]
    """
    centered = np.asarray(poses, dtype=np.float64) - poses[..., root, None, :]
    length = np.sqrt((centered * centered).sum(axis=(-2, -1), keepdims=True))
    return centered / np.where(length > 0, length, np.nan)


def fit_pss(poses: Array, skeleton: Skeleton, ks: Sequence[int], seed: int, fitted_on: str) -> PssModel:
    """Clusters a reference set of poses `(N, J, 3)` with k-means, the best of 10 starts, for each k.

    k is lowered to half the number of distinct poses where it is more. Centres are scaled to length one, so that the
    nearest centre is the one at the least angle.

    Raises:
        GeometryError: Fewer than four distinct poses, which do not make two clusters.
        UsageError: A k is less than two.
    """
    if min(ks, default=2) < 2:
        raise UsageError(f"PSS needs at least two clusters, not {min(ks)}")
    flat = normalized(poses, skeleton.root).reshape(len(poses), -1)
    known = flat[np.isfinite(flat).all(axis=-1)]
    distinct = len(np.unique(known, axis=0))
    largest = distinct // POSES_PER_CLUSTER
    if largest < 2:
        raise GeometryError(f"{distinct} distinct complete poses do not make two PSS clusters; at least 4 are needed")
    codebooks = tuple(Codebook(k, _cluster(known, min(k, largest), seed).reshape(-1, len(skeleton), 3)) for k in ks)
    return PssModel(codebooks, skeleton, seed, fitted_on, len(known), len(poses) - len(known))


def _cluster(flat: Array, k: int, seed: int) -> Array:
    from sklearn.cluster import KMeans

    centers: Array = KMeans(k, n_init=N_INIT, random_state=seed).fit(flat).cluster_centers_
    return centers / np.linalg.norm(centers, axis=-1, keepdims=True)


def assign(poses: Array, codebook: Codebook, root: int) -> NDArray[np.int64]:
    """Index of the centre nearest to each pose `(..., J, 3)`, `(...)`; -1 where a joint is missing (Eq. 4)."""
    from sklearn.metrics import pairwise_distances_argmin

    unit = normalized(poses, root)
    flat = unit.reshape(-1, unit.shape[-2] * 3)
    known = np.isfinite(flat).all(axis=-1)
    clusters = np.full(len(flat), -1)
    if known.any():
        clusters[known] = pairwise_distances_argmin(flat[known], codebook.centers.reshape(codebook.k, -1))
    return clusters.reshape(unit.shape[:-2])


def pss(prediction: Array, truth: Array, codebook: Codebook, root: int) -> Array:
    """1 where a prediction is in the cluster of its truth, 0 where not, NaN where a joint is missing, `(...)` (Eq. 3).

    The mean over a set of poses is mPSS.

    >>> codebook = Codebook(2, np.array([[[0.0, 0, 0], [0, 1, 0]], [[0, 0, 0], [1, 0, 0]]]))
    >>> down, leaning, sideways = np.array([[[0.0, 0, 0], p] for p in ([0, 400, 0], [100, 300, 0], [300, 100, 0])])
    >>> float(pss(leaning, down, codebook, root=0)), float(pss(sideways, down, codebook, root=0))
    (1.0, 0.0)
    """
    ours, theirs = assign(prediction, codebook, root), assign(truth, codebook, root)
    return np.where((ours < 0) | (theirs < 0), np.nan, (ours == theirs).astype(float))
