"""Vertical axis of a set of poses, and removal of the yaw about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

AXES = "xyz"
_UPRIGHT = 0.6  # least vertical part of the mean unit vector from hips to shoulders; it is 1 if all stand upright


@dataclass(frozen=True)
class Yaw:
    """Definition of the direction in which a person faces.

    Attributes:
        axis: Coordinate along the vertical, 0, 1 or 2; its sign does not matter.
        left: Indices of joints on the left.
        right: Indices of the same joints on the right.
    """

    axis: int
    left: tuple[int, ...]
    right: tuple[int, ...]

    def __str__(self) -> str:
        return f"yaw about {AXES[self.axis]}"

    def removed(self, poses: Array) -> Array:
        """Turn poses `(..., J, 3)` about the vertical so that right to left hips and shoulders are along one axis.

        That axis is x, or y if x is the vertical. A pose without such a direction is not turned.

        >>> sideways = np.array([[0.0, 7, 2], [0, 5, -2]])
        >>> Yaw(axis=1, left=(0,), right=(1,)).removed(sideways).round(6).tolist()
        [[2.0, 7.0, 0.0], [-2.0, 5.0, -0.0]]
        """
        a, b = (axis for axis in range(3) if axis != self.axis)
        across = (poses[..., self.left, :] - poses[..., self.right, :]).sum(axis=-2)
        angle = np.arctan2(across[..., b], across[..., a])[..., None]
        cos, sin = np.cos(angle), np.sin(angle)
        turned = poses.copy()
        turned[..., a] = cos * poses[..., a] + sin * poses[..., b]
        turned[..., b] = cos * poses[..., b] - sin * poses[..., a]
        return turned


def yaw_of(skeleton: Skeleton, axis: int) -> Yaw:
    """Return the yaw of a skeleton, defined by its hips and shoulders.

    Raises:
        InputError: The skeleton lacks one of them.
    """
    left, right = (
        tuple(skeleton.index(f"{side}_{joint}") for joint in ("hip", "shoulder")) for side in ("left", "right")
    )
    return Yaw(axis, left, right)


def find_up(poses: Array, skeleton: Skeleton) -> tuple[int, int]:
    """Return the coordinate 0, 1 or 2 along which most bodies of poses `(N, J, 3)` stand, and 1 or -1 for its sign.

    Raises:
        InputError: The skeleton lacks hips or shoulders, or the torsos have no common direction near one axis.
    """
    yaw = yaw_of(skeleton, 0)
    hips, shoulders = (0.5 * (poses[:, yaw.left[i]] + poses[:, yaw.right[i]]) for i in (0, 1))
    torso = shoulders - hips
    length = np.linalg.norm(torso, axis=-1, keepdims=True)
    torso = (torso / np.where(length > 0, length, np.nan))[np.isfinite(torso).all(axis=-1) & (length[:, 0] > 0)]
    mean = torso.mean(axis=0) if len(torso) else np.zeros(3)
    axis = int(np.abs(mean).argmax())
    if abs(mean[axis]) < _UPRIGHT:
        found = ", ".join(f"{name} {value:.2f}" for name, value in zip(AXES, mean))
        raise InputError(
            f"the vertical cannot be told: hips to shoulders is on average {found}; turn the poses upright"
        )
    return axis, 1 if mean[axis] > 0 else -1
