"""torchvision's ResNets, also where its compiled operators cannot be loaded."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def resnet(name: str) -> Any:
    """A ResNet with random weights, e.g. `resnet50`."""
    try:
        models = importlib.import_module("torchvision.models.resnet")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        models = _import_without_operators()
    return getattr(models, name)(weights=None)


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
