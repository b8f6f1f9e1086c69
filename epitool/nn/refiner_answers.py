"""The two networks of the refinement unit in numpy, which is as fast for few images and takes no seconds to import.

`refiner_networks` has them in PyTorch, with the same names of weights, for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from epitool.nn.looks import BODY, FEATURES

Array32 = NDArray[np.float32]
Weights = Mapping[str, Array32]
Layer = tuple[Array32, Array32]

BLOCKS = 2  # residual blocks of two layers each
WIDTH, HEADS, LAYERS = 96, 6, 4  # features of a joint, heads and layers of the attention network
_J = len(BODY)
_SURE, _EXTENT, _HINT = slice(2 * _J, 3 * _J), 3 * _J, slice(3 * _J + 1, None)
# Which of the features of `looks.described` tell of each joint: its place in the image, its confidence, the extent of
# all joints, and the hint.
_ONE, _TWO, _THREE = (np.arange(size * _J).reshape(_J, size) for size in (1, 2, 3))
COLUMNS = np.hstack([_TWO, _SURE.start + _ONE, 0 * _ONE + _EXTENT, _HINT.start + _THREE])
TOKEN = COLUMNS.shape[1]
_EPSILON = np.float32(1e-5)  # what PyTorch adds to variances


def all_seen(described: Any) -> Any:
    """Return in which looks all joints are seen, `(N,)`, of features `(N, 97)` in an array or PyTorch's tensor."""
    return (described[:, _SURE] > 0).all(1)


def whole(described: Any) -> Any:
    """Return in which looks all joints are seen and there is a hint at any, `(N,)`, of features as for `all_seen`."""
    return all_seen(described) & (described[:, _HINT] != 0).any(1)


class ResidualAnswers:
    """The residual network."""

    def __init__(self, weights: Weights, width: int) -> None:
        """Take the network's `state_dict`, and fold the batch normalisation into the layers before it.

        Raises:
            ValueError: A layer has another shape.
            KeyError: A layer is missing.
        """
        self._enter = _folded(weights, "enter", width, FEATURES)
        self._blocks = [
            [_folded(weights, f"blocks.{block}.{layer}", width, width) for layer in (0, 1)] for block in range(BLOCKS)
        ]
        self._leave = _layer(weights, "leave.", 3 * len(BODY), width)

    def __call__(self, described: Array32) -> Array32:
        """Return poses `(N, 16, 3)` for the features `(N, 97)` of `looks.described`."""
        features = np.maximum(_apply(self._enter, described), 0)
        for first, second in self._blocks:
            features = features + np.maximum(_apply(second, np.maximum(_apply(first, features), 0)), 0)
        return _apply(self._leave, features).reshape(len(features), len(BODY), 3)


class AttentionAnswers:
    """The attention network."""

    def __init__(self, weights: Weights) -> None:
        """Take the network's `state_dict`.

        Raises:
            ValueError: A layer has another shape.
            KeyError: A layer is missing.
        """
        self._enter = _layer(weights, "enter.", WIDTH, TOKEN)
        self._joint = _shaped(weights, "joint", (len(BODY), WIDTH))
        self._layers = [_attention_layer(weights, f"layers.{layer}.") for layer in range(LAYERS)]
        self._norm = _layer(weights, "norm.", WIDTH)
        self._leave = _layer(weights, "leave.", 3, WIDTH)

    def __call__(self, described: Array32) -> Array32:
        """Return poses `(N, 16, 3)` for the features `(N, 97)` of `looks.described`."""
        joints = _apply(self._enter, described[:, COLUMNS]) + self._joint
        for layer in self._layers:
            joints = joints + _attend(layer, _normalise(layer["norm1"], joints))
            inner = _apply(layer["linear1"], _normalise(layer["norm2"], joints))
            joints = joints + _apply(layer["linear2"], inner * expit(inner))
        return _apply(self._leave, _normalise(self._norm, joints))


def _attention_layer(weights: Weights, name: str) -> dict[str, Layer]:
    """Return the matrices and offsets of a layer of PyTorch's `TransformerEncoderLayer`, by their names there."""
    sizes = {
        "self_attn.in_proj_": (3 * WIDTH, WIDTH), "self_attn.out_proj.": (WIDTH, WIDTH), "linear1.": (2 * WIDTH, WIDTH),
        "linear2.": (WIDTH, 2 * WIDTH), "norm1.": (WIDTH,), "norm2.": (WIDTH,),
    }  # fmt: skip
    return {part.strip("._"): _layer(weights, name + part, *size) for part, size in sizes.items()}


def _attend(layer: Mapping[str, Layer], joints: Array32) -> Array32:
    """Return what the heads take from other joints, `(N, 16, 96)`."""
    split = _apply(layer["self_attn.in_proj"], joints).reshape(*joints.shape[:2], 3, HEADS, WIDTH // HEADS)
    asked, offered, value = np.moveaxis(split, (2, 3), (0, 2))
    fit = asked @ np.swapaxes(offered, -1, -2) * np.float32((WIDTH // HEADS) ** -0.5)
    taken = softmax(fit, axis=-1) @ value
    return _apply(layer["self_attn.out_proj"], np.swapaxes(taken, 1, 2).reshape(joints.shape))


def _normalise(scale_and_offset: Layer, values: Array32) -> Array32:
    """Normalise over the last axis (layer normalisation)."""
    scale, offset = scale_and_offset
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON) * scale + offset


def _folded(weights: Weights, name: str, outputs: int, inputs: int) -> Layer:
    """Return a linear layer with the batch normalisation after it."""
    matrix, offset = _layer(weights, f"{name}.0.", outputs, inputs)
    mean, variance = (_shaped(weights, f"{name}.1.running_{what}", (outputs,)) for what in ("mean", "var"))
    factor, shift = _layer(weights, f"{name}.1.", outputs)
    factor = factor / np.sqrt(variance + _EPSILON)
    return matrix * factor[:, None], (offset - mean) * factor + shift


def _layer(weights: Weights, name: str, *size: int) -> Layer:
    return _shaped(weights, name + "weight", size), _shaped(weights, name + "bias", size[:1])


def _shaped(weights: Weights, name: str, shape: tuple[int, ...]) -> Array32:
    values = weights[name]
    if values.shape != shape:
        raise ValueError(f"{name} is {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return values


def _apply(layer: Layer, values: Array32) -> Array32:
    matrix, offset = layer
    flat = values.reshape(-1, values.shape[-1])  # one product instead of one for each look
    return (flat @ matrix.T + offset).reshape(*values.shape[:-1], len(matrix))
