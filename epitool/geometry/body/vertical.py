"""The vertical and the floor, from a person who stands or walks.

Two cues are weighted by their covariances. The floor's plane contains the ankles while they bear weight: it is accurate
where the person walks far. The body's axis, from mid-ankles to mid-shoulders, hardly leans to a side; its lean to the
front can be estimated if the person turns around. It is the only cue where the person stays in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array
from epitool.camera import Camera, Rig
from epitool.errors import VerticalError
from epitool.geometry.body.axes import least_rotation, unit_vectors
from epitool.geometry.body.stance import Stance, Tilt, axis_tilt, fit_floor, floor_tilt, stance_of
from epitool.geometry.doubts import Doubt, Kind
from epitool.pose import Poses

Array = NDArray[np.float64]
MAX_SD_DEG = 6.0  # a vertical with a larger standard deviation is a guess
_ANKLE_HEIGHT = 0.039 / (0.245 + 0.246)  # share of the leg (Winter, Biomechanics and Motor Control of Human Movement)
_AGREEMENT = 2.0  # standard deviations by which both cues may differ
_DOUBTFUL_SD_DEG = 3.0
_MAX_LEAN_DEG = 12.0
_MIN_UPRIGHTNESS = 0.7  # least length of the median of the bodies' unit axes
_LEVEL_CAMERAS = 0.5  # largest sine of the roll of cameras
_OBLIQUE = 0.1  # sine of the angle from the vertical below which a camera looks straight down or up
_ITERATIONS = 40


@dataclass(frozen=True, eq=False)
class Levelled:
    """Motion `x_level = R @ x + t` into a world with z up and the floor at z = 0.

    The origin is on the floor under the first camera; x is the horizontal direction in which that camera looks (the
    upper side of its image, where it looks straight down or up).

    Attributes:
        R: Rotation `(3, 3)`, levelled world from world.
        t: Translation `(3,)` in the poses' unit.
        sd_deg: Standard deviation of the vertical, degrees: root of the summed variances of both tilts.
        floor_sd_deg: Standard deviation from the feet's contacts alone, degrees; large where they determine no plane.
        lean_deg: Angle between the verticals of both cues, degrees.
    """

    R: Array
    t: Array
    sd_deg: float
    floor_sd_deg: float
    lean_deg: float

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Reasons not to trust it; empty where there are none."""
        if self.sd_deg > _DOUBTFUL_SD_DEG:
            return (Doubt(Kind.VERTICAL, "warn", (), self.sd_deg, _DOUBTFUL_SD_DEG),)
        if self.floor_sd_deg < MAX_SD_DEG and self.lean_deg > _MAX_LEAN_DEG:
            return (Doubt(Kind.LEAN, "warn", (), self.lean_deg, _MAX_LEAN_DEG),)
        return ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "R", frozen_array(self.R, (3, 3), "R"))
        object.__setattr__(self, "t", frozen_array(self.t, (3,), "t"))


def level_world(poses: Poses, rig: Rig) -> Levelled:
    """Find the vertical and the floor from people who stand and walk.

    Args:
        poses: World poses of any skeleton with hips, knees, ankles and shoulders; they may have gross errors and gaps.
        rig: The cameras, in the same world.

    Raises:
        VerticalError: Too few frames show all of an upright person; the person or the cameras lie on their side; or the
            vertical is less certain than MAX_SD_DEG.
    """
    stance, leg = stance_of(poses)
    base = _upright_frame(stance)
    stance = stance.turned(base)
    axis = axis_tilt(stance)
    plane = fit_floor(stance, None)
    floor = floor_tilt(stance, plane)
    both = _combined(axis, floor)
    if not both.sd_deg <= MAX_SD_DEG:
        raise VerticalError(f"the vertical is known to {both.sd_deg:.0f} degrees only; let a person walk about")
    up = np.array([*both.slope, 1.0])
    R = _facing(rig.cameras[0], _frame_of(up) @ base)
    if floor.sd_deg > MAX_SD_DEG:
        _check_roll(rig, R[2])
    height = float(up @ plane.center / np.linalg.norm(up)) - _ANKLE_HEIGHT
    t = -R @ rig.cameras[0].center
    t[2] = -leg * height
    lean_deg = float(np.degrees(np.linalg.norm(axis.slope - floor.slope)))
    return Levelled(R, t, both.sd_deg, floor.sd_deg, lean_deg)


def apply_world(rig: Rig, R: Array, t: Array) -> Rig:
    """Return the rig in the world `R @ x + t`."""
    cameras = tuple(replace(c, R=c.R @ R.T, t=c.t - c.R @ R.T @ t) for c in rig.cameras)
    return replace(rig, cameras=cameras)


def _upright_frame(stance: Stance) -> Array:
    """Return the rotation `(3, 3)` whose third row is the vertical from the body's axis.

    Raises:
        VerticalError: The axis has no common direction.
    """
    known = stance.axis[np.isfinite(stance.axis[:, 0])]
    start = np.median(known / np.linalg.norm(known, axis=-1, keepdims=True), axis=0)
    if np.linalg.norm(start) < _MIN_UPRIGHTNESS:
        raise VerticalError("the body's axis points anywhere, so no vertical can be told; let a person walk about")
    R = _frame_of(start)
    for _ in range(_ITERATIONS):
        slope = axis_tilt(stance.turned(R)).slope
        R = _frame_of(np.array([*slope, 1.0])) @ R
        if np.linalg.norm(slope) < 1e-9:
            break
    return R


def _frame_of(up: Array) -> Array:
    """Return the smallest rotation that takes `up (3,)` to z."""
    return least_rotation(unit_vectors(up), np.array([0.0, 0.0, 1.0]))


def _combined(axis: Tilt, floor: Tilt) -> Tilt:
    """Combine both cues, weighted by their covariances.

    Where they disagree, the body's axis is trusted less: people lean and bend more often than ankles hover.
    """
    gap = axis.slope - floor.slope
    apart = float(gap @ np.linalg.solve(axis.covariance + floor.covariance, gap))
    leaning = axis.covariance * max(1.0, apart / _AGREEMENT**2)
    for_axis, for_floor = np.linalg.inv(leaning), np.linalg.inv(floor.covariance)
    covariance = np.linalg.inv(for_axis + for_floor)
    weighed: Array = for_axis @ axis.slope + for_floor @ floor.slope
    return Tilt(np.asarray(covariance @ weighed, dtype=float), covariance)


def _facing(camera: Camera, R: Array) -> Array:
    """Return the levelled axes turned about z so that x is the direction in which the camera looks."""
    ahead, top = R @ camera.R[2], -R @ camera.R[1]
    x, y = (ahead if np.linalg.norm(ahead[:2]) > _OBLIQUE else top)[:2]
    length = np.hypot(x, y)
    return np.array([[x / length, y / length, 0.0], [-y / length, x / length, 0.0], [0.0, 0.0, 1.0]]) @ R


def _check_roll(rig: Rig, up: Array) -> None:
    """Tell people who stand still from people who lie still, assuming that cameras are roughly level.

    Raises:
        VerticalError: The cameras are not level.
    """
    roll = float(np.sqrt(np.mean([(camera.R[0] @ up) ** 2 for camera in rig.cameras])))
    if roll > _LEVEL_CAMERAS:
        raise VerticalError(
            f"the body's axis lies across the images ({np.degrees(np.arcsin(roll)):.0f} degrees from upright): a person"
            " who lies, or cameras on their side; let a person walk about, upright"
        )
