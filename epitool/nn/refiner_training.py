"""Training of the refinement unit: once for everybody, from motion capture, then from a recording's own labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from epitool import __version__
from epitool.camera import Array
from epitool.console import progress
from epitool.nn.checkpoint import save_plain
from epitool.nn.detector_errors import AS_SEEN, Batch, DetectorErrors, Hardships, training_batches
from epitool.nn.looks import BODY
from epitool.nn.mocap import Mixing, Wardrobe, median_lengths
from epitool.nn.refiner import FORMAT, Refiner, reference_lengths
from epitool.nn.refiner_answers import Array32
from epitool.nn.refiner_networks import RefinementNetwork
from epitool.options.network import UnitOptions

Draw = Callable[[int, np.random.Generator], Batch]
_FOCAL_RATIO = 0.9  # phones have 0.75, a 35 mm lens on a full frame has 1
_MIXINGS = (Mixing(), Mixing(turn=0.8, turn_rad=0.6))
_OWN_MIXING = Mixing(turn=0.6)
_LENGTHS_SD, _OWN_LENGTHS_SD = (0.06, 0.02), (0.02, 0.02)
GENERIC = UnitOptions(steps=8000, learning_rate=2e-3, dropout=0.15, average=0.999)
# Few steps, so that what was learned before is not forgotten; they take half a minute on a current CPU.
OWN = UnitOptions(steps=300, batch_size=128, learning_rate=2e-3, dropout=0.05, average=0.99)


def generic_wardrobe(poses: Array) -> Wardrobe:
    """Return motion capture poses, level `(M, 16, 3)` mm, with the proportions that detectors find and new heads."""
    return Wardrobe(poses, reference_lengths(), _LENGTHS_SD, _MIXINGS, new_heads=True)


def own_wardrobe(poses: Array) -> Wardrobe:
    """Return a recording's poses, level `(M, 16, 3)`, with the bone lengths of its person."""
    return Wardrobe(poses, median_lengths(poses), _OWN_LENGTHS_SD, (_OWN_MIXING,))


def train_generic(wardrobe: Wardrobe, errors: DetectorErrors, options: UnitOptions, trained_on: str) -> Refiner:
    """Train a unit for everybody, from motion capture and a detector's errors on people with known poses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = RefinementNetwork(options.width, options.dropout)
        draw = training_batches(wardrobe.draw, errors, Hardships())
        weights = _trained(network, draw, options, one_cycle=True)
    lengths, source = reference_lengths(), "none: a body whose stature is 1700"
    return Refiner(weights, options, lengths, "arbitrary", source, _FOCAL_RATIO, "detector", trained_on)


def train_own(
    start: Refiner, wardrobe: Wardrobe, errors: DetectorErrors, options: UnitOptions, *, unit: str,
    scale_source: str, focal_ratio: float, hint: str, recording_id: str,
) -> Refiner:  # fmt: skip
    """Train a unit for one person and certain cameras, from `start` and the recording's own labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        options = replace(options, width=start.options.width)
        network = RefinementNetwork(options.width, options.dropout)
        network.load_state_dict({name: torch.tensor(values) for name, values in start.weights.items()})
        hardships = replace(AS_SEEN, no_hint=1.0 if hint == "none" else 0.2)
        weights = _trained(network, training_batches(wardrobe.draw, errors, hardships), options, one_cycle=False)
    trained_on = f"labels of recording {recording_id}, from: {start.trained_on}"
    return Refiner(weights, options, wardrobe.lengths, unit, scale_source, focal_ratio, hint, trained_on, recording_id)


def _trained(network: RefinementNetwork, draw: Draw, options: UnitOptions, *, one_cycle: bool) -> dict[str, Array32]:
    """Train the network and return the moving average of its weights."""
    average, rng = copy.deepcopy(network), np.random.default_rng(options.seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    steps = options.steps
    schedule: torch.optim.lr_scheduler.LRScheduler
    if one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, steps)
    else:
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
    network.train()
    with _one_thread(), ThreadPoolExecutor(1) as ahead, progress("refining", steps) as advance:
        waiting = ahead.submit(draw, options.batch_size, rng)
        for step in range(steps):
            inputs, targets = (torch.from_numpy(values) for values in waiting.result())
            waiting = ahead.submit(draw, options.batch_size, rng)
            loss = network.loss(inputs, targets)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            # The average follows fast in the first steps, so that it soon forgets the initial weights.
            _average(average, network, min(options.average, (1 + step) / (10 + step)))
            advance(1)
    return {name: values.float().numpy() for name, values in average.state_dict().items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit PyTorch to one thread, so that sums are taken in the same order on every machine.

    A network this small gains little from more threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, keep: float) -> None:
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


def save_refiner(path: Path, refiner: Refiner) -> None:
    """Write `refiner.pt`, with weights in 16 bits.

    Raises:
        InputError: It cannot be written.
    """
    halves = {name: torch.tensor(values).half() for name, values in refiner.weights.items()}
    content = {
        "format": FORMAT,
        "version": __version__,
        "weights": halves,
        "options": asdict(refiner.options),
        "skeleton": BODY.name,
        "joints": list(BODY.joints),
        "lengths": torch.tensor(refiner.lengths),
        "unit": refiner.unit,
        "scale_source": refiner.scale_source,
        "focal_ratio": refiner.focal_ratio,
        "hint": refiner.hint,
        "trained_on": refiner.trained_on,
        "recording_id": refiner.recording_id,
        "measured": {name: list(errors) for name, errors in refiner.measured.items()},
        "answers_as": refiner.answers_as,
        "doubts": list(refiner.doubts),
    }
    save_plain(path, content)
