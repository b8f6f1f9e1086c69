"""`epitool refine`: predictions and labels of the same images to a refinement unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError
from epitool.images import image_key
from epitool.io.labels import read_labels
from epitool.io.predictions import read_predictions
from epitool.options import RefineOptions, run_folder
from epitool.pose import Labels, Predictions, split_frames

MIN_POSES = 16


def run(
    *,
    predictions: Path = Path("pose.json"),
    pairs: Path = Path("labels.h5"),
    out: Path | None = None,
    name: str = "default",
    epochs: int = 200,
    seed: int = 0,
) -> Summary:
    """Trains a refinement unit on a recording's training part and measures it on the validation part.

    Args:
        predictions: `pose.json` with poses predicted in the labels' images.
        pairs: `labels.h5`: what the poses should have been.
        out: `refiner.pt`; `runs/<name>/refiner.pt` by default.
        name: Of the run.
        epochs: Passes over the training poses.
        seed: Of everything random.

    Raises:
        UsageError: Options that do not fit.
        InputError: A file is missing or damaged, or they do not fit together.
        GeometryError: Too few predictions are of the labels' images.
    """
    from epitool.nn.refiner import save_refiner, train_refiner

    predicted, labels = read_predictions(predictions), read_labels(pairs)
    _check_fit(predicted, labels, predictions, pairs)
    parts = {part: _matched(predicted, labels, part) for part in ("train", "val")}
    for part, (poses, _) in parts.items():
        if len(poses) < MIN_POSES:
            raise GeometryError(
                f"only {len(poses)} predictions in {predictions} are of the {part} part of {pairs}, {MIN_POSES} are"
                " needed; predict all images of the recording"
            )
    say(f"learning from {len(parts['train'][0])} poses, choosing by {len(parts['val'][0])} others")
    refiner = train_refiner(
        *parts["train"],
        parts["val"],
        labels.poses.skeleton,
        RefineOptions(epochs=epochs, seed=seed),
        unit=labels.rig.unit,
        recording_id=labels.recording_id,
    )
    path = out or run_folder(name) / "refiner.pt"
    save_refiner(path, refiner)
    return _summary(path, *refiner.val_error, labels.rig.unit)


def _check_fit(predicted: Predictions, labels: Labels, predictions: Path, pairs: Path) -> None:
    if predicted.skeleton.joints != labels.poses.skeleton.joints:
        raise InputError(
            f"{predictions} has joints of {predicted.skeleton.name}, {pairs} those of {labels.poses.skeleton.name}"
        )
    if predicted.unit != labels.rig.unit:
        raise InputError(f"{predictions} is in {predicted.unit}, {pairs} in {labels.rig.unit}")
    if "refiner" in predicted.provenance:
        raise InputError(f"{predictions} has been refined already; predict without --refiner")


def _matched(predicted: Predictions, labels: Labels, part: str) -> tuple[Array, Array]:
    """Predicted and true root-relative poses `(N, J, 3)` of the images that are in both."""
    place = {image_key(image): i for i, image in enumerate(predicted.images)}
    frames = split_frames(len(labels.poses.frames))[part]
    images = labels.keypoints.images[frames]
    found = np.array([place.get(image_key(image), -1) for image in images.ravel().tolist()], dtype=int).reshape(
        images.shape
    )
    truth = labels.in_cameras[frames]
    truth = truth - truth[:, :, [labels.poses.skeleton.root]]
    usable: NDArray[np.bool_] = (found >= 0) & np.isfinite(truth).any(axis=(-2, -1))
    return predicted.joints_3d[found[usable]], truth[usable]


def _summary(path: Path, before: float, after: float, unit: str) -> Summary:
    change = f"validation MPJPE {before:.1f} {unit} as predicted, {after:.1f} {unit} refined"
    if after >= before:
        warn("refinement did not lower the error of the validation frames; better leave it out")
    values = {"refiner": str(path), "val_mpjpe": before, "val_mpjpe_refined": after, "unit": unit}
    return Summary(f"{path}: {change}", values)
