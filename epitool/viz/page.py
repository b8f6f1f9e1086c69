"""A page that shows poses, cameras and images: one file that needs no network, and turns and plays in any browser."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.files import writing
from epitool.images import Image
from epitool.skeleton import Skeleton
from epitool.viz.colors import bone_side, joint_side
from epitool.viz.level import level_axes

Array = NDArray[np.float64]
LONGEST_SIDE = 420  # px of an embedded image
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 65]
_FRUSTUM = 0.18  # of the scene's size, how deep a camera is drawn
_FLOOR_PERCENTILE = 1.0  # of the joints' heights
_PLAYED_FPS = 30.0
_LENS = 8  # coefficients of OpenCV's rational model, which the page knows


@dataclass(frozen=True, eq=False)
class Scene:
    """What a page shows; F frames, V views, J joints.

    Attributes:
        title: Of the page.
        facts: A line beside it.
        skeleton: Of the joints.
        frames: Their numbers `(F,)`.
        xyz: Joints in the world `(F, J, 3)`, or None.
        up: Direction in the world `(3,)`.
        rigs: The cameras of every take; none where they are not known.
        take_of: Which of them each frame has, `(F,)`.
        views: Names of the V views.
        xy: 2D joints that were found, `(F, V, J, 2)`, or None.
        own: Where the cameras see the pose, `(F, V, J, 2)`, or None.
        sizes: (width, height) of the images, `(F, V, 2)`.
        images: Small JPEGs by (frame index, view index), as `small_jpeg` makes them.
        fps: Frames per second, when they are played.
    """

    title: str
    facts: str
    skeleton: Skeleton
    frames: NDArray[np.int64]
    xyz: Array | None = None
    up: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    rigs: tuple[Rig, ...] = ()
    take_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    views: tuple[str, ...] = ()
    xy: Array | None = None
    own: Array | None = None
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 2), dtype=np.int64))
    images: dict[tuple[int, int], bytes] = field(default_factory=dict)
    fps: float = _PLAYED_FPS


def small_jpeg(image: Image) -> bytes:
    """An RGB image as a JPEG whose longer side is LONGEST_SIDE, or less if it is."""
    height, width = image.shape[:2]
    scale = min(LONGEST_SIDE / max(width, height), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), _QUALITY)[1])


def write_page(path: Path, scene: Scene) -> None:
    """Writes the page, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    template = files("epitool.viz").joinpath("page.html").read_text(encoding="utf-8")
    # "<" could end the script in which the data lies, or hide its end
    data = json.dumps(_plain(scene), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    with writing(path) as temporary:
        temporary.write_text(template.replace("/*SCENE*/", data), encoding="utf-8")


def _plain(scene: Scene) -> dict[str, Any]:
    """The scene as JSON has it; the world turned so that its third axis is up."""
    turn, body = level_axes(scene.up), scene.skeleton
    xyz = None if scene.xyz is None else scene.xyz @ turn.T
    centers = [turn @ camera.center for rig in scene.rigs for camera in rig.cameras]
    low, high = _bounds(xyz, np.array(centers).reshape(-1, 3))
    size = float(max((high - low).max(), 1e-9))
    take_of = scene.take_of if len(scene.take_of) else np.zeros(len(scene.frames), dtype=np.int64)
    return {
        "title": scene.title,
        "facts": scene.facts,
        "joints": list(body.joints),
        "sides": [joint_side(joint) for joint in body.joints],
        "bones": [[*bone, bone_side(body, bone)] for bone in body.bones],
        "root": body.root,
        "frames": scene.frames.tolist(),
        "fps": scene.fps,
        "xyz": _packed(xyz),
        "xy": _packed(scene.xy),
        "own": _packed(scene.own),
        "take": take_of.tolist(),
        "takes": [[_camera(camera, turn, size) for camera in rig.cameras] for rig in scene.rigs],
        "middle": ((low + high) / 2).tolist(),
        "size": size,
        "grid": _round_length(size / 8),
        "floor": _floor(xyz, low),
        "views": [_view(scene, v, name) for v, name in enumerate(scene.views)],
    }


def _view(scene: Scene, v: int, name: str) -> dict[str, Any]:
    pictures = [scene.images.get((f, v)) for f in range(len(scene.frames))]
    data = [p and "data:image/jpeg;base64," + base64.b64encode(p).decode() for p in pictures]
    return {"name": name, "sizes": scene.sizes[:, v].tolist(), "images": data}


def _packed(values: Array | None) -> str | None:
    """float32, little-endian, in base64; NaN stays NaN."""
    return None if values is None else base64.b64encode(values.astype("<f4").tobytes()).decode()


def _camera(camera: Any, turn: Array, size: float) -> dict[str, Any]:
    width, height = camera.image_size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=float)
    ends = camera.unproject(corners, np.full(4, _FRUSTUM * size / 2)) @ turn.T
    lens = np.pad(camera.distortion, (0, max(_LENS - len(camera.distortion), 0)))[:_LENS]
    own = {"K": camera.K.tolist(), "d": lens.tolist(), "R": camera.R.tolist(), "t": camera.t.tolist()}
    return {"name": camera.name, "center": (turn @ camera.center).tolist(), "corners": ends.tolist(), **own}


def _bounds(xyz: Array | None, centers: Array) -> tuple[Array, Array]:
    known = np.empty((0, 3)) if xyz is None else xyz[np.isfinite(xyz).all(axis=-1)]
    extremes = np.percentile(known, [2, 98], axis=0) if len(known) else known
    shown = np.concatenate([centers, extremes]) if len(centers) or len(extremes) else np.zeros((1, 3))
    return shown.min(axis=0), shown.max(axis=0)


def _floor(xyz: Array | None, low: Array) -> float:
    heights = np.empty(0) if xyz is None else xyz[..., 2][np.isfinite(xyz[..., 2])]
    return float(np.percentile(heights, _FLOOR_PERCENTILE)) if len(heights) else float(low[2])


def _round_length(length: float) -> float:
    """The next length of 1, 2 or 5 times a power of ten.

    >>> [_round_length(x) for x in (0.7, 3.0, 480.0)]
    [1.0, 5.0, 500.0]
    """
    power = 10.0 ** np.floor(np.log10(length))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= length * (1 - 1e-9)))
