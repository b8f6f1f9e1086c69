"""Cues to the vertical from a body's stance: its axis, and the plane of the ankles that bear weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.errors import VerticalError
from epitool.geometry.body.scale import distance_between
from epitool.pose import Poses
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_SIDES = ("left", "right")
_FRAME_BUDGET = 3000
_MIN_FRAMES = 10
_UPRIGHT = 0.85  # share of the length along the bones: people who sit, squat or bend deeply are shorter
_LENGTH_TOLERANCE = 4.0  # standard deviations of a bone's length beyond which a joint is a gross error
_LEAN_SD = np.radians([1.0, 4.0])  # standard deviations of people's constant lean, to a side and to the front
_CHANGING_LEAN_SD = np.radians([1.5, 5.0])  # lower bounds of the standard deviations of the changing lean
_LEANS = 10.0  # people lean for a while: all frames count as at most this many independent ones
_TUKEY = 4.685  # 95% efficiency at a Gaussian
_CONTACTS = 60.0  # neighbouring frames are similar: all contacts count as at most this many independent ones
_CONTACT_START, _CONTACT_LEAST = 0.1, 0.005  # first and least deviation of ankle heights in contact, share of the leg
_STARTS, _START_SLOPE = 6, 0.2  # people who bend for a while move the body's axis this far from the vertical
_SWING_REACH, _GROSS_REACH = 0.35, 6.0  # range of heights of swinging and misplaced ankles, share of the leg
_WARP = 0.002  # share of the leg: error of triangulated heights that is constant over many frames
_FOOT_SD = 0.012  # share of the leg: constant height difference between the detected ankles
_OFFSET_SD = np.array([0.1, 0.1])  # slope by which a foot in front of or beside the hips is higher without being lifted
_BLOCKS = 12  # number of blocks of frames for the jackknife
_ITERATIONS = 40


@dataclass(frozen=True, eq=False)
class Stance:
    """Cues to the vertical over F frames; lengths in units of the leg, NaN where unknown.

    Attributes:
        ankles: Both ankles `(F, 2, 3)`.
        axis: Vector from the ankles' middle to the shoulders' in upright frames, `(F, 3)`.
        left: Direction towards the person's left, `(F, 3)`, of any length.
        hips: Middle of the hips, `(F, 3)`.
    """

    ankles: Array
    axis: Array
    left: Array
    hips: Array

    def select(self, frames: Flags) -> Stance:
        """Return the cues of the selected frames `(F,)`."""
        return Stance(self.ankles[frames], self.axis[frames], self.left[frames], self.hips[frames])

    def turned(self, R: Array) -> Stance:
        """Return the cues in the world `R @ x`."""
        return Stance(self.ankles @ R.T, self.axis @ R.T, self.left @ R.T, self.hips @ R.T)


@dataclass(frozen=True, eq=False)
class Tilt:
    """Vertical relative to z from one cue: up is along (slope, 1), with `slope (2,)` and its `covariance (2, 2)`."""

    slope: Array
    covariance: Array

    @property
    def sd_deg(self) -> float:
        """Root of the summed variances of both tilts, degrees."""
        return float(np.degrees(np.sqrt(np.trace(self.covariance))))


@dataclass(frozen=True, eq=False)
class Floor:
    """Plane `slope . xy + z = height` of ankles in contact.

    Attributes:
        slope: Slope `(2,)`.
        height: Height of the plane at the origin.
        sigma: Standard deviation of the ankles' heights around it.
        center: Mean of the contacts, `(3,)`.
        spread: Covariance of the hips' horizontal places at the contacts, `(2, 2)`.
        by_habit: Covariance of the slope due to how feet are set down, as far as the contacts do not determine it, `(2,
            2)`.
        cost: Negative log likelihood per ankle.
    """

    slope: Array
    height: float
    sigma: float
    center: Array
    spread: Array
    by_habit: Array
    cost: float


def stance_of(poses: Poses) -> tuple[Stance, float]:
    """Return the body without joints that are gross errors, and the leg's length in the poses' unit.

    Raises:
        VerticalError: Fewer than 10 frames show all of an upright person.
    """
    body = poses.convert(skeleton("h36m17"))
    chosen = evenly_spread(len(body.frames), _FRAME_BUDGET)
    body = replace(body, xyz=body.xyz[chosen], confidence=body.confidence[chosen], frames=body.frames[chosen])
    joint = {name: body.xyz[:, j] for j, name in enumerate(body.skeleton.joints)}
    shins = np.stack([distance_between(body, f"{side}_knee", f"{side}_ankle") for side in _SIDES], axis=1)
    thighs = np.stack([distance_between(body, f"{side}_hip", f"{side}_knee") for side in _SIDES], axis=1)
    trunk = distance_between(body, "pelvis", "thorax")
    if not all(np.isfinite(lengths).sum() >= _MIN_FRAMES for lengths in (shins, thighs, trunk)):
        raise VerticalError(f"shoulders, hips, knees and ankles are seen together in fewer than {_MIN_FRAMES} frames")
    leg = float(np.nanmedian(shins) + np.nanmedian(thighs))
    ankles = np.stack([joint[f"{side}_ankle"] for side in _SIDES], axis=1)
    ankles = np.where(_find_usual(shins)[..., None], ankles, np.nan)
    axis, left = joint["thorax"] - ankles.mean(axis=1), _left(body)
    upright = np.linalg.norm(axis, axis=-1) > _UPRIGHT * (leg + np.nanmedian(trunk))
    upright &= np.isfinite(left[:, 0])
    if upright.sum() < _MIN_FRAMES:
        raise VerticalError(f"{upright.sum()} frames show all of an upright person, {_MIN_FRAMES} are needed")
    axis, hips = (
        np.where(upright[:, None], axis, np.nan),
        np.where(_find_usual(trunk)[:, None], joint["pelvis"], np.nan),
    )
    return Stance(ankles / leg, axis / leg, left, hips / leg), leg


def _left(body: Poses) -> Array:
    """Return the direction `(F, 3)` to the person's left, from hips and shoulders or one of them; NaN with neither."""
    left = np.zeros((len(body.frames), 3))
    for part in ("hip", "shoulder"):
        across = body.xyz[:, body.skeleton.index(f"left_{part}")] - body.xyz[:, body.skeleton.index(f"right_{part}")]
        length = np.linalg.norm(across, axis=-1)
        if np.isfinite(length).any():
            left += np.where(_find_usual(length)[:, None], across / length[:, None], 0.0)
    return np.where(left.any(axis=-1, keepdims=True), left, np.nan)


def _find_usual(lengths: Array) -> Flags:
    """Return which lengths are near their median, in units of their spread."""
    off = np.abs(lengths - np.nanmedian(lengths))
    return off <= _LENGTH_TOLERANCE * 1.4826 * np.nanmedian(off) + 1e-9 * np.nanmedian(lengths)


def axis_tilt(stance: Stance) -> Tilt:
    """Return the vertical from the body's axis.

    The axis leans from the vertical by a constant to the person's left, a constant to the front, and a changing part.
    The constants are estimated too, as far as the person turns.
    """
    lean = stance.axis[:, :2] / stance.axis[:, 2:]
    left, front = _level_axes(stance)
    known = np.isfinite(lean).all(axis=-1) & np.isfinite(left).all(axis=-1) & (stance.axis[:, 2] > 0)
    directions, lean = np.stack([left[known], front[known]], axis=1), lean[known]
    seen = np.einsum("nki,ni->nk", directions, lean)
    design = np.concatenate([directions, np.broadcast_to(np.eye(2), directions.shape)], axis=-1)
    sd = np.array([np.inf, np.inf, *_LEAN_SD])
    solution = np.array([*np.median(lean, axis=0), 0.0, 0.0])
    for _ in range(_ITERATIONS):
        off = seen - design @ solution
        # lean is correlated over time: scale the weights to the number of independent frames
        weights = _tukey_weights(off) * np.minimum(_LEANS, _independent(off)) / len(seen)
        before = solution
        solution, covariance = _ridge(design.reshape(-1, 4), seen.ravel(), weights.ravel(), sd)
        if np.abs(solution - before).max() < 1e-10:
            break
    return Tilt(solution[:2], covariance[:2, :2])


def _ridge(design: Array, seen: Array, weights: Array, sd: Array) -> tuple[Array, Array]:
    """Solve weighted least squares with priors of mean 0.

    Args:
        design: Design matrix `(N, P)`.
        seen: Observations `(N,)`.
        weights: Inverse variances `(N,)`.
        sd: Standard deviations of the priors, `(P,)`; infinite for none.

    Returns:
        The solution `(P,)` and its covariance `(P, P)`.
    """
    covariance = np.linalg.inv((design.T * weights) @ design + np.diag(sd**-2.0))
    return covariance @ ((design.T * weights) @ seen), covariance


def _independent(residuals: Array) -> Array:
    """Return the effective sample size `(K,)` of series `(N, K)`: N over the integrated autocorrelation time."""
    count = len(residuals)
    off = residuals - residuals.mean(axis=0)
    power = np.abs(np.fft.rfft(off, 2 * count, axis=0)) ** 2  # zero-padded, so that the correlation is not circular
    correlation = np.fft.irfft(power, axis=0)[:count] / np.maximum((off**2).sum(axis=0), 1e-30)
    # the sum stops at the first negative value, beyond which the correlation is mostly noise
    positive = np.logical_and.accumulate(correlation[1:] > 0, axis=0)
    return count / (1 + 2 * (correlation[1:] * positive).sum(axis=0))


def _tukey_weights(residuals: Array) -> Array:
    """Return Tukey's biweights `(N, 2)` over each column's variance, both from its median absolute residual."""
    scale = np.maximum(1.4826 * np.median(np.abs(residuals), axis=0), _CHANGING_LEAN_SD)
    return np.maximum(1 - (residuals / (_TUKEY * scale)) ** 2, 0.0) ** 2 / scale**2


def fit_floor(stance: Stance, start: Floor | None) -> Floor:
    """Fit the plane of ankles that bear weight: the most probable one that EM reaches from several starts.

    Args:
        stance: Stance, upright to about twenty degrees.
        start: Floor to start from instead.
    """
    if start:
        return _em(stance, start.slope, start)
    angles = np.arange(_STARTS) * 2 * np.pi / _STARTS
    slopes = [np.zeros(2), *(_START_SLOPE * np.stack([np.cos(angles), np.sin(angles)], axis=-1))]
    return min((_em(stance, slope, None) for slope in slopes), key=lambda floor: floor.cost)


def _em(stance: Stance, slope: Array, start: Floor | None) -> Floor:
    """Fit a floor by EM.

    An ankle is in contact (its height is Gaussian around the plane), swings (uniform over the legs' reach above it), or
    is wrong (uniform over a large range). Which foot it is, and where it is relative to the hips, explain part of its
    height, so that the plane depends on where the body goes rather than on how feet are set down.
    """
    points, hips, foot, offset = _feet(stance)
    design = np.column_stack([-points[:, :2], np.ones(len(points)), foot, offset])
    sd = np.array([np.inf, np.inf, np.inf, _FOOT_SD, *_OFFSET_SD])
    height = start.height if start else np.percentile(points[:, 2] + points[:, :2] @ slope, 20)
    solution, sigma = np.array([*slope, height, 0.0, 0.0, 0.0]), start.sigma if start else _CONTACT_START
    shares = np.array([0.5, 0.4, 0.1])
    for _ in range(_ITERATIONS):
        contact, shares, cost = _contacts(points[:, 2] - design @ solution, sigma, shares)
        weights = contact * min(1.0, _CONTACTS / len(points)) / sigma**2
        before = solution
        solution, covariance = _ridge(design, points[:, 2], weights, sd)
        variance = float(np.average((points[:, 2] - design @ solution) ** 2, weights=contact))
        sigma = max(np.sqrt(variance), _CONTACT_LEAST)
        if np.abs(solution - before).max() < 1e-7:
            break
    # contribution of the priors to the slope's covariance: C P^-1 C, with the priors' covariance P
    by_habit = covariance[:2] / sd
    center, spread = np.average(points, axis=0, weights=contact), np.cov(hips[:, :2].T, aweights=contact)
    return Floor(solution[:2], float(solution[2]), sigma, center, spread, by_habit @ by_habit.T, cost)


def _level_axes(stance: Stance) -> tuple[Array, Array]:
    """Return level unit vectors `(F, 2)` to the person's left and front."""
    left = stance.left[:, :2] / np.linalg.norm(stance.left[:, :2], axis=-1, keepdims=True)
    return left, np.stack([left[:, 1], -left[:, 0]], axis=-1)


def _feet(stance: Stance) -> tuple[Array, Array, Array, Array]:
    """Return ankles and hips `(N, 3)`, which foot `(N,)`, and its offset from the hips to front and left `(N, 2)`."""
    left, front = _level_axes(stance)
    axes = np.stack([front, left], axis=1)
    offset = np.einsum("fki,fsi->fsk", axes, (stance.ankles - stance.hips[:, None])[..., :2])
    known = np.isfinite(offset).all(axis=-1) & (np.linalg.norm(offset, axis=-1) < 1)
    foot = np.broadcast_to([0.5, -0.5], known.shape)
    hips = np.broadcast_to(stance.hips[:, None], stance.ankles.shape)
    return stance.ankles[known], hips[known], foot[known], offset[known]


def _contacts(above: Array, sigma: float, shares: Array) -> tuple[Array, Array, float]:
    """Return each ankle's probability of contact `(N,)`, the shares of contact, swing and error, and the cost."""
    density = np.stack([
        np.exp(-0.5 * (above / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma),
        ((above > 0) & (above < _SWING_REACH)) / _SWING_REACH,
        np.full(len(above), 1 / _GROSS_REACH),
    ])  # fmt: skip
    parts = shares[:, None] * density
    total = parts.sum(axis=0)
    parts /= total
    return parts[0], parts.mean(axis=1), float(-np.log(total).mean())


def floor_tilt(stance: Stance, floor: Floor) -> Tilt:
    """Return the vertical from the floor's plane, with all sources of its uncertainty."""
    return Tilt(floor.slope, _jackknife(stance, floor) + _warp(floor) + floor.by_habit)


def _warp(floor: Floor) -> Array:
    """Return the covariance `(2, 2)` of a floor's slope due to errors of heights that more frames do not reduce."""
    values, vectors = np.linalg.eigh(floor.spread)
    walked = np.maximum(values - floor.sigma**2, 1e-12)
    return vectors @ np.diag(_WARP**2 / walked) @ vectors.T


def _jackknife(stance: Stance, floor: Floor) -> Array:
    """Return the covariance `(2, 2)` of a floor's slope by leaving out one block of frames at a time."""
    block = np.arange(len(stance.axis)) * _BLOCKS // len(stance.axis)
    slopes = np.stack([fit_floor(stance.select(block != b), floor).slope for b in range(_BLOCKS)])
    off = slopes - slopes.mean(axis=0)
    return off.T @ off * (_BLOCKS - 1) / _BLOCKS
