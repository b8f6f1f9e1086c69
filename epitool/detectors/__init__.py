"""Frozen 2D joint detectors: RGB image in, joints of the people in it out.

A detector has a `name`, a `skeleton`, and `detect(image) -> (xy (P, J, 2) px, confidence (P, J))`: P people, the
surest first. One that also tells depth adds their joints in space, as `People.xyz`. One that finds no more than one
may leave out the axis of people, NaN standing for nobody.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from epitool.errors import UsageError
from epitool.images import Image
from epitool.pose import People
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

    def detect(self, image: Image) -> Sequence[Array]:
        """Joints `(P, J, 2)` px, confidence `(P, J)` and perhaps joints in space of the people in an RGB image."""
        ...


def people_found(detector: Detector, image: Image) -> People:
    """All people that a detector finds, the surest first."""
    xy, confidence, *own = detector.detect(image)
    joints = len(detector.skeleton)
    xy, confidence = xy.reshape(-1, joints, 2), confidence.reshape(-1, joints)
    found = np.isfinite(xy).any(axis=(1, 2))
    return People(xy[found], confidence[found], own[0].reshape(-1, joints, 3)[found] if own else None)


def people_in_box(detector: Detector, image: Image, box: Array) -> People:
    """As `people_found`, in the part of the image that lies in a box [x, y, width, height]; in all of it for NaN."""
    if not np.isfinite(box).all():
        return people_found(detector, image)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width, height]).tolist()
    right, bottom = np.clip(np.ceil(box[:2] + box[2:]).astype(int), 0, [width, height]).tolist()
    if right <= left or bottom <= top:
        joints = len(detector.skeleton)
        return People(np.empty((0, joints, 2)), np.empty((0, joints)))
    found = people_found(detector, np.ascontiguousarray(image[top:bottom, left:right]))
    return found._replace(xy=found.xy + np.array([left, top]))


def person_found(detector: Detector, image: Image) -> tuple[Array, Array, Array]:
    """The surest person: joints `(J, 2)` px, confidence `(J,)`, joints in space `(J, 3)`, as of `People`.

    NaN and 0 where nobody is found, or nothing is said of depth.
    """
    xy, confidence, xyz = people_found(detector, image)
    joints = len(detector.skeleton)
    nobody, no_depth = (np.full((joints, 2), np.nan), np.zeros(joints)), np.full((joints, 3), np.nan)
    return (xy[0], confidence[0], no_depth if xyz is None else xyz[0]) if len(xy) else (*nobody, no_depth)


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
