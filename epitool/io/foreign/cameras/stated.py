"""Cameras from the values that other programs' files state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import say, warn
from epitool.errors import InputError
from epitool.io.camera_numbers import Array, checked_camera, numbers

MADE_BY = "epitool.cameras/1"  # marks foreign files of ours, which a later run may overwrite
_NO_ROTATION = (0.0, 0.0, 0.0)  # Rodrigues vector
_LARGEST_SIZE = 1e6


@dataclass(frozen=True, eq=False)
class Stated:
    """Unchecked values that a file states for a camera.

    Attributes:
        name: Name of the camera.
        K: Camera matrix, 3x3.
        distortion: OpenCV's coefficients; None if none are stated.
        size: (width, height) of the images; None if it is not stated.
        R: Rotation, camera from world: a matrix or a Rodrigues vector.
        t: Translation, camera from world.
    """

    name: str
    K: Any
    distortion: Any
    size: Any
    R: Any = _NO_ROTATION
    t: Any = (0.0, 0.0, 0.0)


def cameras_of(path: Path, stated: Sequence[Stated], given: tuple[int, int] | None) -> tuple[Camera, ...]:
    """Return the cameras of a file, and report what the file does not state and had to be guessed.

    Args:
        path: Camera file.
        stated: Stated values of each camera.
        given: (width, height) of the images, used if the file does not state it. None uses twice the principal point.

    Raises:
        ValueError: The numbers cannot be those of a camera.
    """
    cameras = tuple(_camera(one, given) for one in stated)
    plain = [one.name for one in stated if one.distortion is None]
    if plain:
        say(f"{path}: states no lens distortion; none is taken: {', '.join(plain)}")
    guessed = [camera for camera, one in zip(cameras, stated, strict=True) if one.size is None and given is None]
    if guessed:
        said = ", ".join(f"{c.name} {c.image_size[0]}x{c.image_size[1]}" for c in guessed)
        warn(f"{path}: states no image size; twice the principal point is taken unless a size is given: {said}")
    return cameras


def unitless_rig(path: Path, stated: Sequence[Stated], given: tuple[int, int] | None) -> Rig:
    """Return a rig in arbitrary units from a file that states no unit; arguments and errors are as in `cameras_of`."""
    return Rig(cameras_of(path, stated, given), "arbitrary", "none")


def _camera(stated: Stated, given: tuple[int, int] | None) -> Camera:
    who = f"camera {stated.name}"
    K = numbers(stated.K, f"{who}: its matrix", 9).reshape(3, 3)
    distortion = numbers([] if stated.distortion is None else stated.distortion, f"{who}: its distortion")
    guess = np.clip(K[:2, 2], 1, 1e6)  # the centre is at (size - 1) / 2, and sizes are even
    sizes = (stated.size, given, 2 * np.round(guess + 0.25))
    size = numbers(next(each for each in sizes if each is not None), f"{who}: its images' size", 2)
    if not (np.abs(size) < _LARGEST_SIZE).all():
        raise ValueError(f"{who}: is for images of {size[0]:g}x{size[1]:g} pixels")
    t = numbers(stated.t, f"{who}: its translation", 3)
    return checked_camera(stated.name, K, distortion, rotation(stated.name, stated.R), t, (int(size[0]), int(size[1])))


def rotation(name: str, values: Any) -> Array:
    """Return a rotation matrix from its nine numbers, or from the three numbers of a Rodrigues vector.

    Raises:
        ValueError: The values are neither.
    """
    found = numbers(values, f"camera {name}: its rotation")
    if found.size not in (3, 9):
        raise ValueError(f"camera {name}: its rotation is neither a Rodrigues vector nor a matrix")
    return found.reshape(3, 3) if found.size == 9 else np.asarray(cv2.Rodrigues(found)[0], dtype=float)


def five_coefficients(camera: Camera) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the five distortion coefficients that these formats can store.

    Raises:
        InputError: The camera has more coefficients.
    """
    if camera.distortion[5:].any():
        raise InputError(f"camera {camera.name} has {len(camera.distortion)} distortion coefficients, the format 5")
    return camera.lens[:5]
