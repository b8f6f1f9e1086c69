"""3D human pose from a few cameras: calibrate, label, train and measure, without a board or 3D ground truth.

This module exports the names that programs need most; each is imported on first use.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epitool.camera import Camera as Camera
    from epitool.camera import Rig as Rig
    from epitool.geometry.calibration.calibrate import calibrate as calibrate
    from epitool.geometry.triangulation.labels import make_labels as make_labels
    from epitool.geometry.triangulation.triangulate import triangulate as triangulate
    from epitool.io.cameras import read_rig as read_rig
    from epitool.io.cameras import write_rig as write_rig
    from epitool.io.keypoints_h5 import read_keypoints as read_keypoints
    from epitool.io.keypoints_h5 import write_keypoints as write_keypoints
    from epitool.io.labels_h5 import read_labels as read_labels
    from epitool.io.labels_h5 import write_labels as write_labels
    from epitool.io.predictions import read_predictions as read_predictions
    from epitool.labels import Labels as Labels
    from epitool.pose import Keypoints as Keypoints
    from epitool.pose import Poses as Poses

# OpenCV reads this when it is loaded. It then refuses small files that would unpack to a huge image.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))
# PyTorch's OpenMP threads read this when they are loaded. They then wait actively for 30 times less long than they do
# by default, which costs other work on the machine less, and training where there is such work.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

_HOME = {
    "Camera": "camera", "Rig": "camera", "Keypoints": "pose", "Poses": "pose", "Labels": "labels",
    "calibrate": "geometry.calibration.calibrate", "make_labels": "geometry.triangulation.labels",
    "triangulate": "geometry.triangulation.triangulate",
    "read_rig": "io.cameras", "write_rig": "io.cameras", "read_keypoints": "io.keypoints_h5",
    "read_labels": "io.labels_h5", "write_keypoints": "io.keypoints_h5", "write_labels": "io.labels_h5",
    "read_predictions": "io.predictions",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'epitool' has no attribute '{name}'")
    return getattr(importlib.import_module(f"epitool.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*_HOME, "__version__"]
