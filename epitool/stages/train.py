"""`epitool train`: labels and their images to a pose network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epitool.console import Summary, say, warn
from epitool.errors import EpitoolError, InputError
from epitool.files import alone_at
from epitool.io.files import write_json
from epitool.io.keypoints_h5 import open_keypoints
from epitool.io.labels_h5 import has_poses, open_labels
from epitool.options import PRESETS, TrainOptions, run_folder
from epitool.stages.shared.label_verdict import heed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from epitool.nn.samples import Recording


def run(
    *,
    pairs: Path,
    out: Path | None = None,
    name: str = "default",
    preset: str = "auto",
    initial: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: str = "auto",
    accumulate: int = 1,
    **given: Any,
) -> Summary:
    """Trains a network on labels; goes on with a run of the same labels and options.

    Args:
        pairs: `labels.h5`, or `keypoints.h5` to learn x and y alone.
        out: Folder of the run; `runs/<name>` by default.
        name: Of the run.
        preset: "paper", "small", or "auto": paper with CUDA, else small.
        initial: What the weights start from: a checkpoint, or "imagenet".
        overwrite: Whether to delete an earlier run in the folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: How many of them on each machine.
        nodes: How many machines.
        precision: "auto", "32", "bf16" or "16".
        accumulate: Into how many pieces each device divides its part of a batch.
        given: Fields of `TrainOptions` that replace the preset's; None leaves it.

    Raises:
        UsageError: Options that do not fit, or the folder holds a run with others.
        InputError: Labels or images are missing or damaged.
        GeometryError: Too few frames have a pose, or the labels were found not to be trusted.
        CheckpointError: The initial weights or the run's last checkpoint cannot be used.
    """
    from epitool.nn.distributed import Compute
    from epitool.nn.training import train
    from epitool.nn.training_set import open_training_set
    from epitool.nn.validation import baseline_error

    folder, compute = out or run_folder(name), Compute(device, devices, nodes, precision)
    with _recording(pairs) as recording, ExitStack() as stack:
        fabric = compute.start()
        _enter_alone(stack, folder, fabric)
        chosen = preset if preset != "auto" else "paper" if fabric.device.type == "cuda" else "small"
        options = replace(PRESETS[chosen], **{key: value for key, value in given.items() if value is not None})
        where = f"{fabric.world_size} x {fabric.device.type}, {compute.precision_on(fabric.device)}"
        say(f"training ({where}) with preset {chosen}: {_described(options)}")
        if overwrite and fabric.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)
        history = train(recording, options, folder, fabric, initial, accumulate)
        baseline = baseline_error(open_training_set(recording.skeleton, folder)[0], options.supervision)
    unit = recording.unit
    if fabric.is_global_zero:
        write_json(folder / "options.json", {"pairs": str(pairs), "unit": unit, "preset": chosen, **asdict(options)})
    return _summary(history, baseline, options, unit, folder)


def _enter_alone(stack: ExitStack, folder: Path, fabric: Fabric) -> None:
    """The first process looks whether another run is at work; if so all of them end."""
    refusal = None
    if fabric.is_global_zero:
        try:
            stack.enter_context(alone_at(folder))
        except EpitoolError as error:
            refusal = error
    if refusal := fabric.broadcast(refusal):
        raise refusal


@contextmanager
def _recording(pairs: Path) -> Iterator[Recording]:
    """What a file of labels or of keypoints gives to learn."""
    from epitool.nn.samples import Recording

    if has_poses(pairs):
        with open_labels(pairs) as labels:
            heed(pairs, labels)
            file = labels.keypoints
            if not file.skeleton.bones:
                raise InputError(
                    f"{pairs}: its joints ({', '.join(file.skeleton.joints[:3])}, ...) have no bones, whose lengths a"
                    " network takes its scale from; only joints of a named skeleton are learned"
                )
            yield Recording(file.frames, file.views, file.skeleton, labels.rigs, file.split, labels.read)
    else:
        with open_keypoints(pairs) as file:
            yield Recording(file.frames, file.views, file.skeleton, (), file.split, file.read)


def _described(options: TrainOptions) -> str:
    return (
        f"{options.supervision} supervision, {options.backbone}, {options.image_size} px, {options.epochs} epochs,"
        f" batches of {options.batch_size}, learning rate {options.learning_rate:g}, {options.loss} loss"
    )


def _summary(history: list[dict[str, Any]], baseline: float, options: TrainOptions, unit: str, folder: Path) -> Summary:
    from epitool.nn.run import BEST, best_epoch, error_key

    model, best, key = folder / BEST, best_epoch(history), error_key(options)
    found, name, unit = best[key], *(("2D error", "% of the box") if options.supervision == "2d" else ("NMPJPE", unit))
    if found >= baseline:
        warn("the network is no better than always answering the mean pose; train longer, or on more footage")
    text = (
        f"{model}: epoch {best['epoch']} of {len(history)}; validation {name} {found:.1f} {unit}"
        f" (always answering the mean pose: {baseline:.1f})"
    )
    values = {
        "model": str(model),
        "epochs": len(history),
        "best_epoch": best["epoch"],
        key: found,
        f"{key}_of_mean_pose": baseline,
        "unit": unit,
        "seconds": round(sum(record["seconds"] for record in history), 1),
    }
    return Summary(text, values)
