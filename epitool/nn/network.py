"""Volumetric pose network of the paper (section 3, "Implementation details")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epitool.nn.resnet import ResNetTrunk
from epitool.options.network import NetworkOptions

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PoseNetwork(ResNetTrunk):
    """ResNet trunk, three transposed convolutions, and a 1x1 convolution to one volume per joint.

    An image of side S gives a volume of side S/4. Parameters are named as in the authors' checkpoints.
    """

    def __init__(self, joints: int, backbone: str, image_size: int, filters: int) -> None:
        """Build the network with PyTorch's default weights.

        Args:
            joints: Number of joints J.
            backbone: Name of a ResNet, such as "resnet50".
            image_size: Side S of the crop in px, a multiple of 32.
            filters: Channels of the transposed convolutions.
        """
        super().__init__(backbone)
        self.joints = joints
        self.size = image_size // 4
        self.deconv_layers = nn.Sequential(
            *_upsample(self.channels, filters), *_upsample(filters, filters), *_upsample(filters, filters)
        )
        self.final_layer = nn.Conv2d(filters, joints * self.size, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return volumes `(N, J, depth, y, x)` of logits for normalised RGB crops `(N, 3, S, S)`."""
        x = self.deconv_layers(super().forward(images))
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 logits would move joints by whole voxels
            # Computed as a matrix product, the volume of each joint is contiguous, as soft-argmax needs it.
            weight, bias = self.final_layer.weight.flatten(1), self.final_layer.bias
            x = torch.baddbmm(bias[:, None], weight.expand(x.shape[0], -1, -1), x.float().flatten(2))  # type: ignore[index]
        return x.view(x.shape[0], self.joints, self.size, self.size, self.size)


def _upsample(channels: int, filters: int) -> list[nn.Module]:
    deconvolution = nn.ConvTranspose2d(channels, filters, kernel_size=4, stride=2, padding=1, bias=False)
    return [deconvolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]


def convert_crops(crops: Tensor, device: torch.device) -> Tensor:
    """Convert RGB crops `(N, S, S, 3)` of bytes to the network's input `(N, 3, S, S)`.

    ImageNet's pixels have mean 0 and standard deviation 1 in it.
    """
    mean, deviation = (torch.tensor(values, device=device) * 255 for values in (_MEAN, _DEVIATION))
    # Only the order of axes changes: in memory the channels stay last, as the network expects.
    return ((crops.to(device) - mean) / deviation).permute(0, 3, 1, 2)


def build_network(joints: int, options: NetworkOptions) -> PoseNetwork:
    """Return the network that the options describe, with random weights drawn from their seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = PoseNetwork(joints, options.backbone, options.image_size, options.filters)
        if not network.conv1.weight.is_meta:  # drawing on the meta device would only load PyTorch's compiler
            _draw_weights(network)
    # Convolutions of oneDNN and cuDNN are faster with channels last.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _draw_weights(network: PoseNetwork) -> None:
    """Draw random weights: the trunk's by its outputs (He et al. 2015), the head's as in the authors' release."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for layer in (*network.deconv_layers, network.final_layer):
        if isinstance(layer, nn.ConvTranspose2d | nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(network.final_layer.bias)  # type: ignore[arg-type]
