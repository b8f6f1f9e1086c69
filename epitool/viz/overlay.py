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
from epitool.skeleton import Skeleton
from epitool.viz.colors import PEOPLE_COLORS, SIDE_COLORS, Color, bone_side, joint_side

Array = NDArray[np.float64]
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
SUBPIXEL_BITS = 4
GAP = 4  # px between tiles
_MARK = b"epitool.video/1"  # in a box of MP4 that players pass over, so that the file can be told from footage
_MADE_BY = (8 + len(_MARK)).to_bytes(4, "big") + b"free" + _MARK


def draw_pose(image: Image, xy: Array, skeleton: Skeleton, confidence: Array | None = None) -> Image:
    """A copy of an RGB image with a pose drawn on it: left blue, right orange, middle green.

    Args:
        image: RGB `(height, width, 3)`.
        xy: Joints `(J, 2)` px; those that are NaN are left out, with their bones.
        skeleton: Names the joints and joins them.
        confidence: `(J,)`; joints of which it is 0 are left out too.

    Returns:
        RGB image of the same size. Lines are as thick as suits the image's size.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 250))
    seen = _drawable(xy)
    if confidence is not None:
        seen &= confidence > 0
    for bone in skeleton.bones:
        if seen[list(bone)].all():
            _line(canvas, xy[list(bone)], SIDE_COLORS[bone_side(skeleton, bone)], thickness)
    for j in np.flatnonzero(seen):
        _dot(canvas, xy[j], SIDE_COLORS[joint_side(skeleton.joints[j])], thickness)
    return canvas


def draw_people(image: Image, people: Array, skeleton: Skeleton, numbers: NDArray[np.intp]) -> Image:
    """A copy of an RGB image with other people than the one chosen drawn on it, each in one colour.

    Args:
        image: RGB `(height, width, 3)`.
        people: Joints `(N, J, 2)` px; NaN where missing.
        skeleton: Names the joints and joins them.
        numbers: What each is called, `(N,)` from 1; the same number has the same colour.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 250))
    for joints, number in zip(people, numbers):
        color = PEOPLE_COLORS[(int(number) - 1) % len(PEOPLE_COLORS)]
        bones = [list(bone) for bone in skeleton.bones if _drawable(joints[list(bone)]).all()]
        for rim, ink in ((2, BLACK), (0, color)):
            for bone in bones:
                _line(canvas, joints[bone], ink, thickness + rim, rim=None)
    return canvas


def write_name(image: Image, text: str) -> None:
    """Writes into the upper left corner of an RGB image, in place: white with a dark rim; a letter not known is `?`."""
    plain = text.encode("ascii", "replace").decode()
    for ink, thickness in ((BLACK, 4), (WHITE, 1)):
        cv2.putText(image, plain, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.55, ink, thickness, cv2.LINE_AA)


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
        ValueError: An image has another size than the first: OpenCV would leave it out without a word.
    """
    count, size, writer = 0, (0, 0), cv2.VideoWriter()
    with writing(path) as temporary:
        try:
            for image in images:
                height, width = (side - side % 2 for side in image.shape[:2])  # which video formats want even
                if not count:
                    size = (width, height)
                    writer.open(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
                    if not writer.isOpened():
                        raise InputError(f"{path}: OpenCV was built without a codec for MP4")
                if (width, height) != size:
                    raise ValueError(f"image {count} of a video is {width}x{height}, the first {size[0]}x{size[1]}")
                writer.write(cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            writer.release()
        if count and _frames_in(temporary) != count:  # OpenCV does not say that the disk is full
            raise InputError(f"cannot write {path}: not all of its frames were written; is the disk full?")
        with temporary.open("ab") as file:
            file.write(_MADE_BY)
    return count


def _frames_in(video: Path) -> int:
    capture = cv2.VideoCapture(str(video))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def tile(images: Sequence[Image], columns: int, size: tuple[int, int] | None = None) -> Image:
    """RGB images in rows of `columns`, each scaled to one size and kept in proportion, on white.

    Args:
        images: RGB `(height, width, 3)` each.
        columns: Images in a row.
        size: (width, height) that each is scaled to fit in; the first one's where it is left out.
    """
    if not images:
        raise ValueError("no images to tile")
    width, height = size or images[0].shape[1::-1]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        fitted = _fit(image, width, height)
        y, x = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return sheet


def shrunk_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) of an image after `shrunk`.

    >>> shrunk_size((1920, 1080), 640), shrunk_size((320, 200), 640)
    ((640, 360), (320, 200))
    """
    scale = min(longest / max(size), 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shrunk(image: Image, longest: int) -> Image:
    """An RGB image whose longer side is at most so many px."""
    return _fit(image, *shrunk_size((image.shape[1], image.shape[0]), longest))


def _fit(image: Image, width: int, height: int) -> Image:
    scale = min(width / image.shape[1], height / image.shape[0])
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _drawable(xy: Array) -> NDArray[np.bool_]:
    """Which of the joints `(..., 2)` are there, and so near that OpenCV's coordinates do not overflow."""
    return np.isfinite(xy).all(axis=-1) & (np.abs(np.nan_to_num(xy)) < 2**15).all(axis=-1)


def _fixed_point(xy: Array) -> tuple[int, int]:
    x, y = np.round(xy * 2**SUBPIXEL_BITS).astype(int).tolist()
    return x, y


def _line(canvas: Image, ends: Array, color: Color, thickness: int, rim: Color | None = WHITE) -> None:
    start, end = (_fixed_point(point) for point in ends)
    if rim is not None:
        cv2.line(canvas, start, end, rim, thickness + 2, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.line(canvas, start, end, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(canvas: Image, xy: Array, color: Color, thickness: int) -> None:
    radius = (thickness + 1) << SUBPIXEL_BITS
    cv2.circle(canvas, _fixed_point(xy), radius, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(canvas, _fixed_point(xy), radius, WHITE, 1, cv2.LINE_AA, SUBPIXEL_BITS)
