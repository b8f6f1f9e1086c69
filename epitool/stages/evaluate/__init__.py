"""`epitool evaluate`: measures predicted poses against true ones, with the mean pose as a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from epitool.arrays import mean_known
from epitool.camera import Array
from epitool.console import Summary, say
from epitool.errors import GeometryError, InputError
from epitool.io.files import write_json
from epitool.io.npz import read_pss
from epitool.metrics import LEAST_SEQUENCES, Bootstrap, Ruler, root_centered
from epitool.options import EvaluateOptions
from epitool.parallel import run_parallel
from epitool.pss import PssModel, fit_pss
from epitool.skeleton import Skeleton
from epitool.stages.evaluate.tables import check_table, difference_lines, main_table, parts_table, write_table
from epitool.stages.scoring.pairing import Predicted, find_all_predicted
from epitool.stages.scoring.scores import Row, Scoring, convert_means
from epitool.stages.scoring.truth import Truth, joints_of, read_truth
from epitool.stages.shared.clusters import shortages

DEFAULT_PSS = Path("pss.npz")
BASELINE, VIEW_BASELINE = "mean pose", "mean pose per view"
_PSS_SEED = 0
Clusters = tuple[PssModel | None, str]  # for mPSS, and where they come from, or why there are none
Poses = dict[str, tuple[Array, str]]  # by what they are called, with their unit


def run(options: EvaluateOptions) -> Summary:
    """Measure predictions against the truth, print a table, and write `metrics.json`.

    Poses of `pose.json` are matched to the truth by image, those of labels by frame number and view. If no predictions
    are named, `pose.json` is used if it has images of the truth; otherwise the newest model of `runs/` is run. The
    default part is "test" for a model that is run here or was trained on this recording, and "all" otherwise.

    Raises:
        InputError: Files do not fit each other, have nothing in common, or no pose can be measured.
        UsageError: The table has an unknown suffix.
        GeometryError: The true labels have the verdict "fail".
    """
    check_table(options.table)
    if options.pss_file:
        read_pss(options.pss_file)  # a file that cannot be read is not found out after the work
    target = read_truth(options.truth, options.joints)
    if "action" in options.by and target.actions is None:
        raise InputError(
            f"{options.truth}: does not say what is done in its poses (array 'action'), as --by action needs"
        )
    if "person" in options.by and not (target.everyone and target.everyone.several):
        raise InputError(f"{options.truth}: does not hold several people, as --by person needs")
    predicted, split = find_all_predicted(options, target)
    document = _document(target, predicted, split, options)
    write_json(options.out, document)
    if options.table:
        write_table(options.table, document)
    tables = [parts_table(row, part) for part in options.by for row in document["rows"][: len(predicted)]]
    text = "\n".join([main_table(document["rows"]), *difference_lines(document), *_captions(document), *tables])
    return Summary(text, {"out": str(options.out), **document})


def _document(target: Truth, predicted: Sequence[Predicted], split: str, options: EvaluateOptions) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    first = predicted[0]
    sequences, words = target.sequences(first.frames)
    ruler = Ruler(
        target.xyz[first.frames, first.views], target.skeleton, options.protocol, target.unit, Bootstrap(sequences)
    )  # fmt: skip
    clusters, peers = _clusters_and_peers(target, first, options)
    scoring = Scoring(ruler, target.groups(first.frames), options.pss, *clusters, options.jobs)
    rows = [scoring.row(one.source, one.xyz, one.unit) for one in predicted]
    for row in rows:
        if not any(metric.counted for metric in row.metrics):
            raise InputError(f"{row.name}: none of {len(first.xyz)} poses can be measured: joints are missing")
    means = [scoring.row(name, mean[first.views], target.unit) for name, mean in _mean_poses(target).items()]
    means += [scoring.row(name, poses, unit) for name, (poses, unit) in peers.items()]
    skeleton = target.skeleton
    return {
        "format": "epitool.metrics/1",
        "skeleton": skeleton.name,
        "joints": list(skeleton.joints),
        "root": skeleton.joints[skeleton.root],
        "unit": target.unit,
        "protocol": options.protocol,
        "split": split,
        "poses": len(ruler.truth),
        "sequences": words,
        "truth": {
            "path": str(target.path),
            "unit": target.unit,
            "scale_source": target.scale_source,
            "verdict": target.labels.verdict if target.labels else "",
            "smoothed": target.labels.smoothed if target.labels else "",
        },
        "predictions": [
            {
                "path": one.source,
                "unit": one.unit,
                "provenance": one.provenance,
                "images_without_truth": one.without_truth,
            }
            for one in predicted
        ],
        "pss": scoring.pss_document(),
        "rows": [row.as_dict() for row in (*rows, *means)],
        "differences": [_difference(scoring, rows[0], row) for row in rows[1:]],
    }


def _difference(scoring: Scoring, first: Row, other: Row) -> dict[str, Any]:
    metrics = convert_means(scoring.difference(first, other))
    return {"name": other.name, "against": first.name, "metrics": metrics}


def _mean_poses(truth: Truth) -> dict[str, Array]:
    """Return baselines that do not look at the image: mean root-relative poses of the train part, `(V, J, 3)` each.

    One is the mean over all views. If there are several views, the other is the mean of each view by itself, which is
    a stronger baseline as it knows where the camera stands. The result is empty if the train part has no joints.
    """
    poses = root_centered(truth.xyz[truth.frames_of("train")], truth.skeleton.root)
    views = poses.shape[1]
    overall = mean_known(poses.reshape(-1, 1, *poses.shape[2:]), axis=0)
    if not np.isfinite(overall).any():
        return {}
    means = {BASELINE: np.repeat(overall, views, axis=0)}
    return means if views == 1 else means | {VIEW_BASELINE: mean_known(poses, axis=0)}


def _clusters_and_peers(truth: Truth, predicted: Predicted, options: EvaluateOptions) -> tuple[Clusters, Poses]:
    """Return `_clusters` and `_peers`, found at the same time.

    The first are mostly Python's work and the second matrix products, which would take the other's core if they used
    several threads.
    """
    works: list[Callable[[], Any]] = [partial(_clusters, truth, options), partial(_peers, truth, predicted)]
    with threadpool_limits(1, user_api="blas"):
        clusters, peers = run_parallel(lambda work: work(), works, options.jobs)
    return clusters, peers


def _peers(truth: Truth, predicted: Predicted) -> Poses:
    """Return poses in the same images that need no training, with the truth's joints, and their unit."""
    if truth.labels is None or not (truth.labels.keypoints.confidence > 0).any():
        return {}
    from epitool.stages.shared.peers import peer_poses

    found = peer_poses(truth.labels, predicted.frames, predicted.views)
    given = truth.labels.poses.skeleton
    if truth.joint_set == "all":
        return found
    return {name: (joints_of(truth.skeleton, xyz, given, name), unit) for name, (xyz, unit) in found.items()}


def _clusters(truth: Truth, options: EvaluateOptions) -> Clusters:
    """Return the clusters for mPSS and where they come from, or None and the reason why there are none."""
    ks, file = options.pss, options.pss_file
    if not ks:
        return None, "not asked for"
    if file or DEFAULT_PSS.exists():
        path = file or DEFAULT_PSS
        model = read_pss(path)
        unfit = _find_misfit(model, truth.skeleton, ks)
        if not unfit:
            return model, str(path)
        if file:
            raise InputError(f"{path}: {unfit}; make it anew with `epitool pss-fit`")
        say(f"{path} is not used: {unfit}")
    words, poses = f"{truth.path.name}, split train", truth.part("train")
    if not len(poses):
        return None, f"no clusters: {truth.path} has no part 'train' to make them from; give --pss-file"
    try:
        model = fit_pss(poses, truth.skeleton, ks, _PSS_SEED, words, jobs=options.jobs)
    except GeometryError as error:
        return None, str(error)
    say(f"PSS clusters are made from {model.counted} poses: {words}")
    for shortage in shortages(model):
        say(shortage)
    return model, "fitted here"


def _find_misfit(model: PssModel, skeleton: Skeleton, ks: tuple[int, ...]) -> str:
    """Return why clusters cannot be used for these joints and cluster counts; "" if they can."""
    if model.skeleton.joints != skeleton.joints:
        return f"its joints are {model.skeleton.name}'s, the truth's {skeleton.name}'s"
    missing = sorted(set(ks) - {codebook.asked for codebook in model.codebooks})
    return f"it has no clusters for k = {', '.join(map(str, missing))}" if missing else ""


def _captions(document: Mapping[str, Any]) -> list[str]:
    """Return lines that explain the numbers of the table."""
    truth, predicted, scores = document["truth"], document["predictions"][0], document["pss"]
    scale = predicted["provenance"].get("scale_source", "not stated")
    lines = [
        f"protocol {document['protocol']}; {len(document['joints'])} joints of {document['skeleton']}, the root"
        f" ({document['root']}) counts as one; part '{document['split']}' of {truth['path']}",
        f"truth in {truth['unit']}, scale: {truth['scale_source']}; predictions in {predicted['unit']}, scale: {scale}",
    ]
    if any(row["name"] == BASELINE for row in document["rows"]):
        lines.append(
            f"{BASELINE}: of the truth's part 'train', root-relative, over all its frames and views, or of each view"
        )
    if truth["unit"] == "arbitrary":
        lines.append("distances, and the 150 of NPCK, are in units of a body whose stature is 1700")
    if scores["source"]:
        lines.append(f"mPSS: clusters of {scores['poses']} poses ({scores['fitted_on']}), {scores['source']}")
    metrics = document["rows"][0]["metrics"]
    if any(metric["interval"] for metric in metrics):
        lines.append(
            f"+-: half the width of the 95% interval, by drawing {document['sequences']} anew; [ends] after differences"
        )
    else:
        lines.append(f"no intervals: {metrics[0]['sequences']} sequences, {LEAST_SEQUENCES} are needed")
    reasons = dict.fromkeys(metric["reason"] for metric in metrics if metric["reason"])
    lines += [f"n/a: {', '.join(m['name'] for m in metrics if m['reason'] == reason)}: {reason}" for reason in reasons]
    skipped, missing = (max(metric[key] for metric in metrics) for key in ("skipped", "missing_joints"))
    if skipped or missing:
        lines.append(f"left out: up to {skipped} poses that lack joints, up to {missing} joints of the others")
    return lines
