"""Furnished room in which an Anny person moves in front of the cameras of a rig, with exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.images import Image
from epitool.synthetic.anny_body import Body
from epitool.synthetic.backdrop import ROOM, camera_rays, draw_room, draw_shadow, hit_room
from epitool.synthetic.clothes import dressed
from epitool.synthetic.mesh import cuboid, draw_mesh
from epitool.synthetic.puppet import H36M, Puppet
from epitool.synthetic.scene import SHADOWED

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
_MARGIN = 500.0  # between cameras and the walls, mm
_MOST_FURNITURE = 3
_AWAY = (1700.0, 2400.0)  # distance of furniture from the middle, mm; the person moves within it
_NOISE = 2.5  # SD of pixel noise, grey levels


@dataclass(frozen=True, eq=False)
class Taken:
    """Images and joints of one frame.

    Attributes:
        images: RGB images, one per camera.
        h36m17: Joints `(17, 3)`, world mm.
        coco17: Joints of coco17, likewise.
    """

    images: tuple[Image, ...]
    h36m17: Array
    coco17: Array


class Studio:
    """Studio that takes images of a person in given poses."""

    def __init__(self, body: Body, rig: Rig, seed: int) -> None:
        """Set up the room, the person and the light.

        Args:
            body: Body of the person.
            rig: Cameras, world z up, floor at z = 0, mm.
            seed: Seed of clothes, light, room and furniture.
        """
        rng = np.random.default_rng(seed)
        self.rig, self._puppet, self._seed = rig, Puppet(body), seed
        self._colors = dressed(body, seed)
        light = np.array([*rng.normal(0, 0.5, 2), rng.uniform(0.5, 1.0)])
        self._to_light = light / np.linalg.norm(light)
        self._furniture = [_piece(rng) for _ in range(rng.integers(0, _MOST_FURNITURE + 1))]
        self._sets = [self._empty(camera) for camera in rig.cameras]

    def take(self, joints: Array, place: Array, frame: int, *, draw: bool = True) -> Taken:
        """Take the images of one frame.

        Args:
            joints: Joints of the motion, h36m17 `(17, 3)`, z up, any unit; only directions count.
            place: Position of the pelvis on the floor, `(2,)` mm.
            frame: Number of the frame, which seeds the noise.
            draw: Whether to draw images; else only joints are returned.
        """
        puppet, shift = self._puppet, np.array([*place, 0.0])
        R, heads = puppet.posed(joints)
        skin = puppet.skin(R, heads) + shift
        h36m, coco = (puppet.joints(skin, heads + shift, rows) for rows in (puppet.body.h36m17, puppet.body.coco17))
        views = enumerate(self.rig.cameras) if draw else ()
        return Taken(tuple(self._image(camera, v, skin, h36m, frame) for v, camera in views), h36m, coco)

    def _image(self, camera: Camera, view: int, skin: Array, joints: Array, frame: int) -> Image:
        room, depth, face, points = self._sets[view]
        image = draw_shadow(room, face, points, [joints[H36M.index(name)] for name in SHADOWED])
        body = self._puppet.body
        draw_mesh(image, depth.copy(), camera, skin, body.triangles, self._colors, self._to_light)
        image = cv2.GaussianBlur(image, (3, 3), 0.6)  # type: ignore[assignment]  # anti-aliases edges
        noise = np.empty(image.shape, np.int8)
        cv2.setRNGSeed(hash((self._seed, frame, view)) & 0x7FFFFFFF)
        cv2.randn(noise, 0, _NOISE)  # type: ignore[call-overload]
        return cv2.add(image, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]

    def _empty(self, camera: Camera) -> tuple[Image, Floats, NDArray[np.int64], Array]:
        """Return the furnished room, its depth, the faces that rays hit, and the points where they hit."""
        centers = np.array([camera.center for camera in self.rig.cameras])
        bounds = np.stack(
            [np.minimum(ROOM[0], centers.min(axis=0) - _MARGIN), np.maximum(ROOM[1], centers.max(axis=0) + _MARGIN)]
        )
        bounds[0, 2] = 0.0
        face, points = hit_room(camera, camera_rays(camera), bounds)
        image = draw_room(face, points, np.random.default_rng(self._seed), bounds)
        depth = np.full(image.shape[:2], np.inf, np.float32)
        for low, high, color in self._furniture:
            vertices, triangles = cuboid(low, high)
            colors = np.tile(color, (len(vertices), 1)).astype(np.float32)
            draw_mesh(image, depth, camera, vertices, triangles, colors, self._to_light)
        return image, depth, np.where(np.isfinite(depth), -1, face), points  # no shadow falls on furniture


def _piece(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw a box on the floor away from the middle, as its opposite corners and its colour."""
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*_AWAY)
    middle, half = distance * np.array([np.cos(angle), np.sin(angle)]), rng.uniform(150, 400, 2)
    low, high = np.array([*(middle - half), 0.0]), np.array([*(middle + half), rng.uniform(300, 1100)])
    return low, high, rng.uniform(30, 230, 3)


def wandering(frames: int, frames_per_second: float, seed: int) -> Array:
    """Return positions on the floor `(F, 2)` mm of a person who drifts about.

    They stay within 0.8 m of the middle along each axis.
    """
    rng = np.random.default_rng(seed)
    seconds, phases = np.arange(frames) / frames_per_second, rng.uniform(0, 2 * np.pi, 4)
    periods = np.array([7.0, 9.0, 17.0, 23.0])
    waves = np.sin(2 * np.pi * seconds[:, None] / periods + phases)
    return np.asarray(400.0 * (waves[:, :2] + waves[:, 2:]))
