"""Detection of poses in which left and right are exchanged, from the front of the body.

Sides exchanged in only some views contradict the other views (`swaps`). Sides exchanged in all views contradict
nothing, and give the same points under wrong names; but then faces look, feet point and knees bend backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.body.axes import body_axes, dot, unit_vectors
from epitool.pose import Poses
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_LEAST_FRAMES, _CLEAR = 20, 0.8
_SIDES = ("left", "right")
_NEEDED = tuple(f"{side}_{joint}" for joint in ("shoulder", "hip", "knee", "ankle") for side in _SIDES)
_FACES = (("nose",), ("left_eye", "right_eye"))
_SKULL = (("left_ear", "right_ear"), ("left_shoulder", "right_shoulder"))  # the face is ahead of one of these
_CLEAR_OF_TRUNK = 0.1  # trunk lengths by which something must lie ahead or behind to be counted
_CLEAR_OF_LEG = 0.05  # leg lengths by which a knee must leave the line from hip to ankle to be counted


@dataclass(frozen=True)
class Facing:
    """Votes of the bodies of a recording on their sides.

    Attributes:
        frames: Number of frames that have a vote.
        backward: Number of these in which the front is at the back, according to the names of the sides.
    """

    frames: int
    backward: int

    @property
    def exchanged(self) -> bool:
        """Whether a clear majority of enough frames says that left and right are exchanged."""
        return self.frames >= _LEAST_FRAMES and self.backward > _CLEAR * self.frames


def is_of_a_person(skeleton: Skeleton) -> bool:
    """Return whether the joints are those of a person, whose bones and sides are known."""
    return set(_NEEDED) <= set(skeleton.joints)


def facing_of(poses: Poses) -> Facing:
    """Count the frames in which a body's front is where the names of its sides say.

    Every frame votes by the majority of its face, feet and knees (`front_votes`).

    Args:
        poses: Poses in any unit and any space that is not a mirror image of the world.
    """
    votes = front_votes(poses)
    return Facing(int((votes != 0).sum()), int((votes < 0).sum()))


def front_votes(poses: Poses) -> NDArray[np.int64]:
    """Return how many parts of a body say that its front is where the names of its sides say, less the others, `(F,)`.

    The face (relative to the ears or shoulders), both feet and both knees have a vote each. Up is the direction from
    the hips to the shoulders, so that people may lie or hang. Joints that have no front, or that the skeleton lacks, do
    not vote, and neither does an animal, for whose knees and face the rules do not hold.

    Args:
        poses: Poses in any unit and any space that is not a mirror image of the world.
    """
    if not is_of_a_person(poses.skeleton):
        return np.zeros(len(poses.frames), dtype=np.int64)
    signs = np.sign(np.stack([_face(poses), *(way(poses, side) for way in (_foot, _knee) for side in _SIDES)]))
    return np.nan_to_num(signs).sum(axis=0).astype(np.int64)


def across_trunk(poses: Poses) -> Array:
    """Return unit vectors `(F, 3)` from the left to the right of shoulders and hips; NaN where one is not seen."""
    right, left = (_middle(poses, (f"{side}_shoulder", f"{side}_hip")) for side in ("right", "left"))
    return unit_vectors(right - left)


def _face(poses: Poses) -> Array:
    """Return how far the face is ahead of the head, in trunks `(F,)`; zero where unclear, NaN where not seen."""
    ahead, trunk = _ahead(poses, "shoulder")
    return _where_clear(dot(_first_seen(poses, _FACES) - _first_seen(poses, _SKULL), ahead) / trunk, _CLEAR_OF_TRUNK)


def _foot(poses: Poses, side: str) -> Array:
    """Return how far the big toe is ahead of the heel or ankle, in trunks."""
    ahead, trunk = _ahead(poses, "hip")
    foot = _middle(poses, (f"{side}_big_toe",)) - _first_seen(poses, ((f"{side}_heel",), (f"{side}_ankle",)))
    return _where_clear(dot(foot, ahead) / trunk, _CLEAR_OF_TRUNK)


def _knee(poses: Poses, side: str) -> Array:
    """Return how far the knee is ahead of the line from hip to ankle, in legs."""
    hip, knee, ankle = (_middle(poses, (f"{side}_{joint}",)) for joint in ("hip", "knee", "ankle"))
    leg, bend = unit_vectors(ankle - hip), knee - hip
    bend = bend - dot(bend, leg)[:, None] * leg
    return _where_clear(dot(bend, _ahead(poses, "hip")[0]) / np.linalg.norm(ankle - hip, axis=-1), _CLEAR_OF_LEG)


def _ahead(poses: Poses, of: str) -> tuple[Array, Array]:
    """Return unit vectors `(F, 3)` ahead of shoulders or hips, by the names of their sides, and the trunk's length."""
    trunk = _middle(poses, ("left_shoulder", "right_shoulder")) - _middle(poses, ("left_hip", "right_hip"))
    right = _middle(poses, (f"right_{of}",)) - _middle(poses, (f"left_{of}",))
    return body_axes(right, trunk)[0], np.linalg.norm(trunk, axis=-1)


def _first_seen(poses: Poses, choices: Sequence[tuple[str, ...]]) -> Array:
    """Return the middle `(F, 3)` of the first of several sets of joints that is seen in a frame."""
    found = np.full((len(poses.frames), 3), np.nan)
    for names in choices:
        found = np.where(np.isnan(found), _middle(poses, names), found)
    return found


def _middle(poses: Poses, names: tuple[str, ...]) -> Array:
    """Return the middle `(F, 3)` of joints; NaN where one is not seen, or the skeleton lacks it."""
    if not set(names) <= set(poses.skeleton.joints):
        return np.full((len(poses.frames), 3), np.nan)
    return poses.xyz[:, [poses.skeleton.index(name) for name in names]].mean(axis=1)


def _where_clear(values: Array, least: float) -> Array:
    """Return the values with small ones set to zero."""
    return np.where(np.abs(values) < least, 0.0, values)
