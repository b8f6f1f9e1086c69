"""Synthetic camera rigs around a person, for evaluating methods.

World axes: mm, z up, floor at z = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig, centred_intrinsics

Array = NDArray[np.float64]
_HIPS = 950.0  # height that the cameras of a random rig look at, mm
_IMAGE_SIZES = ((640, 480), (1280, 720), (1000, 1000), (1920, 1080), (1080, 1920))
_FOV_DEG = (45.0, 75.0)  # along the shorter side
_FOCAL_OF_SIDE = 1.1  # focal length over the side of an image: a field of view of 49 degrees
_SPREAD_MM = 150.0  # SD of the points that the cameras of a random rig look at


def camera_looking_at(name: str, center: Array, target: Array, focal: float, image_size: tuple[int, int]) -> Camera:
    """Return an upright camera without distortion, with its principal point at the image's centre.

    Args:
        name: Its name.
        center: Camera centre, world `(3,)`.
        target: Point on its optical axis, world `(3,)`; not straight above or below the camera centre.
        focal: Focal length in pixels.
        image_size: (width, height) in pixels.

    >>> camera = camera_looking_at("a", np.array([0.0, -4000.0, 1000.0]), np.array([0, 0, 1000.0]), 500.0, (641, 481))
    >>> camera.project(np.array([[0.0, 0.0, 1000.0], [400.0, 0.0, 1400.0]])).round(6).tolist()
    [[320.0, 240.0], [370.0, 190.0]]
    """
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return Camera(name, centred_intrinsics(image_size, focal), np.zeros(0), R, -R @ center, image_size)


def walking_room() -> Rig:
    """Return four cameras at the corners of 4 x 9 m, 1.5 m high, similar to those of Human3.6M.

    Images are 1000 x 1000 px, and the focal length is 1145 px.
    """
    corners = [(2000.0, 4500.0), (-2000.0, 4500.0), (-2000.0, -4500.0), (2000.0, -4500.0)]
    middle = np.array([0.0, 0.0, 900.0])
    cameras = [
        camera_looking_at(f"cam{i}", np.array([x, y, 1500.0]), middle, 1145.0, (1000, 1000))
        for i, (x, y) in enumerate(corners, 1)
    ]
    return Rig(tuple(cameras), "mm", "made up")


def random_rig(seed: int) -> Rig:
    """Return two to eight cameras that see an area of 3 x 3 m, in a ring, in an arc or along a wall.

    Neighbours in an arc are 5 to 90 degrees apart, those along a wall 0.5 to 1.5 m. Distances, heights, image sizes and
    focal lengths differ from camera to camera.

    Args:
        seed: Seed of all randomness.
    """
    rng = np.random.default_rng(seed)
    places = _places(rng, int(rng.integers(2, 9)))
    cameras = []
    for i, center in enumerate(places, 1):
        size = _IMAGE_SIZES[rng.integers(len(_IMAGE_SIZES))]
        focal = min(size) / 2 / np.tan(np.radians(rng.uniform(*_FOV_DEG)) / 2)
        target = np.array([*rng.normal(0, _SPREAD_MM, 2), _HIPS])
        cameras.append(camera_looking_at(f"cam{i}", center, target, float(focal), size))
    return Rig(tuple(cameras), "mm", "made up")


def studio_rig(layout: str, count: int, side: int, seed: int) -> Rig:
    """Return cameras with square images that see an area of 3 x 3 m from a distance of 3.8 to 5 m.

    Args:
        layout: "ring", all around; "arc", 30 degrees between neighbours; "random", anywhere around.
        count: Number of cameras.
        side: Side of the images, px.
        seed: Seed of distances, heights and small variations.
    """
    rng = np.random.default_rng(seed)
    step = 2 * np.pi / count if layout == "ring" else np.radians(30.0)
    angle = (
        rng.uniform(0, 2 * np.pi, count) if layout == "random" else np.arange(count) * step + rng.normal(0, 0.1, count)
    )
    distance, height = rng.uniform(3800, 5000, count), rng.uniform(900, 2400, count)
    places = np.column_stack([distance * np.cos(angle), distance * np.sin(angle), height])
    targets = np.column_stack([rng.normal(0, _SPREAD_MM, (count, 2)), np.full(count, _HIPS)])
    cameras = (
        camera_looking_at(f"cam{i}", place, target, _FOCAL_OF_SIDE * side, (side, side))
        for i, (place, target) in enumerate(zip(places, targets), 1)
    )
    return Rig(tuple(cameras), "mm", "made up")


def _places(rng: np.random.Generator, count: int) -> Array:
    """Return the centres `(count, 3)` of cameras."""
    height = rng.uniform(800, 3000, count)
    shape = rng.choice(["ring", "arc", "wall"])
    if shape == "wall":
        x = (np.arange(count) - (count - 1) / 2) * rng.uniform(500, 1500) + rng.normal(0, 100, count)
        return np.column_stack([x, np.full(count, -5500.0), height])
    step = 2 * np.pi / count if shape == "ring" else np.radians(rng.uniform(5, 90))
    angle = np.arange(count) * step + (rng.normal(0, 0.2, count) if shape == "ring" else 0.0)
    distance = rng.uniform(4500, 7000, count)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle), height])
