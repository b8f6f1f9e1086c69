"""Checks of cameras from other programs before they are used: their axes, unit and image size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import warn
from epitool.errors import GeometryError, InputError
from epitool.geometry.body.scale import stature
from epitool.io.cameras import is_foreign
from epitool.pose import Poses

_SIZE_TOLERANCE = 0.02  # video coders crop a few pixels; a larger difference means another camera or mode
_SAME_ASPECT = 1e-3
# Largest angle between a camera's axis and the point that all cameras look at, and the margin by which another
# interpretation of R and t must be better.
_NEAR_DEG, _CLEARLY_DEG = 40.0, 5.0
_TALL = (1.0, 2.4)  # range of people's stature in metres
_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}  # in metres
_NAMES = {"m": "metres", "cm": "cm", "mm": "mm"}
_ROUNDING = 1e-6
_DOES = ("makes them mm", "says so")
# Cameras in a room that are less apart than these are probably in metres; in cm (or mm); and in mm or cm.
_METRES, _CENTIMETRES, _BOTH = 50.0, 300.0, 1000.0


def check_direction(path: Path, rig: Rig) -> None:
    """Warn if R and t of another program's file seem to map from camera to world, or to use other axes."""
    if len(rig) < 2 or not is_foreign(path):
        return
    readings = {
        "if they are camera to world: `epitool convert --inverse` turns them": inverted(rig),
        "if their axes are y up and z backward, as OpenGL's and Blender's: y down and z forward are needed (the second"
        " and third row of R and t negated)": facing_back(rig),
    }
    looks = {words: parallax_deg(reading) for words, reading in readings.items()}
    words = max(looks, key=lambda words: looks[words])
    if looks[words] > 2 * parallax_deg(rig) + _CLEARLY_DEG:
        warn(f"{path}: these look at one place from several sides {words}")


def check_unit(path: Path, rig: Rig, people: Poses | None = None) -> None:
    """Warn if a file states no unit, and name the unit that sizes suggest.

    Files of epitool itself have no unit where the scale is unknown, which people's size tells from a unit that got
    lost.

    Args:
        path: The file.
        rig: The cameras that were read from it.
        people: Poses triangulated with them; bodies tell the unit better than the distances between cameras do.
    """
    centers = np.stack([camera.center for camera in rig.cameras])
    apart = float(np.median(np.linalg.norm(centers - np.roll(centers, 1, axis=0), axis=1)))
    if rig.unit == "mm" or not apart > 0:  # a file with all cameras at one place holds intrinsics only
        return
    foreign = is_foreign(path)
    tall = _stature(people) if people and (foreign or not _has_first_baseline_of_one(rig)) else np.nan
    unit = next((unit for unit, size in _UNITS.items() if _TALL[0] < tall * size < _TALL[1]), None)
    if unit and (foreign or unit != "mm"):
        what = f"{path}: states no unit; people are {tall:.4g} tall, which look like {_NAMES[unit]}"
        warn(f"{what}: `epitool convert --unit {unit}` {_DOES[unit == 'mm']}")
    if unit or not foreign:
        return
    said = f"{path}: states no unit; cameras {apart:.4g} apart are"
    if apart < _METRES:
        warn(f"{said} probably in metres: `epitool convert --unit m` makes them mm")
    elif apart < _CENTIMETRES:
        warn(f"{said} probably in cm, or in mm: `epitool convert --unit cm` makes them mm, `--unit mm` says so")
    elif apart < _BOTH:
        warn(f"{said} in mm or in cm: `epitool convert --unit mm` says so, `--unit cm` makes them mm")
    else:
        warn(f"{said} probably in mm: `epitool convert --unit mm` says so")


def _has_first_baseline_of_one(rig: Rig) -> bool:
    """Return whether the first two cameras are as far apart as those that were found without any scale."""
    return bool(abs(np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center) - 1) < _ROUNDING)


def _stature(people: Poses) -> float:
    """Return the stature of people in the poses' unit; NaN if no body is seen completely."""
    try:
        return stature(people)
    except GeometryError:
        return np.nan


def inverted(rig: Rig) -> Rig:
    """Return the rig with R and t inverted, for files whose R and t map from camera to world."""
    return replace(rig, cameras=tuple(replace(c, R=c.R.T, t=-c.R.T @ c.t) for c in rig.cameras))


def facing_back(rig: Rig) -> Rig:
    """Return the rig with y and z negated, for files whose cameras have y up and z backward."""
    turn = np.diag([1.0, -1.0, -1.0])
    return replace(rig, cameras=tuple(replace(c, R=turn @ c.R, t=turn @ c.t) for c in rig.cameras))


def parallax_deg(rig: Rig) -> float:
    """Return the median angle, over pairs of cameras, at the point that their optical axes come nearest to.

    The angle is 0 if that point is not in front of every camera and near its axis.
    """
    # The point is the least-squares solution for the distances to all axes: sum of (I - d d^T) (p - c) = 0.
    ahead, centers = np.stack([c.R[2] for c in rig.cameras]), np.stack([c.center for c in rig.cameras])
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None]
    point = np.linalg.lstsq(across.sum(axis=0), (across @ centers[..., None]).sum(axis=0)[:, 0], rcond=None)[0]
    directions = point - centers
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    if ((directions * ahead).sum(axis=1) < np.cos(np.radians(_NEAR_DEG))).any():
        return 0.0
    between = (directions @ directions.T)[np.triu_indices(len(rig), 1)]
    return float(np.degrees(np.median(np.arccos(np.clip(between, -1, 1)))))


def fit_rigs(rigs: Sequence[Rig], sizes: Sequence[tuple[int, int]], path: Path) -> list[Rig]:
    """Return the rigs adapted to image sizes, one for each camera of a rig, as `fit_sizes` does for cameras."""
    cameras = fit_sizes([c for rig in rigs for c in rig.cameras], [size for _ in rigs for size in sizes], path)
    each = len(sizes)
    return [replace(rig, cameras=tuple(cameras[i * each : (i + 1) * each])) for i, rig in enumerate(rigs)]


def fit_sizes(cameras: Sequence[Camera], sizes: Sequence[tuple[int, int]], path: Path) -> list[Camera]:
    """Return the cameras adapted to image sizes: scaled with the images, or unchanged if only an edge is cropped.

    Args:
        cameras: The cameras as read from the file.
        sizes: (width, height) of each camera's images; 0 if the images differ in size, so that nothing is known.
        path: The cameras' file.

    Raises:
        InputError: The images have another shape.
    """
    fitted = [_fitted(camera, size, path) for camera, size in zip(cameras, sizes, strict=True)]
    for remark in dict.fromkeys(remark for _, remark in fitted if remark):  # moving cameras repeat the same remark
        warn(remark)
    return [camera for camera, _ in fitted]


def _fitted(camera: Camera, size: tuple[int, int], path: Path) -> tuple[Camera, str]:
    """Return the camera adapted to images of this size, and a remark for the user."""
    stated, found = np.array(camera.image_size), np.array(size)
    if (stated == found).all() or not found.all():
        return camera, ""
    ratio = found / stated
    what = f"{path}: camera {camera.name} is for {stated[0]}x{stated[1]} images, the view has {found[0]}x{found[1]}"
    if abs(ratio[0] / ratio[1] - 1) < _SAME_ASPECT:
        K = camera.K.copy()
        K[:2] *= ratio.mean()
        K[:2, 2] += (ratio.mean() - 1) / 2  # pixel centres are integers
        return replace(camera, K=K, image_size=size), f"{what}; its intrinsics are scaled by {ratio[0]:.4g}"
    if np.abs(ratio - 1).max() <= _SIZE_TOLERANCE:
        return replace(camera, image_size=size), f"{what}; taken as cropped at the right and bottom"
    if abs(ratio[0] * ratio[1] - 1) < _SIZE_TOLERANCE and abs(stated[0] / found[1] - 1) < _SIZE_TOLERANCE:
        raise InputError(
            f"{what}: these were turned by a quarter since the calibration; find joints in images that lie as the"
            " camera's do, or calibrate with images that are turned"
        )
    raise InputError(f"{what}; give the cameras of the mode that was filmed in")
