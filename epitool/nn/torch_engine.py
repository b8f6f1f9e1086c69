"""A network on PyTorch, ready to answer."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from epitool.camera import Array
from epitool.images import Image
from epitool.nn.checkpoint import Model
from epitool.nn.network import PoseNetwork, as_input
from epitool.nn.soft_argmax import soft_argmax


@torch.inference_mode()
def infer(network: PoseNetwork, crops: Image) -> tuple[Array, Array]:
    """Volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
    inputs = as_input(torch.from_numpy(crops), next(network.parameters()).device)
    xyz, sharpness = soft_argmax(network(inputs))
    return xyz.cpu().double().numpy(), sharpness.cpu().double().numpy()


class TorchEngine:
    """Answers for crops on a CPU or GPU."""

    def __init__(self, model: Model, device: torch.device, bf16: bool = False) -> None:
        """Puts the network on a device; with `bf16` all but the last convolution computes in bfloat16."""
        self.card = model.card
        self._network, self._half = folded(model.network(device)), torch.autocast(device.type, torch.bfloat16, bf16)

    def __call__(self, crops: Image) -> tuple[Array, Array]:
        """Volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
        with self._half:
            return infer(self._network, crops)


def folded(network: PoseNetwork) -> PoseNetwork:
    """The same network for inference, with batch normalisation folded into the convolutions before it."""
    network = copy.deepcopy(network).eval()
    _fold(network, "conv1", "bn1")
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in layer:
            for k in (1, 2, 3):
                if hasattr(block, f"conv{k}"):
                    _fold(block, f"conv{k}", f"bn{k}")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    for k in (0, 3, 6):
        _fold(network.deconv_layers, str(k), str(k + 1))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    before, after = getattr(parent, convolution), getattr(parent, norm)
    transposed = isinstance(before, nn.ConvTranspose2d)
    setattr(parent, convolution, fuse_conv_bn_eval(before, after, transposed))
    setattr(parent, norm, nn.Identity())
