"""Joints of people in single images: from a detector, in the image and its mirror image, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import counted
from epitool.detectors.finding import Detector, Follower, looks_in_box
from epitool.errors import InputError
from epitool.images import Image
from epitool.names import image_key
from epitool.nn.times import Times
from epitool.pose import BOX_MARGIN, Keypoints, People, square_boxes
from epitool.skeleton import Skeleton
from epitool.stages.shared.following import Following

_SAME_PERSON = 0.25  # largest distance, in box sides, between the centres of one person in both looks
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Seen:
    """The joints of one person in each of N images, in L looks at it.

    Attributes:
        xy: Joints in pixels `(N, L, J, 2)`; NaN where not seen.
        confidence: Confidence of the joints `(N, L, J)`.
        xyz: A detector's own 3D joints `(N, L, J, 3)`, as in `pose.People`; NaN where there are none.
        skeleton: Skeleton of the joints.
        sides_known: In which images left and right are known to be right, `(N,)`; None if in none.
    """

    xy: Array
    confidence: Array
    xyz: Array
    skeleton: Skeleton
    sides_known: NDArray[np.bool_] | None = None

    def boxes(self, margin: float = BOX_MARGIN) -> Array:
        """Return square boxes around the joints of the first look, `(N, 4)` px; NaN where nobody is seen."""
        return square_boxes(self.xy[:, 0], margin)


class Looking(Protocol):
    """An object that finds the person in images, one after the other.

    Attributes:
        source: Origin of the boxes and joints, in words.
        image_size: (width, height) of the images, `(N, 2)`; 0 where an image was not processed.
        crowded: Numbers of the images that show several people.
    """

    source: str
    image_size: NDArray[np.int64]
    crowded: list[int]

    @property
    def found(self) -> Seen | None:
        """The joints found so far in the images; None for implementations that find no joints."""
        ...

    def __call__(self, i: int, image: Image) -> Array:
        """Return the person's square box [x, y, side, side] in image number `i`, px; NaN if nobody is seen."""
        ...


class DetectorLooks:
    """A `Looking` that runs a detector on every image and on its mirror image, in which its errors differ.

    A detector that can looks at each person with all that is around them hidden, and takes a turned look as well. Of
    several people the one seen best is taken, and followed through a video.
    """

    def __init__(
        self, detectors: tuple[Detector, Detector], times: Times, box: Array | None, margin: float,
        following: Following | None = None,
    ) -> None:  # fmt: skip
        """Take two detectors of the same kind, one for the image and one for the mirror, because they run in parallel.

        Args:
            detectors: Detectors of the joints.
            times: When the images were taken.
            box: Box of the person in all images, px; None for anywhere.
            margin: Margin of the boxes around the joints.
            following: What was seen before these images, in a stream.
        """
        self._detectors, self._margin = detectors, margin
        self._box = np.full(4, np.nan) if box is None else box
        body, images = detectors[0].skeleton, len(times.sequence)
        shape = (images, 4 if isinstance(detectors[0], Follower) else 2, len(body))
        self.found = Seen(np.full((*shape, 2), np.nan), np.zeros(shape), np.full((*shape, 3), np.nan), body)
        self.source = f"detector {detectors[0].name}"
        self.image_size = np.zeros((images, 2), dtype=np.int64)
        self.crowded: list[int] = []
        self._beside = ThreadPoolExecutor(1)
        self._times, self._following = times, following or Following(body.flip_order)

    def __call__(self, i: int, image: Image) -> Array:
        """Detect in the image and in its mirror image; return the box around the joints of the first look."""
        straight, mirror = self._detectors
        self._following.begin(self._times.at(i))
        before = self._following.before
        mirrored = self._beside.submit(_looks_at_mirror, mirror, image, self._box, before[1])
        self.image_size[i] = image.shape[1], image.shape[0]
        (people, *more), here = looks_in_box(straight, image, self._box, before[0], alone=True, turned=True)
        (others, *more_others), here_mirrored = mirrored.result()
        self._following.before = here, here_mirrored
        if len(people.xy) > 1:
            self.crowded.append(i)
        boxes = square_boxes(_mask_outside(people.xy, people.confidence, self.image_size[i]), self._margin)
        which = self._following.choose(people.xy, boxes[:, 2])
        if which is None:
            return np.full(4, np.nan)
        self._keep(i, 0, people, which)
        box = boxes[which]
        for look, found in enumerate((others, *more, *more_others), start=1):
            same = _nearest(found.xy, people.xy[which], _SAME_PERSON * box[2])
            if same is not None:
                self._keep(i, look, found, same)
        return box

    def _keep(self, i: int, look: int, people: People, which: int) -> None:
        self.found.xy[i, look], self.found.confidence[i, look] = people.xy[which], people.confidence[which]
        if people.xyz is not None:
            self.found.xyz[i, look] = people.xyz[which]


def _mask_outside(xy: Array, confidence: Array, size: NDArray[np.int64]) -> Array:
    """Return joints `(P, J, 2)` with NaN for those outside the image of (width, height), where detectors only guess.

    The box of the person does not depend on confidence, whose scale differs from detector to detector.
    """
    inside = ((xy >= -0.5) & (xy <= size - 0.5)).all(axis=-1) & (confidence > 0)
    return np.where(inside[..., None], xy, np.nan)


def _looks_at_mirror(detector: Detector, image: Image, box: Array, before: Any) -> tuple[list[People], Any]:
    """Return the people found in the mirror image, mirrored back, and whom to follow there."""
    across = np.array([image.shape[1] - 1 - box[0] - box[2], *box[1:]])
    mirror = np.asarray(cv2.flip(image, 1), np.uint8)
    looks, followed = looks_in_box(detector, mirror, across, before, alone=True, turned=True)
    return [_mirrored_back(people, image.shape[1], detector.skeleton.flip_order) for people in looks], followed


def _mirrored_back(people: People, width: int, order: NDArray[np.intp]) -> People:
    xy = people.xy[:, order]
    xy = np.stack([width - 1 - xy[..., 0], xy[..., 1]], axis=-1)
    xyz = None if people.xyz is None else people.xyz[:, order] * _MIRROR
    return people._replace(xy=xy, confidence=people.confidence[:, order], xyz=xyz)


def _nearest(people: Array, person: Array, reach: float) -> int | None:
    """Return which of the people `(P, J, 2)` has the centre nearest to a person's `(J, 2)`; None if beyond reach.

    Centres are compared because the two looks may confuse left and right, which leaves the centre unchanged.
    """
    apart = np.array([np.linalg.norm(np.nanmean(other, axis=0) - np.nanmean(person, axis=0)) for other in people])
    best = int(apart.argmin()) if len(apart) else -1
    return best if best >= 0 and apart[best] <= reach else None


class FileLooks:
    """A `Looking` with one look: the joints that `keypoints.h5` or `labels.h5` holds for every image.

    In frames that have a pose in space, the views have told left from right together.
    """

    def __init__(self, names: Sequence[str], file: Path, margin: float) -> None:
        """Read the file.

        Raises:
            InputError: The file cannot be read, or lacks an image.
        """
        keypoints, known = _stored(file)
        place = {image_key(name): i for i, name in enumerate(keypoints.image_names.ravel().tolist()) if name}
        strange = [name for name in names if image_key(name) not in place]
        if strange:
            raise InputError(f"{file}: lacks {strange[0]}, {counted(len(strange), 'image')} in all; leave out --boxes")
        rows = np.array([place[image_key(name)] for name in names], dtype=np.intp)
        f, v, j = keypoints.confidence.shape
        own = keypoints.detected_xyz if keypoints.detected_xyz.size else np.full((f, v, j, 3), np.nan)
        self.found = Seen(
            keypoints.xy.reshape(-1, 1, j, 2)[rows],
            keypoints.confidence.reshape(-1, 1, j)[rows],
            own.reshape(-1, 1, j, 3)[rows],
            keypoints.skeleton,
            None if known is None else np.repeat(known, v)[rows],
        )
        self.source, self.crowded = f"joints of {file}", list[int]()
        self.image_size = np.tile(keypoints.image_size, (f, 1))[rows]
        self._boxes = self.found.boxes(margin)

    def __call__(self, i: int, image: Image) -> Array:
        """Return the box around the joints."""
        self.image_size[i] = image.shape[1], image.shape[0]
        return self._boxes[i]


def _stored(file: Path) -> tuple[Keypoints, NDArray[np.bool_] | None]:
    """Read the joints of a file, and in which of its frames left and right are known, `(F,)`; None if in none.

    Raises:
        InputError: The file cannot be read.
    """
    from epitool.io.keypoints_h5 import read_keypoints  # these import HDF5, which the classes that detect do not need
    from epitool.io.labels_h5 import has_poses, read_labels

    if not has_poses(file):
        return read_keypoints(file), None
    labels = read_labels(file)
    return labels.keypoints, np.isfinite(labels.poses.xyz[..., 0]).any(axis=1)


class FixedBox:
    """A `Looking` without joints, whose box is the same in all images, or the whole of each image."""

    def __init__(self, count: int, box: Array | None, source: str) -> None:
        """Take the number of images, and the box [x, y, side, side] px, or None for whole images."""
        self.source, self.crowded = source, list[int]()
        self.image_size = np.zeros((count, 2), dtype=np.int64)
        self._box = box

    def __call__(self, i: int, image: Image) -> Array:
        """Return the box."""
        from epitool.nn.crops import squared

        self.image_size[i] = image.shape[1], image.shape[0]
        return squared(np.array([0.0, 0.0, image.shape[1], image.shape[0]])) if self._box is None else self._box

    @property
    def found(self) -> Seen | None:
        """None, as no joints are found."""
        return None
