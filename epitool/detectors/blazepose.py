"""BlazePose of everyone in an image, through mediapipe, whose wheel carries the weights (extra `[mediapipe]`).

Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, CVPR workshops 2020.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.console import stream_redirected
from epitool.detectors.blazepose_crops import PART, Crops, Part, part_around
from epitool.detectors.blazepose_graphs import MOST_PEOPLE, network_of_joints
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_silence = threading.RLock()
_FAR = 30_000  # px: no joint is farther, so that lines can be drawn
_SAME_PERSON = 0.25  # of the larger extent, between middles of trunks: found twice, under 0.2; two people, from 0.3
_TRUNK = ("shoulder", "hip")
_TURN = -20.0  # degrees, of the crop of the turned look; in the mirror image that is the other way
_SHOWN, _AROUND = 0.2, 7  # least value of the mask where the person is shown, and px around it that are shown as well
_GREY = 110
_LED_ASTRAY = 0.05  # of the extent: mean motion of the joints, when all else becomes grey, that tells they were others'
_STAYS = 0.04  # of the extent: mean motion of joints in a second look; 95% of people under 0.03, nobody from 0.05 on
_REST = 4  # images of a video in which nobody else is looked for, after one that showed nobody else
_LIMB = 0.1  # of the extent: width of the lines that paint limbs over


class _Person(NamedTuple):
    """A person in an image, and the crop in which to look for them in the next one.

    Attributes:
        xy: Joints `(33, 2)` px.
        visibility: Visibility `(33,)`.
        xyz: Joints in space `(33, 3)` mm.
        next_crop: mediapipe's rectangle for the next image.
        alone: The part of the image around them with all else grey; None if nothing was made grey.
    """

    xy: Array
    visibility: Array
    xyz: Array
    next_crop: Any
    alone: Part | None = None


_See = Callable[[Image, Any], _Person | None]  # how to look at a crop of an image


class _Followed(NamedTuple):
    """What one image of a video says to the next one.

    Attributes:
        people: Those who are looked for where they were.
        rest: In how many images nobody else is looked for.
    """

    people: Sequence[_Person] = ()
    rest: int = 0


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
            self._crops, self._joints = Crops(), network_of_joints()
            # An answer comes after all that the network's threads say as they start.
            self._joints.process({"image": np.zeros((64, 64, 3), dtype=np.uint8), "crop": _whole_image()})

    def detect(self, image: Image) -> tuple[Array, Array, Array]:
        """Return mediapipe's joints `(P, 33, 2)` px, visibility `(P, 33)` and joints in space `(P, 33, 3)` mm."""
        ((look,), _) = self.follow(image, None, alone=False, turned=False)
        return look

    def follow(
        self, image: Image, before: _Followed | None, alone: bool, turned: bool
    ) -> tuple[list[tuple[Array, Array, Array]], _Followed]:
        """Return what `detect` does, with people who were found in the image before; and what the next image needs.

        Those whose boxes are found come first. The others are followed until the second network no longer takes what it
        sees for a person, or sees somebody who is found already.

        Alone, all that is around each person becomes grey. Where that moves their joints, they were partly somebody
        else's, and those found in grey surroundings are taken. The turned look is at the crop turned: a crop is turned
        with a body that leans, and in a turned crop the network may take left for right. Without it exchanged sides do
        not count as moved: other views tell them. With it nobody is looked for behind those who are found: it is for
        answering one person.
        """
        see = self._seen_and_hidden if alone else self._seen
        here = self._everyone(image, before or _Followed(), see, behind=not turned)
        if not alone:
            return [self._joined(here.people)], here
        first, second = list[_Person](), list[_Person]()
        for person, part in [(person, person.alone) for person in here.people if person.alone]:
            _add(self._alone(person, part, sides_count=turned), first, self._trunk)
            if turned:
                _add(self._seen_in_part(part, _TURN), second, self._trunk)
        return [self._joined(look) for look in ((first, second) if turned else (first,))], here

    def _everyone(self, image: Image, before: _Followed, see: _See, behind: bool) -> _Followed:
        """Return those who are seen in the crops of an image, and then those who are seen where they were before.

        The first of crops that were found anew are tried last. Then others are looked for; in a video that goes on to
        show nobody else, in one image of a few.
        """
        image, people = np.ascontiguousarray(image), list[_Person]()
        crops, others = self._crops.of_everyone(image, [person.next_crop for person in before.people])
        for crop in crops:
            _add(see(image, crop), people, self._trunk)
        for person in before.people:
            if len(people) < MOST_PEOPLE and not found_among(person.xy, [one.xy for one in people], self._trunk):
                _add(see(image, person.next_crop), people, self._trunk)
        for crop in others:
            if len(people) < len(crops):
                _add(see(image, crop), people, self._trunk)
        if people and not behind:
            return _Followed(people)
        if before.rest:
            lost = before.people and not people
            return _Followed(people, 0 if lost else before.rest - 1)
        more = self._behind(image, people, see) if people else self._small(image, see)
        return _Followed([*people, *more], 0 if more else _REST)

    def _behind(self, image: Image, people: Sequence[_Person], see: _See) -> list[_Person]:
        """Return those who are found once all people who are seen are painted over: the first network merges people."""
        everyone, painted = list(people), self._painted_over(image, people)
        for crop in self._crops.of_everyone(painted, ())[0]:
            if len(everyone) < MOST_PEOPLE:
                _add(self._seen_twice(painted, crop, see), everyone, self._trunk)
        return everyone[len(people) :]

    def _painted_over(self, image: Image, people: Sequence[_Person]) -> Image:
        """Return an image with people in grey: their limbs as thick lines, and the hull of head and trunk."""
        painted = image.copy()
        for person in people:
            xy = np.round(person.xy).clip(-_FAR, _FAR).astype(np.int32)
            width = max(int(_LIMB * np.ptp(xy, axis=0).max()), 1)
            bones = [xy[[joint, parent]] for joint, parent in enumerate(self.skeleton.parents) if parent >= 0]
            cv2.polylines(painted, bones, False, (_GREY,) * 3, width)
            cv2.fillPoly(painted, [cv2.convexHull(xy[[self.skeleton.root, *self._trunk]])], (_GREY,) * 3)
        return painted

    def _small(self, image: Image, see: _See) -> list[_Person]:
        """Return those who are seen in crops that are found in parts of an image."""
        people = list[_Person]()
        for crops in self._crops.in_parts(image):
            for crop in crops:
                _add(self._seen_twice(image, crop, see), people, self._trunk)
            if people:
                break
        return people

    def _seen_twice(self, image: Image, crop: Any, see: _See) -> _Person | None:
        """Return the person in a crop if they stay where they are; None if there is none.

        In the crop that follows from their joints people have these joints again, and anything else has others.
        """
        person = see(image, crop)
        if person is None:
            return None
        again = self._seen(image, person.next_crop)
        return person if again is not None and self._moved(person, again) < _STAYS else None

    def _alone(self, person: _Person, part: Part, sides_count: bool) -> _Person:
        """Return a person as found with all else grey; as they are, if that leaves their joints where they were.

        Args:
            person: The person.
            part: The part around them with all else grey.
            sides_count: Whether joints whose sides are exchanged have moved.
        """
        after = self._seen_in_part(part)
        if after is None:
            return person
        exchanged = after._replace(xy=after.xy[self.skeleton.flip_order])
        moved = min(self._moved(person, one) for one in ((after,) if sides_count else (after, exchanged)))
        return after if moved > _LED_ASTRAY else person

    def _moved(self, person: _Person, after: _Person) -> float:
        """Return how far trunk and limbs are from where they were, on average, as a share of their extent."""
        before = person.xy[self._limbs]
        return float(np.linalg.norm(after.xy[self._limbs] - before, axis=-1).mean() / np.ptp(before, axis=0).max())

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

    def _seen(self, image: Image, crop: Any) -> _Person | None:
        """Return the person in a crop; None if there is none."""
        return _person(self._joints.process({"image": image, "crop": crop}), image)

    def _seen_and_hidden(self, image: Image, crop: Any) -> _Person | None:
        """Return the person in a crop, with what hides all else; None if there is none."""
        part = part_around(image, crop)
        found = self._masks.process({"image": part.image, "crop": part.crop})
        person = _person(found, part.image)
        # mediapipe's answer is a class, which only the collector frees: it shall not hold the mask until then
        mask, found.mask = found.mask, None
        if person is None:
            return None
        shown = cv2.dilate(mask, np.ones((_AROUND, _AROUND))) > _SHOWN
        grey = np.full_like(part.image, _GREY)
        alone = part._replace(image=np.asarray(cv2.copyTo(part.image, shown.astype(np.uint8), grey)))
        return _in_whole(person, part)._replace(alone=alone)

    def _seen_in_part(self, part: Part, degrees: float = 0.0) -> _Person | None:
        """Return the person in the crop of a part, turned by some degrees, where they are in the whole image."""
        crop = type(part.crop)()
        crop.CopyFrom(part.crop)
        crop.rotation += np.radians(degrees)
        person = self._seen(part.image, crop)
        return None if person is None else _in_whole(person, part)


def _person(found: Any, image: Image) -> _Person | None:
    """Return the person whom the second network has found in an image; None if there is none."""
    if found.joints is None:
        return None
    height, width = image.shape[:2]
    # mediapipe measures from the corner of the image, we measure from the centre of the first pixel
    xy = np.array([(joint.x * width, joint.y * height) for joint in found.joints.landmark]) - 0.5
    visibility = np.array([joint.visibility for joint in found.joints.landmark])
    xyz = 1000.0 * np.array([(joint.x, joint.y, joint.z) for joint in found.joints_in_space.landmark])
    return _Person(xy, visibility, xyz, found.next_crop)


def _add(person: _Person | None, people: list[_Person], trunk: Sequence[int]) -> None:
    """Add a person who is not among the people yet."""
    if person is not None and not found_among(person.xy, [one.xy for one in people], trunk):
        people.append(person)


def _in_whole(person: _Person, part: Part) -> _Person:
    """Return a person found in a part of an image as they are in the whole image."""
    xy = (person.xy + 0.5) * (part.side / PART) + part.corner - 0.5
    return person._replace(xy=xy, next_crop=part.to_whole(person.next_crop))


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
