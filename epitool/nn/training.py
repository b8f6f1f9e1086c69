"""Training of the pose network (section 3.1, "Implementation details"), on one or more devices."""

from __future__ import annotations

import math
import os
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from epitool.console import progress, say
from epitool.errors import UsageError
from epitool.nn.dataset import CropDataset
from epitool.nn.distributed import agree_on_buffers, do_first, lost_process_reported, share_batch_norm
from epitool.nn.network import convert_crops
from epitool.nn.recording import Recording
from epitool.nn.run import Run, open_run
from epitool.nn.samples import Samples
from epitool.nn.soft_argmax import soft_argmax
from epitool.nn.training_set import open_training_set, prepare_training_set
from epitool.nn.validation import validate
from epitool.nn.weights import Initial
from epitool.options.network import NetworkOptions

MAX_WORKERS = 16


def train(
    recording: Recording,
    options: NetworkOptions,
    folder: Path,
    fabric: Fabric,
    initial: Initial | None,
    accumulate: int = 1,
) -> list[dict[str, Any]]:
    """Train a network on the training part of a recording; continue where an earlier run of the same kind ended.

    The folder receives, after every epoch: `last.pt` to continue from, `log.jsonl`, and `model.pt` whenever the
    validation error is the lowest so far. The same labels and options give identical results on one CPU, with or
    without interruptions. Several processes share each batch.

    Args:
        recording: Labels to learn from.
        options: Options of the network and its training.
        folder: Folder of this run.
        fabric: Started processes.
        initial: Initial weights, as `weights.read_initial` returns them; None for random ones.
        accumulate: Number of pieces into which each process divides its part of a batch.

    Returns:
        One record per epoch, as in `log.jsonl`.

    Raises:
        GeometryError: Too few frames have a pose.
        InputError: An image is missing or cannot be decoded, or the disk is full.
        UsageError: The folder holds a run of other labels or options, or the loss became infinite.
        CheckpointError: The folder's `last.pt` is damaged, or the initial weights do not fit.
    """
    do_first(fabric, lambda: prepare_training_set(recording, options, folder))
    samples, store = open_training_set(recording.skeleton, folder)
    run = open_run(recording, samples, options, folder, initial)
    if fabric.world_size > 1:
        share_batch_norm(run.network, fabric.device)
    part, dataset = samples.part("train"), CropDataset(store, samples, options, augment=True)
    step = _Step(fabric, run, options)
    with progress("training", options.epochs * len(part)) as advance:
        advance(len(run.history) * len(part))
        for epoch in range(len(run.history) + 1, options.epochs + 1):
            begin, dataset.epoch = time.perf_counter(), epoch
            batches = epoch_batches(samples, part, options, epoch, fabric.world_size)
            pieces = [shares(batch, fabric.global_rank, fabric.world_size, accumulate) for batch in batches]
            loader = iter(_loader(dataset, list(chain.from_iterable(pieces)), fabric.device))
            step.begin(learning_rate(options, epoch))
            with lost_process_reported(fabric):
                for batch, own in zip(batches, pieces):
                    step([next(loader) for _ in own], len(batch))
                    advance(len(batch))
                loss, seconds = step.mean_loss(), time.perf_counter() - begin
                agree_on_buffers(run.network, fabric)
                measured = validate(run.network, samples, store, options, fabric)
            record = _record(epoch, loss, measured, options, seconds, len(part))
            found = _described(record, options, recording.unit)
            say(f"epoch {epoch}/{options.epochs}: loss {loss:.4f}, validation {found}")
            run.add(record, keep=fabric.is_global_zero)
    return run.history


def learning_rate(options: NetworkOptions, epoch: int) -> float:
    """Return the learning rate in an epoch, counted from 1."""
    steps_taken = sum(epoch > step * options.epochs for step in options.lr_steps)
    return float(options.learning_rate * 0.1**steps_taken)


def coordinate_loss(predicted: Tensor, target: Tensor, weight: Tensor, kind: str) -> Tensor:
    """Return the weighted sum of errors over the coordinates `(N, J, 3)`."""
    function = functional.l1_loss if kind == "l1" else functional.smooth_l1_loss
    return (function(predicted, target, reduction="none") * weight).sum()


def epoch_batches(
    samples: Samples, part: NDArray[np.intp], options: NetworkOptions, epoch: int, processes: int = 1
) -> list[NDArray[np.intp]]:
    """Return the batches `(n,)` of the samples `part` `(N,)` in a shuffled epoch.

    With the option `together`, as in the paper, all views of a frame follow each other.

    Raises:
        UsageError: There are more processes than images in a batch.
    """
    if min(len(part), options.batch_size) < processes:
        raise UsageError(
            f"{processes} processes share batches of {min(len(part), options.batch_size)} images; each needs one:"
            " take fewer devices, or a larger batch"
        )
    rng = np.random.default_rng([options.seed, epoch])
    order = part[rng.permutation(len(part))]
    if options.together:
        place = rng.permutation(samples.frame_count)[samples.frames[part]]
        order = part[np.argsort(place, kind="stable")]
    size = options.batch_size
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    # Batch normalisation needs two images and every process needs one, so a smaller last batch is dropped, unless it is
    # the only one.
    return batches if len(batches[-1]) >= max(2, processes) or len(batches) == 1 else batches[:-1]


def shares(batch: NDArray[np.intp], process: int, processes: int, accumulate: int) -> list[list[int]]:
    """Return the pieces of a batch `(n,)` that a process computes.

    All processes have the same number of pieces, and no piece is empty.
    """
    own, count = batch[process::processes], min(accumulate, len(batch) // processes)
    return [own[k::count].tolist() for k in range(count)]


class _Step:
    """Updates of the weights, one per call."""

    def __init__(self, fabric: Fabric, run: Run, options: NetworkOptions) -> None:
        self.fabric, self.run, self.options = fabric, run, options
        self.network, self.optimizer = fabric.setup(run.network, run.optimizer)
        self.losses = list[Tensor]()

    def begin(self, rate: float) -> None:
        """Begin an epoch."""
        self.losses.clear()
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def __call__(self, pieces: list[tuple[Tensor, Tensor, Tensor]], count: int) -> None:
        """Learn from this process's pieces of a batch of `count` images."""
        fabric, total = self.fabric, torch.zeros((), device=self.fabric.device)
        self.optimizer.zero_grad()
        for k, (crops, target, weight) in enumerate(pieces):
            with fabric.no_backward_sync(self.network, enabled=k + 1 < len(pieces)):
                predicted, _ = soft_argmax(self.network(convert_crops(crops, fabric.device)))
                target, weight = fabric.to_device((target, weight))
                loss = coordinate_loss(predicted, target, weight, self.options.loss) / count
                fabric.backward(loss * fabric.world_size)  # processes' gradients are averaged; this makes it a sum
            total += loss.detach()
        self.optimizer.step()
        self.losses.append(fabric.all_reduce(total, reduce_op="sum"))  # type: ignore[arg-type]
        self._check(len(self.losses) - 2)  # the step before, so that a GPU has work while this waits

    def mean_loss(self) -> float:
        """Return the mean loss of the epoch."""
        self._check(len(self.losses) - 1)
        return float(torch.stack(self.losses).mean())

    def _check(self, step: int) -> None:
        if step >= 0 and not math.isfinite(loss := self.losses[step].item()):
            raise UsageError(
                f"the loss became {loss} in step {step + 1} of epoch {len(self.run.history) + 1}; the last good epoch"
                " is kept; train with a lower learning rate"
            )


def _loader(dataset: CropDataset, batches: list[list[int]], device: torch.device) -> DataLoader[Any]:
    """Return a loader of batches; only for a GPU, which would wait for them, several processes augment."""
    workers = min(MAX_WORKERS, os.cpu_count() or 1) if device.type == "cuda" and sys.platform == "linux" else 0
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, pin_memory=device.type == "cuda")


def _described(record: dict[str, Any], options: NetworkOptions, unit: str) -> str:
    if options.supervision == "2d":
        return f"2D error {record['val_2d_percent']:.2f}% of the box"
    return f"NMPJPE {record['val_nmpjpe']:.1f} {unit}"


def _record(
    epoch: int, loss: float, measured: dict[str, float], options: NetworkOptions, seconds: float, count: int
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_loss": loss,
        **measured,
        "learning_rate": learning_rate(options, epoch),
        "seconds": round(seconds, 3),
        "images_per_second": round(count / seconds, 1),
    }
