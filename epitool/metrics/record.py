"""Metrics of a set of predictions, with everything that distinguishes numbers of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.metrics.align import missing_joints
from epitool.metrics.bootstrap import Bootstrap, Interval
from epitool.metrics.paired import ROOT
from epitool.metrics.pose import METRICS, SetErrors, set_errors
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

DISTANCES = ("MPJPE", "NMPJPE", "PMPJPE")  # one for each alignment, in the order of ROOT, SCALE, SIMILARITY
_ALIGNMENTS = {
    "standard": ("root", "root and least-squares scale", "similarity"),
    "epipolarpose": ("root", "root and Procrustes scale", "similarity, then root"),
}


class Mean(NamedTuple):
    """Mean of a metric over poses.

    Attributes:
        value: The mean; None if no pose has a value.
        interval: 95% interval, by sequence; None where it is not known.
        counted: Number of poses in the mean.
    """

    value: float | None
    interval: Interval | None
    counted: int


@dataclass(frozen=True)
class Metric:
    """Value of a metric over a set of poses, with everything that distinguishes it from numbers of the same name.

    Attributes:
        name: "MPJPE", "PCK@150", "mPSS@50" and so on.
        value: Mean over the counted poses; None for "n/a".
        unit: "mm", "arbitrary" (a stature is 1700) or "%".
        protocol: "standard" or "epipolarpose".
        joints: Names of the joints it is a mean over.
        root: Name of the root.
        alignment: Alignment before measuring.
        counted: Number of poses that have a value.
        skipped: Number of poses that have none because of missing joints.
        missing_joints: Number of joints left out of the counted poses.
        interval: 95% interval, by resampling sequences; None if there are too few.
        sequences: Number of sequences.
        reason: Why there is no value; "" if there is one.
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
    interval: Interval | None
    sequences: int
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON stores them."""
        return {**asdict(self), "joints": list(self.joints), "interval": self.interval and list(self.interval)}


@dataclass(frozen=True, eq=False)
class Measured:
    """Results of measuring predictions.

    Attributes:
        metrics: Metrics in the paper's order.
        values: Values of the poses by the metric's name, `(N,)`, NaN where a pose has none; without metrics that are
            n/a.
        by_joint: Means of MPJPE, NMPJPE and PMPJPE for each joint, where they are not n/a.
        by_axis: Mean absolute differences along x, y and z, likewise.
    """

    metrics: tuple[Metric, ...]
    values: Mapping[str, Array]
    by_joint: Mapping[str, Mapping[str, Mean]]
    by_axis: Mapping[str, Mapping[str, Mean]]


@dataclass(frozen=True, eq=False)
class Ruler:
    """Truth and settings by which predictions are measured, so that they can be compared.

    Attributes:
        truth: Poses `(N, J, 3)`.
        skeleton: Skeleton of the poses.
        protocol: "standard" or "epipolarpose".
        unit: Unit of the truth: "mm" or "arbitrary".
        bootstrap: Bootstrap over the sequences of the poses.
    """

    truth: Array
    skeleton: Skeleton
    protocol: str
    unit: str
    bootstrap: Bootstrap

    def measure(self, prediction: Array, unit: str, jobs: int = 1) -> Measured:
        """Compute MPJPE, NMPJPE, PMPJPE, PCK@150, NPCK@150 and AUC of predictions `(N, J, 3)` in a unit.

        Where either unit is "arbitrary", MPJPE, PCK and AUC are n/a. NPCK's threshold is 150 in the unit of the truth:
        labels without scale are normalised to a stature of 1700.
        """
        errors = set_errors(
            prediction, self.truth, self.skeleton.root, self.protocol, self.bootstrap.groups, jobs
        )  # fmt: skip
        reason, missing = _unknown_scale(unit, self.unit), missing_joints(prediction, self.truth)
        metrics, values = list[Metric](), dict[str, Array]()
        for m, defined in enumerate(METRICS):
            name, unit = defined.name, "%" if defined.percent else self.unit
            alignment = _ALIGNMENTS[self.protocol][defined.alignment]
            if reason and defined.alignment == ROOT:
                metrics.append(self.not_applicable(name, unit, alignment, reason))
            else:
                values[name] = errors.values[:, m]
                metrics.append(self.metric(name, unit, alignment, values[name], missing))
        shown = [(a, name) for a, name in enumerate(DISTANCES) if name in values]
        joints, axes = self.skeleton.joints, ("x", "y", "z")
        by_joint = {name: self._parts(joints, errors.joint_sums[:, a], errors.joint_counts[:, a]) for a, name in shown}
        by_axis = {name: self._parts(axes, errors.axis_sums[:, a], _axis_counts(errors, a)) for a, name in shown}
        return Measured(tuple(metrics), values, by_joint, by_axis)

    def metric(self, name: str, unit: str, alignment: str, values: Array, missing: NDArray[np.int64]) -> Metric:
        """Return the mean of per-pose values `(N,)`, NaN where a pose has none, as a metric.

        `missing (N,)` is the number of missing joints of each pose.
        """
        mean, known = mean_of(values, self.bootstrap), np.isfinite(values)
        reason = "" if mean.counted else "no pose has the joints that it needs"
        skipped, left_out = len(values) - mean.counted, int(missing[known].sum())
        return self._metric(name, mean, unit, alignment, skipped, left_out, reason)

    def not_applicable(self, name: str, unit: str, alignment: str, reason: str) -> Metric:
        """Return a metric that cannot be given, with the reason."""
        return self._metric(name, Mean(None, None, 0), unit, alignment, 0, 0, reason)

    def _metric(
        self, name: str, mean: Mean, unit: str, alignment: str, skipped: int, missing: int, reason: str
    ) -> Metric:
        root, joints = self.skeleton.joints[self.skeleton.root], self.skeleton.joints
        return Metric(
            name, mean.value, unit, self.protocol, joints, root, alignment, mean.counted, skipped, missing,
            mean.interval, self.bootstrap.count, reason,
        )  # fmt: skip

    def _parts(self, names: tuple[str, ...], sums: Array, counts: Array) -> dict[str, Mean]:
        """Return means of quantities of which each sequence has sums and counts, `(G, M)`."""
        intervals = self.bootstrap.intervals(sums, counts)
        total, count = sums.sum(axis=0), counts.sum(axis=0)
        return {name: _part(total[i], int(count[i]), intervals, i) for i, name in enumerate(names)}


def _part(total: float, count: int, intervals: Array | None, i: int) -> Mean:
    known = intervals is not None and np.isfinite(intervals[:, i]).all()
    interval = (float(intervals[0, i]), float(intervals[1, i])) if intervals is not None and known else None
    return Mean(float(total / count) if count else None, interval, count)


def mean_of(values: Array, bootstrap: Bootstrap) -> Mean:
    """Return the mean of the values `(N,)` that are not NaN.

    >>> mean_of(np.array([1.0, 2.0, np.nan]), Bootstrap(np.zeros(3, int)))
    Mean(value=1.5, interval=None, counted=2)
    """
    known = np.isfinite(values)
    counted = int(known.sum())
    return Mean(float(values[known].mean()) if counted else None, bootstrap.interval(values), counted)


def _axis_counts(errors: SetErrors, alignment: int) -> Array:
    return np.repeat(errors.pose_counts[:, alignment, None], 3, axis=1)


def _unknown_scale(prediction_unit: str, truth_unit: str) -> str:
    sides = [side for side, unit in (("predictions", prediction_unit), ("truth", truth_unit)) if unit != "mm"]
    return f"no metric scale in the {' and the '.join(sides)}" if sides else ""
