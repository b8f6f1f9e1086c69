"""k-means on a reference set of poses: single runs, the best of several, and the consensus of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError, UsageError
from epitool.parallel import run_parallel
from epitool.pss.alignment import Yaw
from epitool.pss.codebook import Codebook, PssModel, normalized
from epitool.skeleton import Skeleton

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Labels = NDArray[np.uint16]

N_INIT = 10  # starts of plain k-means; the one with the lowest inertia is kept
CONSENSUS_RUNS = 20
_POOLED_STARTS = 3  # starts of the clustering of pooled centres; ten make no better consensus
POSES_PER_CLUSTER = 2  # least average number
_SPREAD_AMONG, _SPREAD_PER_CLUSTER = 20_000, 20  # vectors that first centres are drawn from: at least, and for each one
_CANDIDATES = 5  # vectors tried for each centre; if more were tried for a larger k, k would change the first centres


@dataclass(frozen=True, eq=False)
class Run:
    """Result of one run of k-means.

    Attributes:
        centers: Means of the clusters, `(k, D)`.
        labels: Cluster of each vector, `(N,)`.
        inertia: Mean squared distance of the vectors from their centres.
    """

    centers: Floats
    labels: Labels
    inertia: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of vectors in each cluster, `(k,)`."""
        return np.bincount(self.labels, minlength=len(self.centers))


def fit_pss(
    poses: Array,
    skeleton: Skeleton,
    ks: Sequence[int],
    seed: int,
    fitted_on: str,
    *,
    yaw: Yaw | None = None,
    consensus: int = CONSENSUS_RUNS,
    jobs: int = 1,
) -> PssModel:
    """Cluster a reference set of poses `(N, J, 3)` for each k.

    k is limited to half the number of distinct poses. Centres are scaled to length one, so that the nearest centre is
    the one at the smallest angle.

    Args:
        poses: The reference set.
        skeleton: Skeleton of its joints.
        ks: Numbers of clusters.
        seed: Seed of all randomness.
        fitted_on: Description of the reference set.
        yaw: Yaw to remove from poses first; None to keep their orientation.
        consensus: Number of runs of k-means that `consensus_of` combines; 0 for the best of 10.
        jobs: Number of runs at a time; the result does not depend on it.

    Raises:
        GeometryError: There are fewer than four distinct poses, too few for two clusters.
        UsageError: A k is less than two.
    """
    if min(ks, default=2) < 2:
        raise UsageError(f"PSS needs at least two clusters, not {min(ks)}")
    flat = flat_poses(poses, skeleton.root, yaw)
    distinct = count_distinct(flat)
    largest = distinct // POSES_PER_CLUSTER
    if largest < 2:
        raise GeometryError(f"{distinct} distinct complete poses do not make two PSS clusters; at least 4 are needed")
    codebooks = []
    starts = draw_starts(flat, min(max(ks, default=2), largest), consensus or N_INIT, seed)
    for k in ks:
        runs = fit_runs(flat, min(k, largest), len(starts), seed, jobs, starts)
        chosen = consensus_of(flat, runs, seed) if consensus else min(runs, key=lambda run: run.inertia)
        codebooks.append(make_codebook(chosen, k, yaw))
    return PssModel(tuple(codebooks), skeleton, seed, fitted_on, len(flat), len(poses) - len(flat), method(consensus))


def method(consensus: int) -> str:
    """Return a description of how clusters are made."""
    return f"consensus of {consensus} k-means runs" if consensus else f"k-means, best of {N_INIT} runs"


def flat_poses(poses: Array, root: int, yaw: Yaw | None) -> Floats:
    """Return the complete poses among `(N, J, 3)`, normalised, as vectors `(M, 3 J)`."""
    flat = normalized(poses, root, yaw).reshape(len(poses), -1)
    return flat[np.isfinite(flat).all(axis=-1)].astype(np.float32)


def count_distinct(flat: Floats) -> int:
    """Return the number of distinct vectors among `(N, D)`."""
    return len({row.tobytes() for row in flat + np.float32(0)})  # -0 becomes 0


def make_codebook(run: Run, asked: int, yaw: Yaw | None) -> Codebook:
    """Return the codebook of a run, the largest cluster first."""
    centers = run.centers[np.argsort(-run.sizes, kind="stable")].astype(np.float64)
    unit = centers / np.linalg.norm(centers, axis=-1, keepdims=True)
    return Codebook(asked, unit.reshape(len(unit), -1, 3), yaw)


def draw_starts(flat: Floats, k: int, count: int, seed: int) -> list[Floats]:
    """Draw first centres `(k, D)` for several runs by k-means++ (Arthur and Vassilvitskii 2007).

    Centres are drawn one after the other, so the first of them are what a smaller k would draw.
    """
    with _threads().limit(limits=1, user_api="blas"):
        # Drawing is many small steps of Python, in which threads would wait for each other.
        return [_spread_centers(flat, k, own) for own in _seeds(count, seed)]


def _spread_centers(flat: Floats, k: int, seed: int) -> Floats:
    """Draw first centres. From many vectors `(N, D)` a part is drawn first, which limits memory and time."""
    from sklearn.cluster import kmeans_plusplus

    count = max(_SPREAD_AMONG, _SPREAD_PER_CLUSTER * k)
    if len(flat) > count:
        flat = flat[np.random.default_rng(seed).choice(len(flat), count, replace=False)]
    # scikit-learn takes half as long for 64 bits as for 32, which it converts in each step.
    centers, _ = kmeans_plusplus(flat.astype(np.float64), k, random_state=seed, n_local_trials=_CANDIDATES)
    return centers.astype(flat.dtype)


def fit_runs(
    flat: Floats, k: int, count: int, seed: int, jobs: int, starts: Sequence[Floats] | None = None
) -> list[Run]:
    """Run k-means from different starts.

    Args:
        flat: Vectors `(N, D)`.
        k: Number of clusters.
        count: Number of runs.
        seed: Seed of the runs; each has its own, independent of the number of jobs.
        jobs: Number of runs at a time.
        starts: What `draw_starts` returned, of which each run takes k centres; None for vectors drawn at random, as in
            the paper.
    """
    first = [start[:k] for start in starts] if starts else ["random"] * count
    own = list(zip(_seeds(count, seed), first, strict=True))
    with _threads().limit(limits=1, user_api="blas"):
        return run_parallel(lambda each: _fit_run(flat, k, *each), own, jobs)


def _seeds(count: int, seed: int) -> list[int]:
    return list(np.random.SeedSequence(seed).generate_state(count).tolist())


def consensus_of(flat: Floats, runs: Sequence[Run], seed: int) -> Run:
    """Return one clustering that many runs agree on.

    The centres of all runs are themselves clustered, each weighted by the size of its cluster, and k-means continues
    from there on all vectors (Bradley and Fayyad 1998, with whole runs in place of their subsamples). Centres that most
    runs find lie close together and are kept; those that only some runs find have little influence.

    Args:
        flat: Vectors `(N, D)`.
        runs: Runs of k-means on them.
        seed: Seed of the clustering of the centres.
    """
    k = len(runs[0].centers)
    pooled = np.concatenate([run.centers for run in runs]).astype(np.float64)
    weights = np.concatenate([run.sizes for run in runs]).astype(np.float64)
    with _threads().limit(limits=1, user_api="blas"):  # several threads slow such small products down
        start = _fit_run(pooled, k, seed, "k-means++", n_init=_POOLED_STARTS, weights=weights)
        return _fit_run(flat, k, seed, start.centers)


def _fit_run(flat: Array | Floats, k: int, seed: int, init: Any, n_init: int = 1, weights: Array | None = None) -> Run:
    """Run k-means once in one thread: with several, the order of additions would change from run to run."""
    from sklearn.cluster import KMeans

    means: Any = KMeans(k, init=init, n_init=n_init, random_state=seed)
    with _threads().limit(limits=1, user_api="openmp"):
        means.fit(flat, sample_weight=weights)
    return Run(means.cluster_centers_, means.labels_.astype(np.uint16), float(means.inertia_) / len(flat))


@cache
def _threads() -> ThreadpoolController:
    """Return what limits the threads of native code; finding its libraries takes as long as a small run of k-means."""
    import sklearn.cluster  # its OpenMP has to be loaded to be found  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
