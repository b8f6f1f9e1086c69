"""`epitool pss-fit`: clusters a reference set of poses, with which `evaluate` scores the structure of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.console import Summary, counted, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.files import STDIO
from epitool.io.npz import write_pss
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import read_predictions
from epitool.labels import split_frames
from epitool.options import PssFitOptions
from epitool.pss import AXES, PssModel, Yaw, count_distinct, find_up, fit_pss, flat_poses, yaw_of
from epitool.skeleton import Skeleton
from epitool.stages.pss_fit.stability import measure, report, scored_poses
from epitool.stages.scoring.everyone import read_everyone
from epitool.stages.scoring.truth import part_of_clips
from epitool.stages.shared.clusters import shortages

DEFAULT_KS = (50, 100)


def run(options: PssFitOptions) -> Summary:
    """Fit the clusters of the Pose Structure Score and write `pss.npz`.

    Everyone's poses of labels are taken in the axes of each camera; those of arrays `(N, J, 3)` are taken as they are.

    Raises:
        InputError: The poses cannot be read, or there are too few complete ones.
        UsageError: A k is less than two, or more than there are poses.
        GeometryError: The labels have the verdict "fail".
    """
    poses, out, jobs = options.poses, options.out, options.jobs
    reference = _reference(poses, options.split)
    yaw = _yaw(reference, poses) if options.align == "yaw" else None
    _check_ks(options.k, reference, poses)
    scored = scored_poses(options)  # read before the clusters are made, which may take long
    say(f"clustering {len(reference.xyz)} poses: {reference.words}")
    try:
        model = fit_pss(
            reference.xyz, reference.skeleton, options.k or DEFAULT_KS, options.seed, reference.words,
            yaw=yaw, consensus=options.consensus, jobs=jobs,
        )  # fmt: skip
    except GeometryError as error:
        raise InputError(f"{poses}: {error}") from None
    for shortage in shortages(model):
        warn(shortage)
    write_pss(out, model)
    summary = _summary(model, out)
    if options.stability:
        summary = report(measure(reference.xyz, model, scored, options), stability_file(out), summary)
    if options.pictures:
        from epitool.stages.pss_fit import pictures as pss_pictures

        pss_pictures.draw(options.pictures, reference.xyz, model)
    return summary


def also_writes(options: PssFitOptions) -> list[Path]:
    """Return the file that the measured stability is written to."""
    return [stability_file(options.out)] if options.stability else []


def stability_file(out: Path) -> Path:
    """Return the file that `--stability` writes beside the clusters."""
    return out.with_name(f"{out.stem}-stability.json")


@dataclass(frozen=True, eq=False)
class Reference:
    """The poses `(N, J, 3)` to cluster, their skeleton, and a description in words."""

    xyz: Array
    skeleton: Skeleton
    words: str


def _reference(path: Path, split: str) -> Reference:
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return _from_arrays(path, split)
    if suffix == ".json" or path == STDIO:
        predicted = read_predictions(path)
        part = predicted.joints_3d[split_frames(len(predicted.joints_3d))[split]]
        return Reference(part, predicted.skeleton, f"{path.name}, split {split}, predictions in camera axes")
    everyone = read_everyone(path, heeded=True)
    part = everyone.labels.in_cameras[everyone.part(split)]
    whose = f", of {len(everyone.splits)} people" if everyone.several else ""
    recording = f"{path.name} (recording {everyone.recording_id})"
    words = f"{recording}, split {split}{whose}, in the axes of {part.shape[1]} cameras"
    return Reference(part.reshape(-1, *part.shape[2:]), everyone.labels.poses.skeleton, words)


def _from_arrays(path: Path, split: str) -> Reference:
    arrays = read_pose_arrays(path)
    say(f"{path}: taken as they are; predictions are in a camera's axes (x right, y down), so these must be too")
    kind = " of whole clips" if len(np.unique(arrays.clips)) > 1 else ""
    part = arrays.poses.xyz[part_of_clips(arrays.clips, split)]
    return Reference(part, arrays.poses.skeleton, f"{path.name}, split {split}{kind}, axes as given")


def _yaw(reference: Reference, path: Path) -> Yaw:
    try:
        axis, sign = find_up(reference.xyz, reference.skeleton)
        say(f"{path}: bodies stand along {AXES[axis]}, which runs {'up' if sign > 0 else 'down'}: turned about it")
        return yaw_of(reference.skeleton, axis)
    except InputError as error:
        raise InputError(f"{path}: --align yaw: {error}") from None


def _check_ks(ks: tuple[int, ...] | None, reference: Reference, path: Path) -> None:
    """Refuse requested numbers of clusters that exceed the number of distinct complete poses."""
    distinct = count_distinct(flat_poses(reference.xyz, reference.skeleton.root, None)) if ks else 0
    if ks and 2 <= distinct < max(ks):  # fewer make no clusters at all
        raise UsageError(
            f"--k {max(ks)}: {path} has {counted(distinct, 'distinct complete pose')}; give --k fewer, or more poses"
        )


def _summary(model: PssModel, out: Path) -> Summary:
    made = ", ".join(str(codebook.k) for codebook in model.codebooks)
    text = (
        f"{out}: {made} clusters of {model.counted} poses ({model.skipped} skipped), {len(model.skeleton)} joints,"
        f" alignment {model.alignment}, {model.method}"
    )
    values = {
        "out": str(out),
        "clusters": {str(codebook.asked): codebook.k for codebook in model.codebooks},
        "counted": model.counted,
        "skipped": model.skipped,
        "fitted_on": model.fitted_on,
        "alignment": model.alignment,
        "method": model.method,
        "seed": model.seed,
    }
    return Summary(text, values)
