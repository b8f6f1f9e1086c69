"""How sure smoothed places are.

Two errors are left of each place's error. What changes from frame to frame is averaged by the smoother, and the
curvature of the likelihood says how much of it is left. What lasts over many frames, as a detector's biases do, moves
the path with it, and cannot be told from motion. Yet it shows: if places scatter less about the path than their
covariances state, then that share of the stated variance is an error that lasts, and stays whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import inverses
from epitool.geometry.motion.banded import inverse_blocks
from epitool.labels import covariance_entries

Array = NDArray[np.float64]
_MEDIAN = 2.366  # of chi-squared with three degrees of freedom
_CHANCE = 1.13  # relative standard deviation of the median of n such numbers, times the root of n
_LEAST_FREE = 1e-6  # share of a place's variance that the path leaves free, at least; less is rounding


def path_covariance(
    error: Array, precision: Array, weights: Array, stiffness: Array, factors: tuple[float, float], usual: float
) -> Array:
    """Return the covariances of a path's places.

    Args:
        error: Places minus path, `(F, 3)`; any values where there is no place.
        precision: Inverse covariances of the places `(F, 3, 3)`, in units where the usual variance is 1; 0 where there
            is no place.
        weights: Weights `(F,)` of the places; 0 where there is no place.
        stiffness: Weights `(F - 3,)` of the jerks, in the same units.
        factors: Range of the variance of errors that change from frame to frame, in the units of a variance of 1.
        usual: Usual variance that is stated for the places; NaN if none is, and then no error is taken to last.

    Returns:
        The covariances, `(F, 6)`: xx, xy, xz, yy, yz, zz.
    """
    known = weights > 0
    typical = float(weights[known].mean())  # the variance below is that of a place with the typical weight
    blocks = typical * inverse_blocks(precision * weights[:, None, None], stiffness)
    stated = np.tile(np.eye(3), (len(error), 1, 1))
    stated[known] = inverses(precision[known])
    variance = float(np.clip(_variance(error[known], stated[known], blocks[known]), *factors))
    covariance = variance * blocks
    if np.isfinite(usual):
        lasting = max(1 - variance / usual - _CHANCE / np.sqrt(known.sum()), 0.0)
        covariance += lasting * usual * stated
    return covariance_entries(covariance)


def _variance(error: Array, stated: Array, blocks: Array) -> float:
    """Return the variance of the places' errors that change from frame to frame, by the median of their distances.

    A place's distance to a path that it has drawn to itself has the variance of the place less that of the path.
    """
    free = stated - blocks
    sound = np.linalg.det(free) > _LEAST_FREE**3 * np.linalg.det(stated)
    free = np.where(sound[:, None, None], free, _LEAST_FREE * stated)
    return float(np.median(np.einsum("fa,fab,fb->f", error, inverses(free), error)) / _MEDIAN)
