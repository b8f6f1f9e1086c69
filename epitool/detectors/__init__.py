"""Frozen 2D joint detectors: RGB image in, joints of one person out.

A detector has a `name`, a `skeleton`, and `detect(image) -> (xy (J, 2) px, confidence (J,))`; NaN: nobody found.
"""

from __future__ import annotations

import importlib.util
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from epitool.errors import UsageError
from epitool.images import Image
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
BUILT_IN = ("mediapipe", "keypointrcnn")
HOW_TO_GET_ONE = (
    "install one with `pip install 'epitool[mediapipe]'` (Python up to 3.12), or choose --detector keypointrcnn"
    " or a checkpoint of your own"
)


class Detector(Protocol):
    """Finds the joints of the most prominent person in an image."""

    name: str
    skeleton: Skeleton

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Joints `(J, 2)` px and confidence `(J,)` in an RGB image; NaN and 0 where nobody is found."""
        ...


def default_detector() -> str | None:
    """Name of the detector that is used when none is asked for, None where it is not installed."""
    return "mediapipe" if importlib.util.find_spec("mediapipe") else None


def open_detector(name: str | None, device: str = "cpu") -> Detector:
    """Opens a built-in detector; None stands for the default.

    Raises:
        UsageError: It is unknown or not installed.
    """
    name = name or default_detector()
    if name is None:
        raise UsageError(f"no 2D detector is installed; {HOW_TO_GET_ONE}")
    if name == "mediapipe":
        from epitool.detectors.blazepose import BlazePose

        return BlazePose()
    if name == "keypointrcnn":
        from epitool.detectors.keypointrcnn import KeypointRCNN

        return KeypointRCNN(device)
    raise UsageError(f"no detector is named '{name}'; known are {', '.join(BUILT_IN)} and paths of checkpoints (.pt)")
