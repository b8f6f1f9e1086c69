"""Mixture model of keypoints: near their joint's projection (Gaussian), or anywhere in the image (uniform).

Take a keypoint with squared error e, coordinate variance s if it is an inlier, and prior probability q of being one.
Its density is `q / (2 pi s) exp(-e / 2 s)` as an inlier, and `(1 - q) / area` as a gross error. Their ratio r is its
odds of being an inlier. By Bayes' rule its probability of being one is `r / (1 + r)`, and it is `1 + r` times as likely
under the mixture as if it were certainly a gross error (Bishop, Pattern Recognition and Machine Learning, section 9.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import Number, formula

Array = NDArray[np.float64]
CERTAIN = 8.0  # absolute log odds from which it counts as certain whether a keypoint is an inlier


@formula
def best_odds(share: Number, variance: Number, area: Number) -> Number:
    """Return the odds of a keypoint being an inlier if its error were 0; accepts numbers or arrays."""
    return share / (1 - share) * area / (2 * np.pi * variance)


@formula
def odds(best: Number, precision: Number, squared: Number) -> Number:
    """Return the odds of a keypoint with a squared error being an inlier; accepts numbers or arrays.

    The precision is 1 over its variance.
    """
    return best * np.exp(-0.5 * precision * squared)


@formula
def log_odds(best: float, precision: float, squared: float) -> float:
    """Return the logarithm of `odds`, given the logarithm of the best odds."""
    return best - 0.5 * precision * squared


@formula
def probability(odds: Number) -> Number:
    """Return the probability of a keypoint with these odds being an inlier; accepts numbers or arrays."""
    return odds / (1.0 + odds)


@formula
def probability_of_log(log_odds: float) -> float:
    """Return the probability for the logarithm of the odds; 0 for keypoints that are certainly not inliers."""
    return 1.0 / (1.0 + np.exp(-log_odds)) if log_odds > -2.0 * CERTAIN else 0.0


@formula
def evidence(log_odds: float) -> float:
    """Return the log likelihood of a keypoint with these log odds relative to a gross error: `log(1 + r)`.

    Where it is certain which of the two holds, the logarithm is skipped; the error is below `exp(-CERTAIN)`.
    """
    if log_odds > CERTAIN:
        return log_odds
    return np.log1p(np.exp(log_odds)) if log_odds > -CERTAIN else 0.0


def expectation(squared: Array, variance: Array, share: Array, areas: Array) -> tuple[Array, float]:
    """Perform one E step.

    Args:
        squared: Squared errors `(N, V)` as returned by `lens.squared_errors`.
        variance: Variance of a coordinate of each keypoint if it is an inlier, `(N, V)` px squared.
        share: Prior probability of each keypoint being an inlier, `(N, V)`, below 1.
        areas: Areas of the images, `(V,)` px squared.

    Returns:
        Probability of each keypoint being an inlier `(N, V)`, 0 where missing; and the negative log likelihood.
    """
    seen = ~np.isnan(squared)
    own = odds(best_odds(share, variance, areas), 1.0 / variance, np.where(seen, squared, 0.0))
    # the density of a keypoint is that of a gross error times 1 plus its odds
    cost = -float(np.log((1.0 - share) / areas * (1.0 + own))[seen].sum())
    return np.where(seen, probability(own), 0.0), cost
