"""Crops of the people in an image, in which BlazePose's second network then finds their joints."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.detectors.blazepose_graphs import MOST_PEOPLE, network_of_crops
from epitool.images import Image

Array = NDArray[np.float64]
PART = 512  # px, side of the part of an image around a person; a crop lies in it however turned
_COPIED = 7000  # px, most of a part's side that are copied, 150 MB; a person who fills 3840 x 2160 px has less
_SAME_CROP = 0.15  # of the side: crops of somebody large lie 0.06 apart in the median, of somebody small from 0.2 on
_TIMES = 3  # how often a crop is found anew at most
_MIDDLE = 0.25  # of the part's side: farther from its middle, a crop found anew is another person's
_SHARES = 2, 3  # of the longer side: parts in which people are looked for
_SMALLEST = 100  # px: side of the smallest of them


class Part(NamedTuple):
    """A square part of an image at another size, with a person in it.

    Attributes:
        image: The part, `PART` px wide and high.
        crop: mediapipe's rectangle in it.
        corner: Where it begins in the whole image, `(2,)` px from the corner of the first pixel.
        side: Its width and height in the whole image, px.
        whole: Width and height of the whole image, `(2,)` px.
    """

    image: Image
    crop: Any
    corner: Array
    side: int
    whole: NDArray[np.int64]

    def to_whole(self, crop: Any) -> Any:
        """Return a crop in the part as it is in the whole image."""
        middle = self.corner + self.side * np.array([crop.x_center, crop.y_center])
        return _crop_at(crop, middle, self.side * crop.width, self.whole)


class Crops:
    """Finder of the crops of people in an image."""

    def __init__(self) -> None:
        """Start the network, and wait until its threads have said all that they say."""
        self._network = network_of_crops()
        self._in(np.zeros((64, 64, 3), dtype=np.uint8))

    def of_everyone(self, image: Image, before: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the crop of everyone in an image, and crops to try if they do not show as many people.

        The network brings what it sees to 224 x 224 px. Somebody who is small in the image fills few of them, so that
        their crop is a rough one, and is found anew in the part of the image around them. Those who are smaller still
        vanish, and are to be found in parts of the image.

        Args:
            image: RGB image.
            before: Crops that follow from where people were seen in the image before. Somebody whose crop is there is
                not looked for anew.
        """
        size = np.array(image.shape[1::-1])
        crops = self._in(image)
        known = [any(_same(crop, one, size) for one in before) for crop in crops]
        best = [crop if there else self._anew(image, crop)[0] for crop, there in zip(crops, known)]
        return best, [crop for crop, anew in zip(crops, best) if anew is not crop]

    def in_parts(self, image: Image) -> Iterator[list[Any]]:
        """Yield the crops of people found in square parts of half the image's longer side, then in those of a third.

        They are those that are found again in the part around them: what is found in a part by mistake, as often where
        nobody is to be seen, hardly ever is.
        """
        for side in (max(image.shape[:2]) // share for share in _SHARES):
            if side >= _SMALLEST:
                yield self._in_squares(image, side)

    def _in_squares(self, image: Image, side: int) -> list[Any]:
        size, found = np.array(image.shape[1::-1]), list[Any]()
        for left, top in itertools.product(*(_starts(length, side) for length in size.tolist())):
            part = np.ascontiguousarray(image[top : top + side, left : left + side])
            extent = np.array(part.shape[1::-1])
            for crop in self._in(part):
                middle = np.array([left, top]) + extent * (crop.x_center, crop.y_center)
                anew, again = self._anew(image, _crop_at(crop, middle, float(extent[0] * crop.width), size))
                if again and not any(_same(anew, one, size) for one in found):
                    found.append(anew)
        return found[:MOST_PEOPLE]

    def _anew(self, image: Image, crop: Any) -> tuple[Any, bool]:
        """Return a crop as it is found in the part of the image around it, and whether one is found there.

        It is returned as it is if it is found where it was, or if nobody is found in the middle of the part. Otherwise
        the one that is found is looked for anew in turn, up to three times in all.
        """
        for _ in range(_TIMES):
            part = part_around(image, crop)
            found = self._in(part.image)
            apart = [np.hypot(one.x_center - part.crop.x_center, one.y_center - part.crop.y_center) for one in found]
            if not found or min(apart) > _MIDDLE:
                return crop, False
            nearest = found[int(np.argmin(apart))]
            if _same(part.crop, nearest, np.full(2, PART)):
                break
            crop = part.to_whole(nearest)
        return crop, True

    def _in(self, image: Image) -> list[Any]:
        return list(self._network.process(image).crops or ())


def part_around(image: Image, crop: Any) -> Part:
    """Return the square part of an image in which a crop lies however it is turned; black beyond the image's edge."""
    whole = np.array(image.shape[1::-1])
    middle, width = whole * (crop.x_center, crop.y_center), float(whole[0] * crop.width)
    reach = max(int(np.ceil(width / np.sqrt(2.0))), 1)
    step = -(-2 * reach // _COPIED)  # of so large a part every second, third, ... pixel is enough
    reach = step * -(-reach // step)
    corner = np.floor(middle).astype(int) - reach
    beyond = np.maximum(-(corner // step), 0)  # pixels of the part before the image begins
    (left, top), (right, bottom) = corner + step * beyond, np.maximum(corner + 2 * reach, 0)
    inside = image[top:bottom:step, left:right:step]
    part = np.zeros((2 * reach // step, 2 * reach // step, 3), dtype=np.uint8)
    part[beyond[1] :, beyond[0] :][: inside.shape[0], : inside.shape[1]] = inside
    part = np.asarray(cv2.resize(part, (PART, PART), interpolation=cv2.INTER_LINEAR), np.uint8)  # as mediapipe does
    return Part(part, _crop_at(crop, middle - corner, width, np.full(2, 2 * reach)), corner, 2 * reach, whole)


def _same(crop: Any, other: Any, size: NDArray[np.integer[Any]]) -> bool:
    """Return whether two crops in an image of a certain size have their corners at the same places."""
    (middle, side), (other_middle, other_side) = (
        (complex(one.x_center * size[0], one.y_center * size[1]), one.width * size[0] * np.exp(1j * one.rotation))
        for one in (crop, other)
    )
    apart = np.hypot(abs(other_middle - middle), abs(other_side - side) / np.sqrt(2.0))
    return bool(apart < _SAME_CROP * abs(side))


def _crop_at(crop: Any, middle: Array, side: float, size: NDArray[np.integer[Any]]) -> Any:
    """Return mediapipe's rectangle for a square turned as a crop is, in an image of a certain width and height."""
    (x, y), (width, height) = middle / size, side / size
    return type(crop)(x_center=x, y_center=y, width=width, height=height, rotation=crop.rotation)


def _starts(length: int, side: int) -> list[int]:
    """Return where parts of a side begin that cover a length and overlap by half or more."""
    count = max(-(-2 * length // side) - 1, 1)
    return [(length - side) * k // max(count - 1, 1) for k in range(count)] if length > side else [0]
