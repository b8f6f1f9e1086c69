"""The value of a metric over a set of poses, with all that tells it from other numbers of the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.align import missing_joints
from epitool.metrics.pose import mpjpe, nmpjpe, npck, pck, pmpjpe
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]


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
