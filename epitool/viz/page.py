"""Interactive HTML page of poses, cameras and images, in one file that works offline in any browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.files import writing
from epitool.images import Image
from epitool.viz.colors import OTHERS_COLORS, bone_side, colors_of, joint_side
from epitool.viz.level import level_axes
from epitool.viz.overlay import shrunk
from epitool.viz.scene import Crowd, Person, Scene

Array = NDArray[np.float64]
LONGEST_SIDE = 420  # px of an embedded image
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 65]
_FRUSTUM = 0.18  # drawn depth of a camera, times the scene's size
_FLOOR_PERCENTILE = 1.0  # of the joints' heights
_LENS = 8  # coefficients of OpenCV's rational distortion model, which the page implements
_SCRIPTS = ("scene", "room", "layout", "views", "lines", "time")  # in the order in which they are concatenated
_COMMENT = re.compile(r"(^|\s)// .*")
_MISSING = -(2**15)  # marks missing pixel coordinates of people, which are stored in 16 bits


def small_jpeg(image: Image) -> bytes:
    """Encode an RGB image as a JPEG whose longer side is at most LONGEST_SIDE."""
    small = cv2.cvtColor(shrunk(image, LONGEST_SIDE), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", small, _QUALITY)[1])


def write_page(path: Path, scene: Scene) -> None:
    """Write the page atomically.

    Raises:
        InputError: The file cannot be written.
    """
    # "<" could end the script element that holds the data, or hide its end
    data = json.dumps(_convert_scene(scene), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    script = "\n".join(_part(f"{name}.js") for name in _SCRIPTS)
    page = _part("page.html").replace("/*STYLE*/", _part("page.css")).replace("/*SCRIPT*/", script)
    with writing(path) as temporary:
        temporary.write_text(page.replace("/*SCENE*/", data), encoding="utf-8")


def _part(name: str) -> str:
    """Read a part of the page without the indentation and comments, which only readers of the source need."""
    lines = files("epitool.viz").joinpath("web", name).read_text(encoding="utf-8").splitlines()
    bare = (_COMMENT.sub("", line).strip() for line in lines)
    return "\n".join(line for line in bare if line)


def _convert_scene(scene: Scene) -> dict[str, Any]:
    """Return the scene as values for JSON, with the world rotated so that its third axis is up."""
    turn, body = level_axes(scene.up), scene.skeleton
    first, xyz = scene.people[0] if scene.people else Person(), _rotate_points(scene.xyz, turn)
    centers = [turn @ camera.center for rig in scene.rigs for camera in rig.cameras]
    low, high = _bounds(xyz, np.array(centers).reshape(-1, 3))
    size = float(max((high - low).max(), 1e-9))
    grid = _round_length(size / 8)
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
        "realTime": scene.real_time,
        "names": [{"path": p, "image": Path(p).name, "camera": c, "frame": n} for p, c, n in scene.names],
        "crowd": None if scene.crowd is None else _packed_crowd(scene.crowd),
        **_packed_person(first, turn),
        **({"people": _packed_people(scene.people, turn)} if len(scene.people) > 1 else {}),
        "take": take_of.tolist(),
        "takes": [[_camera(camera, turn, size) for camera in rig.cameras] for rig in scene.rigs],
        "middles": [_short(middle) for middle in _middles(scene, turn, xyz, take_of)],
        "person": _short(_extent(xyz)),
        "size": size,
        "grid": grid,
        "gridSaid": f"grid: {_length(grid, scene.unit)}",
        "floor": _floor(xyz, low),
        "views": [_view(scene, v, name) for v, name in enumerate(scene.views)],
    }


def _view(scene: Scene, v: int, name: str) -> dict[str, Any]:
    pictures = [scene.images.get((f, v)) for f in range(len(scene.frames))]
    data = [p and "data:image/jpeg;base64," + base64.b64encode(p).decode() for p in pictures]
    sizes = scene.sizes[:, v]
    same = (sizes == sizes[:1]).all()
    return {"name": name, "sizes": (sizes[:1] if same else sizes).tolist(), "images": data}


def _rotate_points(xyz: Array | None, turn: Array) -> Array | None:
    return None if xyz is None else xyz @ turn.T


def _packed_person(person: Person, turn: Array) -> dict[str, str | None]:
    return {"xyz": _packed(_rotate_points(person.xyz, turn)), "xy": _packed(person.xy), "own": _packed(person.own)}


def _packed_people(people: Sequence[Person], turn: Array) -> list[dict[str, str | None]]:
    """Encode several people with their names and colours; the joints of the first are those of the scene."""
    joints = [{}, *(_packed_person(person, turn) for person in people[1:])]
    return [
        {"name": person.name, "color": f"rgb{color}", **own}
        for person, color, own in zip(people, colors_of(len(people)), joints, strict=True)
    ]


def _packed(values: Array | None) -> str | None:
    """Encode values as little-endian float32 in base64; NaN stays NaN."""
    return None if values is None else base64.b64encode(values.astype("<f4").tobytes()).decode()


def _packed_crowd(crowd: Crowd) -> dict[str, Any]:
    """Encode the people in whole pixels, as little-endian 16-bit integers in base64."""
    pixels = np.clip(np.round(crowd.xy), _MISSING + 1, -_MISSING - 1)
    packed = np.where(np.isnan(crowd.xy), _MISSING, np.nan_to_num(pixels)).astype("<i2")
    return {
        "xy": base64.b64encode(packed.tobytes()).decode(),
        "missing": _MISSING,
        "colors": [f"rgb{color}" for color in OTHERS_COLORS],
        "counts": np.bincount(crowd.cell, minlength=crowd.chosen.size).tolist(),
        "numbers": crowd.number.tolist(),
        "chosen": crowd.chosen.ravel().tolist(),
    }


def _camera(camera: Camera, turn: Array, size: float) -> dict[str, Any]:
    ends = camera.corners(_FRUSTUM * size / 2) @ turn.T
    own = {"K": camera.K.tolist(), "d": camera.lens[:_LENS].tolist(), "R": camera.R.tolist(), "t": camera.t.tolist()}
    return {"name": camera.name, "center": _short(turn @ camera.center), "corners": _short(ends), **own}


def _short(values: Array) -> list[Any]:
    """Return nested lists of values rounded to seven digits, the precision of float32; for drawing only."""
    return np.vectorize(lambda value: float(f"{value:.7g}"), otypes=[float])(values).tolist()


def _middles(scene: Scene, turn: Array, xyz: Array | None, take_of: NDArray[np.int64]) -> list[Array]:
    """Return the point to look at in every take: the middle of the people's positions, or else of the cameras."""
    middles = []
    for take in range(max(len(scene.rigs), 1)):
        people = None if xyz is None else xyz[take_of == take]
        seen = people is not None and bool(np.isfinite(people).all(axis=-1).any())
        centers = [] if seen or not scene.rigs else [turn @ camera.center for camera in scene.rigs[take].cameras]
        low, high = _bounds(people, np.array(centers).reshape(-1, 3))
        middles.append((low + high) / 2)
    return middles


def _extent(xyz: Array | None) -> Array:
    """Return the median extent of the people along each axis, `(3,)`; 0 without anybody."""
    known = np.empty((0, 1, 3)) if xyz is None else xyz[np.isfinite(xyz).all(axis=-1).sum(axis=-1) > 1]
    if not len(known):
        return np.zeros(3)
    return np.asarray(np.median(np.nanmax(known, axis=1) - np.nanmin(known, axis=1), axis=0))


def _length(length: float, unit: str) -> str:
    """Format a length with its unit.

    >>> _length(500.0, "mm"), _length(2000.0, "mm"), _length(0.5, "arbitrary")
    ('50 cm', '2 m', '0.5 (arbitrary unit)')
    """
    if unit != "mm":
        return f"{length:g} (arbitrary unit)"
    return f"{length / 1000:g} m" if length >= 1000 else f"{length / 10:g} cm" if length >= 10 else f"{length:g} mm"


def _bounds(xyz: Array | None, centers: Array) -> tuple[Array, Array]:
    known = np.empty((0, 3)) if xyz is None else xyz[np.isfinite(xyz).all(axis=-1)]
    # percentiles, because a few badly triangulated joints would shrink everything else
    extremes = np.percentile(known, [2, 98], axis=0) if len(known) else known
    shown = np.concatenate([centers, extremes]) if len(centers) or len(extremes) else np.zeros((1, 3))
    return shown.min(axis=0), shown.max(axis=0)


def _floor(xyz: Array | None, low: Array) -> float:
    heights = np.empty(0) if xyz is None else xyz[..., 2][np.isfinite(xyz[..., 2])]
    return float(np.percentile(heights, _FLOOR_PERCENTILE)) if len(heights) else float(low[2])


def _round_length(length: float) -> float:
    """Round a length up to 1, 2 or 5 times a power of ten.

    >>> [_round_length(x) for x in (0.7, 3.0, 480.0)]
    [1.0, 5.0, 500.0]
    """
    power = 10.0 ** np.floor(np.log10(length))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= length * (1 - 1e-9)))
