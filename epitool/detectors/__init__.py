"""Frozen 2D joint detectors: RGB image in, joints of the people in it out.

A detector has a `name`, a `skeleton`, and `detect(image) -> (xy (P, J, 2) px, confidence (P, J))`: P people, the
surest first. One that finds no more than one may leave out the axis of people, NaN standing for nobody.
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
    """Finds the joints of the people in an image."""

    name: str
    skeleton: Skeleton

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Joints `(P, J, 2)` px and confidence `(P, J)` of the people in an RGB image, the surest first."""
        ...


def people_found(detector: Detector, image: Image) -> tuple[Array, Array]:
    """Joints `(P, J, 2)` px and confidence `(P, J)` of all people that a detector finds, the surest first."""
    xy, confidence = detector.detect(image)
    joints = len(detector.skeleton)
    xy, confidence = xy.reshape(-1, joints, 2), confidence.reshape(-1, joints)
    found = np.isfinite(xy).any(axis=(1, 2))
    return xy[found], confidence[found]


def people_in_box(detector: Detector, image: Image, box: Array) -> tuple[Array, Array]:
    """As `people_found`, in the part of the image that lies in a box [x, y, width, height]; in all of it for NaN."""
    if not np.isfinite(box).all():
        return people_found(detector, image)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width, height]).tolist()
    right, bottom = np.clip(np.ceil(box[:2] + box[2:]).astype(int), 0, [width, height]).tolist()
    if right <= left or bottom <= top:
        joints = len(detector.skeleton)
        return np.empty((0, joints, 2)), np.empty((0, joints))
    xy, confidence = people_found(detector, np.ascontiguousarray(image[top:bottom, left:right]))
    return xy + np.array([left, top]), confidence


def person_found(detector: Detector, image: Image) -> tuple[Array, Array]:
    """Joints `(J, 2)` px and confidence `(J,)` of the surest person; NaN and 0 where nobody is found."""
    xy, confidence = people_found(detector, image)
    if not len(xy):
        return np.full(xy.shape[1:], np.nan), np.zeros(confidence.shape[1])
    return xy[0], confidence[0]


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
