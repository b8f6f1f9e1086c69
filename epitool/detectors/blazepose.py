"""BlazePose of everyone in an image, through mediapipe, whose wheel carries the weights (extra `[mediapipe]`).

Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, CVPR workshops 2020.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.console import stream_redirected
from epitool.detectors.blazepose_graphs import MOST_PEOPLE, network_of_crops, network_of_joints
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_silence = threading.RLock()
_SAME_PERSON = 0.25  # of the larger extent, between middles of trunks: found twice, under 0.2; two people, from 0.3
_TRUNK = ("shoulder", "hip")
_TURN = -20.0  # degrees, of the crop of the turned look; in the mirror image that is the other way
_PART = 384  # px, side of the part of the image that further looks are taken at; the crop, in any turn, lies in it
_SHOWN, _AROUND = 0.2, 7  # least value of the mask where the person is shown, and px around it that are shown as well
_GREY = 110
_LED_ASTRAY = 0.05  # of the extent: mean motion of the joints, when all else becomes grey, that tells they were others'


class _Person(NamedTuple):
    """A person in an image, and the crop in which to look for them in the next one.

    Attributes:
        xy: Joints `(33, 2)` px.
        visibility: Visibility `(33,)`.
        xyz: Joints in space `(33, 3)` mm.
        crop: mediapipe's rectangle in which they were found.
        next_crop: The rectangle for the next image.
        mask: Where the person is in the image, `(H, W)`, from 0 to 1; None if the network was not asked.
    """

    xy: Array
    visibility: Array
    xyz: Array
    crop: Any
    next_crop: Any
    mask: NDArray[np.float32] | None = None


class _Part(NamedTuple):
    """A square part of an image at another size.

    Attributes:
        image: The part.
        crop: mediapipe's rectangle in it.
        scale: Its pixels over those of the whole image.
        corner: Place of its first pixel in the whole image, `(2,)` px.
    """

    image: Image
    crop: Any
    scale: float
    corner: Array

    def to_whole(self, person: _Person) -> _Person:
        """Return a person found in the part where they are in the whole image."""
        return person._replace(xy=person.xy / self.scale + self.corner)


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Hide mediapipe's C++ start-up messages, which no setting turns off, from the terminal."""
    with _silence, open(os.devnull, "w") as nowhere, stream_redirected(2, nowhere.fileno()):  # noqa: PTH123
        yield


class BlazePose:
    """Detector of several people per image, 33 joints; confidence is the network's visibility.

    One network finds boxes of people, and another one the joints in each box. In images that come in order of time,
    people whose box is missed are looked for where they were in the image before.
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu") -> None:
        """Start the networks, always on the CPU."""
        self.skeleton = skeleton("blazepose33")
        self._trunk, self._limbs = (
            [self.skeleton.index(f"{side}_{name}") for side in ("left", "right") for name in names]
            for names in (_TRUNK, (*_TRUNK, "knee", "ankle", "elbow", "wrist"))
        )
        with _native_stderr_silenced():
            self._crops, self._joints = network_of_crops(), network_of_joints()
            nobody, everywhere = np.zeros((64, 64, 3), dtype=np.uint8), _whole_image()
            # An answer comes after all that the networks' threads say as they start.
            self._crops.process(nobody)
            self._joints.process({"image": nobody, "crop": everywhere})

    def detect(self, image: Image) -> tuple[Array, Array, Array]:
        """Return joints `(P, 33, 2)` px, visibility `(P, 33)` and joints in space `(P, 33, 3)` mm."""
        return self.follow(image, ())[0]

    def follow(self, image: Image, before: Sequence[_Person]) -> tuple[tuple[Array, Array, Array], list[_Person]]:
        """Return what `detect` does, with people who were found in the image before; and what the next image needs.

        Those whose boxes are found come first, exactly as `detect` finds them. The others are followed until the second
        network no longer takes what it sees for a person, or sees somebody who is found already.
        """
        image, people = np.ascontiguousarray(image), list[_Person]()
        for crop in self._crops.process(image).crops or ():
            _add(self._seen(image, crop), people, self._trunk)
        for person in before:
            if len(people) < MOST_PEOPLE and not found_among(person.xy, [one.xy for one in people], self._trunk):
                _add(self._seen(image, person.next_crop), people, self._trunk)
        return self._joined(people), people

    def look_again(self, image: Image, people: Sequence[_Person], turned: bool) -> list[tuple[Array, Array, Array]]:
        """Return what `detect` does, of people found in this image, where all that is around each becomes grey.

        Where that moves their joints, they were partly somebody else's, and those found in grey surroundings are taken.
        The turned look is at the crop turned: a crop is turned with a body that leans, and in a turned crop the network
        may take left for right. Without it exchanged sides do not count as moved: in a video, the images before and
        after tell them.
        """
        first, second = list[_Person](), list[_Person]()
        for person in people:
            part, alone = self._alone(_part_around(image, person.crop), sides_count=turned)
            _add(alone or person, first, self._trunk)
            if turned:
                _add(self._seen_in_part(part, _TURN), second, self._trunk)
        return [self._joined(look) for look in ((first, second) if turned else (first,))]

    def _alone(self, part: _Part, sides_count: bool) -> tuple[_Part, _Person | None]:
        """Return the part with all but the person grey, and the person found there; None if their joints stay.

        Args:
            part: The part.
            sides_count: Whether joints whose sides are exchanged have moved.
        """
        seen = self._shown(part)
        # mediapipe's mask and the frame that holds it refer to each other, so that only the collector frees them.
        gc.collect(1)
        if seen is None:
            return part, None
        joints, shown = seen
        part = part._replace(image=np.where(shown[..., None], part.image, np.uint8(_GREY)))
        before, after = joints[self._limbs], self._seen_in_part(part)
        if after is None:
            return part, None
        sides = [after.xy] if sides_count else [after.xy, after.xy[self.skeleton.flip_order]]
        moved = min(np.linalg.norm(xy[self._limbs] - before, axis=-1).mean() for xy in sides)
        return part, after if moved > _LED_ASTRAY * np.ptp(before, axis=0).max() else None

    def _shown(self, part: _Part) -> tuple[Array, NDArray[np.bool_]] | None:
        """Return a person's joints in the image, and which pixels of the part show them; None if nobody is seen."""
        as_is = self._seen(part.image, part.crop, self._masks)
        if as_is is None or as_is.mask is None:
            return None
        return part.to_whole(as_is).xy, cv2.dilate(as_is.mask, np.ones((_AROUND, _AROUND))) > _SHOWN

    @cached_property
    def _masks(self) -> Any:
        """The second network, which also says where the person is in the image."""
        with _native_stderr_silenced():
            network = network_of_joints(masked=True)
            network.process({"image": np.zeros((64, 64, 3), dtype=np.uint8), "crop": _whole_image()})
            return network

    def _joined(self, people: Sequence[_Person]) -> tuple[Array, Array, Array]:
        joints = len(self.skeleton)
        xy = np.array([person.xy for person in people]).reshape(-1, joints, 2)
        visibility = np.array([person.visibility for person in people]).reshape(-1, joints)
        return xy, visibility, np.array([person.xyz for person in people]).reshape(-1, joints, 3)

    def _seen(self, image: Image, crop: Any, network: Any = None) -> _Person | None:
        """Return the person in a crop; None if there is none."""
        seen = (network or self._joints).process({"image": image, "crop": crop})
        if seen.joints is None:
            return None
        height, width = image.shape[:2]
        # mediapipe measures from the corner of the image, we measure from the centre of the first pixel
        xy = np.array([(joint.x * width, joint.y * height) for joint in seen.joints.landmark]) - 0.5
        visibility = np.array([joint.visibility for joint in seen.joints.landmark])
        xyz = 1000.0 * np.array([(joint.x, joint.y, joint.z) for joint in seen.joints_in_space.landmark])
        return _Person(xy, visibility, xyz, crop, seen.next_crop, getattr(seen, "mask", None))

    def _seen_in_part(self, part: _Part, degrees: float = 0.0) -> _Person | None:
        """Return the person in the crop of a part, turned by some degrees, where they are in the whole image."""
        crop = type(part.crop)()
        crop.CopyFrom(part.crop)
        crop.rotation += np.radians(degrees)
        seen = self._seen(part.image, crop)
        return None if seen is None else part.to_whole(seen)


def _add(person: _Person | None, people: list[_Person], trunk: Sequence[int]) -> None:
    """Add a person who is not among the people yet."""
    if person is not None and not found_among(person.xy, [one.xy for one in people], trunk):
        people.append(person)


def _part_around(image: Image, crop: Any) -> _Part:
    """Return the square part of an image in which a crop lies however it is turned; black beyond the image's edge."""
    height, width = image.shape[:2]
    side, middle = crop.width * width, np.array([crop.x_center * width, crop.y_center * height])
    reach = max(int(np.ceil(side / np.sqrt(2.0))), 1)
    left, top = np.floor(middle).astype(int) - reach
    inside = image[max(top, 0) : max(top + 2 * reach, 0), max(left, 0) : max(left + 2 * reach, 0)]
    part = np.zeros((2 * reach, 2 * reach, 3), dtype=np.uint8)
    part[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]] = inside
    scale = _PART / (2 * reach)
    sized = cv2.resize(part, (_PART, _PART), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (middle - (left, top)) / (2 * reach)
    share = side / (2 * reach)
    there = type(crop)(x_center=x, y_center=y, width=share, height=share, rotation=crop.rotation)
    return _Part(np.asarray(sized, np.uint8), there, scale, np.array([left, top]) + 0.5 / scale - 0.5)


def found_among(xy: Array, people: Sequence[Array], trunk: Sequence[int]) -> bool:
    """Return whether the trunk of a person `(J, 2)` is where that of one of the people is.

    Boxes that hardly overlap may show the second network the same person, perhaps upside down.
    """
    middle, extent = xy[trunk].mean(axis=0), np.ptp(xy, axis=0).max()
    return any(
        np.linalg.norm(middle - one[trunk].mean(axis=0)) <= _SAME_PERSON * max(extent, np.ptp(one, axis=0).max())
        for one in people
    )


def _whole_image() -> Any:
    from mediapipe.framework.formats.rect_pb2 import NormalizedRect

    return NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0)
