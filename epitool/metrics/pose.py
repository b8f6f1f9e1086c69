"""The metrics of each pose, as pure functions on arrays `(..., J, 3)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.one_pass import AREA, ERROR, ROOT, SCALE, SIMILARITY, WITHIN, one_pass
from epitool.parallel import run_parallel

Array = NDArray[np.float64]

PROTOCOLS = ("standard", "epipolarpose")
PCK_MM = 150.0  # about half a head: Mehta et al., 3DV 2017
_CHUNK = 4096  # poses at a time, which bounds the memory beside inputs and results
_NONE: Array = np.empty((0, 3, 0, 3))


class SetErrors(NamedTuple):
    """Errors of N poses of J joints, in G groups, under three alignments: root; root and scale; similarity.

    Attributes:
        values: `(N, alignment, 3)`: mean distance, PCK and AUC; NaN where a pose determines none.
        joint_sums: Of the distances of each joint, `(G, alignment, J)`.
        joint_counts: How many distances these are, as `joint_sums`.
        axis_sums: Of the poses' mean absolute differences along each axis, `(G, alignment, 3)`.
        pose_counts: How many poses these are, `(G, alignment)`.
    """

    values: Array
    joint_sums: Array
    joint_counts: Array
    axis_sums: Array
    pose_counts: Array


def set_errors(
    prediction: Array, truth: Array, root: int, protocol: str = "standard", threshold: float = PCK_MM,
    groups: NDArray[np.integer[Any]] | None = None, jobs: int = 1,
) -> SetErrors:  # fmt: skip
    """Everything about N poses `(N, J, 3)` in one pass; memory grows with N by the results alone.

    Args:
        prediction: Of any float type; a joint that is NaN is left out.
        truth: As the prediction.
        root: Index of the root.
        protocol: "standard" or "epipolarpose".
        threshold: Of PCK, in the unit of the truth.
        groups: The group of each pose, `(N,)` from 0 to G - 1: the sums are by group. All are of one without it.
        jobs: Chunks of poses at a time; the result does not depend on it.
    """
    p, g = _checked(prediction, truth, protocol)
    root = range(p.shape[1])[root]
    count = int(groups.max()) + 1 if groups is not None and len(groups) else 1
    values = np.empty((len(p), 3, 3))

    def measured(part: slice | NDArray[np.intp]) -> tuple[Array, Array]:
        ours, theirs = p[part], g[part]
        found = values[part]  # a view of a slice, a copy of others
        sums, axes = _run(ours, theirs, root, protocol, threshold, found)
        values[part] = found
        return sums, axes

    parts = [(k, part) for k, poses in _by_group(groups, len(p)) for part in _chunks(poses)]
    sums, axes = np.zeros((2, count, 3, p.shape[1])), np.zeros((count, 3, 3))
    for (k, _), (joint, axis) in zip(parts, run_parallel(measured, [part for _, part in parts], jobs)):
        sums[:, k] += joint
        axes[k] += axis
    known = np.isfinite(values[:, :, ERROR])
    of_group = np.zeros(len(p), dtype=np.intp) if groups is None else groups
    counts = np.stack([np.bincount(of_group, known[:, a], count) for a in range(3)], axis=-1).astype(np.float64)
    return SetErrors(values, sums[0], sums[1], axes, counts)


def _by_group(
    groups: NDArray[np.integer[Any]] | None, count: int
) -> Iterator[tuple[int, slice | NDArray[np.intp]]]:  # fmt: skip
    """The poses of each group: as a slice where they follow each other, which costs no copy."""
    if groups is None:
        yield 0, slice(0, count)
        return
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    for number, indices in zip(numbers.tolist(), np.split(order, starts[1:])):
        together = int(indices[-1] - indices[0]) == len(indices) - 1
        yield number, slice(int(indices[0]), int(indices[-1]) + 1) if together else indices


def _chunks(poses: slice | NDArray[np.intp]) -> Iterator[slice | NDArray[np.intp]]:
    if isinstance(poses, slice):
        for start in range(poses.start, poses.stop, _CHUNK):
            yield slice(start, min(start + _CHUNK, poses.stop))
    else:
        for start in range(0, len(poses), _CHUNK):
            yield poses[start : start + _CHUNK]


def joint_differences(
    prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard"
) -> Array:
    """Aligned prediction - truth of each joint, `(..., J, 3)`: `alignment` is ROOT, SCALE or SIMILARITY."""
    p, g = _alike(prediction, truth)
    flat = _checked(p.reshape(-1, *p.shape[-2:]), g.reshape(-1, *g.shape[-2:]), protocol)
    out = np.empty(flat[0].shape)
    for part in _chunks(slice(0, len(out))):
        places = np.empty((len(out[part]), 3, *out.shape[1:]))
        _run(flat[0][part], flat[1][part], range(p.shape[-2])[root], protocol, PCK_MM, places[:, :, 0].copy(), places)
        out[part] = places[:, alignment]
    return out.reshape(p.shape)


def joint_errors(
    prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard"
) -> Array:
    """Distance of each joint from the truth, `(..., J)`; MPJPE, NMPJPE and PMPJPE are its means over joints.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> joint_errors(truth + [[0, 0, 0], [10, 0, 0]], truth, root=0).tolist()
    [0.0, 10.0]
    """
    return np.linalg.norm(joint_differences(prediction, truth, root, alignment, protocol), axis=-1)


def axis_errors(prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard") -> Array:
    """Mean over joints of the absolute differences along x, y and z, `(..., 3)`.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> axis_errors(truth + [[0, 0, 0], [0, 0, 10]], truth, root=0).tolist()
    [0.0, 0.0, 5.0]
    """
    differences = np.abs(joint_differences(prediction, truth, root, alignment, protocol))
    known = np.isfinite(differences)
    count = known.sum(axis=-2)
    return np.where(count > 0, np.where(known, differences, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def mpjpe(prediction: Array, truth: Array, root: int) -> Array:
    """Mean per-joint position error `(...)` of root-centred poses, in the unit of the poses.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(mpjpe(truth + [[10, 0, 0], [10, 30, 0]], truth, root=0))
    15.0
    """
    return _values(prediction, truth, root)[..., ROOT, ERROR]


def nmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """MPJPE after a scale factor for each pose, `(...)` in the unit of the truth (Rhodin et al., CVPR 2018).

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0], [300, 0, 0]])
    >>> float(nmpjpe(truth / 7, truth, root=0).round(6))
    0.0
    """
    return _values(prediction, truth, root, protocol)[..., SCALE, ERROR]


def pmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """Mean per-joint position error after Procrustes alignment, `(...)` in the unit of the truth.

    The standard protocol does not use the root, and measures poses whose root is NaN.
    """
    return _values(prediction, truth, root, protocol)[..., SIMILARITY, ERROR]


def pck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM) -> Array:
    """Percentage of joints within the threshold of the truth after root alignment, `(...)`.

    The threshold is in the unit of the poses and belongs to "within"; the root is always within.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(pck(truth + [[0, 0, 0], [0, 151, 0]], truth, root=0))
    50.0
    """
    return _values(prediction, truth, root, threshold=threshold)[..., ROOT, WITHIN]


def npck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM, protocol: str = "standard") -> Array:
    """PCK after the scale factor of NMPJPE, `(...)`; the threshold is in the unit of the truth."""
    return _values(prediction, truth, root, protocol, threshold)[..., SCALE, WITHIN]


def auc(prediction: Array, truth: Array, root: int) -> Array:
    """Area under the curve of PCK, `(...)`: its mean over the 31 thresholds 0, 5, ..., 150, as MPI-INF-3DHP defines it.

    A distance has to be below a threshold, so nothing counts at 0 and a perfect pose has 100 * 30/31 (Mehta et al.,
    3DV 2017, and the code of the data set's test part).

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(auc(truth + [[0, 0, 0], [0, 0, 75]], truth, root=0).round(6))  # 30 and 15 thresholds
    72.580645
    """
    return _values(prediction, truth, root)[..., ROOT, AREA]


def _values(prediction: Array, truth: Array, root: int, protocol: str = "standard", threshold: float = PCK_MM) -> Array:
    """Values `(..., alignment, 3)` of poses of any leading shape."""
    p, g = _alike(prediction, truth)
    flat = p.reshape(-1, *p.shape[-2:]), g.reshape(-1, *g.shape[-2:])
    return set_errors(*flat, root, protocol, threshold).values.reshape(*p.shape[:-2], 3, 3)


def _alike(prediction: Array, truth: Array) -> tuple[Array, Array]:
    """Both with the shape that they broadcast to."""
    p, g = np.asarray(prediction), np.asarray(truth)
    shape = np.broadcast_shapes(p.shape, g.shape)
    return (p, g) if p.shape == g.shape else (np.broadcast_to(p, shape).copy(), np.broadcast_to(g, shape).copy())


def _checked(prediction: Array, truth: Array, protocol: str) -> tuple[Array, Array]:
    """Both poses as arrays `(N, J, 3)`."""
    p, g = np.asarray(prediction), np.asarray(truth)
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")
    if p.shape != g.shape or p.ndim != 3 or p.shape[2] != 3:
        raise ValueError(f"poses of shapes {p.shape} and {g.shape}, expected twice (N, J, 3)")
    return p, g


def _run(
    p: Array, g: Array, root: int, protocol: str, threshold: float, values: Array, differences: Array = _NONE
) -> tuple[Array, Array]:
    """Fills `values (N, alignment, 3)` and, unless it is empty, `differences (N, alignment, J, 3)`.

    Returns:
        Sums of the joints' distances and their numbers `(2, alignment, J)`, and sums of the axes `(alignment, 3)`.
    """
    sums, axes = np.zeros((2, 3, p.shape[1])), np.zeros((3, 3))
    one_pass(
        np.ascontiguousarray(p, dtype=np.float64), np.ascontiguousarray(g, dtype=np.float64),
        root, protocol == "epipolarpose", float(threshold), values, sums, axes, differences,
    )  # fmt: skip
    return sums, axes
