"""Poses drawn onto images, and images side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.files import writing
from epitool.images import Image
from epitool.pose import MIN_CONFIDENCE
from epitool.skeleton import Skeleton
from epitool.viz.colors import SIDE_COLORS, Color, bone_side, joint_side

Array = NDArray[np.float64]
WHITE: Color = (255, 255, 255)
SUBPIXEL_BITS = 4
GAP = 4  # px between tiles


def draw_pose(
    image: Image, xy: Array, skeleton: Skeleton, confidence: Array | None = None, box: Array | None = None
) -> Image:
    """A copy of an RGB image with a pose drawn on it: left blue, right orange, middle green.

    Args:
        image: RGB `(height, width, 3)`.
        xy: Joints `(J, 2)` px; those that are NaN are left out, with their bones.
        skeleton: Names the joints and joins them.
        confidence: `(J,)`; joints under the limit for "seen" are left out too.
        box: [x, y, width, height] px, drawn as a rectangle.

    Returns:
        RGB image of the same size. Lines are as thick as suits the image's size.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 250))
    seen = np.isfinite(xy).all(axis=-1) & (np.abs(np.nan_to_num(xy)) < 2**15).all(axis=-1)  # cv2's coordinates overflow
    if confidence is not None:
        seen &= confidence >= MIN_CONFIDENCE
    if box is not None and np.isfinite(box).all():
        _rectangle(canvas, box, thickness)
    for bone in skeleton.bones:
        if seen[list(bone)].all():
            _line(canvas, xy[list(bone)], SIDE_COLORS[bone_side(skeleton, bone)], thickness)
    for j in np.flatnonzero(seen):
        _dot(canvas, xy[j], SIDE_COLORS[joint_side(skeleton.joints[j])], thickness)
    return canvas


def save_image(path: Path, image: Image) -> None:
    """Writes an RGB image as PNG, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with writing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_video(path: Path, images: Iterable[Image], fps: float) -> int:
    """Writes RGB images of one size as an MP4, whole or not at all; returns how many.

    Raises:
        InputError: It cannot be written.
    """
    count, writer = 0, None
    with writing(path) as temporary:
        for image in images:
            height, width = (side - side % 2 for side in image.shape[:2])  # which video formats want even
            if writer is None:
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(temporary), codec, fps, (width, height))
                if not writer.isOpened():
                    raise InputError(f"{path}: OpenCV was built without a codec for MP4")
            writer.write(cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2BGR))
            count += 1
        if writer is not None:
            writer.release()
    return count


def tile(images: Sequence[Image], columns: int) -> Image:
    """RGB images in rows of `columns`, each scaled to the first one's size and kept in proportion, on white."""
    if not images:
        raise ValueError("no images to tile")
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        fitted = _fit(image, width, height)
        y, x = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return sheet


def shrunk(image: Image, longest: int) -> Image:
    """An image whose longer side is at most so many px."""
    scale = min(longest / max(image.shape[:2]), 1.0)
    return _fit(image, round(image.shape[1] * scale), round(image.shape[0] * scale))


def _fit(image: Image, width: int, height: int) -> Image:
    scale = min(width / image.shape[1], height / image.shape[0])
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _fixed_point(xy: Array) -> tuple[int, int]:
    x, y = np.round(xy * 2**SUBPIXEL_BITS).astype(int).tolist()
    return x, y


def _line(canvas: Image, ends: Array, color: Color, thickness: int) -> None:
    start, end = (_fixed_point(point) for point in ends)
    cv2.line(canvas, start, end, WHITE, thickness + 2, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.line(canvas, start, end, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(canvas: Image, xy: Array, color: Color, thickness: int) -> None:
    radius = (thickness + 1) << SUBPIXEL_BITS
    cv2.circle(canvas, _fixed_point(xy), radius, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(canvas, _fixed_point(xy), radius, WHITE, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _rectangle(canvas: Image, box: Array, thickness: int) -> None:
    corner, opposite = np.array(box[:2], dtype=float), np.array(box[:2] + box[2:], dtype=float)
    cv2.rectangle(canvas, _fixed_point(corner), _fixed_point(opposite), WHITE, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
