"""`epitool train`: labels and their images to a pose network."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from epitool.console import Summary, say, warn
from epitool.io.files import write_json
from epitool.io.labels import read_labels
from epitool.options import PRESETS, TrainOptions, run_folder


def run(
    *,
    pairs: Path,
    out: Path | None = None,
    name: str = "default",
    preset: str = "auto",
    backbone: str | None = None,
    image_size: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    loss: str | None = None,
    occlusion: bool | None = None,
    seed: int | None = None,
    initial: Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> Summary:
    """Trains a network on labels; goes on with a run of the same labels and options.

    Args:
        pairs: `labels.h5`.
        out: Folder of the run; `runs/<name>` by default.
        name: Of the run.
        preset: "paper", "small", or "auto": paper with CUDA, else small. What follows replaces its values.
        backbone: Name of a ResNet.
        image_size: Side of the crop, px.
        epochs: Passes over the training frames.
        batch_size: Images in a step.
        learning_rate: At the start.
        loss: "smooth_l1" or "l1".
        occlusion: Whether to paint synthetic occluders.
        seed: Of everything random.
        initial: Checkpoint whose fitting tensors the network starts from.
        overwrite: Whether to delete an earlier run in the folder.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: Options that do not fit, or the folder holds a run with others.
        InputError: Labels or images are missing or damaged.
        GeometryError: Too few frames have a pose.
        CheckpointError: `initial` or the run's last checkpoint cannot be used.
    """
    from epitool.nn import training
    from epitool.nn.checkpoint import load_tensors
    from epitool.nn.device import pick_device

    folder = out or run_folder(name)
    labels, where = read_labels(pairs), pick_device(device)
    chosen = preset if preset != "auto" else "paper" if where.type == "cuda" else "small"
    given: dict[str, Any] = {
        "backbone": backbone,
        "image_size": image_size,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "loss": loss,
        "occlusion": occlusion,
        "seed": seed,
    }
    options = replace(PRESETS[chosen], **{key: value for key, value in given.items() if value is not None})
    say(f"training on {where} with preset {chosen}: {_described(options)}")
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    weights = None
    if initial is not None:
        content = load_tensors(initial)
        weights = content.get("state_dict", content.get("weights", content))
    history = training.train(labels, options, folder, where, weights)
    write_json(folder / "options.json", {"pairs": str(pairs), "preset": chosen, **asdict(options)})
    return _summary(history, training.best_epoch(history), training.baseline_error(labels), labels.rig.unit, folder)


def _described(options: TrainOptions) -> str:
    return (
        f"{options.backbone}, {options.image_size} px, {options.epochs} epochs, batches of {options.batch_size},"
        f" learning rate {options.learning_rate:g}, {options.loss} loss"
    )


def _summary(history: list[dict[str, Any]], best: dict[str, Any], baseline: float, unit: str, folder: Path) -> Summary:
    model = folder / "model.pt"
    if best["val_nmpjpe"] >= baseline:
        warn("the network is no better than always answering the mean pose; train longer, or on more footage")
    text = (
        f"{model}: epoch {best['epoch']} of {len(history)}; validation NMPJPE {best['val_nmpjpe']:.1f} {unit}"
        f" (always answering the mean pose: {baseline:.1f})"
    )
    values = {
        "model": str(model),
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "val_nmpjpe": best["val_nmpjpe"],
        "val_nmpjpe_of_mean_pose": baseline,
        "unit": unit,
        "seconds": round(sum(record["seconds"] for record in history), 1),
    }
    return Summary(text, values)
