"""torchvision's ResNets, even where its compiled operators cannot be loaded."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from epitool.errors import UsageError

_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """Return the `state_dict` of a ResNet trained on ImageNet, from torch's cache or the network.

    Raises:
        UsageError: It is not in the cache and cannot be downloaded.
    """
    weights = getattr(_resnets(), f"{name.replace('resnet', 'ResNet')}_Weights").IMAGENET1K_V1
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        with redirect_stdout(sys.stderr):  # torch announces the download on stdout
            values: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # network, disk and truncated files raise different errors with one remedy
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"the ImageNet weights of {name} cannot be had here ({reason:.120}); put {weights.url} at {file}, or"
            " start from another file, or from none"
        ) from None
    return values


def _resnets() -> ModuleType:
    try:
        return importlib.import_module("torchvision.models.resnet")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    return _import_without_operators()


def _import_without_operators() -> ModuleType:
    """Import the ResNets where torchvision's binary does not match torch's.

    torchvision then fails when it describes `nms`, which its binary should have defined. No ResNet calls `nms`, so it
    is enough to declare the operator.
    """
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[module]  # half imported
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", _NMS_SCHEMA)
    return importlib.import_module("torchvision.models.resnet")
