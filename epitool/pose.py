"""Keypoints, poses and predictions: what the commands hand to each other. Missing is NaN with confidence 0.

Axes: F frames, V views, J joints. Arrays are read-only; joints are matched by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.camera import frozen_array
from epitool.errors import InputError
from epitool.skeleton import Skeleton, convert_joints

Array = NDArray[np.float64]
BOX_MARGIN = 1.25  # of the joints' extent, as the paper's MPII crops
_SIZED = 500  # images that a person's usual size is taken from
_TRIMMED, _OF_BOX = 0.1, 1.8  # share of joints left out at either end, and what then makes up for it
_OF_FRAMES = ("xy", "confidence", "frames", "images", "take_of", "detected_xyz")


class People(NamedTuple):
    """The P people that a detector, or another program, has found in one image.

    Attributes:
        xy: Joints in pixels `(P, J, 2)`; NaN where missing.
        confidence: `(P, J)`, 0 where missing; a higher one is surer, on whatever scale.
        xyz: What the detector itself takes their joints in space to be, `(P, J, 3)`: mm from the middle of the hips,
            x right, y down, z away from a camera that looks straight at the person. None where it says nothing.
    """

    xy: Array
    confidence: Array
    xyz: Array | None = None


@dataclass(frozen=True, eq=False)
class Keypoints:
    """2D joints of one person in every view and frame.

    Attributes:
        xy: Pixels `(F, V, J, 2)`; NaN where missing.
        confidence: `(F, V, J)`, 0 where missing; a higher one is surer, on whatever scale.
        frames: Frame numbers `(F,)`, strictly increasing.
        views: Names of the V views.
        images: Where each image is, `(F, V)` strings: a path, or `video.mp4#frame`; "" where there is none.
        image_size: (width, height) per view, `(V, 2)`; 0 where a view's images differ.
        skeleton: Names and order of the joints.
        take_of: The number of the take that each frame belongs to, `(F,)`; 0 of all where it is left out.
        split: How many frames are for training, and how many for training and choosing together, in that order; the
            rest is for the test. None where nothing but their order parts them.
        detected_xyz: The detector's own 3D joints `(F, V, J, 3)`, as `People.xyz`; NaN where it says nothing, or
            took left for right. Empty, `(0,)`, where it never says any.
    """

    xy: Array
    confidence: Array
    frames: NDArray[np.int64]
    views: tuple[str, ...]
    images: NDArray[np.str_]
    image_size: NDArray[np.int64]
    skeleton: Skeleton
    take_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    split: tuple[int, int] | None = None
    detected_xyz: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        f, v, j = len(self.frames), len(self.views), len(self.skeleton)
        if self.detected_xyz.size:
            set_field(self, "detected_xyz", frozen_array(self.detected_xyz, (f, v, j, 3), "detected_xyz"))
        xy = frozen_array(self.xy, (f, v, j, 2), "xy")
        confidence = np.nan_to_num(frozen_array(self.confidence, (f, v, j), "confidence"), nan=0.0)
        seen = np.isfinite(xy[..., 0]) & np.isfinite(xy[..., 1]) & (confidence != 0)
        set_field(self, "xy", frozen_array(np.where(seen[..., None], xy, np.nan), xy.shape, "xy"))
        set_field(self, "confidence", frozen_array(np.where(seen, confidence, 0.0), (f, v, j), "confidence"))
        set_field(self, "frames", frozen_array(self.frames, (f,), "frames", np.int64))
        set_field(self, "views", tuple(self.views))
        set_field(self, "images", frozen_array(self.images, (f, v), "images", np.str_))
        set_field(self, "image_size", frozen_array(self.image_size, (v, 2), "image_size", np.int64))
        take_of = self.take_of if self.take_of.size else np.zeros(f, dtype=np.int64)
        set_field(self, "take_of", frozen_array(take_of, (f,), "take_of", np.int64))
        if (np.diff(self.frames) <= 0).any():
            raise ValueError("frames are not strictly increasing")
        if len(set(self.views)) < v:
            raise ValueError(f"two views have the same name: {', '.join(self.views)}")

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which joints are there, `(F, V, J)`: how far they are to be believed, only the whole recording tells."""
        return np.isfinite(self.xy[..., 0])

    def boxes(self, margin: float = BOX_MARGIN) -> Array:
        """Square box [x, y, width, height] around the joints, `(F, V, 4)`; NaN with fewer than two of them."""
        return square_boxes(self.xy, margin)

    def without_unsure(self, least: float | None) -> Keypoints:
        """The same without joints of a lower confidence than this; None leaves out none."""
        if least is None:
            return self
        return replace(self, xy=np.where((self.confidence >= least)[..., None], self.xy, np.nan))

    def select_views(self, views: Sequence[str]) -> Keypoints:
        """These views only, in this order.

        Raises:
            InputError: One of them is not there.
        """
        missing = [view for view in views if view not in self.views]
        if missing:
            raise InputError(f"no keypoints of view {', '.join(missing)}; there are {', '.join(self.views)}")
        order = [self.views.index(view) for view in views]
        return replace(
            self,
            xy=self.xy[:, order],
            confidence=self.confidence[:, order],
            views=tuple(views),
            images=self.images[:, order],
            image_size=self.image_size[order],
            detected_xyz=self.detected_xyz[:, order] if self.detected_xyz.size else self.detected_xyz,
        )

    def select_frames(self, chosen: NDArray[np.intp]) -> Keypoints:
        """The frames at these increasing indices `(n,)` only."""
        chosen_of = {name: getattr(self, name) for name in _OF_FRAMES}
        return replace(self, **{name: values[chosen] if values.size else values for name, values in chosen_of.items()})

    def convert(self, skeleton: Skeleton) -> Keypoints:
        """The same keypoints as joints of another skeleton."""
        xy, confidence = convert_joints(self.xy, self.confidence, self.skeleton, skeleton)
        xyz = self.detected_xyz
        if xyz.size:
            xyz, _ = convert_joints(xyz, self.confidence, self.skeleton, skeleton)
        return replace(self, xy=xy, confidence=confidence, skeleton=skeleton, detected_xyz=xyz)

    def with_swaps(self, swapped: NDArray[np.bool_]) -> Keypoints:
        """Left and right joints exchanged in the views and frames given, `(F, V)`.

        A detector that takes left for right there takes a back for a front, or a near side for a far one. Its depths
        are those of another pose, neither as they stand nor reversed, so its own 3D joints are left out.
        """
        order = self.skeleton.flip_order
        own = self.detected_xyz
        return replace(
            self,
            xy=flip_joints(self.xy, swapped, order),
            confidence=flip_joints(self.confidence, swapped, order),
            detected_xyz=np.where(swapped[..., None, None], np.nan, own) if own.size else own,
        )


def flip_joints(values: Array, swapped: NDArray[np.bool_], order: NDArray[np.intp]) -> Array:
    """Values of joints `(F, V, J, ...)`, in the views and frames `(F, V)` given in another order of the joints."""
    flipped = values.copy()
    flipped[swapped] = values[swapped][:, order]
    return flipped


def join_keypoints(parts: Sequence[Keypoints]) -> Keypoints:
    """The keypoints of successive frames of one recording as one."""
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_FRAMES}
    return replace(parts[0], **together)


def square_boxes(xy: Array, margin: float = BOX_MARGIN) -> Array:
    """Square boxes [x, y, width, height] `(..., 4)` around joints `(..., J, 2)`, `margin` times their extent.

    >>> square_boxes(np.array([[10.0, 0.0], [10.0, 80.0], [np.nan, np.nan]])).tolist()
    [-40.0, -10.0, 100.0, 100.0]
    """
    counted = np.isfinite(xy[..., 0]).sum(axis=-1) >= 2
    low = np.where(np.isnan(xy), np.inf, xy).min(axis=-2)
    high = np.where(np.isnan(xy), -np.inf, xy).max(axis=-2)
    with np.errstate(invalid="ignore"):
        side = (high - low).max(axis=-1) * margin
        corner = (low + high) / 2 - side[..., None] / 2
    boxes = np.concatenate([corner, side[..., None], side[..., None]], axis=-1)
    return np.where((counted & (side > 0))[..., None], boxes, np.nan)


def usual_side(xy: Array) -> float:
    """About the usual side of the box around a person of joints `(..., J, 2)`, whatever a tenth of them do; px.

    Of up to a few hundred images, evenly spread; NaN where none of them shows two joints.
    """
    images = xy.reshape(-1, *xy.shape[-2:])
    images = images[:: max(len(images) // _SIZED, 1)]
    count = np.isfinite(images[..., 0]).sum(axis=-1)
    images, count = np.sort(images[count >= 2], axis=1), count[count >= 2]  # NaN come last
    if not len(images):
        return np.nan
    low, high = (np.rint(share * (count - 1)).astype(int) for share in (_TRIMMED, 1 - _TRIMMED))
    rows = np.arange(len(images))
    return _OF_BOX * float(np.median((images[rows, high] - images[rows, low]).max(axis=-1)))


@dataclass(frozen=True, eq=False)
class Poses:
    """3D joints of one person over time.

    Attributes:
        xyz: `(F, J, 3)`; NaN where missing.
        confidence: `(F, J)`.
        frames: Frame numbers `(F,)`.
        skeleton: Names and order of the joints.
        unit: "mm" or "arbitrary".
        space: "world", "camera" or "root".
    """

    xyz: Array
    confidence: Array
    frames: NDArray[np.int64]
    skeleton: Skeleton
    unit: str
    space: str

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        f, j = len(self.frames), len(self.skeleton)
        set_field(self, "xyz", frozen_array(self.xyz, (f, j, 3), "xyz"))
        confidence = frozen_array(self.confidence, (f, j), "confidence")
        confidence = np.where(np.isfinite(self.xyz).all(axis=-1), np.nan_to_num(confidence), 0.0)
        set_field(self, "confidence", frozen_array(confidence, (f, j), "confidence"))
        set_field(self, "frames", frozen_array(self.frames, (f,), "frames", np.int64))
        if self.unit not in ("mm", "arbitrary") or self.space not in ("world", "camera", "root"):
            raise ValueError(f"poses with unit '{self.unit}' in space '{self.space}'")

    def convert(self, skeleton: Skeleton) -> Poses:
        """The same poses as joints of another skeleton."""
        xyz, confidence = convert_joints(self.xyz, self.confidence, self.skeleton, skeleton)
        return replace(self, xyz=xyz, confidence=confidence, skeleton=skeleton)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Poses that a network saw in N single images.

    Attributes:
        images: Where each image is, `(N,)`: a path, or `video.mp4#frame`.
        boxes: [x, y, width, height] px that the network looked at, `(N, 4)`.
        joints_3d: Root-relative, camera axes, `(N, J, 3)`.
        joints_2d: Pixels of the image, `(N, J, 2)`.
        confidence: `(N, J)`.
        skeleton: Names and order of the joints.
        unit: "mm" or "arbitrary".
        provenance: Plain values: the model, where boxes came from, how depth and scale were fixed, `recording_id`.
    """

    images: tuple[str, ...]
    boxes: Array
    joints_3d: Array
    joints_2d: Array
    confidence: Array
    skeleton: Skeleton
    unit: str
    provenance: dict[str, str]

    def __post_init__(self) -> None:
        n, j = len(self.images), len(self.skeleton)
        shapes = {"boxes": (n, 4), "joints_3d": (n, j, 3), "joints_2d": (n, j, 2), "confidence": (n, j)}
        for name, shape in shapes.items():
            object.__setattr__(self, name, frozen_array(getattr(self, name), shape, name))


def midline(xy: Array, skeleton: Skeleton) -> Array:
    """Joints `(..., J, D)` that have no mirror image, and the middle of each pair that does, `(..., M, D)`.

    They hold for either reading of left and right.
    """
    paired = {joint for pair in skeleton.flip_pairs for joint in pair}
    single = [xy[..., j, :] for j in range(len(skeleton)) if j not in paired]
    middle = [(xy[..., left, :] + xy[..., right, :]) / 2 for left, right in skeleton.flip_pairs]
    return np.stack(single + middle, axis=-2)
