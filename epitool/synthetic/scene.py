"""Small laboratory: four cameras in a ring, a room, and a person in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import progress
from epitool.files import writing
from epitool.images import Image
from epitool.labels import Labels, labels_of
from epitool.synthetic.backdrop import camera_rays, draw_room, draw_shadow, hit_room
from epitool.synthetic.body import body_solids
from epitool.synthetic.mesh import draw_mesh
from epitool.synthetic.motion import Motion, random_motion
from epitool.synthetic.rigs import camera_looking_at
from epitool.synthetic.solids import Mesh, solids_mesh

IMAGE_SIZE = (384, 384)
FOCAL = 490.0
DISTANCE = 4600.0  # from the cameras to the middle of the floor, mm
AZIMUTHS_DEG = (20.0, 95.0, 165.0, 250.0)
HEIGHTS = (1400.0, 2100.0, 1250.0, 1800.0)
TO_LIGHT = np.array([0.35, -0.45, 0.82])  # world
TARGET = np.array([0.0, 0.0, 950.0])
JPEG_QUALITY = 92
SHADOWED = ("left_ankle", "right_ankle", "pelvis")


def render_scene(folder: Path, *, frames: int = 120, seed: int = 0) -> Labels:
    """Render a person who moves in front of four cameras, as `cam1/00000.jpg` and so on.

    The person is articulated, about 1.75 m tall, and moves with constant bone lengths. The clothes of the left and the
    right side differ slightly in colour, because a small network could not tell the sides apart by shape alone.

    Args:
        folder: Folder that receives one folder of images per camera.
        frames: Number of images per camera, 5 per second.
        seed: Seed of the motion and the room.

    Returns:
        The exact truth: h36m17 poses in the world (mm, z up, floor at 0), their projections with confidence 1 (0
        outside the image), and the cameras. Joints hidden behind the body count as seen.
    """
    motion, rig = random_motion(frames, seed), ring_of_cameras()
    images = [[str(folder / name / f"{f:05d}.jpg") for name in rig.names] for f in range(frames)]
    bodies = [solids_mesh(body_solids(motion, f)) for f in range(frames)]
    with progress("rendering", frames * len(rig)) as advance:
        for v, camera in enumerate(rig.cameras):
            (folder / camera.name).mkdir(parents=True, exist_ok=True)
            for f, image in enumerate(_footage(motion, bodies, camera, seed)):
                write_jpeg(Path(images[f][v]), image)
                advance(1)
    return labels_of(motion.xyz, rig, np.array(images))


def ring_of_cameras() -> Rig:
    """Return four cameras around the floor, looking at its middle."""
    angle = np.radians(AZIMUTHS_DEG)
    centers = np.column_stack([DISTANCE * np.cos(angle), DISTANCE * np.sin(angle), HEIGHTS])
    cameras = (camera_looking_at(f"cam{i}", center, TARGET, FOCAL, IMAGE_SIZE) for i, center in enumerate(centers, 1))
    return Rig(tuple(cameras), "mm", "rendered")


def _footage(motion: Motion, bodies: Sequence[Mesh], camera: Camera, seed: int) -> Iterator[Image]:
    face, points = hit_room(camera, camera_rays(camera))
    room = draw_room(face, points, np.random.default_rng(seed))
    for f, body in enumerate(bodies):
        image = draw_shadow(room, face, points, [motion.joint(name)[f] for name in SHADOWED])
        draw_lit(image, body, camera)
        yield cv2.GaussianBlur(image, (3, 3), 0.6)  # type: ignore[misc]  # anti-aliases edges


def draw_lit(image: Image, mesh: Mesh, camera: Camera) -> None:
    """Draw a mesh into an RGB image, in place, lit from one side."""
    depth = np.full(image.shape[:2], np.inf, np.float32)
    draw_mesh(image, depth, camera, *mesh, TO_LIGHT / np.linalg.norm(TO_LIGHT))


def write_jpeg(path: Path, image: Image) -> None:
    """Write an RGB image."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    with writing(path) as temporary:
        temporary.write_bytes(data.tobytes())  # cv2.imwrite cannot open every path on Windows
