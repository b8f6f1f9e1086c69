"""Inference by PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from epitool.camera import Array
from epitool.images import Image
from epitool.nn.checkpoint import Model
from epitool.nn.network import PoseNetwork, convert_crops
from epitool.nn.soft_argmax import soft_argmax


@torch.inference_mode()
def infer(network: PoseNetwork, crops: Image) -> tuple[Array, Array]:
    """Return volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
    inputs = convert_crops(torch.from_numpy(crops), next(network.parameters()).device)
    xyz, sharpness = soft_argmax(network(inputs))
    return xyz.cpu().double().numpy(), sharpness.cpu().double().numpy()


class TorchEngine:
    """Network computed by PyTorch on a CPU or GPU."""

    def __init__(self, model: Model, device: torch.device, bf16: bool = False) -> None:
        """Put the network on a device; if `bf16` is true, all but the last convolution is computed in bfloat16."""
        self.card = model.card
        self._network, self._half = (
            fold_batch_norm(model.network(device)),
            torch.autocast(device.type, torch.bfloat16, bf16),
        )

    def __call__(self, crops: Image) -> tuple[Array, Array]:
        """Return volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
        with self._half:
            return infer(self._network, crops)


def fold_batch_norm(network: PoseNetwork) -> PoseNetwork:
    """Prepare a network for inference, in place: merge every batch normalisation into the convolution before it."""
    network.eval()
    for parent in list(network.modules()):
        for (name, layer), (name_after, after) in pairwise(list(parent.named_children())):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(after, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(layer, after, isinstance(layer, nn.ConvTranspose2d)))
                setattr(parent, name_after, nn.Identity())
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
