"""Cluster centres of poses, and the score based on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array
from epitool.errors import InputError
from epitool.pss.alignment import Yaw
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

_PART = 100_000  # poses per block
NORMALIZATION = "root-centred, then the flattened pose scaled to length 1"


@dataclass(frozen=True, eq=False)
class Codebook:
    """Cluster centres.

    Attributes:
        asked: Requested number of clusters; there are fewer if there are too few poses.
        centers: Centres `(k, J, 3)`, normalised like poses, the largest cluster first.
        yaw: Yaw that is removed from poses before they are compared; None to keep their orientation.
    """

    asked: int
    centers: Array
    yaw: Yaw | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "centers", frozen_array(self.centers, (None, None, 3), "centers"))

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centers)

    @property
    def metric(self) -> str:
        """Name of the score: "mPSS@50", with the number of clusters if it differs from the requested one."""
        return f"mPSS@{self.asked}" + ("" if self.k == self.asked else f" (k={self.k})")


@dataclass(frozen=True, eq=False)
class PssModel:
    """Codebooks of one reference set of poses.

    Attributes:
        codebooks: One codebook for each requested k.
        skeleton: Names and order of the joints.
        seed: Seed of k-means.
        fitted_on: Description of the reference set.
        counted: Number of poses that were clustered.
        skipped: Number of poses left out because a joint is missing or all joints coincide.
        method: Description of how the clusters were made.
    """

    codebooks: tuple[Codebook, ...]
    skeleton: Skeleton
    seed: int
    fitted_on: str
    counted: int
    skipped: int
    method: str

    @property
    def alignment(self) -> str:
        """Description of what is removed from a pose's orientation: "none", or "yaw about y"."""
        yaw = self.codebooks[0].yaw
        return str(yaw) if yaw else "none"

    def codebook(self, k: int) -> Codebook:
        """Return the codebook for k requested clusters.

        Raises:
            InputError: There is none.
        """
        for codebook in self.codebooks:
            if codebook.asked == k:
                return codebook
        found = ", ".join(str(codebook.asked) for codebook in self.codebooks)
        raise InputError(f"no PSS clusters for k = {k}; there are {found}")


def normalized(poses: Array, root: int, yaw: Yaw | None = None) -> Array:
    """Return poses `(..., J, 3)` centred on their root and with length one as vectors.

    Poses with a missing joint or without extent are NaN. With a yaw, poses are also turned to face the same way.

    >>> normalized(np.array([[5.0, 5, 5], [8, 5, 9]]), root=0).tolist()
    [[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]
    """
    centered = np.asarray(poses, dtype=np.float64) - poses[..., root, None, :]
    length = np.sqrt((centered * centered).sum(axis=(-2, -1), keepdims=True))
    unit = centered / np.where(length > 0, length, np.nan)
    return yaw.removed(unit) if yaw else unit


def assign(poses: Array, codebook: Codebook, root: int) -> NDArray[np.int64]:
    """Return the index `(...)` of the centre nearest to each pose `(..., J, 3)` (Eq. 4); -1 if a joint is missing."""
    unit = normalized(poses, root, codebook.yaw)
    flat = unit.reshape(-1, unit.shape[-2] * 3)
    return nearest(flat, codebook.centers.reshape(codebook.k, -1)).reshape(unit.shape[:-2])


def nearest(flat: Array, centers: Array) -> NDArray[np.int64]:
    """Return the index `(N,)` of the centre `(k, D)` nearest to each vector `(N, D)`; -1 where a value is NaN."""
    from scipy.cluster.vq import vq  # scikit-learn's works as well, but takes three seconds to import

    known = np.flatnonzero(np.isfinite(flat).all(axis=-1))
    clusters = np.full(len(flat), -1)
    for start in range(0, len(known), _PART):  # vq holds a table of all distances of a block
        part = known[start : start + _PART]
        clusters[part] = vq(flat[part], centers)[0]
    return clusters


def pss(prediction: Array, truth: Array, codebook: Codebook, root: int) -> Array:
    """Return the Pose Structure Score of each prediction, `(...)` (Eq. 3).

    It is 1 where a prediction is in the cluster of its truth, 0 where not, and NaN where a joint is missing. The mean
    over a set of poses is mPSS.

    >>> codebook = Codebook(2, np.array([[[0.0, 0, 0], [0, 1, 0]], [[0, 0, 0], [1, 0, 0]]]))
    >>> down, leaning, sideways = np.array([[[0.0, 0, 0], p] for p in ([0, 400, 0], [100, 300, 0], [300, 100, 0])])
    >>> float(pss(leaning, down, codebook, root=0)), float(pss(sideways, down, codebook, root=0))
    (1.0, 0.0)
    """
    ours, theirs = assign(prediction, codebook, root), assign(truth, codebook, root)
    return same_cluster(ours, theirs)


def same_cluster(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Array:
    """Return 1 where two assignments `(...)` agree, 0 where not, NaN where one is unknown (-1)."""
    return np.where((ours < 0) | (theirs < 0), np.nan, (ours == theirs).astype(float))
