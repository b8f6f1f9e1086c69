"""Log odds that two pieces of tracks are of one person, by their bones and by where and when one ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_STATURE, _PROPORTION = 0.06, 0.03  # standard deviations of log lengths among people, of all bones together and of each
_GROSS = 9.0  # cap of a bone's squared deviation
PLACE_NOISE = 0.3  # of the usual size
CLEAR = 3.0  # log odds by which somebody must be known better than as another or as somebody new
IMPOSSIBLE = -1e6


@dataclass(frozen=True)
class Scene:
    """Measures of a scene, in its unit.

    Attributes:
        spread: Standard deviation of where people are.
        speed: How far people usually come within a frame.
        size: Usual size of a person, about half a stature.
        bias: Deviations of the bones' log lengths between two pieces of one person, `(B,)`.
    """

    spread: float
    speed: float
    size: float
    bias: Array


def compare_bones(apart: Array, variance: Array) -> Array:
    """Return log odds from differences of log lengths `(..., B)`: of one person, or of two who differ as people do."""
    there = np.isfinite(apart) & np.isfinite(variance)
    r, same = np.where(there, apart, 0.0), np.where(there, variance, 1.0)
    other = np.where(there, same + 2 * _PROPORTION**2, 1.0)
    common = 2 * _STATURE**2
    inverse = np.where(there, 1 / other, 0.0)
    shared = 1 + common * inverse.sum(axis=-1)
    of_two = np.minimum(r**2 / other, _GROSS).sum(axis=-1) - common * (r * inverse).sum(axis=-1) ** 2 / shared
    of_one = np.minimum(r**2 / same, _GROSS).sum(axis=-1)
    return 0.5 * (of_two - of_one + np.log(other / same).sum(axis=-1) + np.log(shared))


def compare_places(apart: Array, gap: Indices, scene: Scene) -> Array:
    """Return log odds from a distance `(..., 3)` after a gap: of one person on their way, or of anybody anywhere."""
    anywhere = 2 * scene.spread**2
    near = (PLACE_NOISE * scene.size) ** 2 + (scene.speed * gap) ** 2
    near = np.minimum(near, anywhere)
    squared = (apart**2).sum(axis=-1)
    odds = np.log(anywhere / near) - squared / 2 * (1 / near - 1 / anywhere)
    return np.where(np.isfinite(odds), odds, 0.0)
