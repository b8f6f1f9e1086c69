"""Joint angles of a person, by the conventions of the International Society of Biomechanics as far as possible.

Joint centres determine the directions of segments, but not their rotation about their own axes. So there is no axial
rotation of hip, knee or shoulder, and the pelvis is given the tilt of the trunk, from the hips to the shoulders, so
that hip flexion is relative to the trunk. Knee and elbow flexion are never negative: a hyperextended knee counts as
flexed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.body.axes import body_axes, dot, unit_vectors
from epitool.pose import Poses

Array = NDArray[np.float64]
_LEAST_ELEVATION_DEG = 10.0  # of an arm from vertical; closer to it the plane of elevation is undefined


def joint_angles(poses: Poses) -> dict[str, Array]:
    """Return joint angles over time in degrees, each `(F,)`; NaN where a joint that an angle needs is missing.

    The angles of each side are `hip_flexion` and `hip_adduction` of the thigh relative to the trunk, `knee_flexion`,
    `ankle_dorsiflexion` (0 if the sole is perpendicular to the shin), `shoulder_elevation` of the upper arm from
    hanging, `shoulder_plane` (0 to the side and 90 forward) and `elbow_flexion`. The whole body has `trunk_rotation` of
    the shoulders relative to the hips, positive to the left. Angles whose joints the skeleton lacks are left out.

    Args:
        poses: Poses in any unit and in any space that is not a mirror image of the world.
    """
    at = {joint: poses.xyz[:, j] for j, joint in enumerate(poses.skeleton.joints)}
    if not {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "shoulder")} <= at.keys():
        return {}
    hips, shoulders = (at[f"right_{joint}"] - at[f"left_{joint}"] for joint in ("hip", "shoulder"))
    trunk = at["right_shoulder"] + at["left_shoulder"] - at["right_hip"] - at["left_hip"]
    pelvis, thorax = body_axes(hips, trunk), body_axes(shoulders, trunk)
    angles = {"trunk_rotation": _degrees(np.arctan2(dot(shoulders, pelvis[0]), dot(shoulders, pelvis[2])))}
    for side, outward in (("right", 1.0), ("left", -1.0)):
        point = {joint.removeprefix(f"{side}_"): xyz for joint, xyz in at.items() if joint.startswith(side)}
        of_side = _leg(point, pelvis, outward) | _arm(point, thorax, outward)
        angles |= {f"{side}_{name}": values for name, values in of_side.items()}
    return angles


def _leg(point: dict[str, Array], pelvis: tuple[Array, Array, Array], outward: float) -> dict[str, Array]:
    if "knee" not in point:
        return {}
    thigh = unit_vectors(point["knee"] - point["hip"])
    forward, up, right = (dot(thigh, axis) for axis in pelvis)
    angles = {
        "hip_flexion": _degrees(np.arctan2(forward, -up)),
        "hip_adduction": _degrees(-np.arcsin(np.clip(outward * right, -1, 1))),
    }
    if "ankle" in point:
        shin = unit_vectors(point["ankle"] - point["knee"])
        angles["knee_flexion"] = _measure_angle(thigh, shin)
        if {"big_toe", "heel"} <= point.keys():
            angles["ankle_dorsiflexion"] = 90 - _measure_angle(-shin, unit_vectors(point["big_toe"] - point["heel"]))
    return angles


def _arm(point: dict[str, Array], thorax: tuple[Array, Array, Array], outward: float) -> dict[str, Array]:
    if "elbow" not in point:
        return {}
    upper = unit_vectors(point["elbow"] - point["shoulder"])
    forward, up, right = (dot(upper, axis) for axis in thorax)
    elevation = _degrees(np.arccos(np.clip(-up, -1, 1)))
    raised = np.minimum(elevation, 180 - elevation) >= _LEAST_ELEVATION_DEG
    plane = np.where(raised, _degrees(np.arctan2(forward, outward * right)), np.nan)
    angles = {"shoulder_elevation": elevation, "shoulder_plane": plane}
    if "wrist" in point:
        angles["elbow_flexion"] = _measure_angle(upper, unit_vectors(point["wrist"] - point["elbow"]))
    return angles


def _measure_angle(a: Array, b: Array) -> Array:
    """Return angles between unit vectors in degrees, accurate for small angles too."""
    return _degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), dot(a, b)))


def _degrees(radians: Array) -> Array:
    return np.asarray(np.degrees(radians))
