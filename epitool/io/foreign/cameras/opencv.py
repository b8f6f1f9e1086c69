"""Files of OpenCV's calibration and stereo samples, in YAML and XML, and ROS's similar `camera_info`."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from epitool.camera import Camera, Rig
from epitool.files import writing
from epitool.io.foreign.cameras.format import CameraFile, CameraFormat, Size
from epitool.io.foreign.cameras.lens_keys import check_model, distortion_of, matrix_of, place_of, size_of
from epitool.io.foreign.cameras.stated import MADE_BY, Stated, five_coefficients, unitless_rig
from epitool.io.foreign.cameras.storage import plain_keys, read_storage

_SUFFIXES = (".yml", ".yaml", ".xml")


def _read(file: CameraFile, size: Size | None) -> Rig:
    return _read_one(file, size) if matrix_of(file.content) is not None else _read_stereo(file, size)


def _read_one(file: CameraFile, size: Size | None) -> Rig:
    """Read a rig of one camera, without ROS's rectification."""
    content = file.content
    name = str(content.get("cameraname") or file.path.stem).rpartition("/")[2]
    check_model(name, content)
    place = place_of(content, "rotationmatrix", "translationvector")
    if len(place) == 1:
        raise ValueError("holds one of rotation_matrix and translation_vector; a place is both")
    stated = Stated(name, matrix_of(content), distortion_of(content), size_of(content), **place)
    return unitless_rig(file.path, [stated], size)


def _read_stereo(file: CameraFile, size: Size | None) -> Rig:
    """Read two cameras, with x in camera 2 = R x in camera 1 + T; the sample stores R and T in `extrinsics.yml`."""
    content, path = file.content, file.path
    beside = path.with_name(path.name.replace("intrinsics", "extrinsics"))
    if "r" not in content and beside != path and beside.is_file():
        content = plain_keys(read_storage(beside)) | content
    places: list[dict[str, Any]] = [{}, place_of(content, "r", "t")]
    cameras = []
    for number, place in enumerate(places, 1):
        K = matrix_of(content, number)
        if K is None:
            raise ValueError("holds a matrix of the first camera only")
        cameras.append(Stated(f"cam{number}", K, distortion_of(content, number), size_of(content), **place))
    return unitless_rig(path, cameras, size)


def _write(path: Path, rig: Rig) -> list[Path]:
    return [_write_one(path.with_name(f"{path.stem}_{camera.name}{path.suffix}"), camera) for camera in rig.cameras]


def _write_one(path: Path, camera: Camera) -> Path:
    """Write a camera as the calibration sample does, with its extrinsics, and return the path."""
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


OPENCV = CameraFormat(
    "OpenCV, ROS", _SUFFIXES, lambda file: any(matrix_of(file.content, n) is not None for n in (None, 1)), _read,
    _SUFFIXES, _write, lambda path: sorted(path.parent.glob(f"{escape(path.stem)}_*{path.suffix}")),
)  # fmt: skip
