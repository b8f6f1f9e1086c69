"""How the refinement unit learns: from given predictions and truths, or from ones drawn anew in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from epitool.camera import Array
from epitool.console import progress
from epitool.metrics import mpjpe
from epitool.nn.mocap import Mocap, mirrored
from epitool.nn.pose_noise import ErrorModel
from epitool.nn.refiner import RefinementNetwork, Refiner
from epitool.options import RefineOptions
from epitool.skeleton import Skeleton

Draw = Callable[[np.random.Generator], tuple[Array, Array]]
_SOFTENED = 0.01  # of the distances in the loss, z-scores: no kink at zero


def fixed_pairs(predicted: Array, truth: Array) -> Draw:
    """The same predictions and truths `(N, J, 3)` in every epoch."""
    return lambda rng: (predicted, truth)


def noisy_mocap(mocap: Mocap, errors: ErrorModel, least: int = 0) -> Draw:
    """Motion capture seen by other cameras, and other errors of the network, in every epoch.

    Every other pose is mirrored together with its error, so that the unit treats both sides of the body alike.

    Args:
        mocap: The poses.
        errors: Of the network.
        least: How many poses an epoch has at least; fewer are seen several times, each time otherwise.
    """
    times = max(1, -(-least // len(mocap.poses)))

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        truth = np.concatenate([mocap.seen(rng) for _ in range(times)])
        predicted = errors.predicted(truth, rng)
        side = rng.random((len(truth), 1, 1)) < 0.5
        both = (np.where(side, mirrored(poses, mocap.skeleton), poses) for poses in (predicted, truth))
        return next(both), next(both)

    return draw


def train_refiner(
    draw: Draw,
    validation: tuple[Array, Array],
    skeleton: Skeleton,
    options: RefineOptions,
    *,
    unit: str,
    recording_id: str,
    trained_on: str = "pairs",
) -> Refiner:
    """Learns to correct poses; keeps the weights of the epoch with the lowest validation error.

    Args:
        draw: Gives an epoch's root-relative predictions `(N, J, 3)` and what they should have been, likewise; joints
            that are NaN in either are not learned from.
        validation: Other such poses and truths.
        skeleton: Of the joints.
        options: How.
        unit: Of the poses.
        recording_id: Of the labels.
        trained_on: "pairs" or "mocap".
    """
    predicted, _ = draw(np.random.default_rng(options.seed))
    others = [j for j in range(len(skeleton)) if j != skeleton.root]
    refiner = Refiner(
        weights={},
        options=options,
        skeleton=skeleton,
        mean=np.nanmean(predicted[:, others], axis=0),
        deviation=np.maximum(np.nanstd(predicted[:, others], axis=0), 1e-9),
        unit=unit,
        recording_id=recording_id,
        val_error=(error_of(*validation, skeleton), np.inf),
        trained_on=trained_on,
    )
    with torch.random.fork_rng(devices=[]), progress("refining", options.epochs) as advance:
        torch.manual_seed(options.seed)
        for network in _epochs(draw, refiner):
            error = error_of(refiner.refined(validation[0], network), validation[1], skeleton)
            if error < refiner.val_error[1]:
                weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
                refiner = replace(refiner, weights=weights, val_error=(refiner.val_error[0], error))
            advance(1)
    return refiner


def checked(refiner: Refiner, tuning: tuple[Array, Array], check: tuple[Array, Array]) -> Refiner:
    """The refiner with the strength that suits real predictions, and its errors on others of them.

    Args:
        refiner: Trained on poses that are not those of the recording.
        tuning: Predictions `(N, J, 3)` and truths of the recording; the strength is the share of the correction that
            brings them closest by least squares.
        check: Other such poses: what `val_error` is measured on.
    """
    correction, wanted = refiner.refined(tuning[0]) - tuning[0], tuning[1] - tuning[0]
    known = np.isfinite(correction) & np.isfinite(wanted)
    square = (correction[known] ** 2).sum()
    strength = float(np.clip((correction[known] * wanted[known]).sum() / square, 0, 1)) if square > 0 else 0.0
    refiner = replace(refiner, strength=strength)
    after = error_of(refiner.refined(check[0]), check[1], refiner.skeleton)
    return replace(refiner, val_error=(error_of(*check, refiner.skeleton), after))


def error_of(predicted: Array, truth: Array, skeleton: Skeleton) -> float:
    """MPJPE of a set of poses `(N, J, 3)`."""
    return float(np.nanmean(mpjpe(predicted, truth, skeleton.root)))


def _epochs(draw: Draw, refiner: Refiner) -> Iterator[RefinementNetwork]:
    """Trains, and pauses after every epoch."""
    options = refiner.options
    network = RefinementNetwork(len(refiner.skeleton), options.width, options.dropout)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    scale = torch.from_numpy((refiner.deviation / refiner.deviation.mean()).astype(np.float32))
    measure = _squared if options.loss == "squared" else partial(_distance, scale=scale)
    rng = np.random.default_rng(options.seed)
    for _ in range(options.epochs):
        inputs, targets = (refiner.normalized(poses) for poses in draw(rng))
        known = torch.isfinite(targets) & torch.isfinite(inputs)
        inputs, targets = inputs.nan_to_num(), targets.nan_to_num()
        network.train()
        for batch in torch.split(torch.randperm(len(inputs)), options.batch_size):
            if len(batch) < 2:  # batch normalisation needs two
                continue
            loss = sum(measure(pose - targets[batch], known[batch]) for pose in network(inputs[batch]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        yield network


def _squared(apart: Tensor, known: Tensor) -> Tensor:
    """Mean square of the coordinates that are known."""
    return (apart.square() * known).sum() / known.sum().clamp(min=1)


def _distance(apart: Tensor, known: Tensor, scale: Tensor) -> Tensor:
    """Mean distance of the joints that are known; coordinates `(N, 3 (J - 1))` in the unit that `scale` is in."""
    counted = known.reshape(len(known), -1, 3).any(dim=-1)
    square = ((apart * known).reshape(len(known), -1, 3) * scale).square().sum(dim=-1)
    return ((square + _SOFTENED**2).sqrt() * counted).sum() / counted.sum().clamp(min=1)
