"""Room around the person: a box whose floor and walls have seeded textures, and the person's shadow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous
from epitool.camera import Camera
from epitool.images import Image

Array = NDArray[np.float64]
Rays = NDArray[np.float32]
ROOM = np.array([[-5500.0, -5500.0, 0.0], [5500.0, 5500.0, 3400.0]])  # opposite corners, mm
TEXTURE_SIDE = 512
FLOOR_FACE = 4  # faces are numbered 2 * axis + (0 low, 1 high)
SHADOW_RADIUS, SHADOW_REACH = 260.0, 1300.0  # mm
SHADOW_DEPTH = 0.4


def camera_rays(camera: Camera) -> Rays:
    """Return the direction `(height, width, 3)` of the ray through each pixel, camera axes, z = 1."""
    width, height = camera.image_size
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    return homogeneous(camera.normalize(np.stack([x, y], axis=-1))).astype(np.float32)


def hit_room(camera: Camera, rays: Rays, room: Array = ROOM) -> tuple[NDArray[np.int64], Array]:
    """Return where each ray hits a room `(2, 3)` around the camera.

    The result is the index of the face `(h, w)`, and the point in the world `(h, w, 3)` mm.
    """
    direction = rays.astype(float) @ camera.R
    direction[direction == 0] = 1e-12  # a ray parallel to a wall would hit it far behind the others
    # Along each axis a ray can leave only by the face it points at; the nearest of these three faces is hit.
    reach = (np.where(direction > 0, room[1], room[0]) - camera.center) / direction
    axis = reach.argmin(axis=-1)
    nearest = np.take_along_axis(reach, axis[..., None], axis=-1)
    upward = np.take_along_axis(direction, axis[..., None], axis=-1)[..., 0] > 0
    return 2 * axis + upward, camera.center + nearest * direction


def draw_room(face: NDArray[np.int64], points: Array, rng: np.random.Generator, room: Array = ROOM) -> Image:
    """Draw the empty room as the camera sees it; the seed determines all faces.

    Args:
        face: Face of the room for each pixel `(height, width)`, from `hit_room`.
        points: Point of the room for each pixel `(height, width, 3)`, from `hit_room`.
        rng: Random generator for the textures.
        room: Lowest and highest corner `(2, 3)`.
    """
    unit = (points - room[0]) / (room[1] - room[0])
    image = np.zeros((*face.shape, 3), np.uint8)
    for i in range(6):
        texture = _floor_texture(rng) if i == FLOOR_FACE else _wall_texture(rng)
        first, second = (axis for axis in range(3) if axis != i // 2)
        u, v = ((TEXTURE_SIDE - 1) * unit[..., axis].astype(np.float32) for axis in (first, second))
        image = np.where((face == i)[..., None], cv2.remap(texture, u, v, cv2.INTER_LINEAR), image)
    return cv2.GaussianBlur(image, (5, 5), 1.0)  # type: ignore[return-value]


def draw_shadow(room: Image, face: NDArray[np.int64], points: Array, casters: Sequence[Array]) -> Image:
    """Return a copy of the room with soft shadows on its floor.

    Args:
        room: RGB `(height, width, 3)`.
        face: Face of the room for each pixel `(height, width)`, from `hit_room`.
        points: Point of the room for each pixel `(height, width, 3)`, from `hit_room`.
        casters: Joints `(3,)` that cast a shadow; the last one is at the centre of the others.
    """
    image = room.copy()
    x, y, _ = casters[-1]
    near = (
        (face == FLOOR_FACE) & (np.abs(points[..., 0] - x) < SHADOW_REACH) & (np.abs(points[..., 1] - y) < SHADOW_REACH)
    )
    darkness = sum(_darkness(points[near], caster) for caster in casters)
    image[near] = image[near] * (1 - SHADOW_DEPTH * np.minimum(darkness, 1))[:, None]
    return image


def _darkness(points: Array, caster: Array) -> Array:
    """Return the shadow in [0, 1] at floor points `(n, 3)`; it is softer the higher the caster is."""
    radius = SHADOW_RADIUS * (0.5 + caster[2] / 1000)
    return np.exp(-((points[:, :2] - caster[:2]) ** 2).sum(axis=-1) / radius**2)


def _wall_texture(rng: np.random.Generator) -> Image:
    """Draw mottled plaster with framed rectangles on it."""
    texture = rng.uniform(150, 205) + rng.uniform(-18, 18, 3) + _noise(rng, (4, 32), 9)
    for _ in range(14):
        x, y = rng.integers(0, TEXTURE_SIDE, 2).tolist()
        width, height = rng.integers((20, 40), (90, 200)).tolist()
        fill, frame = (rng.uniform(*range_) + rng.uniform(-28, 28, 3) for range_ in ((60, 200), (40, 100)))
        cv2.rectangle(texture, (x, y), (x + width, y + height), fill.tolist(), cv2.FILLED)
        cv2.rectangle(texture, (x, y), (x + width, y + height), frame.tolist(), 3)
    return np.clip(texture, 0, 255).astype(np.uint8)


def _floor_texture(rng: np.random.Generator) -> Image:
    """Draw stained tiles of varying shades."""
    tile = TEXTURE_SIDE // 16
    shades = np.kron(rng.uniform(0.88, 1.08, (16, 16)), np.ones((tile, tile)))[..., None]
    texture = (rng.uniform(110, 160) + rng.uniform(-14, 14, 3)) * shades + _noise(rng, (3, 24), 7)
    return np.clip(texture, 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, grains: tuple[int, ...], amplitude: float) -> Array:
    """Return a sum of smooth noise images `(side, side, 1)`, each with this amplitude; grains are in texture pixels."""
    layers = [rng.normal(0, amplitude, (TEXTURE_SIDE // grain,) * 2) for grain in grains]
    whole = [cv2.resize(layer, (TEXTURE_SIDE, TEXTURE_SIDE), interpolation=cv2.INTER_CUBIC) for layer in layers]
    return np.sum(whole, axis=0)[..., None]
