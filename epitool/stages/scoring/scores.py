"""Scores of predictions: metrics, their parts by joint, axis and action, and differences between files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.metrics import Bootstrap, Mean, Metric, Ruler, mean_of, missing_joints
from epitool.pss import NORMALIZATION, PssModel, pss

MEAN_OF_ACTIONS = "mean of actions"
Means = Mapping[str, Mean]
Parts = Mapping[str, Means]


@dataclass(frozen=True, eq=False)
class Row:
    """The scores of one file's predictions.

    Attributes:
        name: Name of the file, or of the baseline that the row is for.
        metrics: Metrics in the order of the table.
        values: Value of each pose `(N,)`, by the metric's name; NaN if the pose has none.
        parts: For "joint" and "axis", and for "action" and "person" if known, the means of each metric by joint, ...
    """

    name: str
    metrics: tuple[Metric, ...]
    values: Mapping[str, Array]
    parts: Mapping[str, Parts]

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values, as JSON stores them."""
        parts = {f"by_{kind}": _convert_parts(parts) for kind, parts in self.parts.items()}
        return {"name": self.name, "metrics": [metric.as_dict() for metric in self.metrics], **parts}


@dataclass(frozen=True, eq=False)
class Scoring:
    """The settings that all rows of a table share.

    Attributes:
        ruler: Ruler that holds the truth.
        groups: Name of the "action" and "person" of each true pose, `(N,)`, as far as known.
        pss_ks: Numbers of clusters to compute mPSS for.
        clusters: Clusters of the mPSS; None if there are none.
        pss_source: Where the clusters come from, or why there are none.
        jobs: Number of threads.
    """

    ruler: Ruler
    groups: Mapping[str, NDArray[np.str_]]
    pss_ks: tuple[int, ...]
    clusters: PssModel | None
    pss_source: str
    jobs: int = -1

    def row(self, name: str, prediction: Array, unit: str) -> Row:
        """Compute all scores of predictions `(N, J, 3)` in a unit."""
        measured = self.ruler.measure(prediction, unit, self.jobs)
        metrics, values = list(measured.metrics), dict(measured.values)
        for k in self.pss_ks:
            metric, scores = self._mpss(prediction, k)
            metrics.append(metric)
            if scores is not None:
                values[metric.name] = scores
        parts = {"joint": measured.by_joint, "axis": measured.by_axis}
        for by in self.groups:
            parts[by] = {metric: self._average_groups(found, by) for metric, found in values.items()}
        return Row(name, tuple(metrics), values, parts)

    def difference(self, first: Row, other: Row) -> Means:
        """Return the other file's means minus the first file's, over the poses that have a value in both."""
        common = [name for name in first.values if name in other.values]
        # Differences are taken pose by pose, so that the interval is one of paired samples.
        return {name: mean_of(other.values[name] - first.values[name], self.ruler.bootstrap) for name in common}

    def _mpss(self, prediction: Array, k: int) -> tuple[Metric, Array | None]:
        ruler, root = self.ruler, self.ruler.skeleton.root
        if self.clusters is None:
            return ruler.not_applicable(f"mPSS@{k}", "%", "root and length", self.pss_source), None
        codebook = self.clusters.codebook(k)
        scores = 100 * pss(prediction, ruler.truth, codebook, root)
        alignment = "root and length" + (f", {codebook.yaw}" if codebook.yaw else "")
        missing = missing_joints(prediction, ruler.truth)
        return ruler.metric(codebook.metric, "%", alignment, scores, missing), scores

    def _average_groups(self, values: Array, by: str) -> Means:
        """Return the means of each action or person.

        Those of actions end with their unweighted mean, which papers on Human3.6M call the average.
        """
        names, sequences = self.groups[by], self.ruler.bootstrap.groups
        found = {
            str(name): mean_of(values[names == name], Bootstrap(sequences[names == name])) for name in np.unique(names)
        }
        if by != "action":
            return found
        known = [mean.value for mean in found.values() if mean.value is not None]
        average = float(np.mean(known)) if known else None
        return found | {MEAN_OF_ACTIONS: Mean(average, None, sum(mean.counted for mean in found.values()))}

    def pss_document(self) -> dict[str, Any]:
        """Return what `metrics.json` states about the clusters."""
        if self.clusters is None:
            return {"source": None, "reason": self.pss_source}
        return {
            "source": self.pss_source,
            "fitted_on": self.clusters.fitted_on,
            "poses": self.clusters.counted,
            "clusters": {str(k): self.clusters.codebook(k).k for k in self.pss_ks},
            "seed": self.clusters.seed,
            "method": self.clusters.method,
            "alignment": self.clusters.alignment,
            "normalization": NORMALIZATION,
        }


def convert_means(means: Means) -> dict[str, dict[str, Any]]:
    """Return means as plain values, as JSON stores them."""
    return {name: mean._asdict() | {"interval": mean.interval and list(mean.interval)} for name, mean in means.items()}


def _convert_parts(parts: Parts) -> dict[str, dict[str, Any]]:
    return {name: convert_means(means) for name, means in parts.items()}
