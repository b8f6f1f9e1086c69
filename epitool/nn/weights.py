"""Initial weights for training: from a trained network, the authors' release, or a ResNet of torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from epitool.errors import CheckpointError
from epitool.nn.backbone import imagenet_weights
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import FORMAT, MADE_BY, load_tensors, model_in
from epitool.nn.crops import STANDARD_CROPS
from epitool.nn.network import PoseNetwork
from epitool.nn.released import backbone_of, check_tensor, released_joints, shape_text, state_dict_of
from epitool.nn.tensors import require_checkpoint
from epitool.skeleton import Skeleton

IMAGENET = "imagenet"
_FINAL = ("final_layer.weight", "final_layer.bias")
_TRUNK = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")


class Initial(NamedTuple):
    """Weights to start a training from.

    Attributes:
        source: Where they come from, for messages.
        values: Tensors by parameter name.
        card: Card of the network that they belong to, if known.
    """

    source: str | Path
    values: dict[str, Any]
    card: ModelCard | None


def read_initial(source: str | Path, backbone: str) -> Initial:
    """Read initial weights.

    Args:
        source: `model.pt`, a file of the release, a `state_dict` of a ResNet or pose network, or "imagenet".
        backbone: Name of the ResNet whose weights "imagenet" stands for.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, or of another kind.
        UsageError: The ImageNet weights cannot be obtained.
    """
    if str(source) == IMAGENET:
        return Initial(source, imagenet_weights(backbone), None)
    path = Path(source)
    require_checkpoint(path, FORMAT, MADE_BY)
    content = load_tensors(path)
    values = state_dict_of(content)
    if "format" in content or (values is not None and released_joints(values)):
        model = model_in(path, content)
        return Initial(source, dict(model.weights), model.card)
    if values is None:
        raise CheckpointError(f"{path}: holds neither a pose network nor a ResNet")
    return Initial(source, values, None)


def starting_weights(initial: Initial, network: PoseNetwork, skeleton: Skeleton) -> list[str]:
    """Copy all weights that fit into a network.

    The trunk is copied as a whole or not at all. Of the last layer, the channels of joints with the same name are
    copied.

    Args:
        initial: The weights.
        network: Network to change in place.
        skeleton: Skeleton of its joints.

    Returns:
        Lines to print: how much was copied, and why the rest was not.

    Raises:
        CheckpointError: They are of a network with another trunk, or not finite.
    """
    source, values, card = initial
    own = network.state_dict()
    _check_trunk(source, values, own)
    fitting = {name: values[name] for name in own if name not in _FINAL and _fits(name, values, own)}
    for name, value in fitting.items():
        check_tensor(source, name, value)
    final, lines = _final_layer(values, own, card, skeleton)
    fitting |= final
    network.load_state_dict(fitting, strict=False)
    others = [name for name in own if name not in fitting and name not in _FINAL]
    if others:
        lines.append(f"{len(others)} other tensors start random, the first is {_misfit(others[0], values, own)}")
    if final and card is not None:
        lines += _check_depth_range(card)
    return [f"{len(fitting)} of {len(own)} tensors start from {source}", *lines]


def _check_depth_range(card: ModelCard) -> list[str]:
    if card.options.supervision == "2d":
        return ["depth was not trained there"]
    there, here = card.convention.depth_span, STANDARD_CROPS.depth_span
    return [] if there == here else [f"z spans {there:g} boxes there and {here:g} here: depth has to be learned anew"]


def _check_trunk(source: str | Path, values: Mapping[str, Any], own: Mapping[str, Tensor]) -> None:
    """Refuse weights of another ResNet: a part of them would be worse than none."""
    expected, found = backbone_of(own), backbone_of(values)
    if expected != found:
        raise CheckpointError(f"{source}: is of a {found}, the network is a {expected}; train with backbone {found}")
    for name in own:
        optional = not name.startswith(_TRUNK) or name.endswith("num_batches_tracked")
        if not optional and not _fits(name, values, own):
            raise CheckpointError(f"{source}: no {expected}: {_misfit(name, values, own)}")


def _fits(name: str, values: Mapping[str, Any], own: Mapping[str, Tensor]) -> bool:
    return name in values and shape_text(values[name]) == shape_text(own[name])


def _misfit(name: str, values: Mapping[str, Any], own: Mapping[str, Tensor]) -> str:
    there = shape_text(values[name]) if name in values else "missing"
    return f"{name}, {there} there and {shape_text(own[name])} here"


def _final_layer(
    values: Mapping[str, Any], own: Mapping[str, Tensor], card: ModelCard | None, skeleton: Skeleton
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the last layer with the channels of all joints that both networks have, and lines to print.

    Its channels are consecutive blocks, each with the depths of one joint.
    """
    if card is None:
        return {}, [f"final_layer starts random: {_misfit(_FINAL[0], values, own)}"]
    weight = own[_FINAL[0]]
    depth, blocks = len(weight) // len(skeleton), values[_FINAL[0]]
    if blocks.shape[1:] != weight.shape[1:] or len(blocks) != depth * len(card.skeleton):
        return {}, [f"final_layer starts random: {_misfit(_FINAL[0], values, own)}"]
    here = [j for j, joint in enumerate(skeleton.joints) if joint in card.skeleton.joints]
    there = [card.skeleton.index(skeleton.joints[j]) for j in here]
    if not here:
        return {}, [f"final_layer starts random: skeleton {card.skeleton.name} has no joint of {skeleton.name}"]
    copied = {}
    for name in _FINAL:
        target, given = (layer.reshape(-1, depth, *layer.shape[1:]) for layer in (own[name], values[name]))
        target = target.clone()
        target[here] = given.to(target)[there]
        copied[name] = target.flatten(0, 1)
    others = [joint for joint in skeleton.joints if joint not in card.skeleton.joints]
    if not others:
        return copied, []
    return copied, [f"final_layer: {len(here)} of {len(skeleton)} joints by name; random are {', '.join(others)}"]
