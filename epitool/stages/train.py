"""`epitool train`: trains a pose network on labels and their images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epitool.console import Summary, counted, say, warn
from epitool.errors import InputError
from epitool.files import alone_at, no_empty_folders
from epitool.io.files import damage_in, write_json
from epitool.io.keypoints_h5 import open_keypoints
from epitool.io.labels_h5 import LabelsFile, has_poses, open_everyone
from epitool.options import TrainOptions
from epitool.options.network import PRESETS, NetworkOptions
from epitool.options.shared import run_folder
from epitool.stages.shared.label_verdict import check_verdicts

if TYPE_CHECKING:
    from epitool.nn.recording import Recording
    from epitool.nn.weights import Initial


def run(options: TrainOptions) -> Summary:
    """Train a network on labels, or continue a run with the same labels and options.

    Raises:
        UsageError: The options do not fit together, or the folder holds a run with other options.
        InputError: Labels or images are missing or damaged.
        GeometryError: Too few frames have a pose, or the labels have the verdict "fail".
        CheckpointError: The initial weights or the run's last checkpoint cannot be used.
    """
    from epitool.nn.distributed import Compute, do_first, silent_unless_first
    from epitool.nn.training import train
    from epitool.nn.training_set import open_training_set
    from epitool.nn.validation import baseline_error

    silent_unless_first()
    folder = _folder(options)
    compute = Compute(options.device, options.devices, options.nodes, options.precision)
    with no_empty_folders(folder), open_recording(options.pairs) as recording, ExitStack() as stack:
        fabric = compute.start()
        do_first(fabric, lambda: stack.enter_context(alone_at(folder)))
        chosen = options.preset if options.preset != "auto" else "paper" if fabric.device.type == "cuda" else "small"
        network = _network(options, chosen)
        _check_before_work(recording, network, options.pairs)
        initial = _read_initial_weights(options, network.backbone)
        where = f"{fabric.world_size} x {fabric.device.type}, {compute.precision_on(fabric.device)}"
        say(f"training ({where}) with preset {chosen}: {_described(network)}")
        if options.overwrite and fabric.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)
        history = train(recording, network, folder, fabric, initial, options.accumulate)
        baseline = baseline_error(open_training_set(recording.skeleton, folder)[0], network.supervision)
    unit = recording.unit
    if fabric.is_global_zero:
        stated = {"pairs": str(options.pairs), "unit": unit, "preset": chosen, **asdict(network)}
        write_json(folder / "options.json", stated)
    return _summary(history, baseline, network, unit, folder)


def also_writes(options: TrainOptions) -> list[Path]:
    """Return the checkpoint of the run."""
    return [_folder(options) / "model.pt"]


def _folder(options: TrainOptions) -> Path:
    return options.out or run_folder(options.name)


def _network(options: TrainOptions, preset: str) -> NetworkOptions:
    """Return a preset in which the given options replace the preset's values."""
    given: dict[str, Any] = {
        "supervision": options.supervision, "backbone": options.backbone, "image_size": options.image_size,
        "epochs": options.epochs, "batch_size": options.batch_size, "learning_rate": options.lr, "loss": options.loss,
        "seed": options.seed,
    }  # fmt: skip
    if options.occluders:
        given |= {"occluders": str(options.occluders), "occlusion": True}
    return replace(PRESETS[preset], **{name: value for name, value in given.items() if value is not None})


def _check_before_work(recording: Recording, network: NetworkOptions, pairs: Path) -> None:
    """Refuse what would be found out only after all crops are cut.

    Raises:
        InputError: There are no poses to learn, or no occluders.
    """
    from epitool.nn.augment import Occluders
    from epitool.nn.samples import check_poses

    with damage_in(pairs, "labels"):
        check_poses(recording, network.supervision)
    Occluders(network.occluders, network.image_size, network.seed)


def _read_initial_weights(options: TrainOptions, backbone: str) -> Initial | None:
    """Read the weights to begin with, before crops are cut; a run that goes on needs none.

    Raises:
        InputError: There is no such file.
        CheckpointError: It cannot be used.
        UsageError: The ImageNet weights cannot be obtained.
    """
    from epitool.nn.run import LAST
    from epitool.nn.weights import IMAGENET, read_initial

    goes_on = (_folder(options) / LAST).exists() and not options.overwrite
    if not options.initial or goes_on:
        return None
    if options.initial != IMAGENET and not Path(options.initial).is_file():
        found = "is a folder, a file is expected" if Path(options.initial).is_dir() else "no such file"
        raise InputError(f"--initial {options.initial}: {found}; give a checkpoint, or {IMAGENET}")
    return read_initial(options.initial, backbone)


@contextmanager
def open_recording(pairs: Path) -> Iterator[Recording]:
    """Open the training data in a file of labels, of everyone in it, or of keypoints.

    Raises:
        InputError: The file is missing, damaged, or of joints without bones.
        GeometryError: Somebody's labels have the verdict "fail".
    """
    from epitool.nn.recording import Recording

    if not has_poses(pairs):
        with open_keypoints(pairs) as file:
            yield Recording(file.frames, file.views, file.skeleton, (), file.split, file.read)
        return
    with open_everyone(pairs) as people:
        first, *others = people
        if not first.keypoints.skeleton.bones:
            raise InputError(
                f"{pairs}: its joints ({', '.join(first.keypoints.skeleton.joints[:3])}, ...) have no bones, whose"
                " lengths a network takes its scale from; only joints of a named skeleton are learned"
            )
        own = list(_doubts(first))
        further = [f"{other.person}: {doubt}" for other in others for doubt in _doubts(other) if doubt not in own]
        check_verdicts(pairs, people)
        yield replace(_labelled(first), doubts=(*own, *further), others=tuple(map(_labelled, others)))


def _labelled(labels: LabelsFile) -> Recording:
    from epitool.nn.recording import Recording

    file = labels.keypoints
    return Recording(file.frames, file.views, file.skeleton, labels.rigs, file.split, labels.read, person=labels.person)


def _doubts(labels: LabelsFile) -> tuple[str, ...]:
    return labels.reasons if labels.verdict == "warn" else ()


def _described(options: NetworkOptions) -> str:
    return (
        f"{options.supervision} supervision, {options.backbone}, {options.image_size} px,"
        f" {counted(options.epochs, 'epoch')}, batches of {options.batch_size}, learning rate"
        f" {options.learning_rate:g}, {options.loss} loss"
    )


def _summary(
    history: list[dict[str, Any]], baseline: float, options: NetworkOptions, unit: str, folder: Path
) -> Summary:
    from epitool.nn.run import BEST, best_epoch, error_key, val_error

    model, best, key = folder / BEST, best_epoch(history), error_key(options)
    found, name, unit = best[key], *(("2D error", "% of the box") if options.supervision == "2d" else ("NMPJPE", unit))
    if val_error(best) >= baseline:
        warn("the network is no better than always answering the mean pose; train longer, or on more footage")
    text = (
        f"{model}: epoch {best['epoch']} of {len(history)}; validation {name} {found:.1f} {unit}"
        f" (always answering the mean pose: {baseline:.1f})"
    )
    values = {
        "model": str(model),
        "epochs": len(history),
        "best_epoch": best["epoch"],
        key: found if np.isfinite(found) else None,
        f"{key}_of_mean_pose": baseline,
        "unit": unit,
        "seconds": round(sum(record["seconds"] for record in history), 1),
    }
    return Summary(text, values)
