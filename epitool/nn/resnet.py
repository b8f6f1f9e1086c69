"""ResNets with torchvision's parameter names, without its import.

`import torchvision.models.resnet` takes 2.3 s after `import torch`, which takes 2.3 s itself; this module takes 0.01 s
(medians of seven fresh processes on two cores, torchvision 0.29). Every `train` and every `predict` with a network
would have to wait for it.
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = {  # number of blocks in the four layers
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
BASIC = ("resnet18", "resnet34")  # whose blocks are no bottlenecks


class ResNetTrunk(nn.Module):
    """Deep residual network (He et al. 2016) without pooling and classifier.

    The 3x3 convolution of a bottleneck has its stride, as in torchvision.

    Attributes:
        channels: Channels of the output, whose side is 1/32 of the image's.
    """

    def __init__(self, name: str) -> None:
        """Build a trunk with PyTorch's default weights.

        Args:
            name: "resnet18", 34, 50, 101 or 152.
        """
        super().__init__()
        block = _Basic if name in BASIC else _Bottleneck
        self.conv1 = _convolution(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        first, second, third, fourth = BLOCKS[name]
        grown = block.growth
        self.layer1 = _layer(block, first, 64, 64, stride=1)
        self.layer2 = _layer(block, second, 64 * grown, 128, stride=2)
        self.layer3 = _layer(block, third, 128 * grown, 256, stride=2)
        self.layer4 = _layer(block, fourth, 256 * grown, 512, stride=2)
        self.channels = 512 * grown

    def forward(self, images: Tensor) -> Tensor:
        """Return features `(N, channels, S / 32, S / 32)` of normalised RGB images `(N, 3, S, S)`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class _Basic(nn.Module):
    growth = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out.add_(x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    growth = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, width * 4, 1), nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, width * 4, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        out = self.bn3(self.conv3(out))
        return self.relu(out.add_(x if self.downsample is None else self.downsample(x)))


def _layer(
    block: type[_Basic] | type[_Bottleneck], count: int, channels: int, width: int, stride: int
) -> nn.Sequential:
    rest = (block(width * block.growth, width, 1) for _ in range(count - 1))
    return nn.Sequential(block(channels, width, stride), *rest)


def _shortcut(channels: int, out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(_convolution(channels, out, 1, stride), nn.BatchNorm2d(out))


def _convolution(channels: int, out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, size, stride, padding=size // 2, bias=False)
