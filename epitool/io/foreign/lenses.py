"""Cameras in YAML and XML: OpenCV's calibration and stereo samples, ROS, Kalibr, MC-Calib."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from epitool.camera import Camera, Rig
from epitool.files import writing
from epitool.io.foreign.stated import MADE_BY, Stated, cameras_of, five_coefficients
from epitool.io.foreign.storage import first_of, numbers, plain_keys, read_storage

_LENS = ("cameramatrix", "intrinsicmatrix", "k")
_DISTORTION = ("distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoeff", "distortionvector", "d", "dist")
_SIDES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), ("width", "height"))
_BOTH_SIDES = ("imagesize", "resolution", "size")
# What ROS, Kalibr and MC-Calib call OpenCV's lens of 4 or 5 coefficients, and of 8
_MODELS = ("", "none", "pinhole", "plumbbob", "radtan", "rationalpolynomial", "brown", "0", "0.0")


def read_lenses(path: Path, size: tuple[int, int] | None = None) -> Rig:
    """The cameras of a file, with their places where it has them; a file of one lens makes a rig of one.

    Args:
        path: YAML or XML of OpenCV's samples, ROS, Kalibr or MC-Calib.
        size: (width, height) of the images, where the file does not say.

    Raises:
        ValueError: It is damaged, of no known layout, or a lens is of no known kind.
    """
    stored = read_storage(path)
    content = plain_keys(stored)
    parts = {name: plain_keys(value) for name, value in stored.items() if isinstance(value, dict)}
    layouts: list[tuple[Any, Callable[[], tuple[Camera, ...]]]] = [
        (first_of(content, *_LENS), lambda: _one(path, content, size)),
        (first_of(content, *_numbered(_LENS, 1)), lambda: _stereo(path, content, size)),
        (any("intrinsics" in part for part in parts.values()) or None, lambda: _kalibr(path, parts, size)),
        (any(first_of(part, *_LENS) is not None for part in parts.values()) or None, lambda: _map(path, parts, size)),
    ]
    read = next((read for fits, read in layouts if fits is not None), None)
    if read is None:
        raise ValueError(f"holds no camera matrix, but {', '.join(stored)[:120] or 'nothing'}")
    return Rig(read(), "arbitrary", "none")


def _one(path: Path, content: Mapping[str, Any], size: tuple[int, int] | None) -> tuple[Camera, ...]:
    """OpenCV's calibration sample and ROS's `camera_info`, whose rectification is of no interest here."""
    name = str(content.get("cameraname") or path.stem).rpartition("/")[2]
    _check_model(name, content)
    place = {
        key: content[word] for key, word in (("R", "rotationmatrix"), ("t", "translationvector")) if word in content
    }
    if len(place) == 1:
        raise ValueError("holds one of rotation_matrix and translation_vector; a place is both")
    lens, distortion = first_of(content, *_LENS), first_of(content, *_DISTORTION)
    return cameras_of(path, [Stated(name, lens, distortion, _size(content), **place)], size)


def _stereo(path: Path, content: dict[str, Any], size: tuple[int, int] | None) -> tuple[Camera, ...]:
    """OpenCV's stereo sample: x in camera 2 = R x in camera 1 + T; it keeps R and T in `extrinsics.yml`."""
    beside = path.with_name(path.name.replace("intrinsics", "extrinsics"))
    if "r" not in content and beside != path and beside.is_file():
        content = plain_keys(read_storage(beside)) | content
    places: list[dict[str, Any]] = [
        {},
        {key: content[word] for key, word in (("R", "r"), ("t", "t")) if word in content},
    ]
    cameras = []
    for number, place in enumerate(places, 1):
        K, distortion = (first_of(content, *_numbered(keys, number)) for keys in (_LENS, _DISTORTION))
        if K is None:
            raise ValueError("holds a matrix of the first camera only")
        cameras.append(Stated(f"cam{number}", K, distortion, _size(content), **place))
    return cameras_of(path, cameras, size)


def _kalibr(path: Path, parts: Mapping[str, dict[str, Any]], size: tuple[int, int] | None) -> tuple[Camera, ...]:
    """A chain of cameras, each placed by the one before: x in camera n = T_cn_cnm1 x in camera n - 1."""
    pose, cameras = np.eye(4), []
    for n, (name, part) in enumerate(sorted(parts.items(), key=lambda item: int(re.sub(r"\D", "", item[0]) or 0))):
        _check_model(name, part)
        fx, fy, cx, cy = numbers(part["intrinsics"], f"camera {name}: intrinsics", 4)
        if n and "tcncnm1" in part:
            pose = numbers(part["tcncnm1"], f"camera {name}: T_cn_cnm1", 16).reshape(4, 4) @ pose
        elif n and any("tcncnm1" in other for other in parts.values()):
            raise ValueError(f"camera {name} lacks T_cn_cnm1, its place by the camera before")
        K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        cameras.append(Stated(name, K, first_of(part, *_DISTORTION), _size(part), pose[:3, :3], pose[:3, 3]))
    return cameras_of(path, cameras, size)


def _map(path: Path, parts: Mapping[str, dict[str, Any]], size: tuple[int, int] | None) -> tuple[Camera, ...]:
    """MC-Calib's cameras; its poses are from camera to world."""
    cameras = []
    for name, part in parts.items():
        if (lens := first_of(part, *_LENS)) is None:
            continue
        _check_model(name, part)
        pose = numbers(part.get("cameraposematrix", np.eye(4)), f"camera {name}: camera_pose_matrix", 16).reshape(4, 4)
        R = pose[:3, :3].T
        cameras.append(Stated(name, lens, first_of(part, *_DISTORTION), _size(part), R, -R @ pose[:3, 3]))
    return cameras_of(path, cameras, size)


def _place(content: Mapping[str, Any], R: str, t: str) -> dict[str, Any]:
    return {key: content[word] for key, word in (("R", R), ("t", t)) if word in content}


def _numbered(keys: Sequence[str], number: int) -> list[str]:
    """Keys of one of several cameras; OpenCV's stereo sample says M1 for a camera matrix."""
    return [f"{key}{number}" for key in (*keys, *(["m"] if keys is _LENS else []))]


def _size(content: Mapping[str, Any]) -> Any:
    sides = next((pair for pair in _SIDES if content.keys() >= set(pair)), None)
    return [content[side] for side in sides] if sides else first_of(content, *_BOTH_SIDES)


def _check_model(name: str, content: Mapping[str, Any]) -> None:
    """Refuses lenses that are bent in another way than OpenCV's."""
    for key in ("distortionmodel", "cameramodel", "distortiontype", "fisheyemodel"):
        model = str(content.get(key, ""))
        if re.sub(r"[\W_]+", "", model).lower() not in {re.sub(r"[\W_]+", "", one) for one in _MODELS}:
            kind = "a fisheye" if key == "fisheyemodel" or model[:1].isdigit() else f"a lens of the kind '{model[:40]}'"
            raise ValueError(f"camera {name} is {kind}, which is not supported; known are plumb_bob and radtan")


def write_opencv(path: Path, camera: Camera) -> Path:
    """Writes one camera as OpenCV's calibration sample does, with its place; returns the path."""
    with writing(path) as temporary:
        storage = cv2.FileStorage(str(temporary), cv2.FILE_STORAGE_WRITE)
        storage.writeComment(MADE_BY)
        storage.write("camera_name", camera.name)
        for name, value in zip(("image_width", "image_height"), camera.image_size, strict=True):
            storage.write(name, value)
        storage.write("camera_matrix", np.array(camera.K))
        storage.write("distortion_coefficients", five_coefficients(camera)[None])
        storage.write("rotation_matrix", np.array(camera.R))
        storage.write("translation_vector", np.array(camera.t)[:, None])
        storage.release()
    return path
