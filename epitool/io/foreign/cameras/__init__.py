"""Cameras of other programs, in and out: a module for each format, its reader beside its writer, and one table.

A format is added by a module that holds a `CameraFormat`, and by its place in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.io.foreign.cameras.easymocap import EASYMOCAP
from epitool.io.foreign.cameras.format import CameraFile, CameraFormat, Size
from epitool.io.foreign.cameras.kalibr import KALIBR
from epitool.io.foreign.cameras.mc_calib import MC_CALIB
from epitool.io.foreign.cameras.opencv import OPENCV
from epitool.io.foreign.cameras.qualisys import QUALISYS

# The first that fits is read, and the first of whose endings a name has is written.
FORMATS = (QUALISYS, OPENCV, KALIBR, MC_CALIB, EASYMOCAP)
SUFFIXES = tuple(dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes))
WORDS = ", ".join(one.words for one in FORMATS)


def is_camera_folder(path: Path) -> bool:
    """Whether a folder is of one of the formats."""
    file = CameraFile(path)
    return any(one.fits(file) for one in FORMATS if not one.suffixes)


def read_foreign_rig(path: Path, size: Size | None = None) -> Rig:
    """The cameras of a file or folder of another program.

    Args:
        path: The file or folder.
        size: (width, height) of the images, where it does not say.

    Raises:
        InputError: It is a folder of no known format, or a file in it is missing or damaged.
        ValueError: It is damaged, of no known format, or what it states is no camera.
    """
    file, folder = CameraFile(path), path.is_dir()
    for one in FORMATS:
        if folder != bool(one.suffixes) and one.fits(file):
            return one.read(file, size)
    if folder:
        raise InputError(f"{path}: is a folder without cameras of a known format; known are {WORDS}")
    raise ValueError(f"holds no camera matrix, but {', '.join(file.stored)[:120] or 'nothing'}")


def foreign_files(path: Path) -> list[Path]:
    """The files that `write_foreign_rig` may write over where it is given this name."""
    return _written_as(path).there(path)


def write_foreign_rig(path: Path, rig: Rig, scale: float) -> list[Path]:
    """Writes cameras in the format that a name says; returns the files.

    Args:
        path: `.qca.txt` (Qualisys), `.yml`, `.yaml` or `.xml` (OpenCV, one file a camera: `name_CAMERA.yml`), or a
            folder (EasyMocap).
        rig: The cameras.
        scale: By which lengths are multiplied.
    """
    write = _written_as(path).write
    assert write is not None  # as it has endings
    return write(path, rig.scaled(scale, rig.unit, rig.scale_source))


def _written_as(path: Path) -> CameraFormat:
    return next(one for one in FORMATS if path.name.lower().endswith(one.endings))
