"""Files of the authors' release: a dictionary with a `state_dict`, without joints or conventions.

What the files do not state follows from the shapes of their layers and from how the release was trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epitool.errors import CheckpointError
from epitool.nn.card import ModelCard
from epitool.nn.crops import RELEASED_CROPS, STANDARD_CROPS, bones
from epitool.nn.network import build_network
from epitool.nn.resnet import BASIC, BLOCKS
from epitool.options.network import NetworkOptions
from epitool.skeleton import skeleton

_IMAGE_SIZE, _DEPTH = 256, 64
_SKELETONS = {16: "mpii16", 17: "h36m17"}
_FOCAL_RATIO = 1.145  # of Human3.6M's cameras
# Heatmaps with a standard deviation of 3 voxels in x and y. This is assumed: the files hold no validation results.
_SHARPNESS = 1 / (1 + 3**2 / ((_DEPTH**2 - 1) / 12))


def state_dict_of(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a network's values in a foreign checkpoint by name, without a prefix `module.`; None if there are none."""
    values = content.get("state_dict", content)
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        return None
    named = {name.removeprefix("module."): value for name, value in values.items()}
    return named if "conv1.weight" in named or "final_layer.weight" in named else None


def released_model(path: Path, values: Mapping[str, Any]) -> tuple[dict[str, Tensor], ModelCard]:
    """Return the checked weights of a file of the release, and what is known of the network.

    Args:
        path: Path of the file; "mpii" in its name identifies the network that was trained in 2D.
        values: `state_dict_of` its content.

    Raises:
        CheckpointError: It is no pose network, or another one than the release's.
    """
    joints, filters = _joints_and_filters(path, values)
    in_2d = joints == 16 and "mpii" in path.name.lower()
    supervision = "2d" if in_2d else {16: "self", 17: "full"}[joints]
    options = NetworkOptions(supervision, backbone_of(values), _IMAGE_SIZE, filters)
    known = skeleton(_SKELETONS[joints])
    card = ModelCard(
        options=options,
        skeleton=known,
        trained=np.ones(joints, dtype=bool),
        bone_lengths=np.full(len(bones(known)), np.nan),
        focal_ratio=_FOCAL_RATIO,
        unit="arbitrary" if in_2d else "mm",
        scale_source="none" if in_2d else f"box of {RELEASED_CROPS.box_size:.0f} mm at the root's depth",
        recording_id="",
        epoch=0,
        val_error=float("nan"),
        sharpness=_SHARPNESS,
        convention=STANDARD_CROPS if in_2d else RELEASED_CROPS,
    )
    return checked_weights(path, values, joints, options), card


def backbone_of(names: Iterable[str]) -> str:
    """Return the name of the ResNet whose parameter names are most similar to these."""
    parts = [name.split(".") for name in names]
    counts = [len({part[1] for part in parts if part[0] == f"layer{i}" and len(part) > 2}) for i in range(1, 5)]
    bottlenecks = any(part[2:4] == ["conv3", "weight"] for part in parts)

    def unlike(name: str) -> int:
        # The kind of block outweighs any difference in their number.
        apart = sum(abs(a - b) for a, b in zip(BLOCKS[name], counts, strict=True))
        return apart + 100 * ((name in BASIC) == bottlenecks)

    return min(BLOCKS, key=unlike)


def checked_weights(path: Path, values: Mapping[str, Any], joints: int, options: NetworkOptions) -> dict[str, Tensor]:
    """Return values that are, by name, the finite tensors of the network that the options describe.

    Args:
        path: Path of their file, for messages.
        values: Values by parameter name.
        joints: Number of joints J.
        options: Options of the network.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another shape or type, or not finite.
    """
    with torch.device("meta"):  # names and shapes without values
        expected = build_network(joints, options).state_dict()
    kind = f"a {options.backbone} pose network for {joints} joints"
    # PyTorch before 0.4.1 did not count batches; the count is not used in inference.
    uncounted = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith("num_batches_tracked")}
    values = uncounted | dict(values)
    missing = [name for name in expected if name not in values]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} of the {len(expected)} tensors of {kind} are missing, the first is {missing[0]}"
        )
    for name, value in values.items():
        if name not in expected:
            raise CheckpointError(f"{path}: {name!s:.80} is no tensor of {kind}")
        if shape_text(value) != shape_text(expected[name]):
            raise CheckpointError(
                f"{path}: {name} is {shape_text(value)}, expected {shape_text(expected[name])} as in {kind}"
            )
        check_tensor(path, name, value)
    return {name: value.detach() for name, value in values.items()}


def check_tensor(path: str | Path, name: str, value: Any) -> None:
    """Check that a value can be a network's weights.

    Raises:
        CheckpointError: It is no plain tensor of finite numbers.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise CheckpointError(f"{path}: {name} is no plain tensor but {type(value).__name__}")
    counts = name.endswith("num_batches_tracked")
    if value.is_complex() or value.is_quantized or not (counts or value.is_floating_point()):
        raise CheckpointError(f"{path}: {name} holds {value.dtype}, expected torch.float32")
    # A finite sum proves that all values are finite, and is much faster. The converse does not hold: finite numbers can
    # add up to infinity.
    if not value.sum().isfinite() and not value.isfinite().all():
        raise CheckpointError(f"{path}: {name} holds numbers that are not finite")


def released_joints(values: Mapping[str, Any]) -> int | None:
    """Return the number of joints of a released network by its last layer; None for other networks."""
    final = values.get("final_layer.weight")
    if not isinstance(final, Tensor) or final.ndim != 4 or final.shape[2:] != (1, 1) or final.shape[0] % _DEPTH:
        return None
    joints = final.shape[0] // _DEPTH
    return joints if joints in _SKELETONS else None


def _joints_and_filters(path: Path, values: Mapping[str, Any]) -> tuple[int, int]:
    final = values.get("final_layer.weight")
    if final is None:
        raise CheckpointError(
            f"{path}: final_layer.weight is missing: no pose network; a ResNet alone serves a training to start from"
        )
    joints = released_joints(values)
    if joints is None:
        channels = " or ".join(f"{count * _DEPTH} ({count} joints x {_DEPTH})" for count in _SKELETONS)
        raise CheckpointError(f"{path}: final_layer.weight is {shape_text(final)}, expected {channels} x filters x1x1")
    return joints, final.shape[1]


def shape_text(value: Any) -> str:
    """Return the shape of a tensor in common notation.

    >>> shape_text(torch.empty(64, 3, 7, 7))
    '64x3x7x7'
    """
    if not isinstance(value, Tensor):
        return type(value).__name__
    return "x".join(map(str, value.shape)) or "a single number"
