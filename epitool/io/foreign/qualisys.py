"""Qualisys's cameras, `.qca.txt`: in and out."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import warn
from epitool.files import writing
from epitool.io.files import read_xml
from epitool.io.foreign.stated import MADE_BY, five_coefficients
from epitool.io.foreign.storage import numbers as numbers_of
from epitool.io.h5_rigs import checked_camera, nearest_rotation


def read_qualisys(path: Path) -> Rig:
    """The active cameras of a calibration; those that it calls not calibrated are left out, and that is said.

    Raises:
        ValueError: It is damaged, holds no camera, or is no calibration that succeeded.
    """
    root = read_xml(path)
    nodes = [node for node in root.iter("camera") if node.get("active", "1") == "1"]
    if root.get("calibrated") == "false" or (nodes and not any(map(_calibrated, nodes))):
        raise ValueError('states calibrated="false" of the whole file; calibrate in QTM anew')
    for node in nodes:
        if not _calibrated(node):
            why = f' ("{node.get("message")}")' if node.get("message") else ""
            warn(f'{path}: camera {node.get("serial")} is left out, for the file states calibrated="false" of it{why}')
    cameras = tuple(_camera(node) for node in nodes if _calibrated(node))
    if not cameras:
        raise ValueError("holds no camera")
    return Rig(cameras, "mm", "Qualisys calibration")


def _calibrated(node: ElementTree.Element) -> bool:
    return node.get("calibrated") != "false"


def _camera(node: ElementTree.Element) -> Camera:
    """A Qualisys camera: intrinsics in 64ths of a pixel; axes x right, y up, z backward; position in mm.

    The principal point counts from the sensor's corner, of which `fov_video` is the window that was filmed.
    """
    place, lens, window = node.find("transform"), node.find("intrinsic"), node.find("fov_video")
    if place is None or lens is None or window is None:
        raise ValueError(f"camera {node.get('serial')} lacks transform, intrinsic or fov_video")

    def numbers(element: ElementTree.Element, *names: str) -> np.ndarray[Any, Any]:
        missing = [name for name in names if name not in element.attrib]
        if missing:
            raise ValueError(f"camera {node.get('serial')}: its {element.tag} lacks {', '.join(missing)}")
        return numbers_of([element.attrib[name] for name in names], f"camera {node.get('serial')}: its {element.tag}")

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


def write_qualisys(path: Path, rig: Rig) -> Path:
    """Writes what `read_qualisys` reads: 64ths of a pixel, axes x right, y up, z backward, the camera's centre."""
    root = ElementTree.Element("calibration", {"created_by": MADE_BY})
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
        k1, k2, p1, p2, k3 = five_coefficients(camera)
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
