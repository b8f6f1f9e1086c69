"""Whether left and right are exchanged in all of a recording: a body's front tells its sides.

Exchanged sides in some views contradict the others (`swaps`). In all views alike they contradict nothing, and give the
same points under wrong names; but then faces look, feet point and knees bend backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.pose import Poses
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_LEAST_FRAMES, _CLEAR = 20, 0.8
_SIDES = ("left", "right")
_NEEDED = tuple(f"{side}_{joint}" for joint in ("shoulder", "hip", "knee", "ankle") for side in _SIDES)
_FACES = (("nose",), ("left_eye", "right_eye"))
_SKULL = (("left_ear", "right_ear"), ("left_shoulder", "right_shoulder"))  # what it is ahead of
_CLEAR_OF_TRUNK = 0.1  # lengths of the trunk by which something must lie ahead or behind to be counted
_CLEAR_OF_LEG = 0.05  # lengths of the leg by which a knee must leave the line from hip to ankle


@dataclass(frozen=True)
class Facing:
    """What the bodies of a recording say of their sides.

    Attributes:
        frames: How many frames tell.
        backward: In how many of them the front is at the back, by the names of the sides.
    """

    frames: int
    backward: int

    @property
    def exchanged(self) -> bool:
        """Whether a clear majority of enough frames says that left and right are exchanged."""
        return self.frames >= _LEAST_FRAMES and self.backward > _CLEAR * self.frames


def is_of_a_person(skeleton: Skeleton) -> bool:
    """Whether joints are those of a person, of whose bones and sides something is known."""
    return set(_NEEDED) <= set(skeleton.joints)


def facing_of(poses: Poses) -> Facing:
    """In how many frames a body's front is where the names of its sides say.

    Every frame votes by the most of its face (against the ears or shoulders), feet and knees. Up is from the hips to
    the shoulders, so that people may lie or hang; joints that have no front, or that the skeleton lacks, say nothing.

    Args:
        poses: In any space that is no mirror image of the world, in any unit.
    """
    if not is_of_a_person(poses.skeleton):
        return Facing(0, 0)  # an animal's knees and face are elsewhere
    signs = np.sign(np.stack([_face(poses), *(way(poses, side) for way in (_foot, _knee) for side in _SIDES)]))
    votes = np.sign(np.nan_to_num(signs).sum(axis=0))
    return Facing(int((votes != 0).sum()), int((votes < 0).sum()))


def _face(poses: Poses) -> Array:
    """How far the face is ahead of the head, in trunks `(F,)`; nought where that is not clear, NaN where not seen."""
    ahead, trunk = _ahead(poses, "shoulder")
    return _where_clear(_dot(_first_seen(poses, _FACES) - _first_seen(poses, _SKULL), ahead) / trunk, _CLEAR_OF_TRUNK)


def _foot(poses: Poses, side: str) -> Array:
    """How far the big toe is ahead of the heel or ankle, in trunks."""
    ahead, trunk = _ahead(poses, "hip")
    foot = _middle(poses, (f"{side}_big_toe",)) - _first_seen(poses, ((f"{side}_heel",), (f"{side}_ankle",)))
    return _where_clear(_dot(foot, ahead) / trunk, _CLEAR_OF_TRUNK)


def _knee(poses: Poses, side: str) -> Array:
    """How far the knee is ahead of the line from hip to ankle, in legs."""
    hip, knee, ankle = (_middle(poses, (f"{side}_{joint}",)) for joint in ("hip", "knee", "ankle"))
    leg, length = _unit(ankle - hip)
    bend = knee - hip
    bend = bend - _dot(bend, leg)[:, None] * leg
    return _where_clear(_dot(bend, _ahead(poses, "hip")[0]) / length, _CLEAR_OF_LEG)


def _ahead(poses: Poses, of: str) -> tuple[Array, Array]:
    """Where the shoulders or hips face by the names of their sides, `(F, 3)` of length 1; and the trunk's length."""
    up, trunk = _unit(_middle(poses, ("left_shoulder", "right_shoulder")) - _middle(poses, ("left_hip", "right_hip")))
    left = _middle(poses, (f"left_{of}",)) - _middle(poses, (f"right_{of}",))
    return _unit(np.cross(left, up))[0], trunk


def _first_seen(poses: Poses, choices: Sequence[tuple[str, ...]]) -> Array:
    """The middle `(F, 3)` of the first of several sets of joints that is seen in a frame."""
    found = np.full((len(poses.frames), 3), np.nan)
    for names in choices:
        found = np.where(np.isnan(found), _middle(poses, names), found)
    return found


def _middle(poses: Poses, names: tuple[str, ...]) -> Array:
    """The middle `(F, 3)` of joints; NaN where one is not seen, or the skeleton lacks it."""
    if not set(names) <= set(poses.skeleton.joints):
        return np.full((len(poses.frames), 3), np.nan)
    return poses.xyz[:, [poses.skeleton.index(name) for name in names]].mean(axis=1)


def _unit(vectors: Array) -> tuple[Array, Array]:
    """Vectors `(F, 3)` as of length 1, and their lengths; NaN where they have none."""
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths = np.where(lengths > 0, lengths, np.nan)
    return vectors / lengths[:, None], lengths


def _dot(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(axis=-1))


def _where_clear(values: Array, least: float) -> Array:
    """Values, nought where they are small."""
    return np.where(np.abs(values) < least, 0.0, values)
