"""`model.pt`: a trained pose network and all that is needed to use it.

Checkpoints hold tensors and plain values only, so reading one runs no code of whoever wrote it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from epitool import __version__
from epitool.camera import Array
from epitool.errors import CheckpointError, EpitoolError, InputError
from epitool.files import writing
from epitool.nn.crops import DEPTH_SPAN, bones
from epitool.nn.network import PoseNetwork, build_network
from epitool.options import TrainOptions
from epitool.pose import BOX_MARGIN
from epitool.skeleton import Skeleton, skeleton_of

FORMAT = "epitool.model/1"
_CONVENTION = {"box_margin": BOX_MARGIN, "depth_span": DEPTH_SPAN}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its conventions.

    Attributes:
        weights: The network's `state_dict`.
        options: What it was built and trained with.
        skeleton: Its joints.
        bone_lengths: Of `crops.bones(skeleton)` in training, `(B,)`; NaN where never seen.
        mean_pose: Root-relative mean of the training poses, camera axes, `(J, 3)`; NaN for joints never seen.
        focal_ratio: Focal length over the longer side of the training images.
        unit: "mm" or "arbitrary".
        scale_source: How metric scale was fixed, or "none".
        recording_id: Of the labels trained on.
        epoch: After which it was saved, counted from 1.
        val_error: Its NMPJPE on the validation part, in the unit.
        sharpness: Mean sharpness of its heatmaps there, see `soft_argmax`.
    """

    weights: Mapping[str, Tensor]
    options: TrainOptions
    skeleton: Skeleton
    bone_lengths: Array
    mean_pose: Array
    focal_ratio: float
    unit: str
    scale_source: str
    recording_id: str
    epoch: int
    val_error: float
    sharpness: float

    def confidence(self, sharpness: Array) -> Array:
        """Confidence in joints by the sharpness of their heatmaps: 0.8 if it is as in the validation part.

        Nothing but the mean of a heatmap is trained: this orders the joints of one network, and is no probability. A
        network can be as sure of an image without a person.
        """
        return sharpness / (sharpness + max(self.sharpness / 4, 1e-12))

    def network(self, device: torch.device) -> PoseNetwork:
        """The network on a device, ready for inference."""
        network = build_network(len(self.skeleton), self.options)
        network.load_state_dict(dict(self.weights))
        return network.to(device).eval()


def save_model(path: Path, model: Model) -> None:
    """Writes `model.pt`.

    Raises:
        InputError: It cannot be written.
    """
    content = {name: value for name, value in vars(model).items() if name not in ("skeleton", "options")}
    content |= {
        "format": FORMAT,
        "version": __version__,
        "skeleton": model.skeleton.name,
        "joints": list(model.skeleton.joints),
        "options": asdict(model.options),
        "convention": _CONVENTION,
        "bone_lengths": torch.tensor(model.bone_lengths),
        "mean_pose": torch.tensor(model.mean_pose),
    }
    save_plain(path, content)


def load_model(path: Path) -> Model:
    """Reads `model.pt`.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, another kind of file, or of another convention.
    """
    content = load_plain(path, FORMAT, "epitool train")
    with damage_reported(path):
        if content["convention"] != _CONVENTION:
            raise CheckpointError(f"{path}: trained with crops {content['convention']}, this epitool has {_CONVENTION}")
        skeleton = skeleton_of(content["skeleton"], content["joints"])
        model = Model(
            weights=content["weights"],
            options=TrainOptions(**content["options"]),
            skeleton=skeleton,
            bone_lengths=content["bone_lengths"].numpy().reshape(len(bones(skeleton))),
            mean_pose=content["mean_pose"].numpy().reshape(len(skeleton), 3),
            focal_ratio=float(content["focal_ratio"]),
            unit=str(content["unit"]),
            scale_source=str(content["scale_source"]),
            recording_id=str(content["recording_id"]),
            epoch=int(content["epoch"]),
            val_error=float(content["val_error"]),
            sharpness=float(content["sharpness"]),
        )
        with torch.device("meta"):  # names and shapes without numbers
            expected = build_network(len(skeleton), model.options).state_dict()
        if _shapes(model.weights) != _shapes(expected):
            raise CheckpointError(f"{path}: the weights are not those of a {model.options.backbone} network")
        return model


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def save_plain(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint of tensors and plain values whole or not at all."""
    with writing(path) as temporary:
        try:
            torch.save(dict(content), temporary)
        except RuntimeError as error:  # how PyTorch reports a full disk
            raise InputError(f"cannot write {path}: {str(error).splitlines()[0]}") from None


def load_plain(path: Path, format_name: str, made_by: str) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU and checks its format.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `{made_by}` makes it")
    content = load_tensors(path)
    found = content.get("format")
    if found != format_name:
        raise CheckpointError(f"{path}: its format is {found!r:.80}, expected {format_name}; `{made_by}` makes it")
    return content


def load_tensors(path: Path) -> dict[str, Any]:
    """Reads any dictionary of tensors and plain values that `torch.save` wrote.

    Raises:
        InputError: It cannot be opened.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: no checkpoint, or it holds more than tensors and plain values") from None
    except (RuntimeError, EOFError, BadZipFile, KeyError, ValueError, AttributeError, IndexError, TypeError):
        raise CheckpointError(f"{path}: cannot be read as a checkpoint; it is damaged or of another kind") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no checkpoint but a {type(content).__name__}")
    return content


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turns whatever a readable file with unfit content causes into one line.

    Raises:
        CheckpointError: Something went wrong inside.
    """
    try:
        yield
    except CheckpointError:
        raise
    except EpitoolError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise CheckpointError(f"{path}: the checkpoint does not fit together ({reason})") from None
