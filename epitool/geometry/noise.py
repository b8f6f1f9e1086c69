"""Errors of a detector and what its confidence says about them, learned from the residuals of the recording itself.

A keypoint lies near its joint's projection (Gaussian), or anywhere in the image (uniform). The variance and the
probability of being an inlier both depend on the rank of the keypoint's confidence among all keypoints of the
recording; the variance also depends on the joint. Only ranks count, so a detector may state confidences on any scale. A
view has no variance of its own: otherwise a view that is out of sync or shows another person would look like one whose
joints are hard to see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Levels = NDArray[np.int64]
_LEVELS, _PER_LEVEL = 8, 300  # most levels of confidence, and fewest keypoints per level
_BELIEF = 200.0  # weight, in keypoints, of the prior that a level or joint is like all others
_RANGE = 30.0  # largest factor by which a level or joint may change the variance
_SHARES = 0.02, 0.999  # bounds of the probability of being an inlier
_LEAST_VARIANCE = 1e-12
_HUNDREDTHS, _RANKED = 100, 100_000  # number of ranks, and of confidences from which they are computed


@dataclass(frozen=True, eq=False)
class KeypointNoise:
    """Model of a detector's errors.

    Attributes:
        sigma_px: Standard deviation of a coordinate of a usual keypoint that is not a gross error.
        inlier_share: Share of keypoints that are not gross errors, by level of confidence `(L,)`.
        edges: Confidences at which the next level begins, `(L - 1,)`.
        by_level: Factor of the variance by level of confidence, `(L,)`.
        by_joint: Factor of the variance by joint, `(J,)`.
    """

    sigma_px: float
    inlier_share: Array
    edges: Array
    by_level: Array
    by_joint: Array

    def levels(self, confidence: Array) -> Levels:
        """Return the level of each confidence."""
        return np.searchsorted(self.edges, confidence, side="right")

    def relative(self, levels: Levels, joint: NDArray[np.int64] | slice = slice(None)) -> Array:
        """Return the variance of keypoints relative to a usual one; by default the last axis runs over all joints."""
        return self.by_level[levels] * self.by_joint[joint]

    def variance(self, levels: Levels) -> Array:
        """Return the variance, px squared, of a coordinate of inlier keypoints with these levels `(F, V, J)`."""
        return self.sigma_px**2 * self.relative(levels)

    def with_sigma(self, sigma_px: float) -> KeypointNoise:
        """Return a copy with another usual deviation."""
        return replace(self, sigma_px=sigma_px)


def unknown_noise(confidence: Array, seen: NDArray[np.bool_], sigma_px: float, inlier_share: float) -> KeypointNoise:
    """Return noise that is the same for all keypoints, with the levels that their confidences `(F, V, J)` allow.

    Levels hold about equally many keypoints; equal confidences have the same level.
    """
    ordered = np.sort(confidence[seen])
    count = int(np.clip(len(ordered) // _PER_LEVEL, 1, _LEVELS))
    edges = np.unique(ordered[(np.arange(1, count) * len(ordered)) // count]) if len(ordered) else np.empty(0)
    edges = edges[edges > ordered[0]] if len(ordered) else edges
    share = np.full(len(edges) + 1, inlier_share)
    return KeypointNoise(sigma_px, share, edges, np.ones(len(edges) + 1), np.ones(confidence.shape[2]))


def rank_confidences(confidence: NDArray[np.floating[Any]]) -> Array:
    """Return roughly the share of confidences not higher than each, in hundredths; 0 where a joint is missing.

    >>> rank_confidences(np.linspace(0, 7, 101))[[0, 50, 100]].tolist()
    [0.0, 0.5, 0.99]
    """
    some = np.sort(confidence.ravel()[:: max(confidence.size // _RANKED, 1)])
    edges = some[(np.arange(1, _HUNDREDTHS) * len(some)) // _HUNDREDTHS]
    return np.where(confidence == 0, 0.0, np.searchsorted(edges, confidence, side="right") / _HUNDREDTHS)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals of the keypoints of N points in V views, with places and cameras given, from which noise is estimated.

    Attributes:
        squared: Squared errors `(N, V)`, px squared; NaN where nothing is seen.
        probability: Probability of each keypoint not being a gross error, `(N, V)`; 0 where it is not used for the
            noise.
        freedom: Expected squared error of each keypoint relative to its variance, `(N, V)`: 2, less what the point
            absorbs.
        levels: Levels of the keypoints' confidence, `(N, V)`.
        joint: Joint of each point, `(N,)`.
        unplaced: Levels of keypoints of joints without a place, because fewer than two keypoints of each seem right,
            `(M, V)`; -1 where nothing is seen.
    """

    squared: Array
    probability: Array
    freedom: Array
    levels: Levels
    joint: NDArray[np.int64]
    unplaced: Levels


def refit_noise(noise: KeypointNoise, residuals: Residuals, parameters: int = 0) -> KeypointNoise:
    """Perform one M step: return the variances and shares that fit the residuals with their E step probabilities.

    The degrees of freedom are those of restricted maximum likelihood, so that the keypoint which a point follows most
    closely is not mistaken for the best one. Every factor is shrunk slightly towards 1, and every share towards the
    overall share.

    Args:
        noise: Noise assumed in the E step.
        residuals: Residuals of the same keypoints.
        parameters: Number of camera parameters, which also absorb part of the residuals.
    """
    r, p = residuals, residuals.probability
    tells = p > 0
    errors = np.where(tells, p * np.where(tells, r.squared, 0.0), 0.0)
    # the camera parameters reduce the freedom of all keypoints in proportion
    freedom = p * r.freedom * (1 - min(parameters / max(float((p * r.freedom).sum()), 1.0), 0.5))
    joints = np.broadcast_to(r.joint[:, None], p.shape)
    factors = {"by_level": r.levels, "by_joint": joints}
    found = {name: getattr(noise, name) for name in factors}
    for name, index in factors.items():
        # errors relative to both factors give the usual variance; multiplying one back isolates that factor
        errors = errors / found[name][index]
    usual = max(float(errors.sum() / max(freedom.sum(), 1.0)), _LEAST_VARIANCE)
    for name, index in factors.items():
        found[name] = _factor(errors * found[name][index] / usual, freedom, index, found[name])
    return replace(noise, sigma_px=float(np.sqrt(usual)), inlier_share=_shares(noise, r), **found)


def _factor(errors: Array, freedom: Array, index: NDArray[np.int64], before: Array) -> Array:
    """Return the factor of the variance for each value of `index`; the weighted mean of its logarithm is 0."""
    own, of = (np.bincount(index.ravel(), x.ravel(), minlength=len(before)) for x in (errors, freedom))
    factor = np.clip((own + _BELIEF) / (of + _BELIEF), 1 / _RANGE, _RANGE)
    return factor / np.exp((of @ np.log(factor)) / max(of.sum(), 1e-300)) if of.any() else factor


def probability_alone(noise: KeypointNoise, unplaced: Levels) -> Array:
    """Return the probability `(M, V)` that each keypoint of an unplaced joint is right, given that at most one is."""
    odds = np.where(unplaced >= 0, (noise.inlier_share / (1 - noise.inlier_share))[unplaced], 0.0)
    return odds / (1 + odds.sum(axis=1, keepdims=True))


def _shares(noise: KeypointNoise, r: Residuals) -> Array:
    """Return the share of inliers by level; missing keypoints do not count."""
    seen, lost = ~np.isnan(r.squared), r.unplaced >= 0
    levels, size = np.concatenate([r.levels[seen], r.unplaced[lost]]), len(noise.inlier_share)
    right = np.concatenate([r.probability[seen], probability_alone(noise, r.unplaced)[lost]])
    inliers, of = np.bincount(levels, right, minlength=size), np.bincount(levels, minlength=size)
    usual = inliers.sum() / max(of.sum(), 1)
    return np.clip((inliers + _BELIEF * usual) / (of + _BELIEF), *_SHARES)
