"""Distances between predicted and true poses: MPJPE, NMPJPE, PMPJPE, PCK and NPCK.

Every function takes poses `(..., J, 3)` and gives one value a pose, `(...)`. A joint that is NaN in the prediction or
in the truth is left out of its pose's mean; a pose that determines no value gives NaN. The root counts as a joint like
the others, as is usual on Human3.6M, so root-relative errors include its zero. The value of a set is the mean over its
poses, not over its joints.

Two protocols give numbers that must not be mixed. "standard" is the definition of each metric. "epipolarpose" is what
the published EpipolarPose evaluation computes: it puts the root of the Procrustes-aligned pose on the true root again
(PMPJPE), and scales by the factor of the Procrustes fit (NMPJPE, NPCK).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

PROTOCOLS = ("standard", "epipolarpose")
PCK_MM = 150.0  # about half a head: Mehta et al., 3DV 2017
_MIN_JOINTS = 3  # a similarity fits any two joints exactly


class Similarity(NamedTuple):
    """`aligned = scale * pose @ R.T + t` of each pose: `scale (...)`, `R (..., 3, 3)`, `t (..., 3)`."""

    scale: Array
    R: Array
    t: Array

    def __call__(self, pose: Array) -> Array:
        """Poses `(..., J, 3)` after the similarity."""
        return self.scale[..., None, None] * pose @ np.swapaxes(self.R, -1, -2) + self.t[..., None, :]


def root_centered(pose: Array, root: int) -> Array:
    """Poses `(..., J, 3)` with the root at the origin; all NaN where the root is NaN.

    >>> root_centered(np.array([[1.0, 2, 3], [1, 2, 5]]), root=0).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
    """
    return pose - pose[..., root, None, :]


def least_squares_scale(prediction: Array, truth: Array, root: int) -> Array:
    """Factors `(...)` that bring root-centred poses closest to the truth: s = <p, g> / <p, p> (Rhodin et al. 2018).

    1 where the prediction is a single point, which no factor changes.

    >>> pose = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 1]])
    >>> float(least_squares_scale(pose, 3 * pose, root=0))
    3.0
    """
    p, g, _ = _paired(root_centered(prediction, root), root_centered(truth, root))
    square = (p * p).sum(axis=(-2, -1))
    return np.where(square > 0, (p * g).sum(axis=(-2, -1)) / np.where(square > 0, square, 1), 1.0)


def procrustes(prediction: Array, truth: Array) -> Similarity:
    """The similarity of each pose `(..., J, 3)` with least squared distance to the truth (Umeyama, PAMI 1991).

    Rotations only, never a mirror image. A collinear or flat pose leaves the rotation open and the distance determined;
    one of the best is given. Where fewer than three joints are in both poses, the translation is NaN.
    """
    p, g, valid = _paired(prediction, truth)
    count = valid.sum(axis=-1)
    divisor = np.maximum(count, 1)[..., None]
    p_mean, g_mean = p.sum(axis=-2) / divisor, g.sum(axis=-2) / divisor
    p = np.where(valid[..., None], p - p_mean[..., None, :], 0.0)
    g = np.where(valid[..., None], g - g_mean[..., None, :], 0.0)
    # Sizes of one keep products of tiny or huge poses within range.
    p_size, g_size = _size(p), _size(g)
    U, singular, Vt = np.linalg.svd(np.swapaxes(g / g_size, -1, -2) @ (p / p_size))
    signs = np.ones_like(singular)
    signs[..., 2] = np.where(np.linalg.det(U @ Vt) < 0, -1.0, 1.0)
    R = (U * signs[..., None, :]) @ Vt
    scale = (singular * signs).sum(axis=-1) * (g_size / p_size)[..., 0, 0]
    t = g_mean - scale[..., None] * (R @ p_mean[..., None])[..., 0]
    return Similarity(scale, R, np.where((count >= _MIN_JOINTS)[..., None], t, np.nan))


def procrustes_align(prediction: Array, truth: Array) -> Array:
    """Predictions `(..., J, 3)` after the similarity that brings each closest to its truth.

    >>> truth = np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 1]])
    >>> turned = truth[:, [1, 2, 0]]
    >>> bool(np.allclose(procrustes_align(5 - 2 * turned[:, [0, 2, 1]], truth), truth))
    True
    """
    return procrustes(prediction, truth)(prediction)


def _paired(prediction: Array, truth: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Both in float64 with zeros where a joint is missing in either, and which joints are in both."""
    p, g = np.broadcast_arrays(np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64))
    valid = np.isfinite(p).all(axis=-1) & np.isfinite(g).all(axis=-1)
    return np.where(valid[..., None], p, 0.0), np.where(valid[..., None], g, 0.0), valid


def _size(centered: Array) -> Array:
    size = np.sqrt((centered * centered).sum(axis=(-2, -1), keepdims=True))
    return np.where(size > 0, size, 1.0)


def _distances(prediction: Array, truth: Array) -> Array:
    return np.linalg.norm(np.asarray(prediction, dtype=np.float64) - truth, axis=-1)


def _mean_of_joints(values: Array) -> Array:
    valid = np.isfinite(values)
    count = valid.sum(axis=-1)
    return np.where(count > 0, np.where(valid, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _share_within(distances: Array, threshold: float) -> Array:
    return 100 * _mean_of_joints(np.where(np.isfinite(distances), distances <= threshold, np.nan))


def _root_distances(prediction: Array, truth: Array, root: int) -> Array:
    return _distances(root_centered(prediction, root), root_centered(truth, root))


def _scaled(prediction: Array, truth: Array, root: int, protocol: str) -> Array:
    _check_protocol(protocol)
    if protocol == "standard":
        scale = least_squares_scale(prediction, truth, root)
    else:
        scale = procrustes(prediction, truth).scale
    return scale[..., None, None] * prediction


def _check_protocol(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")


def mpjpe(prediction: Array, truth: Array, root: int) -> Array:
    """Mean per-joint position error `(...)` of root-centred poses, in the unit of the poses.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(mpjpe(truth + [[10, 0, 0], [10, 30, 0]], truth, root=0))
    15.0
    """
    return _mean_of_joints(_root_distances(prediction, truth, root))


def nmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """MPJPE after a scale factor for each pose, `(...)` in the unit of the truth (Rhodin et al., CVPR 2018).

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0], [300, 0, 0]])
    >>> float(nmpjpe(truth / 7, truth, root=0).round(6))
    0.0
    """
    return mpjpe(_scaled(prediction, truth, root, protocol), truth, root)


def pmpjpe(prediction: Array, truth: Array, root: int, protocol: str = "standard") -> Array:
    """Mean per-joint position error after Procrustes alignment, `(...)` in the unit of the truth.

    The standard protocol does not use the root, and measures poses whose root is NaN.
    """
    _check_protocol(protocol)
    aligned = procrustes_align(prediction, truth)
    if protocol == "standard":
        return _mean_of_joints(_distances(aligned, truth))
    return _mean_of_joints(_root_distances(aligned, truth, root))


def pck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM) -> Array:
    """Percentage of joints within the threshold of the truth after root alignment, `(...)`.

    The threshold is in the unit of the poses and belongs to "within"; the root is always within.

    >>> truth = np.array([[0.0, 0, 0], [0, 500, 0]])
    >>> float(pck(truth + [[0, 0, 0], [0, 151, 0]], truth, root=0))
    50.0
    """
    return _share_within(_root_distances(prediction, truth, root), threshold)


def npck(prediction: Array, truth: Array, root: int, threshold: float = PCK_MM, protocol: str = "standard") -> Array:
    """PCK after the scale factor of NMPJPE, `(...)`; the threshold is in the unit of the truth."""
    return pck(_scaled(prediction, truth, root, protocol), truth, root, threshold)


@dataclass(frozen=True)
class Metric:
    """The value of a metric over a set of poses, with all that tells it from other numbers of the same name.

    Attributes:
        name: "MPJPE", "PCK@150", "mPSS@50" and so on.
        value: The mean over the counted poses; None for "n/a".
        unit: "mm", "arbitrary" (a stature is 1700) or "%".
        protocol: "standard" or "epipolarpose".
        joints: Names of the joints it is a mean over.
        root: Name of the root.
        alignment: What is undone before measuring.
        counted: Poses that have a value.
        skipped: Poses that have none, through missing joints.
        missing_joints: Joints left out of the poses that are counted.
        reason: Why there is no value; "" where there is one.
    """

    name: str
    value: float | None
    unit: str
    protocol: str
    joints: tuple[str, ...]
    root: str
    alignment: str
    counted: int
    skipped: int
    missing_joints: int
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON stores them."""
        return {**asdict(self), "joints": list(self.joints)}


def metric_of(
    name: str, values: Array, missing: NDArray[np.int64], skeleton: Skeleton, protocol: str, unit: str, alignment: str
) -> Metric:
    """The mean of per-pose values `(N,)`, NaN where a pose has none; `missing (N,)` counts each pose's missing joints.

    >>> hip = Skeleton("hip", ("pelvis",), (-1,))
    >>> made = metric_of("MPJPE", np.array([1.0, 2.0, np.nan]), np.array([0, 0, 1]), hip, "standard", "mm", "root")
    >>> made.value, made.counted, made.skipped
    (1.5, 2, 1)
    """
    known = np.isfinite(values)
    counted = int(known.sum())
    value = float(values[known].mean()) if counted else None
    reason = "" if counted else "no pose has the joints that it needs"
    root = skeleton.joints[skeleton.root]
    skipped, left_out = len(values) - counted, int(missing[known].sum())
    return Metric(name, value, unit, protocol, skeleton.joints, root, alignment, counted, skipped, left_out, reason)


def missing_joints(prediction: Array, truth: Array) -> NDArray[np.int64]:
    """How many joints of each pose are NaN in the prediction or in the truth, `(...)`."""
    return (~_paired(prediction, truth)[2]).sum(axis=-1)


def measure(
    prediction: Array, truth: Array, skeleton: Skeleton, protocol: str, prediction_unit: str, truth_unit: str
) -> tuple[Metric, ...]:
    """MPJPE, NMPJPE, PMPJPE, PCK@150 and NPCK@150 of poses `(N, J, 3)`.

    Where either unit is "arbitrary", MPJPE and PCK are n/a. NPCK's threshold is 150 in the unit of the truth: labels
    without scale are normalised to a stature of 1700.
    """
    root, missing = skeleton.root, missing_joints(prediction, truth)
    scale = "root and Procrustes scale" if protocol == "epipolarpose" else "root and least-squares scale"
    similarity = "similarity, then root" if protocol == "epipolarpose" else "similarity"
    reason = _unknown_scale(prediction_unit, truth_unit)
    definitions: tuple[tuple[str, str, str, str, Callable[[], Array]], ...] = (
        ("MPJPE", truth_unit, "root", reason, lambda: mpjpe(prediction, truth, root)),
        ("NMPJPE", truth_unit, scale, "", lambda: nmpjpe(prediction, truth, root, protocol)),
        ("PMPJPE", truth_unit, similarity, "", lambda: pmpjpe(prediction, truth, root, protocol)),
        ("PCK@150", "%", "root", reason, lambda: pck(prediction, truth, root)),
        ("NPCK@150", "%", scale, "", lambda: npck(prediction, truth, root, protocol=protocol)),
    )
    return tuple(
        not_applicable(name, why, skeleton, protocol, unit, alignment)
        if why
        else metric_of(name, values(), missing, skeleton, protocol, unit, alignment)
        for name, unit, alignment, why, values in definitions
    )


def not_applicable(name: str, reason: str, skeleton: Skeleton, protocol: str, unit: str, alignment: str) -> Metric:
    """A metric that cannot be given, and why."""
    root = skeleton.joints[skeleton.root]
    return Metric(name, None, unit, protocol, skeleton.joints, root, alignment, 0, 0, 0, reason)


def _unknown_scale(prediction_unit: str, truth_unit: str) -> str:
    sides = [side for side, unit in (("predictions", prediction_unit), ("truth", truth_unit)) if unit != "mm"]
    return f"no metric scale in the {' and the '.join(sides)}" if sides else ""
