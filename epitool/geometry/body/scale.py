"""Scale from a body: bone lengths, stature, and the factor that makes a calibration metric."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import IN_MM, Rig
from epitool.console import warn
from epitool.errors import GeometryError, UsageError
from epitool.pose import Poses
from epitool.skeleton import Skeleton, skeleton

Array = NDArray[np.float64]
CANONICAL_STATURE = 1700.0  # stature in labels without a metric scale, in arbitrary units
_ANKLE_HEIGHT = 0.039  # share of stature (Winter, Biomechanics and Motor Control of Human Movement)
_LENGTH = re.compile(r"^([0-9]*\.?[0-9]+) *(mm|cm|m)$")
_POSSIBLE_MM = {"height": (400.0, 2500.0), "femur": (80.0, 700.0), "baseline": (10.0, 100_000.0)}


@dataclass(frozen=True)
class ScaleRule:
    """Rule by which a user fixes the scale.

    Attributes:
        kind: "height", "femur", or "baseline".
        length_mm: The true length.
        cameras: The two cameras of a baseline.
    """

    kind: str
    length_mm: float
    cameras: tuple[str, str] | None = None

    def __str__(self) -> str:
        where = f":{','.join(self.cameras)}" if self.cameras else ""
        return f"{self.kind}{where}={self.length_mm:g}mm"


def parse_scale(text: str) -> ScaleRule:
    """Parse `height=1.78m`, `femur=400mm` or `baseline:cam1,cam2=3.2m`.

    Raises:
        UsageError: The text has another form.

    >>> parse_scale("femur=40cm")
    ScaleRule(kind='femur', length_mm=400.0, cameras=None)
    """
    what, _, length = text.partition("=")
    kind, _, names = what.strip().partition(":")
    measured = _LENGTH.match(length.strip())
    cameras = tuple(name.strip() for name in names.split(",")) if names else ()
    fits = len(set(cameras)) == 2 == len(cameras) if kind == "baseline" else kind in ("height", "femur") and not cameras
    least, most = _POSSIBLE_MM.get(kind, (0.0, 0.0))
    if not measured or not fits or not least <= float(measured[1]) * IN_MM[measured[2]] <= most:
        wrong = "expected"
        if measured and fits:
            wrong = f"a {kind} is between {least / 1000:g} and {most / 1000:g} m; expected"
        if re.fullmatch(r"[0-9.]+", length.strip()):
            wrong = "the length has no unit; expected"
        elif not length and _LENGTH.match(what.strip()):
            wrong = "it does not say what is so long; expected"
        raise UsageError(f"scale {text}: {wrong} height=1.78m, femur=400mm or baseline:cam1,cam2=3.2m (m, cm, mm)")
    pair = (cameras[0], cameras[1]) if cameras else None
    return ScaleRule(kind, float(measured[1]) * IN_MM[measured[2]], pair)


def bone_lengths(xyz: Array, skeleton: Skeleton) -> Array:
    """Return lengths `(..., B)` of the skeleton's bones in poses `(..., J, 3)`."""
    parents, children = np.array(skeleton.bones, dtype=np.intp).reshape(-1, 2).T
    return np.linalg.norm(xyz[..., children, :] - xyz[..., parents, :], axis=-1)


def distance_between(poses: Poses, joint: str, other: str) -> Array:
    """Return the distance `(F,)` between two joints."""
    a, b = poses.skeleton.index(joint), poses.skeleton.index(other)
    return np.linalg.norm(poses.xyz[:, a] - poses.xyz[:, b], axis=-1)


def femur_length(poses: Poses) -> float:
    """Return the median femur length over frames and both sides."""
    return _median([distance_between(poses, f"{side}_hip", f"{side}_knee") for side in ("left", "right")], "femur")


def stature(poses: Poses) -> float:
    """Return the standing height from bone medians, so that the person need not stand upright.

    It is shin + thigh + pelvis to thorax + thorax to crown, plus the ankle's height above the floor.

    Raises:
        GeometryError: A shin, thigh, trunk or head is never seen.
    """
    body = poses.convert(skeleton("h36m17"))
    shin = _median([distance_between(body, f"{side}_knee", f"{side}_ankle") for side in ("left", "right")], "shin")
    trunk = _median([distance_between(body, "pelvis", "thorax")], "trunk")
    head = _median([distance_between(body, "thorax", "head_top")], "head")
    return (shin + femur_length(body) + trunk + head) / (1 - _ANKLE_HEIGHT)


def to_usual_size(poses: Poses) -> float:
    """Return the factor that gives poses in arbitrary units the stature that such units stand for.

    Cameras of other programs may state no unit and be in metres. It is 1 for other units, and where no stature is seen.
    """
    if poses.unit != "arbitrary":
        return 1.0
    try:
        return CANONICAL_STATURE / stature(poses)
    except GeometryError:
        return 1.0


def _median(lengths: list[Array], what: str) -> float:
    """Return the median of all known lengths."""
    values = np.concatenate(lengths)
    values = values[np.isfinite(values)]
    if not values.size:
        raise GeometryError(f"the {what} is in no frame seen by two views, so scale cannot be judged by the body")
    return float(np.median(values))


def apply_scale(rig: Rig, poses: Poses, rule: ScaleRule | None) -> Rig:
    """Return the rig in millimetres by the rule, or in units of a canonical body without a rule.

    Args:
        rig: Rig calibrated up to scale.
        poses: World poses in the rig's scale.
        rule: What the user measured.

    Raises:
        GeometryError: The joints that the rule needs are never triangulated.
        InputError: The rig lacks a camera that the rule names.
    """
    if rule is None:
        try:
            factor = CANONICAL_STATURE / stature(poses)
        except GeometryError as error:
            warn(f"{error}; the first two cameras are put {CANONICAL_STATURE:g} units apart instead")
            first, second = rig.cameras[:2]
            factor = CANONICAL_STATURE / float(np.linalg.norm(first.center - second.center))
        return rig.scaled(factor, "arbitrary", "none")
    if rule.cameras:
        first, second = rig.select(rule.cameras).cameras
        found = float(np.linalg.norm(first.center - second.center))
    else:
        found = _length_of_body(poses, rule)
    if not found > 0:
        raise GeometryError(f"scale {rule}: the length found is zero")
    return rig.scaled(rule.length_mm / found, "mm", str(rule))


def _length_of_body(poses: Poses, rule: ScaleRule) -> float:
    """Return the length that the rule measures on the body, in the poses' unit."""
    try:
        return stature(poses) if rule.kind == "height" else femur_length(poses)
    except GeometryError as error:
        other = "femur=400mm (two hips and knees) or " if rule.kind == "height" else ""
        raise GeometryError(f"scale {rule}: {error}. Try {other}baseline:cam1,cam2=3.2m (no body)") from None


def usual_extent(xyz: Array) -> float:
    """Return the median extent of bodies `(..., J, 3)` along an axis, over poses and axes; NaN if nothing has a place.

    >>> usual_extent(np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]], np.full((2, 3), np.nan)]))
    2.0
    """
    placed = xyz[np.isfinite(xyz).any(axis=(-2, -1))]
    return float(np.median(np.nanmax(placed, axis=1) - np.nanmin(placed, axis=1))) if len(placed) else np.nan
