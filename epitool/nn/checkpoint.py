"""`model.pt`: a trained pose network and all that is needed to use it.

Checkpoints hold tensors and plain values only, so reading one runs no code of whoever wrote it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from epitool import __version__
from epitool.errors import CheckpointError, EpitoolError, InputError
from epitool.files import writing
from epitool.nn.card import ModelCard
from epitool.nn.network import PoseNetwork, build_network

FORMAT = "epitool.model/1"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network.

    Attributes:
        weights: The network's `state_dict`.
        card: Its joints, conventions and origin.
    """

    weights: Mapping[str, Tensor]
    card: ModelCard

    def network(self, device: torch.device) -> PoseNetwork:
        """The network on a device, ready for inference."""
        network = build_network(len(self.card.skeleton), self.card.options)
        network.load_state_dict(dict(self.weights))
        return network.to(device).eval()


def save_model(path: Path, model: Model) -> None:
    """Writes `model.pt`.

    Raises:
        InputError: It cannot be written.
    """
    header = {"format": FORMAT, "version": __version__}
    save_plain(path, {**header, **model.card.to_plain(), "weights": model.weights})


def load_model(path: Path) -> Model:
    """Reads `model.pt`.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, or another kind of file.
    """
    content = load_plain(path, FORMAT, "epitool train")
    with damage_reported(path):
        model = Model(content["weights"], ModelCard.from_plain(content))
        with torch.device("meta"):  # names and shapes without numbers
            expected = build_network(len(model.card.skeleton), model.card.options).state_dict()
        if _shapes(model.weights) != _shapes(expected):
            raise CheckpointError(f"{path}: the weights are not those of a {model.card.options.backbone} network")
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
