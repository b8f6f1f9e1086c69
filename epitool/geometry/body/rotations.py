"""Rotations of a person's bones, from the places of the joints.

The two ends of a bone determine its direction, but not its rotation about its own axis. Every bone is therefore turned
from its parent by the least rotation that gives its direction. Each bone has one length, the median over the frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.geometry.body.axes import body_axes, least_rotation, unit_vectors
from epitool.pose import Poses
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_UP, _DOWN, _FORWARD, _LEFT, _RIGHT = (0, 1, 0), (0, -1, 0), (0, 0, 1), (1, 0, 0), (-1, 0, 0)
# Name, parent, the joint at its end, and its direction in the rest pose, a T-pose. The names are those of usual
# motion capture files, in which the bones from the pelvis to the hips have names of their own too.
_LEG = (
    ("{S}HipJoint", "Hips", "{side}_hip", None), ("{Side}UpLeg", "{S}HipJoint", "{side}_knee", _DOWN),
    ("{Side}Leg", "{Side}UpLeg", "{side}_ankle", _DOWN), ("{Side}Foot", "{Side}Leg", "{side}_big_toe", _FORWARD),
)  # fmt: skip
_ARM = (
    ("{Side}Shoulder", "Spine1", "{side}_shoulder", None), ("{Side}Arm", "{Side}Shoulder", "{side}_elbow", None),
    ("{Side}ForeArm", "{Side}Arm", "{side}_wrist", None), ("{Side}Hand", "{Side}ForeArm", "{side}_knuckle", None),
)  # fmt: skip
_TRUNK = (
    ("Spine", "Hips", "spine", _UP), ("Spine1", "Spine", "thorax", _UP),
    ("Neck", "Spine1", "neck_nose", _UP), ("Head", "Neck", "head_top", _UP),
)  # fmt: skip
_KNUCKLES = ("middle_finger_1", "index")  # joints that may be the end of a hand
_NEEDED = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


@dataclass(frozen=True)
class Bone:
    """A bone of a person, which starts at the end of its parent.

    Attributes:
        name: Name.
        parent: Index of the parent; -1 for the root, which has no length.
        end: Name of the joint at its end.
        rest: Direction in the rest pose, a T-pose: x to the left of the person, y up, z forward.
    """

    name: str
    parent: int
    end: str
    rest: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BoneMotion:
    """The motion of a person's bones, without gaps.

    Attributes:
        bones: The B bones, parents before children.
        offsets: The end of each bone relative to its start in the rest pose, `(B, 3)`, in the unit of the poses.
        root: Place of the root `(F, 3)`.
        rotations: Rotation of each bone from its parent's axes, of the root from those of the poses, `(F, B, 3, 3)`.
        made_up: Share of the rotations that are interpolated, because a joint is missing.
    """

    bones: tuple[Bone, ...]
    offsets: Array
    root: Array
    rotations: Array
    made_up: float


def bone_motion(poses: Poses) -> BoneMotion:
    """Return the rotations of the bones of a person over time.

    Where joints are missing, rotations and places are interpolated from the frames around, or held at either end.

    Args:
        poses: Poses of a person, upright along y or in any other axes that are not a mirror image of the world. Each
            frame lasts as long as the others.

    Raises:
        InputError: The poses are of no person, or no frame shows hips and shoulders.
    """
    if not set(_NEEDED) <= set(poses.skeleton.joints):
        raise InputError("bones are of people, whose hips and shoulders are needed")
    needed = [poses.skeleton.index(joint) for joint in _NEEDED]
    if not np.isfinite(poses.xyz[:, needed]).all(axis=(-2, -1)).any():
        raise InputError("no frame has both hips and both shoulders, without which bones cannot be turned")
    bones, xyz = _bones_in(poses)
    at = {bone.end: xyz[:, b] for b, bone in enumerate(bones)}
    starts = np.stack([at[bones[bone.parent].end] if bone.parent >= 0 else at[bone.end] for bone in bones], axis=1)
    aims = xyz - starts
    lengths = np.nanmedian(np.linalg.norm(aims, axis=-1), axis=0)
    trunk = _trunk(at)
    rotations, turned, made_up = np.empty((len(xyz), len(bones), 3, 3)), np.empty((len(xyz), len(bones), 3, 3)), 0.0
    for b, bone in enumerate(bones):
        if bone.parent < 0:
            parent, found = np.broadcast_to(np.eye(3), trunk.shape), trunk
        else:
            parent = turned[:, bone.parent]
            found = least_rotation(parent @ np.array(bone.rest, dtype=float), unit_vectors(aims[:, b])) @ parent
        own = np.swapaxes(parent, -1, -2) @ found
        made_up += float((~_known(own)).mean()) / len(bones)
        rotations[:, b] = _without_gaps(own)
        turned[:, b] = parent @ rotations[:, b]
    offsets = lengths[:, None] * np.array([bone.rest for bone in bones], dtype=float)
    return BoneMotion(bones, offsets, _line_through(at[bones[0].end]), rotations, made_up)


def _bones_in(poses: Poses) -> tuple[tuple[Bone, ...], Array]:
    """Return the bones whose joints are there or follow from others, and their ends `(F, B, 3)`."""
    tree: list[tuple[str, str, str, tuple[int, int, int]]] = [("Hips", "", "pelvis", _UP), *_TRUNK]
    for side, toward in (("left", _LEFT), ("right", _RIGHT)):
        for *parts, rest in _LEG + _ARM:
            name, parent, end = (part.format(side=side, Side=side.title(), S=side[0].upper()) for part in parts)
            tree.append((name, parent, end, rest or toward))
    bones: list[Bone] = []
    ends: list[Array] = []
    for name, parent, end, rest in tree:
        xyz = _place(poses, end)
        above = [b for b, bone in enumerate(bones) if bone.name == parent]
        if np.isfinite(xyz).all(axis=-1).any() and (above or not parent):
            bones.append(Bone(name, above[0] if above else -1, end, rest))
            ends.append(xyz)
    return tuple(bones), np.stack(ends, axis=1)


def _place(poses: Poses, joint: str) -> Array:
    """Return a joint, measured or derived, in all frames, `(F, 3)`; NaN where it is neither."""
    side, _, what = joint.partition("_")
    names = [f"{side}_{one}" for one in _KNUCKLES] if what == "knuckle" else [joint]
    found = poses.convert(Skeleton("bones", tuple(names), (-1,) * len(names))).xyz
    there = np.isfinite(found).all(axis=-1).sum(axis=0)
    return found[:, int(there.argmax())]


def _trunk(at: dict[str, Array]) -> Array:
    """Return the axes of the pelvis as columns, `(F, 3, 3)`: left, up to the shoulders, forward."""
    forward, up, right = body_axes(at["right_hip"] - at["left_hip"], at["thorax"] - at["pelvis"])
    return np.stack([-right, up, forward], axis=-1)


def _without_gaps(rotations: Array) -> Array:
    """Return rotations `(F, 3, 3)` with those that are NaN interpolated, or held at either end."""
    from scipy.spatial.transform import Rotation, Slerp  # slow to import

    known = np.flatnonzero(_known(rotations))
    if not len(known):
        return np.broadcast_to(np.eye(3), rotations.shape)
    if len(known) == 1:
        return np.broadcast_to(rotations[known[0]], rotations.shape)
    frames = np.clip(np.arange(len(rotations)), known[0], known[-1])
    return np.asarray(Slerp(known, Rotation.from_matrix(rotations[known]))(frames).as_matrix())


def _known(rotations: Array) -> NDArray[np.bool_]:
    """Return which rotations `(F, 3, 3)` are known; hips without shoulders give one axis of three."""
    return np.asarray(np.isfinite(rotations).all(axis=(-2, -1)))


def _line_through(places: Array) -> Array:
    """Return places `(F, 3)` with those that are NaN interpolated."""
    known = np.flatnonzero(np.isfinite(places[:, 0]))
    return np.stack([np.interp(np.arange(len(places)), known, axis[known]) for axis in places.T], axis=-1)
