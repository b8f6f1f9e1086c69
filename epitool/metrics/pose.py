"""The metrics of each pose, as pure functions on arrays `(..., J, 3)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.one_pass import AREA, ERROR, ROOT, SCALE, SIMILARITY, WITHIN, one_pass

Array = NDArray[np.float64]

PROTOCOLS = ("standard", "epipolarpose")
PCK_MM = 150.0  # about half a head: Mehta et al., 3DV 2017
_CHUNK = 4096  # poses at a time, which bounds the memory beside inputs and results


class SetErrors(NamedTuple):
    """Errors of N poses of J joints under three alignments: root; root and scale; similarity.

    Attributes:
        values: `(N, alignment, 3)`: mean distance, PCK and AUC; NaN where a pose determines none.
        joints: Mean distance of each joint over the poses `(alignment, J)`; NaN where it is in none.
        joint_counts: Over how many poses, `(alignment, J)`.
        axes: Mean absolute difference along each axis over poses `(alignment, 3)`.
    """

    values: Array
    joints: Array
    joint_counts: Array
    axes: Array


def set_errors(
    prediction: Array, truth: Array, root: int, protocol: str = "standard",
    threshold: float = PCK_MM, joints: Sequence[int] | None = None,
) -> SetErrors:  # fmt: skip
    """Everything about N poses `(N, J, 3)` in one pass, in memory that N does not matter to but for the results.

    Args:
        prediction: Of any float type; a joint that is NaN is left out.
        truth: As the prediction.
        root: Index of the root.
        protocol: "standard" or "epipolarpose".
        threshold: Of PCK, in the unit of the truth.
        joints: Indices of the joints that are measured; the root need not be one. All, where it is not given.
    """
    prediction = np.broadcast_to(prediction, np.shape(truth))
    values, sums, axes, _ = _run(prediction, truth, root, protocol, threshold, joints)
    counted = np.isfinite(values[:, :, ERROR]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return SetErrors(values, sums[0] / sums[1], sums[1], axes / counted[:, None])


def joint_differences(
    prediction: Array, truth: Array, root: int, alignment: int = ROOT, protocol: str = "standard"
) -> Array:
    """Aligned prediction - truth of each joint, `(..., J, 3)`: `alignment` is ROOT, SCALE or SIMILARITY."""
    p, g = np.broadcast_arrays(np.asarray(prediction), np.asarray(truth))
    flat = p.reshape(-1, *p.shape[-2:]), g.reshape(-1, *g.shape[-2:])
    return _run(*flat, root, protocol, with_differences=True)[3][:, alignment].reshape(p.shape)


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


def nauc(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """AUC after the scale factor of NMPJPE, `(...)`; the thresholds are in the unit of the truth."""
    return _values(prediction, truth, root, protocol)[..., SCALE, AREA]


def _values(prediction: Array, truth: Array, root: int, protocol: str = "standard", threshold: float = PCK_MM) -> Array:
    """Values `(..., alignment, 3)` of poses of any leading shape."""
    p, g = np.broadcast_arrays(np.asarray(prediction), np.asarray(truth))
    flat = p.reshape(-1, *p.shape[-2:]), g.reshape(-1, *g.shape[-2:])
    return _run(*flat, root, protocol, threshold)[0].reshape(*p.shape[:-2], 3, 3)


def _run(
    p: Array, g: Array, root: int, protocol: str, threshold: float = PCK_MM,
    joints: Sequence[int] | None = None, with_differences: bool = False,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """What `one_pass` gives for poses `(N, J, 3)`, a chunk at a time."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")
    if p.shape != g.shape or p.ndim != 3 or p.shape[2] != 3:
        raise ValueError(f"poses of shapes {p.shape} and {g.shape}, expected twice (N, J, 3)")
    N, J, _ = p.shape
    root = range(J)[root]
    used = np.ones(J) if joints is None else np.isin(np.arange(J), joints).astype(np.float64)
    values, sums, axes = np.empty((N, 3, 3)), np.zeros((2, 3, J)), np.zeros((3, 3))
    differences = np.empty((N if with_differences else 0, 3, J, 3))
    for start in range(0, N, _CHUNK):
        part = slice(start, start + _CHUNK)
        one_pass(
            np.ascontiguousarray(p[part], dtype=np.float64), np.ascontiguousarray(g[part], dtype=np.float64),
            used, root, protocol == "epipolarpose", float(threshold), values[part], sums, axes, differences[part],
        )  # fmt: skip
    return values, sums, axes, differences
