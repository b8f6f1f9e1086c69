"""What a pose network's errors look like: estimated from its predictions, then drawn again for other poses.

Errors of neighbouring joints go together, those along the optical axis are the largest, and some poses are far worse
than most. A full covariance over all joints and axes in camera axes with a Student's t holds all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

_MOST_EXCESS = 6.0  # of the kurtosis: five degrees of freedom, the fewest with a variance that samples settle on
_LEAST_EXCESS = 0.1  # under it tails count as Gaussian


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """`predicted = gain * truth + offset + noise`, for root-relative poses in camera axes.

    Attributes:
        gain: How much of the true extent is predicted along x, y and depth, `(3,)`.
        offset: Mean error of each joint that the gain leaves, `(J, 3)`; zero at the root.
        covariance: Of the noise, flattened as `(J, 3)` is, `(3 J, 3 J)`; zero at the root.
        freedom: Degrees of freedom of the noise, whose scale all joints of a pose share; infinite for Gaussian noise.
    """

    gain: Array
    offset: Array
    covariance: Array
    freedom: float

    def predicted(self, truth: Array, rng: np.random.Generator) -> Array:
        """What the network might have made of poses `(N, J, 3)`."""
        values, axes = np.linalg.eigh(self.covariance)
        noise = rng.normal(size=(len(truth), len(values))) @ (axes * np.sqrt(np.maximum(values, 0))).T
        if np.isfinite(self.freedom):
            noise *= np.sqrt((self.freedom - 2) / rng.chisquare(self.freedom, (len(truth), 1)))
        return self.gain * truth + self.offset + noise.reshape(truth.shape)


def estimate_errors(predicted: Array, truth: Array, skeleton: Skeleton) -> ErrorModel:
    """The error model of predictions `(N, J, 3)` of true poses of that shape, both root-relative in camera axes.

    Joints that are NaN in either are left out. With few poses the correlations are drawn towards zero.
    """
    known = np.isfinite(predicted) & np.isfinite(truth)
    known[:, skeleton.root] = False
    count = np.maximum(known.sum(axis=0), 1)
    p_mean, t_mean = (np.where(known, pose, 0.0).sum(axis=0) / count for pose in (predicted, truth))
    p, t = np.where(known, predicted - p_mean, 0.0), np.where(known, truth - t_mean, 0.0)
    gain = (p * t).sum(axis=(0, 1)) / np.maximum((t * t).sum(axis=(0, 1)), 1e-12)
    noise, seen = (p - gain * t).reshape(len(p), -1), known.reshape(len(p), -1)
    return ErrorModel(gain, p_mean - gain * t_mean, shrunk_covariance(noise, seen), _freedom(noise, seen))


def shrunk_covariance(values: Array, known: NDArray[np.bool_]) -> Array:
    """Covariance `(D, D)` of centred values `(N, D)`, zero where not known, correlations shrunk towards zero.

    By as much as their own uncertainty asks for (Schäfer and Strimmer, Stat. Appl. Genet. Mol. Biol. 2005).
    """
    deviation = np.sqrt((values * values).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    z = values / np.where(deviation > 0, deviation, 1)
    pairs = np.maximum(known.T.astype(float) @ known, 1)
    correlation = z.T @ z / pairs
    off = ~np.eye(len(correlation), dtype=bool)
    uncertainty = (((z * z).T @ (z * z)) / pairs - correlation**2) / pairs
    square = (correlation[off] ** 2).sum()
    shrinkage = np.clip(uncertainty[off].sum() / square, 0, 1) if square > 0 else 1.0
    correlation[off] *= 1 - shrinkage
    return correlation * np.outer(deviation, deviation)


def _freedom(values: Array, known: NDArray[np.bool_]) -> float:
    """Degrees of freedom whose kurtosis 3 + 6 / (freedom - 4) is the median one of the columns."""
    count = np.maximum(known.sum(axis=0), 1)
    second, fourth = (values**2).sum(axis=0) / count, (values**4).sum(axis=0) / count
    varies = second > 0
    excess = float(np.median(fourth[varies] / second[varies] ** 2)) - 3 if varies.any() else 0.0
    return 4 + 6 / min(excess, _MOST_EXCESS) if excess > _LEAST_EXCESS else np.inf
