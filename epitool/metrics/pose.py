"""Metrics of single poses, as pure functions on arrays `(..., J, 3)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import mean_known
from epitool.metrics.paired import ROOT, SCALE, SIMILARITY, Paired
from epitool.parallel import run_parallel

Array = NDArray[np.float64]
Score = Callable[[Array], Array]

PROTOCOLS = ("standard", "epipolarpose")
PCK_MM = 150.0  # about half a head: Mehta et al., 3DV 2017
_AUC_STEP, _AUC_STEPS = 5.0, 30  # thresholds 5, 10, ..., 150, and 0, below which no distance is
_CHUNK = 2048  # poses per chunk, whose arrays fit in the processor's cache


class Definition(NamedTuple):
    """Definition of a metric: the mean, over the joints of a pose, of a score of each joint's distance.

    Attributes:
        name: Name in tables.
        alignment: ROOT, SCALE or SIMILARITY.
        score: Function of distances of any shape.
        percent: Whether the score is a percentage; else it is a length.
    """

    name: str
    alignment: int
    score: Score
    percent: bool


def distance(distances: Array) -> Array:
    """Return the distance itself, the score of MPJPE."""
    return distances


def within(threshold: float) -> Score:
    """Return the score of PCK: 100 where a distance is up to the threshold, else 0."""
    return lambda distances: 100.0 * (distances <= threshold)


def area(distances: Array) -> Array:
    """Return the percentage of AUC's thresholds that are above each distance."""
    return (100.0 / (_AUC_STEPS + 1)) * np.maximum(_AUC_STEPS - np.floor(distances / _AUC_STEP), 0.0)


# In the order of the paper's columns, Tables 2 and 4. A new metric of this kind needs only a new row.
METRICS = (
    Definition("MPJPE", ROOT, distance, percent=False),
    Definition("NMPJPE", SCALE, distance, percent=False),
    Definition("PMPJPE", SIMILARITY, distance, percent=False),
    Definition(f"PCK@{PCK_MM:.0f}", ROOT, within(PCK_MM), percent=True),
    Definition(f"NPCK@{PCK_MM:.0f}", SCALE, within(PCK_MM), percent=True),
    Definition("AUC", ROOT, area, percent=True),
)


class SetErrors(NamedTuple):
    """Errors of N poses of J joints, in G groups, under three alignments: root; root and scale; similarity.

    Attributes:
        values: Values `(N, metric)` in the order of METRICS; NaN where a pose has none.
        joint_sums: Sums of the distances of each joint, `(G, alignment, J)`.
        joint_counts: Number of these distances, shaped as `joint_sums`.
        axis_sums: Sums of the poses' mean absolute differences along each axis, `(G, alignment, 3)`.
        pose_counts: Number of these poses, `(G, alignment)`.
    """

    values: Array
    joint_sums: Array
    joint_counts: Array
    axis_sums: Array
    pose_counts: Array


def set_errors(
    prediction: Array, truth: Array, root: int, protocol: str = "standard",
    groups: NDArray[np.integer[Any]] | None = None, jobs: int = 1,
) -> SetErrors:  # fmt: skip
    """Compute all metrics of N poses `(N, J, 3)`; besides the results, memory does not grow with N.

    Args:
        prediction: Predicted poses of any float type; a joint that is NaN is left out.
        truth: True poses, likewise.
        root: Index of the root.
        protocol: "standard" or "epipolarpose".
        groups: Group of each pose, `(N,)` from 0 to G - 1, by which the sums are taken. By default there is one group.
        jobs: Number of chunks of poses at a time; the result does not depend on it.
    """
    p, g = _checked(prediction, truth, protocol)
    root = range(p.shape[1])[root]
    of_group = np.zeros(len(p), dtype=np.intp) if groups is None else groups
    count = int(of_group.max()) + 1 if len(p) else 1
    together = bool((of_group[1:] >= of_group[:-1]).all())
    order = None if together else np.argsort(of_group, kind="stable")
    values = np.empty((len(p), len(METRICS)))

    def measured(part: slice) -> tuple[NDArray[np.integer[Any]], list[Array]]:
        poses = part if order is None else order[part]
        starts = _starts(of_group[poses])
        pairs = Paired(p[poses], g[poses], root, protocol == "epipolarpose")
        values[poses], sums = _measured(pairs, starts)
        return of_group[poses][starts], sums

    joints = p.shape[1]
    totals = [np.zeros((count, 3, *size)) for size in ((joints,), (joints,), (3,), ())]
    for present, sums in run_parallel(measured, _chunks(len(p)), jobs):
        for total, found in zip(totals, sums):
            total[present] += found
    return SetErrors(values, *totals)


@np.errstate(over="ignore", invalid="ignore")  # as in `Paired.differences`
def _measured(pairs: Paired, starts: NDArray[np.intp]) -> tuple[Array, list[Array]]:
    """Return values `(N, metric)`, and the sums of `SetErrors` of each run of poses that starts at `starts`."""
    values, sums = np.empty((len(pairs.count), len(METRICS))), []
    for alignment in (ROOT, SCALE, SIMILARITY):
        differences, known = pairs.differences(alignment)
        distances = _lengths(differences)
        for m, metric in enumerate(METRICS):
            if metric.alignment == alignment:
                values[:, m] = _mean_score(metric.score, distances, pairs, known)
        axes = np.abs(differences, out=differences).sum(axis=1) / np.maximum(pairs.count, 1)
        summed = (distances * known, pairs.valid & known, np.where(known, axes, 0.0), known)
        sums.append([np.add.reduceat(one, starts, axis=-1, dtype=np.float64).T for one in summed])
    return values, [np.stack(one, axis=1) for one in zip(*sums)]


def _mean_score(score: Score, distances: Array, pairs: Paired, known: NDArray[np.bool_]) -> Array:
    """Return means over the joints that are present, `(N,)`; NaN for poses whose alignment is not defined."""
    total = np.einsum("jn,jn->n", score(distances), pairs.valid.astype(np.float64))
    return np.where(known, total / np.maximum(pairs.count, 1), np.nan)


def _lengths(differences: Array) -> Array:
    """Return the lengths `(J, N)` of vectors `(3, J, N)`."""
    return np.sqrt(np.einsum("ijn,ijn->jn", differences, differences))


def _starts(groups: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return where each run of equal numbers `(N,)` starts."""
    return np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])


def _chunks(count: int) -> list[slice]:
    """Divide poses into chunks of nearly equal size.

    A chunk of a single pose is avoided, because NumPy would add it up in another order.
    """
    bounds = np.linspace(0, count, -(-count // _CHUNK) + 1).astype(int).tolist()
    return [slice(start, end) for start, end in pairwise(bounds)]


def joint_differences(
    prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard"
) -> Array:
    """Return aligned prediction - truth of each joint, `(..., J, 3)`; `alignment` is ROOT, SCALE or SIMILARITY."""
    p, g = _broadcast_alike(prediction, truth)
    out = np.empty((*p.shape[:-2], *p.shape[-2:]))
    flat = out.reshape(-1, *p.shape[-2:])
    for part, pairs in _pairs(p, g, root, protocol):
        differences, known = pairs.differences(alignment)
        flat[part] = np.where(pairs.valid & known, differences, np.nan).T
    return out


def joint_errors(
    prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard"
) -> Array:
    """Return the distance of each joint from the truth, `(..., J)`; MPJPE, NMPJPE and PMPJPE are its means over joints.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> joint_errors(truth + [[0, 0, 0], [10, 0, 0]], truth, root=0).tolist()
    [0.0, 10.0]
    """
    return np.linalg.norm(joint_differences(prediction, truth, root, alignment, protocol), axis=-1)


def axis_errors(prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard") -> Array:
    """Return the mean over joints of the absolute differences along x, y and z, `(..., 3)`.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> axis_errors(truth + [[0, 0, 0], [0, 0, 10]], truth, root=0).tolist()
    [0.0, 0.0, 5.0]
    """
    return mean_known(np.abs(joint_differences(prediction, truth, root, alignment, protocol)), axis=-2)


def mpjpe(prediction: Array, truth: Array, root: int) -> Array:
    """Return the mean per-joint position error `(...)` of root-centred poses, in the unit of the poses.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(mpjpe(truth + [[10, 0, 0], [10, 30, 0]], truth, root=0))
    15.0
    """
    return _values(prediction, truth, root, ROOT, distance)


def nmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """Return MPJPE after scaling each pose, `(...)` in the unit of the truth (Rhodin et al., CVPR 2018).

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0], [300, 0, 0]])
    >>> float(nmpjpe(truth / 7, truth, root=0).round(6))
    0.0
    """
    return _values(prediction, truth, root, SCALE, distance, protocol)


def pmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """Return the mean per-joint position error after Procrustes alignment, `(...)` in the unit of the truth.

    The standard protocol does not use the root, so it also measures poses whose root is NaN.
    """
    return _values(prediction, truth, root, SIMILARITY, distance, protocol)


def pck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM) -> Array:
    """Return the percentage of joints within the threshold of the truth after root alignment, `(...)`.

    The threshold is in the unit of the poses and inclusive; the root is always within it.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(pck(truth + [[0, 0, 0], [0, 151, 0]], truth, root=0))
    50.0
    """
    return _values(prediction, truth, root, ROOT, within(threshold))


def npck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM, protocol: str = "standard") -> Array:
    """Return PCK after the scaling of NMPJPE, `(...)`; the threshold is in the unit of the truth."""
    return _values(prediction, truth, root, SCALE, within(threshold), protocol)


def auc(prediction: Array, truth: Array, root: int) -> Array:
    """Return the area under the curve of PCK, `(...)`, as defined by MPI-INF-3DHP.

    It is the mean of PCK over the 31 thresholds 0, 5, ..., 150. A distance must be strictly below a threshold, so
    nothing counts at 0 and a perfect pose has 100 * 30/31 (Mehta et al., 3DV 2017, and the code of the data set's test
    part).

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(auc(truth + [[0, 0, 0], [0, 0, 75]], truth, root=0).round(6))  # 30 and 15 thresholds
    72.580645
    """
    return _values(prediction, truth, root, ROOT, area)


def _values(
    prediction: Array, truth: Array, root: int, alignment: int, score: Score, protocol: str = "standard"
) -> Array:  # fmt: skip
    """Return the mean score `(...)` of poses with any leading shape."""
    p, g = _broadcast_alike(prediction, truth)
    out = np.empty(p.shape[:-2])
    flat = out.reshape(-1)
    for part, pairs in _pairs(p, g, root, protocol):
        differences, known = pairs.differences(alignment)
        flat[part] = _mean_score(score, _lengths(differences), pairs, known)
    return out


def _pairs(prediction: Array, truth: Array, root: int, protocol: str) -> Iterator[tuple[slice, Paired]]:
    """Yield chunks of poses `(..., J, 3)` of one shape, each with its slice of all poses."""
    p, g = (poses.reshape(-1, *poses.shape[-2:]) for poses in (prediction, truth))
    p, g = _checked(p, g, protocol)
    for part in _chunks(len(p)):
        yield part, Paired(p[part], g[part], range(p.shape[1])[root], protocol == "epipolarpose")


def _broadcast_alike(prediction: Array, truth: Array) -> tuple[Array, Array]:
    """Broadcast both to one shape."""
    p, g = np.broadcast_arrays(prediction, truth)
    return p, g


def _checked(prediction: Array, truth: Array, protocol: str) -> tuple[Array, Array]:
    """Return both poses as arrays `(N, J, 3)`, after checking them and the protocol."""
    p, g = np.asarray(prediction), np.asarray(truth)
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")
    if p.shape != g.shape or p.ndim != 3 or p.shape[2] != 3:
        raise ValueError(f"poses of shapes {p.shape} and {g.shape}, expected twice (N, J, 3)")
    return p, g
