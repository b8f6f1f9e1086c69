"""Motion capture poses as the cameras of a recording might have seen them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.errors import InputError
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

_UP = np.array([0.0, -1.0, 0.0])  # of the axes that poses are kept in: a level camera's
_UPPER, _LOWER = ("head", "neck", "nose", "thorax", "shoulder"), ("ankle", "knee")
_SIZE = (0.9, 1.1)  # of the person, drawn for each pose
_TILT_DEG = 5.0  # standard deviation about a recording's own cameras
_CLEARLY_UP = 0.8  # cosine
ROOM_ELEVATIONS_DEG = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0)  # of cameras at 0.8 to 3 m, hips in the middle


@dataclass(frozen=True, eq=False)
class Mocap:
    """Poses to be seen by random cameras.

    Attributes:
        poses: Root-relative, in the axes of a level camera (y down), `(N, J, 3)`.
        skeleton: Of the joints.
        verticals: Which way is up for each camera that looks on, in its axes, `(V, 3)`, unit length.
    """

    poses: Array
    skeleton: Skeleton
    verticals: Array

    def seen(self, rng: np.random.Generator) -> Array:
        """All poses, each by another camera, in its axes `(N, J, 3)`.

        The person is turned about the vertical and up to 10% larger or smaller; the camera is tilted as one of those
        of `verticals`, give or take 5 degrees.
        """
        count = len(self.poses)
        turns = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi, (count, 1)) * _UP)
        jitter = np.radians(_TILT_DEG) * rng.normal(size=(count, 3)) * (1 - np.abs(_UP))
        tilts = _shortest(_UP, self.verticals[rng.integers(len(self.verticals), size=count)])
        R = (tilts * Rotation.from_rotvec(jitter) * turns).as_matrix()
        return self.poses @ np.swapaxes(R, 1, 2) * rng.uniform(*_SIZE, (count, 1, 1))


def mirrored(poses: Array, skeleton: Skeleton) -> Array:
    """Poses `(N, J, 3)` in camera axes as a mirror shows them: x changes its sign, and left becomes right."""
    return np.asarray((poses * [-1.0, 1.0, 1.0])[:, skeleton.flip_order])


def level_poses(xyz: Array, skeleton: Skeleton) -> Array:
    """Poses `(N, J, 3)` of any axes, root-relative and turned so that up is -y.

    Up is the axis along which heads are above feet on the mean.

    Raises:
        InputError: It is not clear which axis that is.
    """
    up = vertical_of(xyz, skeleton)
    axis = int(np.abs(up).argmax())
    if not abs(up[axis]) >= _CLEARLY_UP:
        raise InputError("none of the axes x, y and z of the poses is up: heads are not above feet along any")
    R = _shortest(np.sign(up[axis]) * np.eye(3)[axis], _UP[None]).as_matrix()[0]
    return (xyz - xyz[:, [skeleton.root]]) @ R.T


def vertical_of(xyz: Array, skeleton: Skeleton) -> Array:
    """Mean direction from the legs to the head and shoulders of poses `(..., J, 3)`: `(3,)`, unit length.

    NaN if the skeleton has no such joints or no pose has them.
    """
    upper, lower = (
        [j for j, name in enumerate(skeleton.joints) if any(part in name for part in parts)]
        for parts in (_UPPER, _LOWER)
    )
    if not upper or not lower:
        return np.full(3, np.nan)
    trunk = (xyz[..., upper, :].mean(axis=-2) - xyz[..., lower, :].mean(axis=-2)).reshape(-1, 3)
    up = trunk[np.isfinite(trunk).all(axis=-1)].sum(axis=0)
    length = np.linalg.norm(up)
    return np.asarray(up / length) if length > 0 else np.full(3, np.nan)


def room_verticals() -> Array:
    """Verticals `(7, 3)` of level cameras in a room that look up by 5 to down by 25 degrees."""
    down = np.radians(ROOM_ELEVATIONS_DEG)
    return np.column_stack([np.zeros_like(down), -np.cos(down), -np.sin(down)])


def with_bone_lengths(poses: Array, lengths: Array, skeleton: Skeleton) -> Array:
    """Poses `(N, J, 3)` with each of the skeleton's bones as long as stated `(B,)`, as by `median_bone_lengths`.

    Bones of unknown length (NaN), and those of no extent in the pose, stay as they are.
    """
    out, wanted = poses.copy(), {child: length for (_, child), length in zip(skeleton.bones, lengths)}
    for j in _parents_first(skeleton):
        bone = poses[:, j] - poses[:, skeleton.parents[j]]
        extent = np.linalg.norm(bone, axis=-1, keepdims=True)
        factor = np.where((extent > 0) & np.isfinite(wanted[j]), wanted[j] / np.where(extent > 0, extent, 1), 1.0)
        out[:, j] = out[:, skeleton.parents[j]] + factor * bone
    return out - out[:, [skeleton.root]]


def _parents_first(skeleton: Skeleton) -> list[int]:
    order: list[int] = []
    waiting = [child for _, child in skeleton.bones]
    while waiting:
        ready = [j for j in waiting if skeleton.parents[j] not in waiting]
        order += ready
        waiting = [j for j in waiting if j not in ready]
    return order


def _shortest(start: Array, ends: Array) -> Rotation:
    """The rotations about the least angle that take a unit vector `(3,)` to unit vectors `(N, 3)`."""
    across = np.cross(start, ends)
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (ends @ start)[:, None])
    # opposite vectors leave the axis open: any one across the start does
    other = np.roll(start, 1) - start * (np.roll(start, 1) @ start)
    axis = np.where(sine > 1e-9, across / np.where(sine > 1e-9, sine, 1), other / np.linalg.norm(other))
    return Rotation.from_rotvec(axis * angle)
