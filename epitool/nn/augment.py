"""Augmentation of crops and their targets: rotation, scale, colour and occlusion."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.files import require_folder
from epitool.images import Image
from epitool.options.network import NetworkOptions

_REFERENCE_SIDE = 256  # px, side of the crops that the sizes of cut-outs refer to
_MOST_CUTOUTS = 500
_SUFFIXES = (".png", ".webp", ".tif", ".tiff")


def draw_turn(rng: np.random.Generator, options: NetworkOptions) -> tuple[NDArray[np.float32], float]:
    """Draw a rotation `(2, 2)` of the crop's x and y, and the factor by which the box is enlarged."""
    angle = np.radians(rng.uniform(-options.rotation_deg, options.rotation_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return turn, float(rng.uniform(*options.scale_range))


def warp(cached: Image, matrix: NDArray[np.floating[Any]], size: int, margin: float) -> Image:
    """Cut `(size, size, 3)` out of a crop that is `margin` times as large, mapped by a matrix of volume coordinates.

    The centre of the crop stays in place.
    """
    linear = matrix * (size * margin / len(cached))
    affine = np.column_stack([linear, size / 2 - linear @ np.full(2, len(cached) / 2)])
    return cv2.warpAffine(cached, affine, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def recolour(crop: Image, rng: np.random.Generator, options: NetworkOptions) -> Image:
    """Multiply each channel by a random factor of its own."""
    factors = rng.uniform(*options.colour_range, size=3)
    table = np.clip(np.arange(256)[:, None] * factors, 0, 255).astype(np.uint8)
    return cv2.LUT(crop, table[None])  # type: ignore[return-value]


class Occluders:
    """Objects in front of the person: the paper's synthetic occlusion (Sarandi et al. 2018)."""

    def __init__(self, folder: str, size: int, seed: int) -> None:
        """Read the cut-outs in a folder, for crops of `size` px; without a folder, ellipses are painted instead.

        At most 500 cut-outs are kept, chosen by the seed.

        Raises:
            InputError: The folder holds no image with alpha.
        """
        self._cutouts = _read_cutouts(Path(folder), size, seed) if folder else []

    def paint(self, crop: Image, rng: np.random.Generator) -> None:
        """Paint over half of the crops, in place, with up to seven cut-outs or up to three ellipses."""
        if rng.random() < 0.5:
            return
        if not self._cutouts:
            _paint_ellipses(crop, rng)
            return
        for _ in range(rng.integers(1, 8)):
            cutout = self._cutouts[rng.integers(len(self._cutouts))]
            paste(crop, _resized(cutout, rng.uniform(0.2, 1.0)), rng.integers(0, len(crop), 2))


def paste(crop: Image, cutout: Image, center: NDArray[np.int64]) -> None:
    """Paste a cut-out over a crop, in place; what lies beyond the border is cut off.

    Args:
        crop: RGB image.
        cutout: RGB times alpha, and alpha, `(h, w, 4)`.
        center: Position of its centre in the crop, (x, y) px.
    """
    height, width = cutout.shape[:2]
    x, y = int(center[0]) - width // 2, int(center[1]) - height // 2
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, crop.shape[1]), min(y + height, crop.shape[0])
    if right <= left or bottom <= top:
        return
    part, under = cutout[top - y : bottom - y, left - x : right - x], crop[top:bottom, left:right]
    shining = 255 - cv2.cvtColor(part[..., 3], cv2.COLOR_GRAY2RGB).astype(np.uint16)
    shining *= under
    shining += 127  # rounds to the nearest level; 255 is odd, so there are no ties
    shining //= 255
    under[:] = cv2.add(cv2.cvtColor(part, cv2.COLOR_RGBA2RGB), shining.astype(np.uint8))


def _paint_ellipses(crop: Image, rng: np.random.Generator) -> None:
    size = len(crop)
    for _ in range(rng.integers(1, 4)):
        center = rng.integers(0, size, 2).tolist()
        axes = (rng.uniform(0.05, 0.15, 2) * size).astype(int).tolist()
        colour = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(crop, center, axes, float(rng.uniform(0, 180)), 0, 360, colour, thickness=-1)


def _resized(cutout: Image, scale: float) -> Image:
    size = [max(1, round(side * scale)) for side in (cutout.shape[1], cutout.shape[0])]
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # bilinear sampling would skip pixels
    return cv2.resize(cutout, size, interpolation=how)  # type: ignore[return-value]


def _read_cutouts(folder: Path, size: int, seed: int) -> list[Image]:
    require_folder(folder, "--occluders")
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in _SUFFIXES)
    read = (_read_cutout(files[i], size) for i in np.random.default_rng(seed).permutation(len(files)))
    cutouts = list(itertools.islice((cutout for cutout in read if cutout is not None), _MOST_CUTOUTS))
    if not cutouts:
        raise InputError(
            f"{folder}: holds no image with alpha ({', '.join(_SUFFIXES)}); occluders need a folder of cut-outs;"
            " without a folder they are simple shapes"
        )
    return cutouts


def _read_cutout(file: Path, size: int) -> Image | None:
    """Read an image with alpha as RGB times alpha, and alpha, resized for crops of `size` px and no larger than them.

    Without the multiplication, the colours of hidden pixels would show at the borders of a resized cut-out.
    """
    try:
        image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):  # cannot be read, is empty, or is larger than OpenCV takes
        return None
    if image is None or image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        return None
    rgba = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    alpha = rgba[..., 3:].astype(np.uint16)
    rgba[..., :3] = (rgba[..., :3] * alpha + 127) // 255
    return _resized(rgba, size / max(_REFERENCE_SIDE, *rgba.shape[:2]))  # type: ignore[arg-type]
