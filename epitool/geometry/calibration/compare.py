"""Differences between two rigs that do not depend on the choice of world."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.two_view.epipolar import angle_between, b_from_a

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PairDifference:
    """Difference of a pair of cameras between two rigs.

    Attributes:
        views: The pair.
        rotation_deg: Angle between the relative rotations.
        direction_deg: Angle between the directions in which the first camera sees the second.
        consecutive: Whether they are neighbours in the rig.
    """

    views: tuple[str, str]
    rotation_deg: float
    direction_deg: float
    consecutive: bool


def compare_rigs(rig: Rig, other: Rig) -> list[PairDifference]:
    """Return differences of every pair of cameras, independent of both worlds' origin, orientation and scale."""
    out = []
    matched = other.select(rig.names).cameras
    for a, b in itertools.combinations(range(len(rig)), 2):
        R, way = _relative(rig.cameras[a], rig.cameras[b])
        R_other, way_other = _relative(matched[a], matched[b])
        pair = (rig.names[a], rig.names[b])
        turned = float(np.degrees(angle_between(way, way_other)))
        out.append(PairDifference(pair, angle_deg(R.T @ R_other), turned, b == a + 1))
    return out


def angle_deg(R: Array) -> float:
    """Return the angle of a rotation `(3, 3)` in degrees, accurate also when it is small.

    >>> angle_deg(np.eye(3))
    0.0
    """
    sine = np.linalg.norm([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    return float(np.degrees(np.arctan2(sine, (np.trace(R) - 1) / 2)))


def _relative(a: Camera, b: Camera) -> tuple[Array, Array]:
    """Return the rotation b_from_a, and the place of b in the axes of a."""
    R, t = b_from_a(a, b)
    return R, -R.T @ t
