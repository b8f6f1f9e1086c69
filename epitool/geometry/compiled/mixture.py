"""Keypoints as a mixture: near their joint's projection (Gaussian), or anywhere in the image (uniform).

A keypoint with squared error e, whose coordinates have the variance s were it an inlier, and which is one with
probability q before it is looked at, has as an inlier the density `q / (2 pi s) exp(-e / 2 s)`, and `(1 - q) / area` as
a gross error. Their ratio r are its odds of being an inlier. By Bayes' rule its probability to be one is `r / (1 + r)`,
and it is `1 + r` times as likely under the mixture as it would be were it certainly a gross error (Bishop, Pattern
Recognition and Machine Learning, section 9.3).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import Number, formula

Array = NDArray[np.float64]
CERTAIN = 8.0  # log odds from which a keypoint is taken to be, or not to be, an inlier


@formula
def best_odds(share: Number, variance: Number, area: Number) -> Number:
    """Odds of a keypoint to be an inlier were its error 0; numbers or arrays."""
    return share / (1 - share) * area / (2 * np.pi * variance)


@formula
def odds(best: float, precision: float, squared: float) -> float:
    """Odds of a keypoint with a squared error to be an inlier; precision is 1 over its variance."""
    return best * np.exp(-0.5 * precision * squared)


@formula
def log_odds(best: float, precision: float, squared: float) -> float:
    """The logarithm of `odds`, given that of the best."""
    return best - 0.5 * precision * squared


@formula
def probability(odds: float) -> float:
    """Probability of a keypoint with these odds to be an inlier."""
    return odds / (1.0 + odds)


@formula
def probability_of_log(log_odds: float) -> float:
    """The same of their logarithm; 0 where the keypoint is beyond doubt none."""
    return 1.0 / (1.0 + np.exp(-log_odds)) if log_odds > -2.0 * CERTAIN else 0.0


@formula
def evidence(log_odds: float) -> float:
    """Log likelihood of a keypoint with these log odds, against its being a gross error: `log(1 + r)`.

    Where one is certain it needs no logarithm; the error is under `exp(-CERTAIN)`.
    """
    if log_odds > CERTAIN:
        return log_odds
    return np.log1p(np.exp(log_odds)) if log_odds > -CERTAIN else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def expectation(squared: Array, variance: Array, share: Array, areas: Array) -> tuple[Array, float]:
    """One E step.

    Args:
        squared: Squared errors `(N, V)` as `lens.squared_errors` gives them.
        variance: Of a coordinate of each keypoint were it an inlier, `(N, V)` px squared.
        share: Prior probability of each to be one, `(N, V)`, under 1.
        areas: Of the images, `(V,)` px squared.

    Returns:
        Probability of each keypoint to be an inlier `(N, V)`, 0 where missing; and the negative log likelihood.
    """
    weights, cost = np.zeros(squared.shape), 0.0
    for n in range(len(squared)):
        for v in range(squared.shape[1]):
            if squared[n, v] != squared[n, v]:
                continue
            best = best_odds(share[n, v], variance[n, v], areas[v])
            own = odds(best, 1.0 / variance[n, v], squared[n, v])
            weights[n, v] = probability(own)
            cost -= np.log((1.0 - share[n, v]) / areas[v] * (1.0 + own))
    return weights, cost
