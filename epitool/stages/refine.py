"""`epitool refine`: predictions and labels of the same images to a refinement unit, with or without motion capture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError
from epitool.images import image_key
from epitool.io.labels import read_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.options import RefineOptions, run_folder
from epitool.pose import Predictions

if TYPE_CHECKING:
    from epitool.nn.mocap import Mocap
    from epitool.nn.refiner import Refiner

MIN_POSES = 16
MIN_MOCAP = 100
PAIRS_OPTIONS = RefineOptions()
# Errors drawn anew each epoch keep the unit from learning poses by heart; dropout would only slow it down.
MOCAP_OPTIONS = RefineOptions(width=512, dropout=0.0, batch_size=256, epochs=60)
MOCAP_DRAWS = 10_000  # in an epoch, at least: the unit needs steps, however few poses there are
_CHOICE_SHARE = 0.15  # of the clips


def run(
    *,
    predictions: Path = Path("pose.json"),
    pairs: Path = Path("labels.h5"),
    mocap: Path | None = None,
    out: Path | None = None,
    name: str = "default",
    epochs: int | None = None,
    seed: int = 0,
) -> Summary:
    """Trains a refinement unit and measures it on frames of the validation part.

    Without `mocap` it learns from predictions and labels of the training part, and the validation part chooses. With
    it, the labels only tell how the network errs: it learns from motion capture poses with such errors, other clips
    choose, and the later half of the validation part, which the errors were not taken from, tells if it helps.

    Args:
        predictions: `pose.json` with poses predicted in the labels' images.
        pairs: `labels.h5`: what the poses should have been.
        mocap: Motion capture poses to learn from, `.npz` or `.npy`.
        out: `refiner.pt`; `runs/<name>/refiner.pt` by default.
        name: Of the run.
        epochs: Passes over the training poses; 200, or 60 with `mocap`, by default.
        seed: Of everything random.

    Raises:
        UsageError: Options that do not fit.
        InputError: A file is missing or damaged, or they do not fit together.
        GeometryError: Too few predictions are of the labels' images, or too few poses of motion capture.
    """
    from epitool.nn.refiner import save_refiner

    predicted, labels = read_predictions(predictions), read_labels(pairs)
    _check_fit(predicted, labels, predictions, pairs)
    if mocap is None:
        options = _with(PAIRS_OPTIONS, epochs, seed)
        refiner = _from_pairs(predicted, labels, options, f"{predictions} are of {{}} of {pairs}")
    else:
        options = _with(MOCAP_OPTIONS, epochs, seed)
        refiner = _from_mocap(predicted, labels, mocap, options, f"{predictions} are of {{}} of {pairs}")
    path = out or run_folder(name) / "refiner.pt"
    save_refiner(path, refiner)
    return _summary(path, refiner)


def _with(options: RefineOptions, epochs: int | None, seed: int) -> RefineOptions:
    return replace(options, epochs=epochs or options.epochs, seed=seed)


def _from_pairs(predicted: Predictions, labels: Labels, options: RefineOptions, where: str) -> Refiner:
    from epitool.nn.refiner_training import fixed_pairs, train_refiner

    parts = labels.parts
    train, val = (
        _matched(predicted, labels, parts[part], where.format(f"the {part} part")) for part in ("train", "val")
    )
    say(f"learning from {len(train[0])} poses, choosing by {len(val[0])} others")
    return train_refiner(
        fixed_pairs(*train), val, labels.poses.skeleton, options, unit=labels.rig.unit, recording_id=labels.recording_id
    )


def _from_mocap(predicted: Predictions, labels: Labels, path: Path, options: RefineOptions, where: str) -> Refiner:
    from epitool.nn.pose_noise import estimate_errors
    from epitool.nn.refiner_training import checked, noisy_mocap, train_refiner

    frames, body = labels.parts["val"], labels.poses.skeleton
    halves = (("earlier", frames[: len(frames) // 2]), ("later", frames[len(frames) // 2 :]))
    tuning, check = (
        _matched(predicted, labels, half, where.format(f"the {which} half of the val part")) for which, half in halves
    )
    train, choice = _mocap_parts(path, labels, options.seed)
    errors = estimate_errors(*tuning, body)
    say(
        f"learning from {len(train.poses)} poses of motion capture, choosing by {len(choice.poses)} of other clips;"
        f" errors as in {len(tuning[0])} predictions"
    )
    held_out = noisy_mocap(choice, errors)(np.random.default_rng(options.seed + 1))
    unit, recording = labels.rig.unit, labels.recording_id
    refiner = train_refiner(
        noisy_mocap(train, errors, MOCAP_DRAWS),
        held_out,
        body,
        options,
        unit=unit,
        recording_id=recording,
        trained_on="mocap",
    )
    before, after = refiner.val_error
    say(f"motion capture kept for the choice: MPJPE {before:.1f} to {after:.1f} {unit}")
    return checked(refiner, tuning, check)


def _mocap_parts(path: Path, labels: Labels, seed: int) -> tuple[Mocap, Mocap]:
    """Poses to learn from and poses of other clips to choose by, with the bones and cameras of the recording."""
    from epitool.nn.crops import median_bone_lengths
    from epitool.nn.mocap import Mocap, level_poses, vertical_of, with_bone_lengths

    arrays = read_pose_arrays(path)
    found, clips = arrays.poses, arrays.clips
    body, unit = labels.poses.skeleton, labels.rig.unit
    if found.unit != unit:
        raise InputError(f"{path} is in {found.unit}, the labels in {unit}; --mocap needs poses in the labels' unit")
    poses = found.convert(body).xyz
    missing = [joint for j, joint in enumerate(body.joints) if np.isnan(poses[:, j]).all()]
    if missing:
        raise InputError(f"{path}: {found.skeleton.name} has no {', '.join(missing)}, which {body.name} needs")
    complete = np.isfinite(poses).all(axis=(1, 2))
    if complete.sum() < MIN_MOCAP:
        raise GeometryError(f"{path}: {complete.sum()} complete poses; {MIN_MOCAP} are needed to learn from")
    try:
        level = level_poses(poses[complete], body)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    level = with_bone_lengths(level, median_bone_lengths(labels.poses.xyz, body), body)
    in_cameras, take_of = labels.in_cameras, labels.keypoints.take_of
    of_takes = [in_cameras[take_of == number] for number in np.unique(take_of)]
    verticals = np.array([vertical_of(poses[:, v], body) for poses in of_takes for v in range(len(labels.rig))])
    chosen = held_out_clips(clips[complete], seed)
    return Mocap(level[~chosen], body, verticals), Mocap(level[chosen], body, verticals)


def held_out_clips(clips: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which poses `(N,)` are of the 15% of clips kept for the choice; the last 15% of the poses of a single clip.

    >>> int(held_out_clips(np.array([0, 0, 1, 1, 2, 2]), seed=0).sum())
    2
    """
    numbers = np.unique(clips)
    if len(numbers) == 1:
        return np.arange(len(clips)) >= round(len(clips) * (1 - _CHOICE_SHARE))
    kept = np.random.default_rng(seed).permutation(numbers)[: max(1, round(len(numbers) * _CHOICE_SHARE))]
    return np.isin(clips, kept)


def _check_fit(predicted: Predictions, labels: Labels, predictions: Path, pairs: Path) -> None:
    if predicted.skeleton.joints != labels.poses.skeleton.joints:
        raise InputError(
            f"{predictions} has joints of {predicted.skeleton.name}, {pairs} those of {labels.poses.skeleton.name}"
        )
    if predicted.unit != labels.rig.unit:
        raise InputError(f"{predictions} is in {predicted.unit}, {pairs} in {labels.rig.unit}")
    if "refiner" in predicted.provenance:
        raise InputError(f"{predictions} has been refined already; predict without --refiner")


def _matched(predicted: Predictions, labels: Labels, frames: NDArray[np.intp], where: str) -> tuple[Array, Array]:
    """Predicted and true root-relative poses `(N, J, 3)` of the images of these frames that are in both."""
    place = {image_key(image): i for i, image in enumerate(predicted.images)}
    images = labels.keypoints.images[frames]
    found = np.array([place.get(image_key(image), -1) for image in images.ravel().tolist()], dtype=int).reshape(
        images.shape
    )
    truth = labels.in_cameras[frames]
    truth = truth - truth[:, :, [labels.poses.skeleton.root]]
    usable: NDArray[np.bool_] = (found >= 0) & np.isfinite(truth).any(axis=(-2, -1))
    if usable.sum() < MIN_POSES:
        raise GeometryError(
            f"only {usable.sum()} predictions in {where}, {MIN_POSES} are needed; predict all images of the recording"
        )
    return predicted.joints_3d[found[usable]], truth[usable]


def _summary(path: Path, refiner: Refiner) -> Summary:
    (before, after), unit = refiner.val_error, refiner.unit
    change = f"validation MPJPE {before:.1f} {unit} as predicted, {after:.1f} {unit} refined"
    if after >= before:
        warn("refinement did not lower the error of the validation frames; better leave it out")
    values = {
        "refiner": str(path), "val_mpjpe": before, "val_mpjpe_refined": after, "unit": unit,
        "trained_on": refiner.trained_on, "strength": refiner.strength,
    }  # fmt: skip
    return Summary(f"{path}: {change}", values)
