"""A smoother that learns from the recording how fast joints move and how noisy their places are.

A joint's path is the most likely one under two assumptions: the measured places have errors with their covariances, up
to a common factor, and the jerk of the path is white noise. The strength of the jerk, overall and at every time, and
the factor of the covariances are found by maximum likelihood. Outliers get small weights, as errors with Student's t
distribution do. All matrices are banded, so the cost is linear in the number of frames. `deviations` says how sure the
paths are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from epitool.arrays import inverses
from epitool.geometry.motion.banded import REACH, likeliest_path
from epitool.geometry.motion.deviations import path_covariance
from epitool.geometry.motion.gaps import PAUSE
from epitool.labels import covariance_matrices
from epitool.parallel import stream_parallel

Array = NDArray[np.float64]
SMOOTHED = "smoothed: least jerk, strengths by maximum likelihood, covariances of the joints"  # what files say of it
_TAIL = 4.0  # degrees of freedom of Student's t
_ROUNDS = 4  # in which stiffness and weights are updated in turn
_LEAST = 12  # known places that are smoothed; with fewer a path could follow them all
_CHUNK, _OVERLAP = 5000, 400  # frames solved at a time, and frames shared by two chunks
_RANGE = (-12.0, 22.0)  # of the log stiffness: from no smoothing to a parabola over hundreds of frames
_STIFFEST = 24.0  # log stiffness up to which the normal matrix can be factorized
_NEAR = 4.0  # step of the first search over the log stiffness, and its largest change from round to round
_FREQUENCIES = 2000  # number of frequencies at which the smoother's response is averaged
_GROSS = 0.5  # of the usual step from frame to frame: smaller errors are no outliers
_STEPS = np.linspace(-6.0, 6.0, 13)  # differences of a window's log stiffness from the usual one
_USUAL_STEP, _CHANGE = 3.0, 2.0  # standard deviations of these, and of their change between windows
_WINDOW, _SHORTEST = 8.0, 24  # lengths of windows: in time constants of the smoother, and least in frames
_WRONG_BY = 30.0  # stated variances are wrong by no more than this factor
_RIDGE = 1e-6  # of the usual precision: keeps windows without any place regular


class Smoothed(NamedTuple):
    """Paths of joints.

    Attributes:
        xyz: Places `(F, J, 3)`.
        covariance: Covariances of the places, `(F, J, 6)`: xx, xy, xz, yy, yz, zz.
    """

    xyz: Array
    covariance: Array


@dataclass(frozen=True)
class _Chunk:
    """Frames of one joint that are smoothed at a time, and blended with those before and after where they overlap."""

    joint: int
    start: int
    stop: int
    fades_in: bool
    fades_out: bool

    @property
    def part(self) -> tuple[slice, int]:
        """Where its frames are in arrays of all joints."""
        return slice(self.start, self.stop), self.joint

    @property
    def share(self) -> Array:
        """Its share in the result, `(F, 1)`."""
        share = np.ones((self.stop - self.start, 1))
        if self.fades_in:
            share[:_OVERLAP, 0] = np.linspace(0, 1, _OVERLAP)
        if self.fades_out:
            share[-_OVERLAP:, 0] = np.linspace(1, 0, _OVERLAP)
        return share


def smooth(xyz: Array, covariance: Array, jobs: int = 1) -> Smoothed:
    """Smooth joints over time: move each to its most likely path.

    Args:
        xyz: Joints `(F, J, 3)` in consecutive frames at a constant rate; NaN where missing.
        covariance: Covariances of the places, `(F, J, 6)`: xx, xy, xz, yy, yz, zz. If none of a joint's covariances is
            known, they are taken as equal, and their size is estimated.
        jobs: Number of chunks of frames of one joint that are smoothed side by side, as for `stream_parallel`.

    Returns:
        The paths, which also fill gaps of up to 50 frames; NaN in longer gaps, before a joint's first place and after
        its last. Fewer than 12 places between such gaps stay unchanged.
    """
    out = Smoothed(xyz.copy(), covariance.copy())
    chunks = [chunk for j in range(xyz.shape[1]) for chunk in _chunks_of(j, np.isfinite(xyz[:, j]).all(axis=-1))]
    for chunk in chunks:
        out.xyz[chunk.part] = out.covariance[chunk.part] = 0.0
    measured = (Smoothed(xyz[chunk.part], covariance[chunk.part]) for chunk in chunks)
    for chunk, path in zip(chunks, stream_parallel(_smooth_chunk, measured, jobs), strict=True):
        out.xyz[chunk.part] += chunk.share * path.xyz
        out.covariance[chunk.part] += chunk.share * path.covariance
    return out


def _chunks_of(joint: int, known: NDArray[np.bool_]) -> Iterator[_Chunk]:
    """Yield the chunks of a joint that has a place in these frames `(F,)`."""
    places = np.flatnonzero(known)
    for piece in np.split(places, np.flatnonzero(np.diff(places) > PAUSE) + 1):
        if len(piece) < _LEAST:
            continue
        first, stop = int(piece[0]), int(piece[-1]) + 1
        starts = range(first, max(stop - _OVERLAP, first + 1), _CHUNK - _OVERLAP)
        for start in starts:
            yield _Chunk(joint, start, min(start + _CHUNK, stop), start > first, start != starts[-1])


@dataclass(frozen=True, eq=False)
class _Measured:
    """The places of one joint in a chunk.

    Attributes:
        places: Places `(F, 3)` relative to their mean; 0 where missing.
        precision: Inverse covariances `(F, 3, 3)` in units where the usual variance is 1; 0 where missing.
        known: Whether there is a place, `(F,)`.
        factors: Range of the factor of the variances.
        usual: Usual variance that is stated; NaN if none is.
        way: Usual distance that the joint moves from frame to frame.
    """

    places: Array
    precision: Array
    known: NDArray[np.bool_]
    factors: tuple[float, float]
    usual: float
    way: float


def _smooth_chunk(joint: Smoothed) -> Smoothed:
    """Smooth one joint `(F, 3)`, updating the stiffness and the weights of its places in turn."""
    places, covariance = joint
    known = np.isfinite(places).all(axis=-1)
    if known.sum() < _LEAST:
        return Smoothed(_straight(places, known), covariance)
    middle = places[known].mean(axis=0)
    measured = _measured(places - middle, covariance, known)
    weights, reach = known.astype(float), (_RANGE[0], _RANGE[1])
    for turn in range(_ROUNDS):
        used, precision = weights, measured.precision * weights[:, None, None]
        usual = _likeliest(measured, precision, reach)
        reach = max(usual - _NEAR, _RANGE[0]), min(usual + _NEAR, _RANGE[1])
        _, factor, path = _cost(usual, measured, precision)
        logarithms = np.full(len(places) - REACH, usual)
        if turn >= _ROUNDS // 2:
            logarithms = _local_stiffness(measured, precision, usual, factor)
            path, _, _ = likeliest_path(measured.places, precision, np.exp(logarithms))
        weights = _trust(measured, path, weights, logarithms, factor)
    sure = path_covariance(
        measured.places - path, measured.precision, used, np.exp(logarithms), measured.factors, measured.usual
    )
    return Smoothed(path + middle, sure)


def _likeliest(measured: _Measured, precision: Array, reach: tuple[float, float]) -> float:
    """Return the log of the most likely stiffness, searched on a coarse grid and then near its best point."""

    def cost(logarithm: float) -> float:
        return _cost(logarithm, measured, precision)[0]

    tried = np.linspace(*reach, int((reach[1] - reach[0]) / _NEAR) + 1)
    best = tried[int(np.argmin([cost(at) for at in tried]))]
    bounds = max(best - _NEAR, reach[0]), min(best + _NEAR, reach[1])
    return float(minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 0.1}).x)


def _trust(measured: _Measured, path: Array, weights: Array, logarithms: Array, factor: float) -> Array:
    """Return the weights `(F,)` of the places, from their standardised distance to the path without themselves."""
    stiffness = np.exp(np.pad(logarithms, (1, REACH - 1), mode="edge"))
    # The smoother's response to a frequency is 1 / (1 + stiffness |1 - exp(iw)|^6); its mean is a place's leverage.
    turns = (2 - 2 * np.cos(np.pi * (np.arange(_FREQUENCIES) + 0.5) / _FREQUENCIES)) ** REACH
    at = np.linspace(*_RANGE, 69)
    leverage = np.interp(np.log(stiffness), at, (1 / (1 + np.exp(at)[:, None] * turns)).mean(axis=1))
    others = np.minimum(leverage, 1 - 1e-9) / (1 - np.minimum(leverage, 1 - 1e-9))  # variance of all others' path
    error = measured.places - path
    squared = np.einsum("fa,fab,fb->f", error, measured.precision, error) / factor
    # With little noise, a foot that stops at the floor is further from its path than the noise: no outlier either.
    if measured.way > 0:
        squared = np.minimum(squared, (error**2).sum(axis=-1) / (_GROSS * measured.way) ** 2)
    # From the residual to the error of the prediction by all others, and divided by its variance.
    squared *= (1 + weights * others) ** 2 / (1 + others)
    # The weights of Student's t distribution in three dimensions.
    return np.where(measured.known, (_TAIL + 3) / (_TAIL + squared), 0.0)


def _straight(places: Array, known: NDArray[np.bool_]) -> Array:
    """Return the places with gaps filled by straight lines, for a chunk with too few places to smooth."""
    at, out = np.flatnonzero(known), np.zeros_like(places)
    if len(at):
        for axis in range(3):
            out[:, axis] = np.interp(np.arange(len(places)), at, places[at, axis])
    return out


def _measured(places: Array, covariance: Array, known: NDArray[np.bool_]) -> _Measured:
    """Return the places with covariances in units of the usual variance, which also replaces unknown ones."""
    full = covariance_matrices(covariance)
    stated = known & np.isfinite(full).all(axis=(1, 2)) & (np.linalg.det(np.nan_to_num(full)) > 0)
    usual, factors = np.nan, (1e-12, np.inf)
    if stated.any():
        usual = float(np.median(np.trace(full[stated], axis1=1, axis2=2))) / 3
        factors = usual / _WRONG_BY, usual * _WRONG_BY
    precision = np.where(known[:, None, None], np.eye(3), 0.0)
    # The added 1e-4 keeps matrices regular: it only matters for standard deviations below 1/100 of the usual one.
    precision[stated] = inverses(full[stated] / usual + 1e-4 * np.eye(3))
    ways = np.linalg.norm(np.diff(places, axis=0), axis=1)[known[1:] & known[:-1]]
    way = float(np.median(ways)) if len(ways) else 0.0
    return _Measured(np.where(known[:, None], places, 0.0), precision, known, factors, usual, way)


def _cost(logarithm: float, measured: _Measured, precision: Array) -> tuple[float, float, Array]:
    """Return twice the negative log likelihood of a log stiffness, the best factor of the variances, and the path."""
    jerks = len(precision) - REACH
    path, logarithms, squares = likeliest_path(measured.places, precision, np.full(jerks, np.exp(logarithm)))
    free, sum_of_squares = 3 * (int(measured.known.sum()) - REACH), float(squares.sum())
    factor = float(np.clip(sum_of_squares / free, *measured.factors))
    cost = free * np.log(factor) + sum_of_squares / factor - 3 * jerks * logarithm + float(logarithms.sum())
    return cost, factor, path


def _local_stiffness(measured: _Measured, precision: Array, usual: float, factor: float) -> Array:
    """Return the log stiffness at every jerk, `(F - 3,)`, because people stand still and also kick.

    The path is cut into windows, each with a likelihood of every stiffness. From one window to the next the stiffness
    changes little (a hidden Markov model), and it is interpolated in between.
    """
    frames = len(precision)
    window = max(int(_WINDOW * np.exp(usual / (2 * REACH))), _SHORTEST)
    edges = np.linspace(0, frames, max(frames // window, 1) + 1).astype(int)
    whole = np.ones(frames - REACH)
    for edge in edges[1:-1]:
        whole[edge - REACH : edge] = 0.0
    ridged = precision + _RIDGE * np.eye(3)
    likelihood = np.empty((len(edges) - 1, len(_STEPS)))
    for s, step in enumerate(_STEPS):
        logarithm = min(usual + step, _STIFFEST)
        _, logarithms, squares = likeliest_path(measured.places, ridged, whole * np.exp(logarithm))
        sums = np.add.reduceat(squares / factor + logarithms, edges[:-1])
        likelihood[:, s] = -0.5 * (sums - 3 * (np.diff(edges) - REACH) * logarithm)
    middles = (edges[1:] + edges[:-1] - 1) / 2
    return usual + np.interp(np.arange(frames - REACH) + REACH / 2, middles, _mean_of_chain(likelihood) @ _STEPS)


def _mean_of_chain(likelihood: Array) -> Array:
    """Return the probabilities `(W, S)` of the steps in every window, given the log likelihoods `(W, S)` of all.

    This is the forward-backward algorithm.
    """
    change = -0.5 * ((_STEPS[:, None] - _STEPS) / _CHANGE) ** 2
    change -= logsumexp(change, axis=1, keepdims=True)
    forward = [likelihood[0] - 0.5 * (_STEPS / _USUAL_STEP) ** 2]
    for of_window in likelihood[1:]:
        forward.append(of_window + logsumexp(forward[-1][:, None] + change, axis=0))
    backward = [np.zeros(len(_STEPS))]
    for of_window in likelihood[:0:-1]:
        backward.append(logsumexp(change + of_window + backward[-1], axis=1))
    both = np.array(forward) + np.array(backward[::-1])
    return np.asarray(np.exp(both - logsumexp(both, axis=1, keepdims=True)))
