"""Reader of Kalibr's camera chain, `camchain.yaml`."""

from __future__ import annotations

import re

import numpy as np

from epitool.camera import Rig
from epitool.io.camera_numbers import numbers
from epitool.io.foreign.cameras.format import CameraFile, CameraFormat, Size
from epitool.io.foreign.cameras.lens_keys import check_model, distortion_of, size_of
from epitool.io.foreign.cameras.stated import Stated, unitless_rig


def _read(file: CameraFile, size: Size | None) -> Rig:
    """Read a chain in which each camera is placed relative to the previous: x in n = T_cn_cnm1 x in n - 1."""
    pose, cameras, parts = np.eye(4), [], file.parts
    for n, (name, part) in enumerate(sorted(parts.items(), key=lambda item: int(re.sub(r"\D", "", item[0]) or 0))):
        check_model(name, part)
        fx, fy, cx, cy = numbers(part["intrinsics"], f"camera {name}: intrinsics", 4)
        if n and "tcncnm1" in part:
            pose = numbers(part["tcncnm1"], f"camera {name}: T_cn_cnm1", 16).reshape(4, 4) @ pose
        elif n and any("tcncnm1" in other for other in parts.values()):
            raise ValueError(f"camera {name} lacks T_cn_cnm1, its place by the camera before")
        K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        cameras.append(Stated(name, K, distortion_of(part), size_of(part), pose[:3, :3], pose[:3, 3]))
    return unitless_rig(file.path, cameras, size)


KALIBR = CameraFormat(
    "Kalibr (.yaml)", (".yaml", ".yml"), lambda file: any("intrinsics" in part for part in file.parts.values()), _read
)
