"""The refinement unit (section 3.3): a small network that corrects predicted poses after training.

It learns on predictions and triangulated labels of the same recording. Predictions of images that the pose network
was itself trained on are better than those of new ones, so it is the validation part that tells if refinement helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from epitool import __version__
from epitool.camera import Array
from epitool.console import progress
from epitool.errors import InputError
from epitool.metrics import mpjpe
from epitool.nn.checkpoint import damage_reported, load_plain, save_plain
from epitool.options import RefineOptions
from epitool.pose import Predictions
from epitool.skeleton import Skeleton, skeleton_of

FORMAT = "epitool.refiner/1"
LEAK = 0.01


class RefinementNetwork(nn.Module):
    """Two stages of four linear layers; the first one's pose is fed to the second, and both are corrections.

    Each stage adds a correction to the pose it is given, through a last layer that starts at zero: an untrained unit
    changes nothing, and what few poses cannot teach stays as the pose network saw it.
    """

    def __init__(self, joints: int, width: int, dropout: float) -> None:
        """Builds the unit for poses of J joints, of which the root is left out."""
        super().__init__()
        size = (joints - 1) * 3
        self.enter = nn.ModuleList([_layer(size, width, dropout), _layer(size, width, dropout)])
        self.blocks = nn.ModuleList([_block(width, dropout), _block(width, dropout)])
        self.leave = nn.ModuleList([nn.Linear(width, size), nn.Linear(width, size)])
        for layer in self.leave:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """The intermediate and the final pose `(N, 3 (J - 1))` for normalised poses of that shape."""
        features = self.enter[0](pose)
        features = features + self.blocks[0](features)
        intermediate = pose + self.leave[0](features)
        features = features + self.enter[1](intermediate)
        features = features + self.blocks[1](features)
        return intermediate, intermediate + self.leave[1](features)


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(LEAK), nn.Dropout(dropout))


def _block(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*(_layer(width, width, dropout) for _ in range(3)))


@dataclass(frozen=True, eq=False)
class Refiner:
    """A trained refinement unit.

    Attributes:
        weights: The network's `state_dict`.
        options: What it was built and trained with.
        skeleton: Its joints.
        mean: Of the training predictions without the root, `(J - 1, 3)`.
        deviation: Likewise.
        unit: "mm" or "arbitrary".
        recording_id: Of the labels trained on.
        val_error: MPJPE of the validation part (unrefined, refined), in the unit.
    """

    weights: Mapping[str, Tensor]
    options: RefineOptions
    skeleton: Skeleton
    mean: Array
    deviation: Array
    unit: str
    recording_id: str
    val_error: tuple[float, float]

    def network(self) -> RefinementNetwork:
        """The network, ready for inference."""
        network = RefinementNetwork(len(self.skeleton), self.options.width, self.options.dropout)
        network.load_state_dict(dict(self.weights))
        return network.eval()


def train_refiner(
    predicted: Array,
    truth: Array,
    validation: tuple[Array, Array],
    skeleton: Skeleton,
    options: RefineOptions,
    *,
    unit: str,
    recording_id: str,
) -> Refiner:
    """Learns to correct poses; keeps the weights of the epoch with the lowest validation error.

    Args:
        predicted: Root-relative poses `(N, J, 3)`.
        truth: What they should have been, likewise; NaN joints are not learned from.
        validation: Other such poses and truths.
        skeleton: Of the joints.
        options: How.
        unit: Of the poses.
        recording_id: Of the labels.
    """
    refiner = Refiner(
        weights={},
        options=options,
        skeleton=skeleton,
        mean=np.nanmean(predicted[:, _others(skeleton)], axis=0),
        deviation=np.maximum(np.nanstd(predicted[:, _others(skeleton)], axis=0), 1e-9),
        unit=unit,
        recording_id=recording_id,
        val_error=(_error(*validation, skeleton), np.inf),
    )
    inputs, targets = _normalized(predicted, refiner), _normalized(truth, refiner)
    with torch.random.fork_rng(devices=[]), progress("refining", options.epochs) as advance:
        torch.manual_seed(options.seed)
        network = RefinementNetwork(len(skeleton), options.width, options.dropout)
        for _ in _epochs(network, inputs, targets, options):
            error = _error(_refined(validation[0], refiner, network), validation[1], skeleton)
            if error < refiner.val_error[1]:
                weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
                refiner = replace(refiner, weights=weights, val_error=(refiner.val_error[0], error))
            advance(1)
    return refiner


def _epochs(network: RefinementNetwork, inputs: Tensor, targets: Tensor, options: RefineOptions) -> Iterator[None]:
    """Trains, and pauses after every epoch."""
    known = torch.isfinite(targets) & torch.isfinite(inputs)
    inputs, targets = inputs.nan_to_num(), targets.nan_to_num()
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    for _ in range(options.epochs):
        network.train()
        for batch in torch.split(torch.randperm(len(inputs)), options.batch_size):
            if len(batch) < 2:  # batch normalisation needs two
                continue
            intermediate, final = network(inputs[batch])
            loss = sum(_squared_error(pose, targets[batch], known[batch]) for pose in (intermediate, final))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        yield


def refine(predictions: Predictions, refiner: Refiner) -> Predictions:
    """The predictions with corrected `joints_3d`; joints that are NaN stay so.

    Raises:
        InputError: They have other joints or another unit than the refiner was trained on.
    """
    if predictions.skeleton.joints != refiner.skeleton.joints or predictions.unit != refiner.unit:
        raise InputError(
            f"the refiner is for {refiner.skeleton.name} in {refiner.unit}, the poses are"
            f" {predictions.skeleton.name} in {predictions.unit}"
        )
    joints_3d = _refined(predictions.joints_3d, refiner, refiner.network())
    return replace(predictions, joints_3d=joints_3d)


def save_refiner(path: Path, refiner: Refiner) -> None:
    """Writes `refiner.pt`.

    Raises:
        InputError: It cannot be written.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "weights": dict(refiner.weights),
        "options": asdict(refiner.options),
        "skeleton": refiner.skeleton.name,
        "joints": list(refiner.skeleton.joints),
        "mean": torch.tensor(refiner.mean),
        "deviation": torch.tensor(refiner.deviation),
        "unit": refiner.unit,
        "recording_id": refiner.recording_id,
        "val_error": list(refiner.val_error),
    }
    save_plain(path, content)


def load_refiner(path: Path) -> Refiner:
    """Reads `refiner.pt`.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged or another kind of file.
    """
    content = load_plain(path, FORMAT, "epitool refine")
    with damage_reported(path):
        skeleton = skeleton_of(content["skeleton"], content["joints"])
        before, after = content["val_error"]
        refiner = Refiner(
            weights=content["weights"],
            options=RefineOptions(**content["options"]),
            skeleton=skeleton,
            mean=content["mean"].numpy().reshape(len(skeleton) - 1, 3),
            deviation=content["deviation"].numpy().reshape(len(skeleton) - 1, 3),
            unit=str(content["unit"]),
            recording_id=str(content["recording_id"]),
            val_error=(float(before), float(after)),
        )
        refiner.network()
        return refiner


def _others(skeleton: Skeleton) -> list[int]:
    return [j for j in range(len(skeleton)) if j != skeleton.root]


def _normalized(poses: Array, refiner: Refiner) -> Tensor:
    z_scores = (poses[:, _others(refiner.skeleton)] - refiner.mean) / refiner.deviation
    return torch.from_numpy(z_scores.reshape(len(poses), -1).astype(np.float32))


def _refined(poses: Array, refiner: Refiner, network: RefinementNetwork) -> Array:
    network.eval()
    inputs = _normalized(poses, refiner)
    with torch.inference_mode():
        z_scores = network(inputs.nan_to_num())[1].double().numpy().reshape(len(poses), -1, 3)
    out = np.array(poses)
    out[:, _others(refiner.skeleton)] = z_scores * refiner.deviation + refiner.mean
    return np.where(np.isfinite(poses), out, np.nan)


def _squared_error(pose: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return ((pose - target).square() * known).sum() / known.sum().clamp(min=1)


def _error(predicted: Array, truth: Array, skeleton: Skeleton) -> float:
    return float(np.nanmean(mpjpe(predicted, truth, skeleton.root)))
