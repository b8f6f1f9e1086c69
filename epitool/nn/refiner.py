"""Refinement unit (section 3.3): a small network that turns 2D joints and a noisy 3D pose into a better pose.

The paper trains it on motion capture seen by random cameras, and lets it "accept noisy 3D detections". Here its input
is the detected joints, their confidences, and a hint: the volumetric network's pose, the detector's own, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from epitool import __version__
from epitool.camera import Array
from epitool.nn.checkpoint import damage_reported, load_plain, save_plain
from epitool.nn.looks import BODY, FEATURES, Looks, described
from epitool.nn.mocap import mirrored
from epitool.options.network import UnitOptions

FORMAT = "epitool.refiner/2"
MADE_BY = "epitool refine"
SHIPPED = Path(__file__).with_name("shipped_refiner.pt")
_BLOCKS = 2


class RefinementNetwork(nn.Module):
    """Linear layers with batch normalisation and dropout in two residual blocks (section 3.3 of the paper)."""

    def __init__(self, width: int, dropout: float) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.enter = _layer(FEATURES, width, dropout)
        self.blocks = nn.ModuleList(
            [nn.Sequential(_layer(width, width, dropout), _layer(width, width, dropout)) for _ in range(_BLOCKS)]
        )
        self.leave = nn.Linear(width, 3 * len(BODY))

    def forward(self, described: Tensor) -> Tensor:
        """Return poses `(N, 16, 3)` of about unit size for the features `(N, 97)` of `looks.described`."""
        features = self.enter(described)
        for block in self.blocks:
            features = features + block(features)
        return self.leave(features).reshape(len(described), len(BODY), 3)


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))


@dataclass(frozen=True, eq=False)
class Refiner:
    """Trained refinement unit.

    Attributes:
        weights: The network's `state_dict`.
        options: Options that it was built and trained with.
        lengths: Bone lengths of the person whose size its poses are given, by the joint of `BODY` that a bone ends at,
            `(16,)`.
        unit: Unit of these lengths: "mm", or "arbitrary" for a body whose stature is 1700.
        scale_source: How their scale was fixed.
        focal_ratio: Focal length over the longer side of an image, assumed where a camera is not known.
        hint: Kind of hint that it was trained with: "detector", "network" or "none".
        trained_on: Description of its training data.
        recording_id: Recording whose labels it was trained on; "" for motion capture.
        measured: NMPJPE and PMPJPE on held-out frames, by the method that answers, in the unit.
    """

    weights: Mapping[str, Tensor]
    options: UnitOptions
    lengths: Array
    unit: str
    scale_source: str
    focal_ratio: float
    hint: str
    trained_on: str
    recording_id: str = ""
    measured: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def network(self) -> RefinementNetwork:
        """The network, ready for inference."""
        # Building the network draws random weights; the fork keeps the caller's generator as it is.
        with torch.random.fork_rng(devices=[]):
            network = RefinementNetwork(self.options.width, self.options.dropout)
        network.load_state_dict({name: tensor.float() for name, tensor in self.weights.items()})
        return network.eval()

    def answers(self, looks: Looks) -> Array:
        """Return poses `(N, 16, 3)` of about unit size, camera axes, relative to the pelvis; NaN for unusable looks.

        The answers to each look and to its mirror image are averaged, so that both sides of the body are treated alike.
        """
        usable = looks.usable
        out = np.full((len(looks), len(BODY), 3), np.nan)
        straight, reflected = (self._answer(each) for each in (looks.at(usable), looks.at(usable).mirrored()))
        out[usable] = 0.5 * (straight + mirrored(reflected, BODY))
        return out

    def _answer(self, looks: Looks) -> Array:
        inputs, R, _ = described(looks)
        with torch.inference_mode():
            poses = self.network(torch.from_numpy(inputs)).double().numpy()
        return np.asarray(poses @ R)


def save_refiner(path: Path, refiner: Refiner) -> None:
    """Write `refiner.pt`, with weights in 16 bits.

    Raises:
        InputError: It cannot be written.
    """
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in refiner.weights.items()}
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
    }
    save_plain(path, content)


def load_refiner(path: Path = SHIPPED) -> Refiner:
    """Read `refiner.pt`; by default the one that comes with epitool.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged or another kind of file.
    """
    content = load_plain(path, FORMAT, MADE_BY)
    with damage_reported(path):
        if tuple(content["joints"]) != BODY.joints:
            raise ValueError("its joints are not those of this version")
        refiner = Refiner(
            weights=content["weights"],
            options=UnitOptions(**content["options"]),
            lengths=content["lengths"].double().numpy().reshape(len(BODY)),
            unit=str(content["unit"]),
            scale_source=str(content["scale_source"]),
            focal_ratio=float(content["focal_ratio"]),
            hint=str(content["hint"]),
            trained_on=str(content["trained_on"]),
            recording_id=str(content["recording_id"]),
            measured={str(name): (float(a), float(b)) for name, (a, b) in content["measured"].items()},
        )
        if refiner.unit not in ("mm", "arbitrary") or refiner.hint not in ("detector", "network", "none"):
            raise ValueError(f"unit '{refiner.unit}' or hint '{refiner.hint}'")
        if not all(torch.isfinite(tensor).all() for tensor in refiner.network.state_dict().values()):
            raise ValueError("weights that are not finite")
        return refiner
