"""Training run: the network, its optimizer and its history, and their files in the run's folder."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from epitool.console import say
from epitool.errors import UsageError
from epitool.files import writing
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model, load_plain, save_model, save_plain
from epitool.nn.network import PoseNetwork, build_network
from epitool.nn.recording import Recording
from epitool.nn.samples import Samples
from epitool.nn.tensors import damage_reported
from epitool.nn.validation import baseline_error
from epitool.nn.weights import Initial, starting_weights
from epitool.options.network import NetworkOptions

LAST, BEST, LOG = "last.pt", "model.pt", "log.jsonl"
_FORMAT = "epitool.training/1"


@dataclass
class Run:
    """State of a training run, and the folder where it is kept.

    Attributes:
        network: The network in training.
        optimizer: Optimizer of its weights.
        card: Card of the models that the run saves, except for the values of the epoch.
        digest: Digest of the samples.
        folder: Folder of the run.
        history: One record per epoch.
    """

    network: PoseNetwork
    optimizer: torch.optim.Optimizer
    card: ModelCard
    digest: str
    folder: Path
    history: list[dict[str, Any]] = field(default_factory=list)
    _board: Any = None

    def add(self, record: dict[str, Any], keep: bool) -> None:
        """End an epoch; if `keep` is true, write its files.

        `last.pt` is written last, so that after an interruption the epoch is repeated and none is lost.
        """
        self.history.append(record)
        if not keep:
            return
        weights = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        if best_epoch(self.history) is record:
            measured = {"epoch": record["epoch"], "val_error": val_error(record), "sharpness": record["val_sharpness"]}
            save_model(self.folder / BEST, Model(weights, ModelCard(**{**vars(self.card), **measured})))
        with writing(self.folder / LOG) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self.history), encoding="utf-8")
        self._log_to_tensorboard(record)
        content = {
            "format": _FORMAT,
            "samples": self.digest,
            "options": asdict(self.card.options),
            "weights": weights,
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
        }
        save_plain(self.folder / LAST, content)

    def _log_to_tensorboard(self, record: dict[str, Any]) -> None:
        """Write the record as TensorBoard scalars too, if TensorBoard is installed."""
        if importlib.util.find_spec("tensorboard") is None:
            return
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder), purge_step=record["epoch"])
        for name, value in record.items():
            if name != "epoch":
                self._board.add_scalar(name, value, record["epoch"])
        self._board.flush()


def open_run(
    recording: Recording, samples: Samples, options: NetworkOptions, folder: Path, initial: Initial | None
) -> Run:
    """Resume the run in a folder, or begin a new one.

    Raises:
        UsageError: The folder holds a run of other labels or options.
        CheckpointError: The folder's `last.pt` is damaged, or the initial weights do not fit.
    """
    network = build_network(len(samples.skeleton), options)
    if initial is not None and not (folder / LAST).exists():
        for line in starting_weights(initial, network, samples.skeleton):
            say(line)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    run = Run(network, optimizer, _card(recording, samples, options), samples.digest, folder)
    if (folder / LAST).exists():
        _resume(run, folder / LAST)
    return run


def best_epoch(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the epoch whose network is `model.pt`."""
    return min(history, key=val_error)


def error_key(options: NetworkOptions) -> str:
    """Return the key of the validation error in a record."""
    return "val_2d_percent" if options.supervision == "2d" else "val_nmpjpe"


def val_error(record: dict[str, Any]) -> float:
    """Return the validation error of an epoch, of whichever kind it is; infinite for a network without answers."""
    error = float(record.get("val_nmpjpe", record.get("val_2d_percent", np.nan)))
    return np.inf if np.isnan(error) else error


def _resume(run: Run, path: Path) -> None:
    content = load_plain(path, _FORMAT)
    with damage_reported(path):
        earlier, same_samples = NetworkOptions(**content["options"]), content["samples"] == run.digest
    if earlier != run.card.options:
        stated = ", ".join(f"{k} {v}" for k, v in asdict(earlier).items() if v != getattr(run.card.options, k))
        raise UsageError(f"{path.parent} holds a run with {stated}; --name chooses another, --overwrite redoes it")
    if not same_samples:
        raise UsageError(f"{path.parent} holds a run on other labels; --name chooses another, --overwrite redoes it")
    with damage_reported(path):
        run.network.load_state_dict(content["weights"])
        run.optimizer.load_state_dict(content["optimizer"])
        run.history = list(content["history"])
    say(f"going on with {path.parent} after epoch {len(run.history)} of {run.card.options.epochs}")


def _card(recording: Recording, samples: Samples, options: NetworkOptions) -> ModelCard:
    cameras = [camera for rig in recording.rigs for camera in rig.cameras]
    trained = np.zeros(len(samples.skeleton), dtype=bool)
    for i in np.array_split(samples.part("train"), 64):
        trained |= (samples.weight[i] > 0).any(axis=(0, 2))
    return ModelCard(
        options=options,
        skeleton=samples.skeleton,
        trained=trained,
        bone_lengths=samples.bone_lengths,
        focal_ratio=float(np.median([camera.focal / max(camera.image_size) for camera in cameras] or [1.0])),
        unit=recording.unit,
        scale_source=recording.rigs[0].scale_source if recording.rigs else "none",
        recording_id=samples.recording_id,
        epoch=0,
        val_error=0.0,
        sharpness=0.0,
        doubts=recording.doubts,
        mean_pose_error=baseline_error(samples, options.supervision),
    )
