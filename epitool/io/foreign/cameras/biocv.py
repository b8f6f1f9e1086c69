"""Reader of the cameras of the BioCV data set, a `.calib` file for each."""

from __future__ import annotations

from pathlib import Path

from epitool.camera import Rig
from epitool.io.camera_numbers import floats
from epitool.io.files import read_text
from epitool.io.foreign.cameras.format import CameraFormat
from epitool.io.foreign.cameras.stated import Stated, cameras_of

_LAYOUTS = ([1, 1, 3, 3, 3, 4, 4, 4, 4], [1, 1, 3, 3, 3, 4, 4, 4])  # numbers in each line before the distortion


def read_biocv(path: Path) -> Rig:
    """Read a camera: width, height, K, the camera from world matrix in mm, and OpenCV's distortion, by lines.

    Raises:
        ValueError: The lines are others.
    """
    rows = [floats(line.split(), f"line {n}") for n, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    counts = [len(row) for row in rows]
    if counts[:-1] not in _LAYOUTS or counts[-1] not in (4, 5):
        raise ValueError(
            "no camera of BioCV: its lines should hold width, height, 3x3 K, the 4x4 matrix, 5 coefficients of the lens"
        )
    place = [row.tolist() for row in rows[5:8]]
    name = path.name.partition(".")[0]  # 00.mp4.calib
    size = [float(rows[0][0]), float(rows[1][0])]
    R, t = [row[:3] for row in place], [row[3] for row in place]
    stated = Stated(name, [row.tolist() for row in rows[2:5]], rows[-1], size, R, t)
    return Rig(cameras_of(path, [stated], None), "mm", "BioCV calibration")


BIOCV = CameraFormat(
    "BioCV (.calib)", (".calib",), lambda file: file.suffix == ".calib", lambda file, size: read_biocv(file.path)
)
