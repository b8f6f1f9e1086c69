"""Detector interface, and detection in a whole image, in a part of it, and of the best-seen person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from epitool.images import Image
from epitool.pose import People
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]


class Detector(Protocol):
    """Detector of the joints of the people in an image.

    Attributes:
        name: Name in files and messages.
        skeleton: Skeleton of its J joints.
    """

    name: str
    skeleton: Skeleton

    def detect(self, image: Image) -> Sequence[Array]:
        """Return joints `(P, J, 2)` px and confidence `(P, J)` of P people in an RGB image, the most confident first.

        A joint that is not seen is NaN with confidence 0. Confidence is on the detector's own scale: only its order
        counts. A detector that also finds depth adds joints in space, as `People.xyz`. One that finds at most one
        person may leave out the axis of people, with NaN for nobody.
        """
        ...


@runtime_checkable
class Follower(Detector, Protocol):
    """Detector that also looks for people where they were in the image before, and at each of them alone."""

    def follow(self, image: Image, before: Any, alone: bool, turned: bool) -> tuple[Sequence[Sequence[Array]], Any]:
        """Return one look or more, each as `detect` returns it, and whom to follow from here.

        Args:
            image: RGB image.
            before: Whom to follow, as returned for the image before; None in a first image.
            alone: Whether to hide what is around each person.
            turned: Whether to take a second look, at each person alone and turned, in which the detector errs in
                another way. It is for answering one person: nobody need be looked for behind those who are found.
        """
        ...


def people_found(detector: Detector, image: Image) -> People:
    """Return all people that a detector finds, the most confident first."""
    return _people(detector.detect(image), len(detector.skeleton))


def _people(found: Sequence[Array], joints: int) -> People:
    xy, confidence, *own = found
    xy, confidence = xy.reshape(-1, joints, 2), confidence.reshape(-1, joints)
    there = np.isfinite(xy).any(axis=(1, 2))
    return People(xy[there], confidence[there], own[0].reshape(-1, joints, 3)[there] if own else None)


def looks_in_box(
    detector: Detector, image: Image, box: Array, before: Any, alone: bool, turned: bool
) -> tuple[list[People], Any]:
    """Return the people in the part of an image that lies in a box, in one look or more, and whom to follow from here.

    In each look the most confident come first.

    Args:
        detector: The detector.
        image: RGB image.
        box: Box [x, y, width, height], px; NaN for the whole image.
        before: Whom to follow, as returned for the image before and the same box; None in a first image, and for
            detectors that cannot.
        alone: Whether to hide what is around each person, likewise.
        turned: Whether to take a turned look as well, likewise.
    """
    part, corner = _in_box(image, box)
    if not part.size:
        return [_nobody(detector)], None
    found: Sequence[Sequence[Array]]
    if isinstance(detector, Follower):
        found, followed = detector.follow(part, before, alone, turned)
    else:
        found, followed = [detector.detect(part)], before
    looks = [_people(one, len(detector.skeleton)) for one in found]
    return [people._replace(xy=people.xy + corner) for people in looks], followed


def _in_box(image: Image, box: Array) -> tuple[Image, Array]:
    """Return the part of an image that lies in a box, and the place `(2,)` of its first pixel."""
    if not np.isfinite(box).all():
        return image, np.zeros(2)
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width, height]).tolist()
    right, bottom = np.clip(np.ceil(box[:2] + box[2:]).astype(int), 0, [width, height]).tolist()
    return np.ascontiguousarray(image[top:bottom, left:right]), np.array([left, top])


def _nobody(detector: Detector) -> People:
    joints = len(detector.skeleton)
    return People(np.empty((0, joints, 2)), np.empty((0, joints)))
