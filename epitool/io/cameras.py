"""Camera files: our `cameras.toml` (also Anipose's, Pose2Sim's, caliscope's), Qualisys `.qca.txt`, OpenCV YAML/XML."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tomli_w

from epitool.camera import Camera, Rig, Window
from epitool.errors import InputError
from epitool.files import writing
from epitool.io.files import damage_in, require_file
from epitool.io.h5_rigs import checked_camera, nearest_rotation
from epitool.io.labels import open_labels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CAMERAS_BY = "epitool calibrate"
CAMERA_SUFFIXES = (".toml", ".xml", ".yml", ".yaml", ".txt")  # that nothing else has
_FORMAT = "epitool.cameras/1"
_LARGEST_FILE = 20_000_000  # bytes; a parser of text takes minutes for more
_EVER = (-(2**62), 2**62)
_KNOWN = "a cameras TOML (ours, Anipose, Pose2Sim, caliscope), Qualisys .qca.txt, OpenCV .yaml/.yml/.xml, or labels.h5"


def read_rig(path: Path | str) -> Rig:
    """Reads cameras with their places in the world, from any of the formats.

    Raises:
        InputError: The file is missing, damaged, of no known format, or a camera in it is not one.
    """
    path = Path(path)
    require_file(path, CAMERAS_BY)
    with _explained(path):
        return _read_any(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever is wrong inside a camera file becomes one line."""
    if path.suffix.lower() != ".h5" and path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, and so is no camera file")
    with damage_in(path, "cameras", f"known formats are {_KNOWN}"):
        try:
            yield
        except cv2.error as error:
            raise ValueError(error) from None


def is_foreign(path: Path) -> bool:
    """Whether a camera file that can be read is of another program, which may mean other axes and units than we do."""
    if path.suffix.lower() != ".toml":
        return path.suffix.lower() != ".h5"
    return "format" not in tomllib.loads(path.read_text(encoding="utf-8")).get("metadata", {})


def read_intrinsics(path: Path, views: Sequence[str]) -> tuple[Camera, ...]:
    """The cameras of the views named; only K, distortion and image size are to be relied on.

    A file with one camera serves all views; otherwise cameras are matched by name.

    Raises:
        InputError: As `read_rig`, or no camera has a view's name.
    """
    rig = read_windows(path)[0].rig if path.suffix.lower() == ".h5" else read_rig(path)
    if len(rig) == 1:
        one = rig.cameras[0]
        return tuple(Camera(view, one.K, one.distortion, one.R, one.t, one.image_size) for view in views)
    try:
        return rig.named_as(views).select(views).cameras
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_rig(path: Path | str, rig: Rig, statistics: dict[str, Any] | None = None) -> None:
    """Writes `cameras.toml`, with the calibration's own statistics in `[metadata]`."""
    path = Path(path)
    content = {**_tables(rig), "metadata": {**_facts(rig), **(statistics or {})}}
    with writing(path) as temporary:
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")


def write_windows(path: Path, windows: Sequence[Window]) -> None:
    """Writes the `cameras.toml` of cameras that move: an array `windows` of rigs, each with the frames it is for."""
    rigs = [
        {"first_frame": w.first, "last_frame": w.last, **_tables(w.rig), "metadata": {**_facts(w.rig), **w.statistics}}
        for w in windows
    ]
    with writing(path) as temporary:
        temporary.write_text(
            tomli_w.dumps({"metadata": {"format": _FORMAT, "moving": True}, "windows": rigs}), encoding="utf-8"
        )


def read_windows(path: Path) -> list[Window]:
    """Reads cameras that move, or from any other camera file one window that lasts for ever.

    Labels have a window for each run of frames of one take.

    Raises:
        InputError: As `read_rig`.
    """
    require_file(path, CAMERAS_BY)
    if path.suffix.lower() == ".h5":
        return list(_windows_of_labels(path))
    if path.suffix.lower() != ".toml":
        return [Window(_EVER[0], _EVER[1], read_rig(path))]
    with _explained(path):
        content = _checked_toml(path)
        if not _is_moving(content):
            return [Window(_EVER[0], _EVER[1], _rig_of_tables(content))]
        return [
            Window(int(w["first_frame"]), int(w["last_frame"]), _rig_of_tables(w), w.get("metadata", {}))
            for w in content["windows"]
        ]


def _windows_of_labels(path: Path) -> Iterator[Window]:
    with open_labels(path) as labels:
        if not labels.takes:
            yield Window(_EVER[0], _EVER[1], labels.rig)
            return
        frames, number = labels.keypoints.frames, labels.keypoints.take_of()
        ends = np.flatnonzero(np.diff(number)) + 1
        for run in np.split(np.arange(len(frames)), ends):
            take = labels.takes[number[run[0]]]
            yield Window(int(frames[run[0]]), int(frames[run[-1]]), take.rig, name=take.name, action=take.action)


def _tables(rig: Rig) -> dict[str, Any]:
    """A table per camera."""
    return {
        f"cam_{i}": {
            "name": camera.name,
            "size": list(camera.image_size),
            "matrix": camera.K.tolist(),
            "distortions": camera.distortion.tolist() or [0.0] * 5,
            "rotation": cv2.Rodrigues(np.array(camera.R))[0].ravel().tolist(),
            "translation": camera.t.tolist(),
            **({"time_offset": camera.time_offset} if camera.time_offset else {}),
        }
        for i, camera in enumerate(rig.cameras)
    }


def _facts(rig: Rig) -> dict[str, str]:
    return {"format": _FORMAT, "unit": rig.unit, "scale_source": rig.scale_source}


def _read_any(path: Path) -> Rig:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _read_toml(path)
    if suffix == ".h5":
        windows = list(_windows_of_labels(path))
        if len(windows) > 1:
            raise InputError(f"{path}: holds cameras of {len(windows)} takes; only `epitool triangulate` takes them")
        return windows[0].rig
    if suffix in (".yaml", ".yml"):
        return _read_opencv(path)
    if suffix in (".txt", ".xml", ".qca"):
        head = path.read_bytes()[:4096]
        return _read_opencv(path) if b"opencv_storage" in head else _read_qualisys(path)
    raise InputError(f"{path}: is of no known camera format; known are {_KNOWN}")


def _read_toml(path: Path) -> Rig:
    content = _checked_toml(path)
    if _is_moving(content):
        raise InputError(
            f"{path}: holds cameras that move, by windows of frames; only `epitool triangulate` takes them"
        )
    return _rig_of_tables(content)


def _checked_toml(path: Path) -> dict[str, Any]:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    stated = content.get("metadata", {}).get("format", _FORMAT)
    if stated != _FORMAT:
        raise InputError(f"{path}: states format '{stated}', '{_FORMAT}' is expected; `{CAMERAS_BY}` makes it")
    return content


def _is_moving(content: dict[str, Any]) -> bool:
    return bool(content.get("metadata", {}).get("moving", False))


def _rig_of_tables(content: dict[str, Any]) -> Rig:
    metadata = content.get("metadata", {})
    tables = [table for table in content.values() if isinstance(table, dict) and "matrix" in table]
    if not tables:
        raise ValueError("holds no camera table with a 'matrix'")
    cameras = tuple(_camera_of_table(table) for table in tables)
    # Files of other tools do not state a unit; without one, millimetres would be a guess.
    return Rig(cameras, metadata.get("unit", "arbitrary"), metadata.get("scale_source", "none"))


def _camera_of_table(table: dict[str, Any]) -> Camera:
    if table.get("fisheye"):
        raise ValueError(f"camera {table['name']} is a fisheye, which is not supported")
    rotation = np.array(table.get("rotation", [0.0, 0.0, 0.0]), dtype=float)
    translation = np.array(table.get("translation", [0.0, 0.0, 0.0]), dtype=float)
    size = (int(table["size"][0]), int(table["size"][1]))
    camera = checked_camera(
        table["name"], table["matrix"], table.get("distortions", []), _rodrigues(rotation), translation, size
    )
    return replace(camera, time_offset=float(table.get("time_offset", 0.0)))


def _rodrigues(rotation: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if rotation.size not in (3, 9) or not np.isfinite(rotation).all():
        raise ValueError("a rotation is neither a Rodrigues vector nor a matrix")
    return rotation.reshape(3, 3) if rotation.size == 9 else np.asarray(cv2.Rodrigues(rotation)[0], dtype=float)


def _read_qualisys(path: Path) -> Rig:
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entity expansion could fill the memory
        raise ValueError("XML with a document type is not read")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from None
    cameras = tuple(_qualisys_camera(node) for node in root.iter("camera") if node.get("active", "1") == "1")
    if not cameras:
        raise ValueError("holds no camera")
    return Rig(cameras, "mm", "Qualisys calibration")


def _qualisys_camera(node: ElementTree.Element) -> Camera:
    """A Qualisys camera: intrinsics in 64ths of a pixel; axes x right, y up, z backward; position in mm.

    The principal point counts from the sensor's corner, of which `fov_video` is the window that was filmed.
    """
    place, lens, window = node.find("transform"), node.find("intrinsic"), node.find("fov_video")
    if place is None or lens is None or window is None:
        raise ValueError(f"camera {node.get('serial')} lacks transform, intrinsic or fov_video")

    def numbers(element: ElementTree.Element, *names: str) -> np.ndarray[Any, Any]:
        return np.array([float(element.attrib[name]) for name in names])

    fx, fy, cx, cy = numbers(lens, "focalLengthU", "focalLengthV", "centerPointU", "centerPointV") / 64
    radial = numbers(lens, "radialDistortion1", "radialDistortion2")
    # Qualisys spells it "tangental"
    tangential = numbers(lens, "tangentalDistortion1", "tangentalDistortion2")
    distortion = [*radial, *tangential, float(lens.get("radialDistortion3", 0))]
    stored = numbers(place, *(f"r{i}{j}" for i in "123" for j in "123")).reshape(3, 3)
    name = node.get("serial", "")
    R = nearest_rotation(name, np.diag([1.0, -1.0, -1.0]) @ stored)
    t = -R @ numbers(place, "x", "y", "z")
    left, top, right, bottom = numbers(window, "left", "top", "right", "bottom")
    size = (int(right - left + 1), int(bottom - top + 1))
    K = [[fx, 0, cx - left], [0, fy, cy - top], [0, 0, 1]]
    return checked_camera(name, K, distortion, R, t, size)


def _read_opencv(path: Path) -> Rig:
    """One camera of OpenCV's calibration sample; with its place where the file has one, as ours do."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    try:
        names = ("camera_matrix", "distortion_coefficients", "rotation_matrix", "translation_vector")
        parts: list[Any] = [storage.getNode(name).mat() for name in names]  # None where there is none
        size = (int(storage.getNode("image_width").real()), int(storage.getNode("image_height").real()))
        name = storage.getNode("camera_name").string() or path.stem
    finally:
        storage.release()
    matrix, distortion, R, t = parts
    if matrix is None:
        raise ValueError("holds no camera_matrix")
    if (R is None) != (t is None):
        raise ValueError("holds one of rotation_matrix and translation_vector; a place is both")
    if R is None:
        R, t = np.eye(3), np.zeros(3)
    found = np.zeros(0) if distortion is None else distortion.ravel()
    return Rig((checked_camera(name, matrix, found, _rodrigues(R), t, size),), "arbitrary", "none")
