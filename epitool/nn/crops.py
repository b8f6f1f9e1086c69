"""Crop that the network sees, and the volume around the person in which it answers.

Volume coordinates are scale-free. For a joint that is seen at pixel (u, v), in a square box [left, top, side, side] of
an image with focal length f, at depth Z while the root is at depth Z_root:

    x = (u - left) / side - 0.5
    y = (v - top) / side - 0.5
    z = (Z - Z_root) / Z_root * f / side / DEPTH_SPAN

A length at the root's depth is thus DEPTH_SPAN times smaller along z than along x and y, and -0.5..0.5 is a cuboid
DEPTH_SPAN boxes deep. Conversely, with the joint's ray r = ((u - cx) / f, (v - cy) / f, 1),

    Z / Z_root = 1 + z * DEPTH_SPAN * side / f        and        P = Z_root * (Z / Z_root) * r,

where the distortion of a known lens is removed from (u, v) first, because the network sees distorted images. One image
thus gives the pose up to the factor Z_root. One of three rules fixes it: the person's bone lengths, known from
training; the length L of the box's side at the root's depth, for crops that were cut that way, as
Z_root = L * f / side; or the depth of the root itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous, inverses, median_known
from epitool.camera import Array, undistort_pixels
from epitool.images import Image
from epitool.pose import BOX_MARGIN
from epitool.skeleton import Skeleton

DEPTH_SPAN = 2.0


@dataclass(frozen=True)
class CropConvention:
    """How a network's crops and volume coordinates relate to the image and the person.

    Attributes:
        margin: Side of the box over the extent of the joints in it.
        depth_span: Length of -0.5..0.5 along z, in sides of the box.
        box_size: Length of the box's side at the root's depth, in the network's unit; None if it follows from the bone
            lengths.
    """

    margin: float = BOX_MARGIN
    depth_span: float = DEPTH_SPAN
    box_size: float | None = None


STANDARD_CROPS = CropConvention()
# The authors' release crops a square of 2000 mm at the root's depth, and its z spans the same length. For a standing or
# walking person with the bones of Human3.6M's universal skeleton that is 1.2 times the joints' extent (docs/models.md).
RELEASED_CROPS = CropConvention(margin=1.2, depth_span=1.0, box_size=2000.0)


def labels_to_volume(
    in_cameras: Array, pixels: Array, K: Array, boxes: Array, skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the volume coordinates of poses in every view.

    Args:
        in_cameras: Poses in every camera's axes `(F, V, J, 3)`.
        pixels: Pixels at which the cameras see them `(F, V, J, 2)`.
        K: Intrinsics `(F, V, 3, 3)`.
        boxes: Square boxes `(F, V, 4)` px.
        skeleton: Skeleton of the joints, which gives the root.

    Returns:
        Coordinates x, y, z `(F, V, J, 3)`, and whether they are known and inside the volume `(F, V, J)`.
    """
    depth = in_cameras[..., 2]
    root_depth = depth[..., skeleton.root, None]
    side = boxes[..., None, 2]
    focal = (K[..., 0, 0] + K[..., 1, 1])[..., None] / 2
    xy = (pixels - boxes[..., None, :2]) / side[..., None] - 0.5
    z = (depth / root_depth - 1) * focal / side / DEPTH_SPAN
    volume = np.concatenate([xy, z[..., None]], axis=-1)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(volume) <= 0.5).all(axis=-1)
    return np.where(inside[..., None], volume, 0).astype(np.float32), inside


def volume_to_pose(
    volume: Array,
    boxes: Array,
    K: Array,
    bone_lengths: Array,
    skeleton: Skeleton,
    convention: CropConvention = STANDARD_CROPS,
    root_depth: Array | float | None = None,
    lenses: Array | None = None,
) -> tuple[Array, Array]:
    """Return the poses for volume coordinates.

    Args:
        volume: Coordinates x, y, z `(N, J, 3)`.
        boxes: Square boxes `(N, 4)` px.
        K: Intrinsics `(N, 3, 3)` or `(3, 3)`.
        bone_lengths: Lengths of `bones(skeleton)`, in the wanted unit, NaN where unknown. They fix the scale if neither
            `root_depth` nor the convention does.
        skeleton: Skeleton of the joints.
        convention: Convention of the crops. Its `box_size` fixes the scale if there is no `root_depth`.
        root_depth: Distance of the root along the optical axis `(N,)`, in the wanted unit; it fixes the scale.
        lenses: OpenCV's distortion coefficients `(N, D)`; None where they are not known.

    Returns:
        Root-relative joints in the camera's axes `(N, J, 3)`, NaN where nothing fixes the scale; and their pixels
        `(N, J, 2)`.
    """
    side = boxes[:, None, 2]
    xy = (volume[..., :2] + 0.5) * side[..., None] + boxes[:, None, :2]
    focal = (K[..., 0, 0] + K[..., 1, 1])[..., None] / 2
    # A joint cannot lie behind the camera, whatever an untrained network answers.
    relative_depth = np.maximum(1 + volume[..., 2] * convention.depth_span * side / focal, 0.05)
    seen = xy if lenses is None else _without_lens(xy, K, lenses)
    rays = homogeneous(seen) @ np.swapaxes(inverses(K), -1, -2)
    up_to_scale = rays * relative_depth[..., None]
    if root_depth is not None:
        scale = np.broadcast_to(root_depth, len(volume))
    elif convention.box_size is not None:
        scale = convention.box_size * (focal / side)[:, 0]
    else:
        known = np.isfinite(bone_lengths).any()
        size = np.nansum(bone_lengths) if known else np.nan
        scale = size / _body_size(up_to_scale, bone_lengths, skeleton)
    return (up_to_scale - up_to_scale[:, [skeleton.root]]) * scale[:, None, None], xy


def _without_lens(xy: Array, K: Array, lenses: Array) -> Array:
    each = np.broadcast_to(K, (len(xy), 3, 3))
    return np.array([undistort_pixels(*one) for one in zip(xy, each, lenses)]).reshape(xy.shape)


def bones(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Return the pairs of joints whose distances tell the size of a person.

    They are the skeleton's bones, or pairs of the root with each other joint if it has none.
    """
    spokes = tuple((skeleton.root, j) for j in range(len(skeleton)) if j != skeleton.root)
    return skeleton.bones or spokes


def median_bone_lengths(xyz: Array, skeleton: Skeleton) -> Array:
    """Return the median length `(B,)` of each of the `bones` over frames `(F, J, 3)`; NaN for bones never seen."""
    return median_known(_lengths(xyz, skeleton), axis=0)


def _lengths(xyz: Array, skeleton: Skeleton) -> Array:
    start, end = np.array(bones(skeleton)).T
    return np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1)


def _body_size(xyz: Array, bone_lengths: Array, skeleton: Skeleton) -> Array:
    return np.maximum(_lengths(xyz, skeleton)[:, np.isfinite(bone_lengths)].sum(axis=1), 1e-9)


def squared(box: Array) -> Array:
    """Return the smallest squares around boxes [x, y, width, height] `(..., 4)`.

    >>> squared(np.array([0.0, 0.0, 640.0, 480.0])).tolist()
    [0.0, -80.0, 640.0, 640.0]
    """
    side = np.maximum(box[..., 2:3], box[..., 3:4])
    corner = box[..., :2] + (box[..., 2:] - side) / 2
    return np.concatenate([corner, side, side], axis=-1)


def enlarged(box: Array, factor: float) -> Array:
    """Scale boxes `(..., 4)` by a factor about their centres."""
    size = box[..., 2:] * factor
    return np.concatenate([box[..., :2] + (box[..., 2:] - size) / 2, size], axis=-1)


def crop_image(image: Image, box: Array, size: int) -> Image:
    """Crop the square box of an image to `(size, size, 3)`; it is black beyond the image's border.

    Pixel i of the crop shows the image at `left + i * side / size`, so a crop's corner is -0.5 in the volume.
    """
    left, top, side = float(box[0]), float(box[1]), float(box[2])
    scale = size / side
    to_crop = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    if scale < 0.5:  # bilinear sampling would skip pixels, so the image is first reduced by area averaging
        height, width = image.shape[:2]
        small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
        zoom = np.array([width / small_size[0], height / small_size[1]])
        # Pixel i of the reduced image is centred at zoom * i + (zoom - 1) / 2 of the original.
        to_crop[:, 2] += to_crop[[0, 1], [0, 1]] * (zoom - 1) / 2
        to_crop[:, :2] *= zoom
        image = small  # type: ignore[assignment]
    return cv2.warpAffine(image, to_crop, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]
