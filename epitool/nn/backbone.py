"""torchvision's ResNets, also where its compiled operators cannot be loaded."""

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
    """The `state_dict` of a ResNet trained on ImageNet, from torch's cache or the network.

    Raises:
        UsageError: It is not in the cache and cannot be downloaded.
    """
    weights = getattr(_resnets(), f"{name.replace('resnet', 'ResNet')}_Weights").IMAGENET1K_V1
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        with redirect_stdout(sys.stderr):  # where torch announces the download
            values: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, the disk, or a file cut short: the way out is the same
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
    """Imports the ResNets where torchvision's binary does not fit torch's.

    torchvision then fails while it describes `nms`, which its binary should have defined. No ResNet calls it, so
    naming the operator is enough.
    """
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[module]  # half imported
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", _NMS_SCHEMA)
    return importlib.import_module("torchvision.models.resnet")
