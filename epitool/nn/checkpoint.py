"""Files `model.pt`: trained pose networks with everything that is needed to use them.

Checkpoints hold only tensors and plain values, so reading one runs no code of its author. Files of the authors' release
can be read as well.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from epitool import __version__
from epitool.files import writing
from epitool.nn.card import ModelCard
from epitool.nn.network import PoseNetwork, build_network
from epitool.nn.released import checked_weights, released_model, state_dict_of
from epitool.nn.tensors import check_format, damage_reported, dictionary_in, require_checkpoint

FORMAT = "epitool.model/1"
MADE_BY = "epitool train"


@dataclass(frozen=True, eq=False)
class Model:
    """Trained network.

    Attributes:
        weights: The network's `state_dict`.
        card: Its joints, conventions and origin.
    """

    weights: Mapping[str, Tensor]
    card: ModelCard

    def network(self, device: torch.device) -> PoseNetwork:
        """Return the network on a device, ready for inference."""
        with torch.device("meta"):  # skips drawing random weights, which would take most of the time
            network = build_network(len(self.card.skeleton), self.card.options)
        network.load_state_dict({name: tensor.clone() for name, tensor in self.weights.items()}, assign=True)
        network = network.to(device, torch.float32)
        return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def save_model(path: Path, model: Model) -> None:
    """Write `model.pt`.

    Raises:
        InputError: It cannot be written.
    """
    header = {"format": FORMAT, "version": __version__}
    save_plain(path, {**header, **model.card.to_plain(), "weights": model.weights})


def load_model(path: Path) -> Model:
    """Read `model.pt`, or a file of the authors' release.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, or another kind of file.
    """
    require_checkpoint(path, FORMAT, MADE_BY)
    return model_in(path, load_tensors(path))


def model_in(path: Path, content: Mapping[str, Any]) -> Model:
    """Return the network that the content of a `model.pt`, or of a file of the authors' release, describes.

    Raises:
        CheckpointError: The content is damaged, or of another kind of file.
    """
    values = None if "format" in content else state_dict_of(content)
    with damage_reported(path):
        if values is not None:
            return Model(*released_model(path, values))
        check_format(path, content, FORMAT, MADE_BY)
        card = ModelCard.from_plain(content)
        return Model(checked_weights(path, content["weights"], len(card.skeleton), card.options), card)


def save_plain(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint of tensors and plain values atomically."""
    packed = io.BytesIO()  # given a path, PyTorch would store its name and raise its own error for a full disk
    torch.save(dict(content), packed)
    with writing(path) as temporary:
        temporary.write_bytes(packed.getvalue())  # a view kept by an error crashes Python 3.12.1's garbage collector


def load_plain(path: Path, format_name: str) -> dict[str, Any]:
    """Read a checkpoint of `epitool train` onto the CPU and check its format.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    require_checkpoint(path, format_name, MADE_BY)
    content = load_tensors(path)
    check_format(path, content, format_name, MADE_BY)
    return content


def load_tensors(path: Path) -> dict[str, Any]:
    """Read any dictionary of tensors and plain values that `torch.save` wrote.

    Raises:
        InputError: It cannot be opened.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    with torch.serialization.safe_globals(_NUMBERS_OF_NUMPY):
        return dictionary_in(path, lambda file: torch.load(file, map_location="cpu", weights_only=True))


class _Ignored:
    """Placeholder for NumPy numbers beside the weights, such as a score, which PyTorch would otherwise refuse."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_NUMBERS_OF_NUMPY: list[Any] = [  # PyTorch looks up allowed classes by module and name
    type(name, (_Ignored,), {"__module__": module})
    for module, name in (("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"), ("numpy", "dtype"))
]
