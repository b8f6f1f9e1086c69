"""Reader of MC-Calib's cameras, `calibrated_cameras_data.yml`."""

from __future__ import annotations

import numpy as np

from epitool.camera import Rig
from epitool.io.camera_numbers import numbers
from epitool.io.foreign.cameras.format import CameraFile, CameraFormat, Size
from epitool.io.foreign.cameras.lens_keys import check_model, distortion_of, matrix_of, size_of
from epitool.io.foreign.cameras.stated import Stated, unitless_rig


def _read(file: CameraFile, size: Size | None) -> Rig:
    """Read the cameras, whose stored poses are world from camera."""
    cameras = []
    for name, part in file.parts.items():
        if (K := matrix_of(part)) is None:
            continue
        check_model(name, part)
        pose = numbers(part.get("cameraposematrix", np.eye(4)), f"camera {name}: camera_pose_matrix", 16).reshape(4, 4)
        R = pose[:3, :3].T
        cameras.append(Stated(name, K, distortion_of(part), size_of(part), R, -R @ pose[:3, 3]))
    return unitless_rig(file.path, cameras, size)


MC_CALIB = CameraFormat(
    "MC-Calib (.yml)",
    (".yml", ".yaml"),
    lambda file: any(matrix_of(part) is not None for part in file.parts.values()),
    _read,
)
