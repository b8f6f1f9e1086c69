"""Reader of Vicon's cameras, `.xcp`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import say, warn
from epitool.io.camera_numbers import Array, checked_camera, numbers
from epitool.io.files import read_xml
from epitool.io.foreign.cameras.format import CameraFormat

_LENS2, _LENS = "VICON_RADIAL2", "VICON_RADIAL"
_MODEL = "Vicon3Parameter"  # kind of lens, the first word of VICON_RADIAL2
_SAMPLES = 200  # radii at which OpenCV's coefficients are fitted
_FAR_PX, _OFF_CENTRE_PX = 0.1, 1.0  # misfit of the lens, and distance of its centre, from which they are reported


def read_vicon(path: Path) -> Rig:
    """Read the video cameras of a calibration, or all cameras if none is marked as one for video.

    Cameras without a calibration are left out with a warning.

    Raises:
        ValueError: The file is damaged, holds no calibrated camera, or a camera that moves.
    """
    nodes = list(read_xml(path).iter("Camera"))
    videos = [node for node in nodes if _films(node)]
    if 0 < len(videos) < len(nodes):
        say(f"{path}: {len(videos)} of {len(nodes)} cameras are for video; the others, for markers, are left out")
    cameras = []
    for node in videos or nodes:
        frames = list(node.iter("KeyFrame"))
        if frames:
            cameras.append(_camera(path, node, frames))
        else:
            warn(f"{path}: camera {_name(node)} is left out, for the file states no calibration of it")
    if not cameras:
        raise ValueError("holds no calibrated camera")
    return Rig(tuple(cameras), "mm", "Vicon calibration")


def _films(node: ElementTree.Element) -> bool:
    return "video" in node.get("TYPE", "").lower() or node.get("ISDV") == "2"


def _name(node: ElementTree.Element) -> str:
    return node.get("DEVICEID") or node.get("NAME") or node.get("USERID") or ""


def _camera(path: Path, node: ElementTree.Element, frames: Sequence[ElementTree.Element]) -> Camera:
    """Read a Vicon camera: x right, y down, z forward; mm and pixels; the centre as position.

    The quaternion is x, y, z, w and maps from world to camera.
    """
    from scipy.spatial.transform import Rotation  # slow to import, and every reader of cameras loads this module

    name = _name(node)
    if len({(frame.get("POSITION"), frame.get("ORIENTATION")) for frame in frames}) > 1:
        raise ValueError(f"camera {name} moves: it has {len(frames)} key frames, which is not supported")
    stated = {**node.attrib, **frames[0].attrib}
    width, height = _read_attribute(name, stated, "SENSOR_SIZE", 2)
    (focal,) = _read_attribute(name, stated, "FOCAL_LENGTH", 1)
    (aspect,) = _read_attribute(name, stated, "PIXEL_ASPECT_RATIO", 1, "1")
    centre = _read_attribute(name, stated, "PRINCIPAL_POINT", 2)
    quaternion = _read_attribute(name, stated, "ORIENTATION", 4)
    if not (focal > 0 and aspect > 0 and np.linalg.norm(quaternion) > 0):
        raise ValueError(f"camera {name}: its focal length, aspect ratio or quaternion is zero or negative")
    R = Rotation.from_quat(quaternion).as_matrix()
    K = [[focal, 0, centre[0]], [0, focal / aspect, centre[1]], [0, 0, 1]]
    reach = np.linalg.norm(np.maximum(centre, [width, height] - centre) * [1.0, aspect])
    distortion = _lens(path, name, stated, centre, focal, float(reach))
    size = (int(width), int(height))
    return checked_camera(name, K, distortion, R, -R @ _read_attribute(name, stated, "POSITION", 3), size)


def _read_attribute(name: str, stated: dict[str, str], key: str, count: int, usual: str | None = None) -> Array:
    text = stated.get(key, usual)
    if text is None:
        raise ValueError(f"camera {name} lacks {key}")
    return numbers(text.split(), f"camera {name}: its {key}", count)


def _lens(path: Path, name: str, stated: dict[str, str], centre: Array, focal: float, reach: float) -> Array:
    """Return OpenCV's coefficients of a Vicon lens.

    Vicon multiplies a pixel's distance r from the centre by 1 + k1 r^2 + k2 r^4 + k3 r^6 to undistort it, while
    OpenCV's polynomial distorts. Its inverse is fitted up to `reach`, the distance in pixels of the farthest corner.
    """
    k = _radial(name, stated, centre, path)
    if not k.any():
        return np.zeros(5)
    bent = np.linspace(0, reach, _SAMPLES + 1)[1:]
    ideal = bent * (1 + np.polyval([*k[::-1], 0.0], bent**2))
    if not (np.diff(ideal, prepend=0.0) > 0).all():
        raise ValueError(f"camera {name}: its {_LENS} maps several pixels of the image to one")
    rho = ideal / focal
    powers = np.stack([rho**3, rho**5, rho**7], axis=1)
    fitted = np.linalg.lstsq(powers, bent / focal - rho, rcond=None)[0]
    misfit = float(np.abs(rho + powers @ fitted - bent / focal).max() * focal)
    if misfit > _FAR_PX:
        warn(f"{path}: camera {name}: its lens is only approximated by OpenCV's, up to {misfit:.2f} px off at corners")
    return np.array([fitted[0], fitted[1], 0.0, 0.0, fitted[2]])


def _radial(name: str, stated: dict[str, str], centre: Array, path: Path) -> Array:
    """Return k1, k2 and k3 of a Vicon lens, in pixels to the power of -2, -4 and -6."""
    if _LENS2 in stated:
        kind, _, values = stated[_LENS2].strip().partition(" ")
        if kind != _MODEL:
            raise ValueError(f"camera {name} has a lens of the kind '{kind[:40]}', which is not supported")
        found = numbers(values.split(), f"camera {name}: its {_LENS2}", 5)
        if found[2:].any() and np.linalg.norm(found[:2] - centre) > _OFF_CENTRE_PX:
            warn(f"{path}: camera {name}: its lens is centred off the principal point, which is not taken into account")
        return found[2:]
    return np.append(_read_attribute(name, stated, _LENS, 2, "0 0"), 0.0)


VICON = CameraFormat(
    "Vicon (.xcp)", (".xcp",), lambda file: file.suffix == ".xcp", lambda file, size: read_vicon(file.path)
)
