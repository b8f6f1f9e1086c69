"""Reader and writer of Qualisys's cameras, `.qca.txt`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import warn
from epitool.files import writing
from epitool.io.camera_numbers import Array, checked_camera, nearest_rotation
from epitool.io.camera_numbers import numbers as numbers_of
from epitool.io.files import read_xml
from epitool.io.foreign.cameras.format import CameraFormat
from epitool.io.foreign.cameras.stated import MADE_BY, five_coefficients

_SUBPIXELS = 64  # units per pixel of lengths on the sensor
# Attributes by which Pose2Sim recognizes a video camera, and the residual in mm, which it requires but we do not know
_OF_VIDEO = {"model": "none", "viewrotation": "0", "avg-residual": "nan"}
_SENSOR = ("sensorMinU", "sensorMinV", "sensorMaxU", "sensorMaxV")


def read_qualisys(path: Path) -> Rig:
    """Read the active cameras of a calibration; those marked as not calibrated are left out with a warning.

    Raises:
        ValueError: The file is damaged, holds no camera, or states that the calibration failed.
    """
    root = read_xml(path)
    nodes = [node for node in root.iter("camera") if node.get("active", "1") == "1"]
    failed = any(whole.get("calibrated") == "false" for whole in root.iter("calibration"))
    if failed or (nodes and not any(map(_calibrated, nodes))):
        raise ValueError('states calibrated="false" of the whole file; calibrate in QTM anew')
    for node in nodes:
        if not _calibrated(node):
            why = f' ("{node.get("message")}")' if node.get("message") else ""
            warn(f'{path}: camera {node.get("serial")} is left out, for the file states calibrated="false" of it{why}')
    nodes = [node for node in nodes if _calibrated(node)]
    cameras = tuple(map(_camera, nodes))
    if not cameras:
        raise ValueError("holds no camera")
    guessed = [camera for camera, node in zip(cameras, nodes, strict=True) if node.find("fov_video") is None]
    if guessed:
        said = ", ".join(f"{c.name} {c.image_size[0]}x{c.image_size[1]}" for c in guessed)
        warn(f"{path}: states no fov_video, the part of the sensor that was filmed; the whole sensor is taken: {said}")
    return Rig(cameras, "mm", "Qualisys calibration")


def _calibrated(node: ElementTree.Element) -> bool:
    return node.get("calibrated") != "false"


def _camera(node: ElementTree.Element) -> Camera:
    """Read a Qualisys camera: intrinsics in 64ths of a pixel; axes x right, y up, z backward; position in mm.

    The principal point is relative to the sensor's corner; `fov_video` is the part of the sensor that was filmed.
    """
    name = node.get("serial", "")
    place, lens = _part(name, node, "transform"), _part(name, node, "intrinsic")
    fx, fy, cx, cy = _numbers(name, lens, "focalLengthU", "focalLengthV", "centerPointU", "centerPointV") / _SUBPIXELS
    radial = _numbers(name, lens, "radialDistortion1", "radialDistortion2")
    # Qualisys spells it "tangental"
    tangential = _numbers(name, lens, "tangentalDistortion1", "tangentalDistortion2")
    distortion = [*radial, *tangential, float(lens.get("radialDistortion3", 0))]
    stored = _numbers(name, place, *(f"r{i}{j}" for i in "123" for j in "123")).reshape(3, 3)
    # from Qualisys's y up, z backward to OpenCV's y down, z forward
    R = nearest_rotation(name, np.diag([1.0, -1.0, -1.0]) @ stored)
    t = -R @ _numbers(name, place, "x", "y", "z")
    left, top, right, bottom = _window(name, node.find("fov_video"), lens)
    size = (int(right - left + 1), int(bottom - top + 1))
    K = [[fx, 0, cx - left], [0, fy, cy - top], [0, 0, 1]]
    return checked_camera(name, K, distortion, R, t, size)


def _window(name: str, filmed: ElementTree.Element | None, lens: ElementTree.Element) -> Array:
    """Return the first and last filmed columns and rows: left, top, right, bottom.

    Without `fov_video`, this is the whole sensor.
    """
    if filmed is not None:
        return _numbers(name, filmed, "left", "top", "right", "bottom")
    missing = [end for end in _SENSOR if end not in lens.attrib]
    if missing:
        raise ValueError(f"camera {name} has no fov_video, and its intrinsic lacks {', '.join(missing)}")
    first_u, first_v, last_u, last_v = _numbers(name, lens, *_SENSOR) / _SUBPIXELS
    width, height = np.round([last_u - first_u, last_v - first_v])  # the maximum is a pixel's edge, or one 64th less
    return np.array([first_u, first_v, first_u + width - 1, first_v + height - 1])


def _part(name: str, node: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = node.find(tag)
    if found is None:
        raise ValueError(f"camera {name} lacks {tag}")
    return found


def _numbers(name: str, element: ElementTree.Element, *names: str) -> Array:
    missing = [one for one in names if one not in element.attrib]
    if missing:
        raise ValueError(f"camera {name}: its {element.tag} lacks {', '.join(missing)}")
    return numbers_of([element.attrib[one] for one in names], f"camera {name}: its {element.tag}")


def write_qualisys(path: Path, rig: Rig) -> Path:
    """Write cameras for `read_qualisys`: 64ths of a pixel; axes x right, y up, z backward; camera centre as position.

    Returns the path.
    """
    root = ElementTree.Element("calibration", {"created_by": MADE_BY})
    cameras = ElementTree.SubElement(root, "cameras")
    for camera in rig.cameras:
        node = ElementTree.SubElement(cameras, "camera", {"active": "1", "serial": camera.name, **_OF_VIDEO})
        width, height = camera.image_size
        window = {"left": 0, "top": 0, "right": width - 1, "bottom": height - 1}
        ElementTree.SubElement(node, "fov_video", {key: str(value) for key, value in window.items()})
        stored = np.diag([1.0, -1.0, -1.0]) @ camera.R
        numbers = {f"r{i + 1}{j + 1}": stored[i, j] for i in range(3) for j in range(3)}
        place = dict(zip("xyz", camera.center.tolist(), strict=True)) | numbers
        ElementTree.SubElement(node, "transform", {key: repr(float(value)) for key, value in place.items()})
        k1, k2, p1, p2, k3 = five_coefficients(camera)
        lens = {
            "focalLengthU": camera.K[0, 0] * _SUBPIXELS, "focalLengthV": camera.K[1, 1] * _SUBPIXELS,
            "centerPointU": camera.K[0, 2] * _SUBPIXELS, "centerPointV": camera.K[1, 2] * _SUBPIXELS, "skew": 0.0,
            "radialDistortion1": k1, "radialDistortion2": k2, "radialDistortion3": k3,
            "tangentalDistortion1": p1, "tangentalDistortion2": p2,
        }  # fmt: skip
        ElementTree.SubElement(node, "intrinsic", {key: repr(float(value)) for key, value in lens.items()})
    with writing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
    return path


QUALISYS = CameraFormat(
    "Qualisys (.qca.txt, .xml)", (".txt", ".xml", ".qca"), lambda file: not file.is_storage,
    lambda file, size: read_qualisys(file.path), (".qca.txt",), lambda path, rig: [write_qualisys(path, rig)],
)  # fmt: skip
