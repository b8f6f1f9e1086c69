"""Training of the pose network on triangulated labels (section 3.1, "Implementation details")."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from epitool.camera import Array
from epitool.console import progress, say
from epitool.errors import UsageError
from epitool.files import writing
from epitool.metrics import nmpjpe
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model, damage_reported, load_plain, save_model, save_plain
from epitool.nn.crops import median_bone_lengths, volume_to_pose
from epitool.nn.dataset import CropDataset, Samples, cached_crops, usable_samples
from epitool.nn.device import computes_bfloat16
from epitool.nn.inference import infer
from epitool.nn.network import PoseNetwork, as_input, build_network, load_initial_weights, soft_argmax
from epitool.options import TrainOptions
from epitool.pose import Labels, split_frames

LAST, BEST, LOG = "last.pt", "model.pt", "log.jsonl"
_FORMAT = "epitool.training/1"


@dataclass
class _State:
    """What changes from epoch to epoch."""

    network: PoseNetwork
    optimizer: torch.optim.Adam
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    labels: Labels, options: TrainOptions, folder: Path, device: torch.device, initial: dict[str, Tensor] | None = None
) -> list[dict[str, Any]]:
    """Trains a network on the training part of a recording; goes on where an earlier run of the same kind ended.

    Writes into the folder, after every epoch: `last.pt` to go on from, `log.jsonl`, and `model.pt` whenever the
    validation part's error is the lowest so far. The same labels and options give the same bits on one CPU, with or
    without interruptions.

    Args:
        labels: What to learn.
        options: How.
        folder: Of this run.
        device: Where to compute.
        initial: Tensors to start from, by the network's parameter names; others start random.

    Returns:
        One record an epoch, as in `log.jsonl`.

    Raises:
        GeometryError: Too few frames have a pose.
        InputError: An image is missing or cannot be decoded, or the disk is full.
        UsageError: The folder holds a run of other labels or options, or the loss became infinite.
        CheckpointError: The folder's `last.pt` is damaged.
    """
    samples = usable_samples(labels)
    crops = cached_crops(samples, options.image_size, folder)
    train_part = samples.part("train", len(labels.poses.frames))
    dataset = CropDataset(crops, samples, options, augment=True)
    state = _start(labels, options, folder, device, initial)
    with progress("training", options.epochs * len(train_part)) as advance:
        advance(len(state.history) * len(train_part))
        for epoch in range(len(state.history) + 1, options.epochs + 1):
            begin = time.perf_counter()
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(options, epoch)
            dataset.epoch = epoch
            loader = _loader(dataset, _batches(samples, train_part, options, epoch), device)
            loss = _train_epoch(state, loader, options, advance)
            seconds = time.perf_counter() - begin
            error, sharpness = _validate(state.network, crops, samples, labels, options)
            state.history.append(_record(epoch, loss, error, sharpness, options, seconds, len(train_part)))
            say(f"epoch {epoch}/{options.epochs}: loss {loss:.4f}, validation NMPJPE {error:.1f} {labels.rig.unit}")
            _save(state, labels, options, folder)
    return state.history


def learning_rate(options: TrainOptions, epoch: int) -> float:
    """The learning rate in an epoch, counted from 1."""
    steps_taken = sum(epoch > step * options.epochs for step in options.lr_steps)
    return float(options.learning_rate * 0.1**steps_taken)


def coordinate_loss(predicted: Tensor, target: Tensor, visible: Tensor, kind: str) -> Tensor:
    """Sum over the visible joints' coordinates `(N, J, 3)`, divided by N."""
    function = functional.l1_loss if kind == "l1" else functional.smooth_l1_loss
    return (function(predicted, target, reduction="none") * visible[..., None]).sum() / len(predicted)


def best_epoch(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of the epoch whose network is `model.pt`."""
    return min(history, key=lambda record: float(record["val_nmpjpe"]))


def baseline_error(labels: Labels) -> float:
    """NMPJPE on the validation part of a network that always answers the mean pose of the training part."""
    part = split_frames(len(labels.poses.frames))["val"]
    truth = labels.in_cameras[part].reshape(-1, len(labels.poses.skeleton), 3)
    return float(np.nanmean(nmpjpe(_mean_pose(labels), truth, labels.poses.skeleton.root)))


def _start(
    labels: Labels, options: TrainOptions, folder: Path, device: torch.device, initial: dict[str, Tensor] | None
) -> _State:
    network = build_network(len(labels.poses.skeleton), options).to(device)
    state = _State(network, torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True))
    path = folder / LAST
    if path.exists():
        _resume(state, path, labels, options, device)
    elif initial is not None:
        copied = load_initial_weights(network, initial)
        say(f"{copied} of {len(network.state_dict())} tensors start from the weights given")
    return state


def _resume(state: _State, path: Path, labels: Labels, options: TrainOptions, device: torch.device) -> None:
    content = load_plain(path, _FORMAT, "epitool train")
    with damage_reported(path):
        earlier, same_labels = TrainOptions(**content["options"]), content["labels"] == _digest(labels)
    if not same_labels:
        raise UsageError(f"{path.parent} holds a run on other labels; choose another --name, or --overwrite it")
    if earlier != options:
        stated = ", ".join(f"{k} {v}" for k, v in asdict(earlier).items() if v != getattr(options, k))
        raise UsageError(f"{path.parent} holds a run with {stated}; choose another --name, or --overwrite it")
    with damage_reported(path):
        state.network.load_state_dict(content["weights"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.history = list(content["history"])
    say(f"going on with {path.parent} after epoch {len(state.history)} of {options.epochs}")


def _digest(labels: Labels) -> str:
    """Tells labels from others, also of the same recording."""
    cameras = [camera.P for camera in labels.rig.cameras]
    arrays = (labels.poses.xyz, labels.keypoints.xy, *cameras, labels.moving)
    digest = hashlib.sha256(labels.recording_id.encode())
    for array in arrays:
        digest.update(array.astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


def _batches(samples: Samples, part: NDArray[np.intp], options: TrainOptions, epoch: int) -> list[list[int]]:
    """Batches of a shuffled epoch; as in the paper, all views of a frame follow each other."""
    rng = np.random.default_rng([options.seed, epoch])
    place = rng.permutation(samples.frames.max() + 1)[samples.frames[part]]
    order = part[np.argsort(place, kind="stable")].tolist()
    size = options.batch_size
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return batches if len(batches[-1]) > 1 else batches[:-1]  # batch normalisation needs two


def _loader(dataset: CropDataset, batches: list[list[int]], device: torch.device) -> DataLoader[Any]:
    """Processes that augment pay only where a GPU would wait for them."""
    workers = min(8, os.cpu_count() or 1) if device.type == "cuda" and sys.platform == "linux" else 0
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, pin_memory=device.type == "cuda")


def _train_epoch(
    state: _State, loader: DataLoader[Any], options: TrainOptions, advance: Callable[[int], None]
) -> float:
    """One pass; returns the mean loss."""
    state.network.train()
    device = next(state.network.parameters()).device
    half = torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device))
    losses = []
    for inputs, target, visible in loader:
        with half:
            volume = state.network(as_input(inputs, device))
        predicted, _ = soft_argmax(volume)
        loss = coordinate_loss(predicted, target.to(device), visible.to(device), options.loss)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise UsageError(
                f"the loss became {losses[-1]} in step {len(losses)} of epoch {len(state.history) + 1}; the last good"
                " epoch is kept; train with a lower --lr"
            )
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        advance(len(inputs))
    return float(np.mean(losses))


def _validate(
    network: PoseNetwork, crops: Any, samples: Samples, labels: Labels, options: TrainOptions
) -> tuple[float, float]:
    """Mean NMPJPE, with each image's own intrinsics, and sharpness of heatmaps on the validation part."""
    network.eval()
    part = samples.part("val", len(labels.poses.frames))
    dataset = CropDataset(crops, samples, options, augment=False)
    batches = np.array_split(part, range(options.batch_size, len(part), options.batch_size))
    answers = [infer(network, np.stack([dataset[i][0] for i in batch])) for batch in batches]
    volume, sharpness = (np.concatenate(part) for part in zip(*answers, strict=True))
    skeleton = labels.poses.skeleton
    K = np.stack([camera.K for camera in labels.rig.cameras])[samples.views[part]]
    poses, _ = volume_to_pose(volume, samples.boxes[part], K, _bone_lengths(labels), skeleton)
    truth = labels.in_cameras[samples.frames[part], samples.views[part]]
    return float(np.nanmean(nmpjpe(poses, truth, skeleton.root))), float(sharpness[samples.visible[part]].mean())


def _bone_lengths(labels: Labels) -> Array:
    return median_bone_lengths(labels.poses.xyz[split_frames(len(labels.poses.frames))["train"]], labels.poses.skeleton)


def _mean_pose(labels: Labels) -> Array:
    """Root-relative mean `(J, 3)` of the training part in its cameras' axes; NaN for joints never seen."""
    xyz = labels.in_cameras[split_frames(len(labels.poses.frames))["train"]]
    relative = (xyz - xyz[:, :, [labels.poses.skeleton.root]]).reshape(-1, *xyz.shape[2:])
    seen = np.isfinite(relative).any(axis=0)
    mean = np.full(relative.shape[1:], np.nan)
    mean[seen] = np.nanmean(relative[:, seen], axis=0)
    return mean


def _record(
    epoch: int, loss: float, error: float, sharpness: float, options: TrainOptions, seconds: float, count: int
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_loss": loss,
        "val_nmpjpe": error,
        "val_sharpness": sharpness,
        "learning_rate": learning_rate(options, epoch),
        "seconds": round(seconds, 3),
        "images_per_second": round(count / seconds, 1),
    }


def _save(state: _State, labels: Labels, options: TrainOptions, folder: Path) -> None:
    """Saves the epoch; `last.pt` comes last, so that an interruption repeats the epoch and not its absence."""
    weights = {name: tensor.cpu() for name, tensor in state.network.state_dict().items()}
    newest = state.history[-1]
    if best_epoch(state.history) is newest:
        save_model(folder / BEST, _model(weights, labels, options, newest))
    with writing(folder / LOG) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in state.history), encoding="utf-8")
    content = {
        "format": _FORMAT,
        "labels": _digest(labels),
        "options": asdict(options),
        "weights": weights,
        "optimizer": state.optimizer.state_dict(),
        "history": state.history,
    }
    save_plain(folder / LAST, content)


def _model(weights: dict[str, Tensor], labels: Labels, options: TrainOptions, record: dict[str, Any]) -> Model:
    ratios = [camera.focal / max(camera.image_size) for camera in labels.rig.cameras]
    card = ModelCard(
        options=options,
        skeleton=labels.poses.skeleton,
        trained=np.isfinite(_mean_pose(labels)).all(axis=-1),
        bone_lengths=_bone_lengths(labels),
        focal_ratio=float(np.median(ratios)),
        unit=labels.rig.unit,
        scale_source=labels.rig.scale_source,
        recording_id=labels.recording_id,
        epoch=int(record["epoch"]),
        val_error=float(record["val_nmpjpe"]),
        sharpness=float(record["val_sharpness"]),
    )
    return Model(weights, card)
