"""Keypoints, poses and predictions, which the commands pass to each other.

Axes: F frames, V views, J joints. A missing joint is NaN with confidence 0. Arrays are read-only; joints are matched by
name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array
from epitool.console import named
from epitool.errors import InputError
from epitool.names import images_or_frames
from epitool.skeleton import Skeleton, convert_joints

Array = NDArray[np.float64]
BOX_MARGIN = 1.25  # times the joints' extent, as in the paper's MPII crops
_SIZED = 500  # most images from which a person's usual size is estimated
_TRIMMED, _OF_BOX = 0.1, 1.8  # share of joints trimmed at either end, and the factor that compensates for it
_OF_FRAMES = ("xy", "confidence", "frames", "images", "take_of", "detected_xyz")


class People(NamedTuple):
    """P people that a detector or another program found in one image.

    Attributes:
        xy: Joints in pixels `(P, J, 2)`; NaN where missing.
        confidence: Confidence `(P, J)`, 0 where missing. Higher is more certain; the scale is the detector's.
        xyz: 3D joints that the detector itself estimates, `(P, J, 3)`: mm from the middle of the hips, x right, y down,
            z away from a camera that looks straight at the person. None if the detector gives no 3D joints.
    """

    xy: Array
    confidence: Array
    xyz: Array | None = None


@dataclass(frozen=True, eq=False)
class Keypoints:
    """2D joints of one person in every frame and view.

    Attributes:
        xy: Pixels `(F, V, J, 2)`; NaN where missing.
        confidence: Confidence `(F, V, J)`, 0 where missing. Higher is more certain; the scale is the detector's.
        frames: Frame numbers `(F,)`, strictly increasing.
        views: Names of the V views.
        images: Image names `(F, V)`: a path or `video.mp4#frame`; "" where there is no image.
        image_size: (width, height) per view, `(V, 2)`; 0 for a view whose images differ in size.
        skeleton: Names and order of the joints.
        take_of: Number of the take that each frame belongs to, `(F,)`; zeros by default.
        split: Number of training frames, and number of training and validation frames together. Training frames come
            first, then validation frames, then test frames. None if the recording does not state a split.
        detected_xyz: The detector's own 3D joints `(F, V, J, 3)`, as in `People.xyz`; NaN where it gives none or where
            it exchanged left and right. Empty, `(0,)`, if the detector gives no 3D joints at all.
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
    def first_image(self) -> str:
        """Name of the first image that has one; "" if none has."""
        return next((name for name in self.images.ravel().tolist() if name), "")

    @property
    def image_names(self) -> NDArray[np.str_]:
        """Names of the images `(F, V)`; `view:cam1#7` if no image has a name, as where joints came without images."""
        return images_or_frames(self.images, self.frames, self.views)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Whether each joint is present, `(F, V, J)`, whatever its confidence.

        How reliable a joint is can only be judged from the whole recording.
        """
        return np.isfinite(self.xy[..., 0])

    def boxes(self, margin: float = BOX_MARGIN) -> Array:
        """Return square boxes [x, y, width, height] around the joints, `(F, V, 4)`; NaN with fewer than two joints."""
        return square_boxes(self.xy, margin)

    def without_unsure(self, least: float | None) -> Keypoints:
        """Return the keypoints without joints whose confidence is below `least`; None keeps all joints."""
        if least is None:
            return self
        return replace(self, xy=np.where((self.confidence >= least)[..., None], self.xy, np.nan))

    def select_views(self, views: Sequence[str]) -> Keypoints:
        """Return the keypoints of the named views, in the given order.

        Raises:
            InputError: One of the views does not exist.
        """
        missing = [view for view in views if view not in self.views]
        if missing:
            raise InputError(f"no keypoints of {named('view', missing)}; there are {', '.join(self.views)}")
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
        """Return the keypoints of the frames at increasing indices `(n,)`; `split` stays that of the recording."""
        chosen_of = {name: getattr(self, name) for name in _OF_FRAMES}
        return replace(self, **{name: values[chosen] if values.size else values for name, values in chosen_of.items()})

    def convert(self, skeleton: Skeleton) -> Keypoints:
        """Return the same keypoints as joints of another skeleton."""
        xy, confidence = convert_joints(self.xy, self.confidence, self.skeleton, skeleton)
        xyz = self.detected_xyz
        if xyz.size:
            xyz, _ = convert_joints(xyz, self.confidence, self.skeleton, skeleton)
        return replace(self, xy=xy, confidence=confidence, skeleton=skeleton, detected_xyz=xyz)

    def with_swaps(self, swapped: NDArray[np.bool_]) -> Keypoints:
        """Exchange left and right joints in the frames and views where `swapped` `(F, V)` is true.

        A detector that exchanges left and right has mistaken the back for the front, or the near side for the far
        side. Its depths then belong to a different pose and are valid neither as they are nor reversed, so its own
        3D joints become NaN there.
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
    """Reorder the joints of `values` `(F, V, J, ...)` by `order` where `swapped` `(F, V)` is true."""
    flipped = values.copy()
    flipped[swapped] = values[swapped][:, order]
    return flipped


def join_keypoints(parts: Sequence[Keypoints]) -> Keypoints:
    """Concatenate the keypoints of successive parts of one recording."""
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_FRAMES}
    return replace(parts[0], **together)


def square_boxes(xy: Array, margin: float = BOX_MARGIN) -> Array:
    """Return square boxes [x, y, width, height] `(..., 4)` around joints `(..., J, 2)`, `margin` times their extent.

    A box is NaN if fewer than two joints are present.

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
    """Estimate the usual side of the box around a person from joints `(..., J, 2)`, in px.

    The lowest and highest tenth of each person's joints are ignored, so that outliers do not matter. The estimate is
    the median over up to a few hundred evenly spread images; NaN if none of them shows two joints.
    """
    images = xy.reshape(-1, *xy.shape[-2:])
    images = images[:: max(len(images) // _SIZED, 1)]
    count = np.isfinite(images[..., 0]).sum(axis=-1)
    images, count = np.sort(images[count >= 2], axis=1), count[count >= 2]  # NaN are sorted to the end
    if not len(images):
        return np.nan
    low, high = (np.rint(share * (count - 1)).astype(int) for share in (_TRIMMED, 1 - _TRIMMED))
    rows = np.arange(len(images))
    return _OF_BOX * float(np.median((images[rows, high] - images[rows, low]).max(axis=-1)))


@dataclass(frozen=True, eq=False)
class Poses:
    """3D joints of one person over time.

    Attributes:
        xyz: Joints `(F, J, 3)`; NaN where missing.
        confidence: Confidence `(F, J)`; 0 where missing.
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
        """Return the same poses as joints of another skeleton."""
        xyz, confidence = convert_joints(self.xyz, self.confidence, self.skeleton, skeleton)
        return replace(self, xyz=xyz, confidence=confidence, skeleton=skeleton)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Poses that a network estimated from N single images.

    Attributes:
        images: Image names, `(N,)`: a path or `video.mp4#frame`.
        boxes: Input boxes of the network, [x, y, width, height] px, `(N, 4)`.
        joints_3d: 3D joints relative to the root, in camera axes, `(N, J, 3)`.
        joints_2d: 2D joints in pixels of the image, `(N, J, 2)`.
        confidence: Confidence `(N, J)`.
        skeleton: Names and order of the joints.
        unit: "mm" or "arbitrary".
        provenance: Plain values: the model, the source of the boxes, how depth and scale were fixed, `recording_id`.
        facing: How sure it is which way the person faces, `(N,)`, up to 1; by default NaN, not known.
    """

    images: tuple[str, ...]
    boxes: Array
    joints_3d: Array
    joints_2d: Array
    confidence: Array
    skeleton: Skeleton
    unit: str
    provenance: dict[str, str]
    facing: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n, j = len(self.images), len(self.skeleton)
        object.__setattr__(self, "facing", self.facing if self.facing.size else np.full(n, np.nan))
        shapes = {"boxes": (n, 4), "joints_3d": (n, j, 3), "joints_2d": (n, j, 2), "confidence": (n, j), "facing": (n,)}
        for name, shape in shapes.items():
            object.__setattr__(self, name, frozen_array(getattr(self, name), shape, name))


def midline(xy: Array, skeleton: Skeleton) -> Array:
    """Return the unpaired joints of `(..., J, D)` and the midpoint of each left/right pair, `(..., M, D)`.

    These points do not change when left and right are exchanged.
    """
    paired = {joint for pair in skeleton.flip_pairs for joint in pair}
    single = [xy[..., j, :] for j in range(len(skeleton)) if j not in paired]
    middle = [(xy[..., left, :] + xy[..., right, :]) / 2 for left, right in skeleton.flip_pairs]
    return np.stack(single + middle, axis=-2)
