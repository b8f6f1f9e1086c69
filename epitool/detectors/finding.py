"""What a detector is asked: who is in an image, in a part of it, and who is seen best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from epitool.images import Image
from epitool.pose import People
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]


class Detector(Protocol):
    """Finds the joints of the people in an image.

    Attributes:
        name: What files and remarks call it.
        skeleton: Its J joints.
    """

    name: str
    skeleton: Skeleton

    def detect(self, image: Image) -> Sequence[Array]:
        """Joints `(P, J, 2)` px and confidence `(P, J)` of P people in an RGB image, the surest person first.

        A joint that is not seen is NaN with confidence 0. Confidence is on the detector's own scale: only its order
        counts. A detector that also tells depth adds joints in space, as `People.xyz`. One that finds no more than one
        person may leave out the axis of people, NaN standing for nobody.
        """
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
