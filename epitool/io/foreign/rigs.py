"""Cameras for other programs: Qualisys XML, OpenCV YAML and XML, EasyMocap; and EasyMocap's in."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from glob import escape
from pathlib import Path

import cv2
import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import warn
from epitool.errors import InputError
from epitool.files import writing
from epitool.io.files import damage_in
from epitool.io.h5_rigs import checked_camera

INTRI, EXTRI = "intri.yml", "extri.yml"
OPENCV_SUFFIXES = (".yml", ".yaml", ".xml")
_MADE_BY = "epitool.cameras/1"  # by which a later run knows that it may write the file again


def read_easymocap(folder: Path) -> Rig:
    """The cameras of `intri.yml` and `extri.yml`; a size that is not stated is taken as twice the principal point.

    Raises:
        InputError: One is missing or damaged.
    """
    for name in (INTRI, EXTRI):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; EasyMocap's cameras are in {INTRI} and {EXTRI}")
    with damage_in(folder, f"EasyMocap's {INTRI} and {EXTRI}"):
        try:
            cameras, guessed = _easymocap_cameras(folder)
            rig = Rig(tuple(cameras), "arbitrary", "none")
        except cv2.error as error:
            raise ValueError(str(error)) from None
    if guessed:
        sizes = ", ".join(f"{c.name} {c.image_size[0]}x{c.image_size[1]}" for c in cameras if c.name in guessed)
        warn(f"{folder / INTRI}: states no image size (H_, W_); twice the principal point is taken: {sizes}")
    return rig


def _easymocap_cameras(folder: Path) -> tuple[list[Camera], list[str]]:
    """The cameras, and the names of those whose size is guessed."""
    cameras, guessed = [], []
    lenses, places = (cv2.FileStorage(str(folder / name), cv2.FILE_STORAGE_READ) for name in (INTRI, EXTRI))
    names = lenses.getNode("names")
    for n in range(names.size()):
        name = names.at(n).string()
        of_camera = (lenses, f"K_{name}"), (lenses, f"dist_{name}"), (places, f"Rot_{name}"), (places, f"T_{name}")
        parts = [storage.getNode(key).mat() for storage, key in of_camera]
        if any(part is None for part in parts):
            raise ValueError(f"camera {name} lacks K_, dist_, Rot_ or T_")
        K, distortion, R, t = (np.asarray(part, dtype=np.float64) for part in parts)
        width, height = (lenses.getNode(f"{side}_{name}") for side in "WH")
        if width.empty() or height.empty():
            guessed.append(name)
            size = (round(2 * K[0, 2]), round(2 * K[1, 2]))
        else:
            size = (int(width.real()), int(height.real()))
        cameras.append(checked_camera(name, K, distortion.ravel(), R, t.ravel(), size))
    if not cameras:
        raise ValueError("no names")
    return cameras, guessed


def foreign_files(path: Path) -> list[Path]:
    """Files that `write_foreign_rig` may write over: those of one camera that are there, or a folder's two."""
    if path.suffix.lower() in OPENCV_SUFFIXES:
        return sorted(path.parent.glob(f"{escape(path.stem)}_*{path.suffix}"))
    return [path / INTRI, path / EXTRI]


def write_foreign_rig(path: Path, rig: Rig, scale: float) -> list[Path]:
    """Writes cameras in the format that a name says; returns the files.

    Args:
        path: `.qca.txt` (Qualisys), `.yml`, `.yaml` or `.xml` (OpenCV, one file a camera: `name_CAMERA.yml`), or a
            folder (EasyMocap).
        rig: The cameras.
        scale: By which lengths are multiplied.
    """
    rig = rig.scaled(scale, rig.unit, rig.scale_source)
    if path.name.endswith(".qca.txt"):
        return [_write_qualisys(path, rig)]
    if path.suffix.lower() in OPENCV_SUFFIXES:
        return [_write_opencv(path.with_name(f"{path.stem}_{c.name}{path.suffix}"), c) for c in rig.cameras]
    return _write_easymocap(path, rig)


def _write_opencv(path: Path, camera: Camera) -> Path:
    with writing(path) as temporary:
        storage = cv2.FileStorage(str(temporary), cv2.FILE_STORAGE_WRITE)
        storage.writeComment(_MADE_BY)
        storage.write("camera_name", camera.name)
        for name, value in zip(("image_width", "image_height"), camera.image_size, strict=True):
            storage.write(name, value)
        storage.write("camera_matrix", np.array(camera.K))
        storage.write("distortion_coefficients", _five(camera)[None])
        storage.write("rotation_matrix", np.array(camera.R))
        storage.write("translation_vector", np.array(camera.t)[:, None])
        storage.release()
    return path


def _write_easymocap(folder: Path, rig: Rig) -> list[Path]:
    paths = [folder / INTRI, folder / EXTRI]
    with writing(paths[0]) as intri, writing(paths[1]) as extri:
        lenses, places = (cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE) for path in (intri, extri))
        for storage in (lenses, places):
            storage.writeComment(_MADE_BY)
            storage.startWriteStruct("names", cv2.FileNode_SEQ)
            for camera in rig.cameras:
                storage.write("", camera.name)
            storage.endWriteStruct()
        for camera in rig.cameras:
            lenses.write(f"K_{camera.name}", np.array(camera.K))
            lenses.write(f"dist_{camera.name}", _five(camera)[:, None])
            for side, length in zip("WH", camera.image_size, strict=True):
                lenses.write(f"{side}_{camera.name}", length)
            places.write(f"R_{camera.name}", cv2.Rodrigues(np.array(camera.R))[0])
            places.write(f"Rot_{camera.name}", np.array(camera.R))
            places.write(f"T_{camera.name}", np.array(camera.t)[:, None])
        for storage in (lenses, places):
            storage.release()
    return paths


def _write_qualisys(path: Path, rig: Rig) -> Path:
    """As `io.cameras` reads it: 64ths of a pixel, axes x right, y up, z backward, the camera's centre."""
    root = ElementTree.Element("calibration", {"created_by": _MADE_BY})
    cameras = ElementTree.SubElement(root, "cameras")
    for camera in rig.cameras:
        node = ElementTree.SubElement(cameras, "camera", {"active": "1", "serial": camera.name})
        width, height = camera.image_size
        window = {"left": 0, "top": 0, "right": width - 1, "bottom": height - 1}
        ElementTree.SubElement(node, "fov_video", {key: str(value) for key, value in window.items()})
        stored = np.diag([1.0, -1.0, -1.0]) @ camera.R
        numbers = {f"r{i + 1}{j + 1}": stored[i, j] for i in range(3) for j in range(3)}
        place = dict(zip("xyz", camera.center.tolist(), strict=True)) | numbers
        ElementTree.SubElement(node, "transform", {key: repr(float(value)) for key, value in place.items()})
        k1, k2, p1, p2, k3 = _five(camera)
        lens = {
            "focalLengthU": camera.K[0, 0] * 64, "focalLengthV": camera.K[1, 1] * 64,
            "centerPointU": camera.K[0, 2] * 64, "centerPointV": camera.K[1, 2] * 64, "skew": 0.0,
            "radialDistortion1": k1, "radialDistortion2": k2, "radialDistortion3": k3,
            "tangentalDistortion1": p1, "tangentalDistortion2": p2,
        }  # fmt: skip
        ElementTree.SubElement(node, "intrinsic", {key: repr(float(value)) for key, value in lens.items()})
    with writing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
    return path


def _five(camera: Camera) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The five coefficients that these formats have room for.

    Raises:
        InputError: The camera has more.
    """
    if camera.distortion[5:].any():
        raise InputError(f"camera {camera.name} has {len(camera.distortion)} distortion coefficients, the format 5")
    return np.pad(camera.distortion[:5], (0, max(5 - len(camera.distortion), 0)))
