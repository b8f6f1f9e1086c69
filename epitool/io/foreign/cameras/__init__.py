"""Camera files of other programs: a module with reader and writer for each format, and one table of formats.

To add a format, add a module that defines a `CameraFormat`, and list it in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.io.foreign.cameras.biocv import BIOCV
from epitool.io.foreign.cameras.easymocap import EASYMOCAP
from epitool.io.foreign.cameras.format import CameraFile, CameraFormat, Size
from epitool.io.foreign.cameras.kalibr import KALIBR
from epitool.io.foreign.cameras.mc_calib import MC_CALIB
from epitool.io.foreign.cameras.opencap import OPENCAP, is_opencap_json
from epitool.io.foreign.cameras.opencv import OPENCV
from epitool.io.foreign.cameras.qualisys import QUALISYS
from epitool.io.foreign.cameras.vicon import VICON

# A file is read by the first format that fits, and written by the first with a matching ending.
FORMATS = (VICON, BIOCV, OPENCAP, QUALISYS, OPENCV, KALIBR, MC_CALIB, EASYMOCAP)
SUFFIXES = tuple(dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes))
WORDS = ", ".join(one.words for one in FORMATS)


def is_foreign_rig(path: Path) -> bool:
    """Return whether a file or folder is of one of the formats, judging by the file's name or the folder's content."""
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES or is_opencap_json(path)
    file = CameraFile(path)
    return any(one.fits(file) for one in FORMATS if not one.suffixes)


def read_foreign_rig(path: Path, size: Size | None = None) -> Rig:
    """Read the cameras of a file or folder of another program.

    Args:
        path: File or folder.
        size: (width, height) of the images, used if the file does not state it.

    Raises:
        InputError: The folder is of no known format, or a file in it is missing or damaged.
        ValueError: The file is damaged, of no known format, or states an invalid camera.
    """
    file, folder = CameraFile(path), path.is_dir()
    for one in FORMATS:
        if folder != bool(one.suffixes) and one.fits(file):
            return one.read(file, size)
    if folder:
        raise InputError(f"{path}: is a folder without cameras of a known format; known are {WORDS}")
    raise ValueError(f"holds no camera matrix, but {', '.join(file.stored)[:120] or 'nothing'}")


def foreign_files(path: Path) -> list[Path]:
    """Return the existing files that `write_foreign_rig` may overwrite for this name."""
    return _written_as(path).there(path)


def write_foreign_rig(path: Path, rig: Rig, scale: float) -> list[Path]:
    """Write cameras in the format that the name determines, and return the paths of the files.

    Args:
        path: `.qca.txt` (Qualisys), `.yml`, `.yaml` or `.xml` (OpenCV, one file per camera: `name_CAMERA.yml`), or a
            folder (EasyMocap).
        rig: The cameras.
        scale: Factor by which lengths are multiplied.
    """
    write = _written_as(path).write
    assert write is not None  # every format with endings has a writer
    return write(path, rig.scaled(scale, rig.unit, rig.scale_source))


def _written_as(path: Path) -> CameraFormat:
    return next(one for one in FORMATS if path.name.lower().endswith(one.endings))
