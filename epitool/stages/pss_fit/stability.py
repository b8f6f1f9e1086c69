"""`epitool pss-fit --stability`: measures how well runs of k-means agree, and how much the score varies with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Array
from epitool.console import Summary, say
from epitool.io.files import write_json
from epitool.options import PssFitOptions
from epitool.pss import NORMALIZATION, Codebook, PssModel
from epitool.pss.fitting import Run, consensus_of, fit_runs, flat_poses, make_codebook
from epitool.pss.stability import Agreement, agreement, mpss_by_codebook
from epitool.stages.scoring.pairing import read_predicted
from epitool.stages.scoring.truth import read_truth

Scored = tuple[Array, Array] | None
PAPER = "the paper: mean IoU 0.78 over 100 runs, mPSS within 0.1 of its mean"
_HEADER = f"{'clusters':<32}{'mean IoU':>9}{'sd':>7}{'share %':>9}{'mPSS %':>9}{'sd':>7}{'+-':>7}"


def scored_poses(options: PssFitOptions) -> Scored:
    """Return the predicted and true poses `(N, J, 3)` that the codebooks score, and None without `--predictions`.

    Raises:
        InputError: The predictions cannot be read or do not fit the poses.
    """
    if options.predictions is None:
        return None
    target = read_truth(options.poses)
    found, _ = read_predicted(options.predictions, target, _scored_part(options))
    return found.xyz, target.xyz[found.frames, found.views]


def _scored_part(options: PssFitOptions) -> str:
    return "test" if options.split == "train" else options.split


def measure(reference: Array, model: PssModel, scored: Scored, options: PssFitOptions) -> dict[str, Any]:
    """Carry out the paper's analysis: compare runs of k-means from random starts pair by pair.

    If codebooks are made by consensus, the runs are also divided into as many groups as possible that have no run in
    common, and the consensus codebooks of the groups are compared too.

    Args:
        reference: The poses that the clusters were made from, `(N, J, 3)`.
        model: The clusters.
        scored: What `scored_poses` returns.
        options: Options of the command.
    """
    runs, consensus, jobs = options.runs, options.consensus, options.jobs
    yaw, root = model.codebooks[0].yaw, model.skeleton.root
    flat = flat_poses(reference, root, yaw)
    rows = []
    for fitted in model.codebooks:
        say(f"{runs} runs of k-means from random starts, k = {fitted.k}")
        single = fit_runs(flat, fitted.k, runs, model.seed, jobs)
        kinds = {"single runs": single}
        if consensus and runs >= 2 * consensus:
            starts = range(0, runs - consensus + 1, consensus)
            kinds[f"consensus of {consensus} runs"] = [
                consensus_of(flat, single[start : start + consensus], model.seed) for start in starts
            ]
        for kind, found in kinds.items():
            books = [make_codebook(run, fitted.asked, yaw) for run in found]
            mpss = mpss_by_codebook(*scored, books, root, jobs) if scored else None
            rows.append(_row(fitted, kind, found, agreement([run.labels for run in found], fitted.k, jobs), mpss))
    return {
        "format": "epitool.pss-stability/1",
        "skeleton": model.skeleton.name,
        "root": model.skeleton.joints[root],
        "normalization": NORMALIZATION,
        "alignment": model.alignment,
        "fitted_on": model.fitted_on,
        "poses": len(flat),
        "seed": model.seed,
        "predictions": str(options.predictions) if options.predictions else None,
        "scored": len(scored[0]) if scored else 0,
        "scored_part": _scored_part(options) if scored else None,
        "rows": rows,
    }


def _row(fitted: Codebook, kind: str, runs: Sequence[Run], agreed: Agreement, mpss: Array | None) -> dict[str, Any]:
    """Return statistics of the agreement between the runs of one kind, and the values of each run."""
    pairs = np.array(np.triu_indices(len(runs), 1))  # in the order of the pairs in `agreed`
    own_iou = [float(agreed.iou[(pairs == run).any(axis=0)].mean()) for run in range(len(runs))]
    return {
        "metric": fitted.metric,
        "k": fitted.k,
        "kind": kind,
        "runs": len(runs),
        "pairs": len(agreed.iou),
        "iou": _summarize_spread(agreed.iou),
        "share_percent": _summarize_spread(100 * agreed.share),
        "mpss_percent": _summarize_spread(mpss) if mpss is not None and np.isfinite(mpss).all() else None,
        "run_iou": own_iou,
        "run_inertia": [run.inertia for run in runs],
        "run_mpss_percent": mpss.tolist() if mpss is not None and np.isfinite(mpss).all() else None,
    }


def _summarize_spread(values: Array) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def report(document: dict[str, Any], path: Path, fitted: Summary) -> Summary:
    """Write the values of every run to a file, and add the table to the summary of the fit."""
    write_json(path, document)
    lines = [fitted.text, _HEADER, *(_line(row) for row in document["rows"]), PAPER, f"{path}: every run"]
    return Summary("\n".join(lines), fitted.values | {"stability": str(path), "rows": document["rows"]})


def _line(row: dict[str, Any]) -> str:
    iou, share, mpss = row["iou"], row["share_percent"], row["mpss_percent"]
    name = f"k = {row['k']}, {row['runs']} x {row['kind']}"
    line = f"{name:<32}{iou['mean']:>9.3f}{iou['sd']:>7.3f}{share['mean']:>9.1f}"
    if mpss is None:
        return line + f"{'n/a':>9}"
    largest = max(mpss["max"] - mpss["mean"], mpss["mean"] - mpss["min"])
    return line + f"{mpss['mean']:>9.2f}{mpss['sd']:>7.2f}{largest:>7.2f}"
