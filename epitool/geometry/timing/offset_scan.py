"""Offset of two views to a whole frame: the one at which the eight-point method explains the joints best."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous
from epitool.geometry.compiled.sampson import epipolar_constraint
from epitool.geometry.timing.trajectories import estimate_motion_at
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_SCAN_FRAMES = 200  # number of frames by which one offset is judged
_MIN_FRAMES = 30  # fewest frames that two views must share
_MIN_MATCHES = 100
_ROUNDS = 5
CLEAR = 0.3  # amount of mean loss by which the best offset must beat the median one
_RATES = (24, 25, 30, 50, 60)  # usual frames per second of cameras
_CLEARER = 2.0  # factor by which a rate must beat offsets: where views share few frames, some rate fits as well
_STEP = 2  # frames between the offsets that are tried to explain a failure
_SHARED = 1 / 3  # share of the recording that the views have in common at the largest of these offsets
_CHI2_MEDIAN = 0.455  # median of chi square with one degree of freedom


def scan_offsets(a: Array, b: Array, offsets: NDArray[np.int64], skeleton: Skeleton, rate: float = 1.0) -> Array:
    """Return how badly each offset explains the joints: mean Cauchy loss `(D,)`, NaN where the views share too little.

    Midpoints of left and right joints replace both, so that exchanged sides have no effect.

    Args:
        a: Joints of the first view on the plane z = 1, `(F, J, 2)`, NaN where missing.
        b: Joints of the second view, in the same form.
        offsets: Offsets to try, `(D,)` frames: the first view's frame f is matched with the second's rate * f + offset.
        skeleton: Skeleton of the joints.
        rate: Frames of the second view per frame of the first.
    """
    first, second = (midline(xy, skeleton) for xy in (a, b))
    squared = []
    for offset in offsets:
        low, high = max(0.0, -offset / rate), min(len(a) - 1.0, (len(b) - 1 - offset) / rate)
        frames = np.arange(np.ceil(low), np.floor(high) + 1)
        frames = frames[:: max(1, len(frames) // _SCAN_FRAMES)]
        enough = high - low >= _MIN_FRAMES
        x_a, _ = estimate_motion_at(first, frames if enough else frames[:0])
        x_b, _ = estimate_motion_at(second, rate * frames + offset if enough else frames[:0])
        seen = np.isfinite(x_a[..., 0]) & np.isfinite(x_b[..., 0])
        squared.append(_squared_distances(x_a[seen], x_b[seen]) if seen.sum() >= _MIN_MATCHES else np.array([np.nan]))
    medians = np.array([np.median(distances) for distances in squared])
    if np.isnan(medians).all():
        return medians
    # all offsets are judged against the noise at the best one
    variance = float(np.nanmin(medians)) / _CHI2_MEDIAN + float(np.finfo(float).tiny)
    return np.array([np.log1p(distances / variance).mean() for distances in squared])


def contrast(loss: Array) -> float:
    """Return by how much the best offset beats the median one; 0 where nothing is known."""
    return float(np.nanmedian(loss) - np.nanmin(loss)) if np.isfinite(loss).any() else 0.0


@dataclass(frozen=True)
class Explanation:
    """What explains the joints of two views where no offset within reach does.

    Attributes:
        offset: Frames of the second view against the first; None where their frame rates differ instead.
        rate: Frames of the second view per frame of the first.
    """

    offset: int | None
    rate: float = 1.0


def explanation_beyond(a: Array, b: Array, reach: int, skeleton: Skeleton) -> Explanation | None:
    """Find what explains the joints where no offset within reach does; None if unclear.

    Args:
        a: Joints of the first view, as for `scan_offsets`.
        b: Joints of the second view, as for `scan_offsets`.
        reach: Largest offset that was searched, frames.
        skeleton: Skeleton of the joints.
    """
    most = round(min(len(a), len(b)) * (1 - _SHARED))
    offsets, near = np.arange(-most, most + 1, _STEP), np.arange(-2 * reach, 2 * reach + 1, _STEP)
    loss = scan_offsets(a, b, offsets, skeleton)
    ratios = sorted({y / x for x, y in itertools.product(_RATES, repeat=2)} - {1.0})
    clarity = [contrast(scan_offsets(a, b, near, skeleton, ratio)) for ratio in ratios]
    best = int(np.argmax(clarity))
    if clarity[best] > max(CLEAR, _CLEARER * contrast(loss)):
        return Explanation(None, ratios[best])
    if contrast(loss) <= CLEAR:
        return None
    offset = int(offsets[np.nanargmin(loss)])
    return Explanation(offset) if abs(offset) > reach else None


def _squared_distances(a: Array, b: Array) -> Array:
    """Return squared Sampson distances `(N,)` of matches `(N, 2)` from a robust eight-point F.

    Distances are in units of the joints' spread.
    """
    a, b = ((xy - xy.mean(axis=0)) / float(xy.std()) for xy in (a, b))
    rows = (homogeneous(b)[:, :, None] * homogeneous(a)[:, None, :]).reshape(-1, 9)
    weight = np.ones(len(rows))
    for _ in range(_ROUNDS):
        F = np.linalg.eigh((rows * weight[:, None]).T @ rows)[1][:, 0].reshape(3, 3)
        value, *slope = epipolar_constraint(F, *a.T, *b.T)
        gradient = np.square(slope).sum(axis=0)
        squared: Array = value**2 / gradient
        variance = float(np.median(squared)) / _CHI2_MEDIAN + np.finfo(float).tiny
        # dividing by the gradient turns algebraic errors into Sampson distances; the rest is a robust weight
        weight = 1 / gradient / (1 + squared / (6 * variance)) ** 2
    return squared
