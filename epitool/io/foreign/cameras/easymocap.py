"""Reader and writer of EasyMocap's cameras: a folder with `intri.yml` and `extri.yml`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.files import writing
from epitool.io.files import damage_in
from epitool.io.foreign.cameras.format import CameraFormat
from epitool.io.foreign.cameras.stated import MADE_BY, Stated, five_coefficients, unitless_rig
from epitool.io.foreign.cameras.storage import find_first, read_storage

INTRI, EXTRI = "intri.yml", "extri.yml"


def read_easymocap(folder: Path, size_given: tuple[int, int] | None = None) -> Rig:
    """Read the cameras of `intri.yml` and `extri.yml`.

    Args:
        folder: Folder with both files.
        size_given: (width, height) of the images, used if the files do not state it.

    Raises:
        InputError: A file is missing or damaged.
    """
    for name in (INTRI, EXTRI):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; EasyMocap's cameras are in {INTRI} and {EXTRI}")
    with damage_in(folder, f"EasyMocap's {INTRI} and {EXTRI}"):
        intri, extri = (read_storage(folder / name) for name in (INTRI, EXTRI))
        names = [key.removeprefix("K_") for key in intri if key.startswith("K_")]
        if not names:
            raise ValueError(f"{INTRI} holds no K_ of any camera, but {', '.join(intri)[:80] or 'nothing'}")
        cameras = []
        for name in names:
            # Rot_ is a matrix and R_ a vector; versions of EasyMocap write either or both
            R, t = find_first(extri, f"Rot_{name}", f"R_{name}"), extri.get(f"T_{name}")
            if R is None or t is None:
                raise ValueError(f"camera {name} has no {'Rot_ or R_' if R is None else 'T_'} in {EXTRI}")
            size = [intri[f"{side}_{name}"] for side in "WH" if f"{side}_{name}" in intri]
            distortion = find_first(intri, f"dist_{name}", f"D_{name}")
            cameras.append(Stated(name, intri[f"K_{name}"], distortion, size if len(size) == 2 else None, R, t))
        return unitless_rig(folder, cameras, size_given)


def write_easymocap(folder: Path, rig: Rig) -> list[Path]:
    """Write both files and return their paths."""
    paths = [folder / INTRI, folder / EXTRI]
    with writing(paths[0]) as intri, writing(paths[1]) as extri:
        lenses, places = (cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE) for path in (intri, extri))
        for storage in (lenses, places):
            storage.writeComment(MADE_BY)
            storage.startWriteStruct("names", cv2.FileNode_SEQ)
            for camera in rig.cameras:
                storage.write("", camera.name)
            storage.endWriteStruct()
        for camera in rig.cameras:
            lenses.write(f"K_{camera.name}", np.array(camera.K))
            lenses.write(f"dist_{camera.name}", five_coefficients(camera)[:, None])
            for side, length in zip("WH", camera.image_size, strict=True):
                lenses.write(f"{side}_{camera.name}", length)
            places.write(f"R_{camera.name}", cv2.Rodrigues(np.array(camera.R))[0])
            places.write(f"Rot_{camera.name}", np.array(camera.R))
            places.write(f"T_{camera.name}", np.array(camera.t)[:, None])
        for storage in (lenses, places):
            storage.release()
    return paths


EASYMOCAP = CameraFormat(
    f"EasyMocap (a folder with {INTRI} and {EXTRI})", (), lambda file: (file.path / INTRI).exists(),
    lambda file, size: read_easymocap(file.path, size), ("",), write_easymocap,
    lambda path: [path / INTRI, path / EXTRI],
)  # fmt: skip
