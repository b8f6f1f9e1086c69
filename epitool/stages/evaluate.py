"""`epitool evaluate`: how far predicted poses are from true ones, beside what the mean pose would score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Array
from epitool.console import Summary, say
from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.files import write_json
from epitool.io.npz import read_pss
from epitool.metrics import PROTOCOLS, Metric, measure, metric_of, missing_joints, not_applicable, root_centered
from epitool.pss import N_INIT, NORMALIZATION, PssModel, fit_pss, pss
from epitool.skeleton import Skeleton
from epitool.stages.pairing import Predicted, Truth, find_all_predicted, part_of, read_truth

DEFAULT_PSS = Path("pss.npz")
BASELINE, VIEW_BASELINE = "mean pose", "mean pose per view"
_PSS_SEED = 0

Rows = Mapping[str, tuple[Metric, ...]]


def run(
    *,
    predictions: Sequence[Path],
    truth: Path,
    model: Path | None,
    pss_ks: tuple[int, ...],
    pss_file: Path | None,
    protocol: str,
    split: str | None,
    out: Path,
    device: str,
) -> Summary:
    """Measures predictions against the truth, prints a table, and writes `metrics.json`.

    Args:
        predictions: `pose.json` (matched to the truth by image), `labels.h5` (matched by frame number and view), or
            pose arrays; a row each. Where none is given `pose.json` if it has images of the truth, else a model is run.
        truth: `labels.h5`, or a pose array.
        model: A checkpoint to run on the truth's images instead, by default the newest of `runs/`.
        pss_ks: Numbers of clusters to give mPSS for.
        pss_file: `pss.npz`; by default the one here, or clusters of the truth's train part.
        protocol: "standard" or "epipolarpose".
        split: Part of the truth's frames: "train", "val", "test" or "all"; by default "test" for a model that is run
            here or was trained on this recording, else all.
        out: Where `metrics.json` goes.
        device: Where a model runs.

    Raises:
        InputError: Files do not fit each other, or have nothing in common.
        GeometryError: No pose can be measured.
        UsageError: Options that do not exist or do not go together.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")
    target = read_truth(truth)
    predicted, split = find_all_predicted(predictions, model, target, split, device, protocol)
    first = predicted[0]
    clusters, pss_source = _clusters(target, pss_ks, pss_file)
    scoring = _Scoring(target, target.xyz[first.frames, first.views], protocol, pss_ks, clusters, pss_source)
    rows = {one.source: scoring.row(one.xyz, one.unit) for one in predicted}
    for source, row in rows.items():
        if not any(metric.counted for metric in row):
            raise GeometryError(f"{source}: none of {len(first.xyz)} poses can be measured: joints are missing")
    for name, mean in _mean_poses(target).items():
        rows[name] = scoring.row(mean[first.views], target.unit)
    document = scoring.document(rows, predicted, split)
    write_json(out, document)
    return Summary("\n".join([_table(rows), *_captions(document)]), {"out": str(out), **document})


@dataclass(frozen=True, eq=False)
class _Scoring:
    """All that the rows of the table have in common."""

    truth: Truth
    poses: Array
    protocol: str
    pss_ks: tuple[int, ...]
    clusters: PssModel | None
    pss_source: str

    def row(self, prediction: Array, unit: str) -> tuple[Metric, ...]:
        """Every metric of the predictions `(N, J, 3)`."""
        skeleton = self.truth.skeleton
        distances = measure(prediction, self.poses, skeleton, self.protocol, unit, self.truth.unit)
        return distances + tuple(self._mpss(prediction, k) for k in self.pss_ks)

    def _mpss(self, prediction: Array, k: int) -> Metric:
        skeleton, alignment = self.truth.skeleton, "root and length"
        if self.clusters is None:
            return not_applicable(f"mPSS@{k}", self.pss_source, skeleton, self.protocol, "%", alignment)
        codebook = self.clusters.codebook(k)
        scores = 100 * pss(prediction, self.poses, codebook, skeleton.root)
        missing = missing_joints(prediction, self.poses)
        return metric_of(codebook.metric, scores, missing, skeleton, self.protocol, "%", alignment)

    def document(self, rows: Rows, predicted: Sequence[Predicted], split: str) -> dict[str, Any]:
        """What `metrics.json` holds."""
        truth, skeleton = self.truth, self.truth.skeleton
        return {
            "format": "epitool.metrics/1",
            "skeleton": skeleton.name,
            "joints": list(skeleton.joints),
            "root": skeleton.joints[skeleton.root],
            "unit": truth.unit,
            "protocol": self.protocol,
            "split": split,
            "poses": len(self.poses),
            "truth": {"path": str(truth.path), "unit": truth.unit, "scale_source": truth.scale_source},
            "predictions": [
                {
                    "path": one.source,
                    "unit": one.unit,
                    "provenance": one.provenance,
                    "images_without_truth": one.without_truth,
                }
                for one in predicted
            ],
            "pss": self._pss_document(),
            "rows": [{"name": name, "metrics": [metric.as_dict() for metric in row]} for name, row in rows.items()],
        }

    def _pss_document(self) -> dict[str, Any]:
        if self.clusters is None:
            return {"source": None, "reason": self.pss_source}
        return {
            "source": self.pss_source,
            "fitted_on": self.clusters.fitted_on,
            "poses": self.clusters.counted,
            "clusters": {str(k): self.clusters.codebook(k).k for k in self.pss_ks},
            "seed": self.clusters.seed,
            "n_init": N_INIT,
            "normalization": NORMALIZATION,
        }


def _mean_poses(truth: Truth) -> dict[str, Array]:
    """What answers without looking would be: the train part's mean root-relative pose, for every view `(V, J, 3)`.

    Over all views, and, where there are several, of each view by itself: one who knows where the camera stands does
    better. Nothing where the train part has no joint.
    """
    poses = root_centered(truth.xyz[part_of(len(truth.xyz), "train")], truth.skeleton.root)
    views = poses.shape[1]
    overall = _mean(poses.reshape(-1, 1, *poses.shape[2:]))
    if not np.isfinite(overall).any():
        return {}
    means = {BASELINE: np.repeat(overall, views, axis=0)}
    return means if views == 1 else means | {VIEW_BASELINE: _mean(poses)}


def _mean(poses: Array) -> Array:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(poses)
    total, count = np.where(known, poses, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _clusters(truth: Truth, ks: tuple[int, ...], file: Path | None) -> tuple[PssModel | None, str]:
    """The clusters that mPSS is measured with, and where they come from; None and the reason where there are none."""
    if not ks:
        return None, "not asked for"
    if file or DEFAULT_PSS.exists():
        path = file or DEFAULT_PSS
        model = read_pss(path)
        unfit = _unfit(model, truth.skeleton, ks)
        if not unfit:
            return model, str(path)
        if file:
            raise InputError(f"{path}: {unfit}; make it anew with `epitool pss-fit`")
        say(f"{path} is not used: {unfit}")
    words = f"{truth.path.name}, split train"
    try:
        model = fit_pss(truth.part("train"), truth.skeleton, ks, _PSS_SEED, words)
    except GeometryError as error:
        return None, str(error)
    say(f"PSS clusters are made from {model.counted} poses: {words}")
    for codebook in model.codebooks:
        if codebook.k != codebook.asked:
            say(f"too few distinct poses for k = {codebook.asked}: {codebook.k} clusters, half their number")
    return model, "fitted here"


def _unfit(model: PssModel, skeleton: Skeleton, ks: tuple[int, ...]) -> str:
    """Why clusters do not serve for these joints and numbers; "" where they do."""
    if model.skeleton.joints != skeleton.joints:
        return f"its joints are {model.skeleton.name}'s, the truth's {skeleton.name}'s"
    missing = sorted(set(ks) - {codebook.asked for codebook in model.codebooks})
    return f"it has no clusters for k = {', '.join(map(str, missing))}" if missing else ""


def _table(rows: Rows) -> str:
    """The metrics side by side, as text 100 columns wide."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.MARKDOWN)  # in ASCII, which every terminal and pipe can encode
    table.add_column("", no_wrap=True)
    for metric in next(iter(rows.values())):
        table.add_column(f"{metric.name}\n{'' if metric.unit == 'arbitrary' else metric.unit}", justify="right")
    table.add_column("poses", justify="right")
    for name, row in rows.items():
        values = ["n/a" if metric.value is None else f"{metric.value:.1f}" for metric in row]
        table.add_row(name, *values, str(max(metric.counted for metric in row)))
    text = StringIO()
    Console(file=text, width=300, color_system=None, force_terminal=False, markup=False, emoji=False).print(table)
    return "\n".join(line for line in text.getvalue().splitlines() if line.strip())


def _captions(document: Mapping[str, Any]) -> list[str]:
    """What the numbers of the table mean, a line each."""
    truth, predicted, scores = document["truth"], document["predictions"][0], document["pss"]
    scale = predicted["provenance"].get("scale_source", "not stated")
    lines = [
        f"protocol {document['protocol']}; {len(document['joints'])} joints of {document['skeleton']}, the root"
        f" ({document['root']}) counts as one; part '{document['split']}' of {truth['path']}",
        f"truth in {truth['unit']}, scale: {truth['scale_source']}; predictions in {predicted['unit']}, scale: {scale}",
        f"{BASELINE}: of the truth's part 'train', root-relative, over all its frames and views, or those of each view",
    ]
    if truth["unit"] == "arbitrary":
        lines.append("distances, and the 150 of NPCK, are in units of a body whose stature is 1700")
    if scores["source"]:
        lines.append(f"mPSS: clusters of {scores['poses']} poses ({scores['fitted_on']}), {scores['source']}")
    metrics = document["rows"][0]["metrics"]
    reasons = dict.fromkeys(metric["reason"] for metric in metrics if metric["reason"])
    lines += [f"n/a: {', '.join(m['name'] for m in metrics if m['reason'] == reason)}: {reason}" for reason in reasons]
    skipped, missing = (max(metric[key] for metric in metrics) for key in ("skipped", "missing_joints"))
    if skipped or missing:
        lines.append(f"left out: up to {skipped} poses that lack joints, up to {missing} joints of the others")
    return lines
