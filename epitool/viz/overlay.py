"""Drawing of poses on images, and images side by side."""

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
from epitool.viz.colors import SIDE_COLORS, Color, bone_side, joint_side

Array = NDArray[np.float64]
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
SUBPIXEL_BITS = 4
GAP = 4  # px between tiles
_FONT, _FONT_SIZE, _LINE = cv2.FONT_HERSHEY_SIMPLEX, 0.55, 18  # the last in px
_HIGHEST = 42  # px, the highest line of people's names; the view's name is above
_LEGEND_LINE, _LEGEND_DOT = 30, 6  # px
_BRIGHT = 700  # of a colour as 2 red + 3 green + blue, from which text on it is black
_MARK = b"epitool.video/1"  # in an MP4 box that players skip; distinguishes the file from footage
_MADE_BY = (8 + len(_MARK)).to_bytes(4, "big") + b"free" + _MARK


def draw_pose(image: Image, xy: Array, skeleton: Skeleton, confidence: Array | None = None) -> Image:
    """Return a copy of an RGB image with a pose drawn on it: left blue, right orange, middle green.

    Args:
        image: RGB `(height, width, 3)`.
        xy: Joints `(J, 2)` px. Joints that are NaN are left out, with their bones.
        skeleton: Skeleton with the joints' names and bones.
        confidence: Confidence `(J,)`. Joints with confidence 0 are left out too.

    Returns:
        RGB image of the same size. The line width is proportional to the image size.
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


def draw_people(image: Image, people: Array, skeleton: Skeleton, colors: Sequence[Color]) -> Image:
    """Return a copy of an RGB image with people drawn on it, each in one colour, the last one on top.

    Args:
        image: RGB `(height, width, 3)`.
        people: Joints `(N, J, 2)` px; NaN where missing.
        skeleton: Skeleton with the joints' names and bones.
        colors: Colour of each person.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 250))
    for joints, color in zip(people, colors, strict=True):
        bones = [list(bone) for bone in skeleton.bones if _drawable(joints[list(bone)]).all()]
        for rim, ink in ((2, BLACK), (0, color)):
            for bone in bones:
                _line(canvas, joints[bone], ink, thickness + rim, rim=None)
    return canvas


def write_name(image: Image, text: str) -> None:
    """Write text in the upper left corner of an RGB image, in place, in white with a dark rim.

    Characters outside ASCII become `?`, because OpenCV's font lacks them.
    """
    plain = text.encode("ascii", "replace").decode()
    for ink, thickness in ((BLACK, 4), (WHITE, 1)):
        cv2.putText(image, plain, (8, 22), _FONT, _FONT_SIZE, ink, thickness, cv2.LINE_AA)


def write_tags(image: Image, people: Array, names: Sequence[str], colors: Sequence[Color]) -> None:
    """Write names over people's heads on an RGB image, in place, each on its person's colour.

    A name that would cover another one is written further up, or else further down, and none leaves the image.

    Args:
        image: RGB `(height, width, 3)`.
        people: Joints `(N, J, 2)` px; NaN where missing.
        names: Name of each person.
        colors: Colour of each person.
    """
    taken: list[tuple[int, int, int]] = []  # left end, baseline and width
    for joints, name, color in zip(people, names, colors, strict=True):
        inside = joints[((joints >= 0) & (joints < image.shape[1::-1])).all(axis=-1)]
        if not len(inside):
            continue
        wide = cv2.getTextSize(name, _FONT, _FONT_SIZE, 1)[0][0]
        x, y = (int(value) for value in inside[inside[:, 1].argmin()] - [wide / 2, 10])
        x, y = max(0, min(x, image.shape[1] - wide)), max(y, _HIGHEST)
        near = [base for start, base, width in taken if x < start + width and start < x + wide]
        heights = [*range(y, _HIGHEST - 1, -_LINE), *range(y + _LINE, image.shape[0], _LINE)]
        y = next((height for height in heights if all(abs(height - base) >= _LINE for base in near)), y)
        taken.append((x, y, wide))
        cv2.rectangle(image, (x - 3, y - _LINE + 4), (x + wide + 2, y + 4), color, cv2.FILLED)
        ink = BLACK if np.dot(color, (2, 3, 1)) > _BRIGHT else WHITE
        cv2.putText(image, name, (x, y - 1), _FONT, _FONT_SIZE, ink, 1, cv2.LINE_AA)


def legend(names: Sequence[str], colors: Sequence[Color], width: int) -> Image:
    """Return names beside dots of their colours, on black, in as many rows of this width as are needed."""
    wide = max(cv2.getTextSize(name, _FONT, _FONT_SIZE, 1)[0][0] for name in names) + 4 * _LEGEND_DOT + 2 * GAP
    columns = max(1, width // wide)
    rows = -(-len(names) // columns)
    strip = np.zeros((rows * _LEGEND_LINE, width, 3), np.uint8)
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        x, y = i % columns * wide + 2 * _LEGEND_DOT, (i // columns) * _LEGEND_LINE + _LEGEND_LINE // 2
        cv2.circle(strip, (x, y), _LEGEND_DOT, color, cv2.FILLED, cv2.LINE_AA)
        cv2.putText(strip, name, (x + 2 * _LEGEND_DOT, y + 6), _FONT, _FONT_SIZE, WHITE, 1, cv2.LINE_AA)
    return strip


def save_image(path: Path, image: Image) -> None:
    """Write an RGB image as PNG atomically.

    Raises:
        InputError: The file cannot be written.
    """
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with writing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_video(path: Path, images: Iterable[Image], fps: float) -> int:
    """Write RGB images of one size as an MP4 atomically, and return their number.

    Raises:
        InputError: The file cannot be written.
        ValueError: An image has another size than the first, and OpenCV would silently leave it out.
    """
    count, size, writer = 0, (0, 0), cv2.VideoWriter()
    with writing(path) as temporary:
        try:
            for image in images:
                height, width = (side - side % 2 for side in image.shape[:2])  # video formats require even sizes
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
        if count and _frames_in(temporary) != count:  # OpenCV does not report a full disk
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
    """Arrange RGB images in rows on white, each scaled to fit one size with its proportions kept.

    Args:
        images: RGB images `(height, width, 3)`.
        columns: Number of images in a row.
        size: (width, height) that each image must fit; the size of the first image by default.
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
    """Return (width, height) of an image after `shrunk`.

    >>> shrunk_size((1920, 1080), 640), shrunk_size((320, 200), 640)
    ((640, 360), (320, 200))
    """
    scale = min(longest / max(size), 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shrunk(image: Image, longest: int) -> Image:
    """Shrink an RGB image so that its longer side is at most `longest` px."""
    return _fit(image, *shrunk_size((image.shape[1], image.shape[0]), longest))


def _fit(image: Image, width: int, height: int) -> Image:
    scale = min(width / image.shape[1], height / image.shape[0])
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _drawable(xy: Array) -> NDArray[np.bool_]:
    """Return which joints `(..., 2)` are present and near enough not to overflow OpenCV's coordinates."""
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
