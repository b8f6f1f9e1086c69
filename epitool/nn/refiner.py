"""The refinement unit (section 3.3): a small network that corrects predicted poses after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from epitool import __version__
from epitool.camera import Array
from epitool.errors import InputError
from epitool.nn.checkpoint import damage_reported, load_plain, save_plain
from epitool.nn.mocap import mirrored
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
        strength: Share of the correction that is applied, 0 to 1.
        trained_on: "pairs" or "mocap".
    """

    weights: Mapping[str, Tensor]
    options: RefineOptions
    skeleton: Skeleton
    mean: Array
    deviation: Array
    unit: str
    recording_id: str
    val_error: tuple[float, float]
    strength: float = 1.0
    trained_on: str = "pairs"

    def network(self) -> RefinementNetwork:
        """The network, ready for inference."""
        network = RefinementNetwork(len(self.skeleton), self.options.width, self.options.dropout)
        network.load_state_dict(dict(self.weights))
        return network.eval()

    def normalized(self, poses: Array) -> Tensor:
        """Poses `(N, J, 3)` as the network takes them, `(N, 3 (J - 1))`: without the root, as z-scores."""
        z_scores = (poses[:, self.others] - self.mean) / self.deviation
        return torch.from_numpy(z_scores.reshape(len(poses), -1).astype(np.float32))

    def refined(self, poses: Array, network: RefinementNetwork | None = None) -> Array:
        """Corrected poses `(N, J, 3)` for root-relative ones of that shape; joints that are NaN stay so.

        Where the unit was trained on motion capture, which mirrors people, it also sees each pose mirrored and the
        mean of both answers counts.
        """
        network = (network or self.network()).eval()
        out = self._answer(poses, network)
        if self.trained_on == "mocap":
            other = self._answer(mirrored(poses, self.skeleton), network)
            out = (out + mirrored(other, self.skeleton)) / 2
        out = poses + self.strength * (out - poses)
        return np.where(np.isfinite(poses), out, np.nan)

    @property
    def others(self) -> list[int]:
        """All joints but the root."""
        return [j for j in range(len(self.skeleton)) if j != self.skeleton.root]

    def _answer(self, poses: Array, network: RefinementNetwork) -> Array:
        with torch.inference_mode():
            z_scores = network(self.normalized(poses).nan_to_num())[1].double().numpy()
        out = np.array(poses)
        out[:, self.others] = z_scores.reshape(len(poses), -1, 3) * self.deviation + self.mean
        return out


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
    return replace(predictions, joints_3d=refiner.refined(predictions.joints_3d))


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
        "strength": refiner.strength,
        "trained_on": refiner.trained_on,
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
            strength=float(content.get("strength", 1.0)),  # files of earlier versions have neither
            trained_on=str(content.get("trained_on", "pairs")),
        )
        refiner.network()
        return refiner
