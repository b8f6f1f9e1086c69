"""Joints of one view over time, with gross errors removed, and read smoothly between the frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_SMOOTHING = 2.0  # standard deviation of the smoothing kernel, frames
_REACH = 5  # frames to either side that the kernel covers
_MEDIAN_REACH = 3
_CHANGED = 0.7  # sides have changed if exchanging them reduces the distance by this factor
_CAP = 10.0  # distances are capped at this multiple of the median distance between frames
_GROSS = 4.0  # standard deviations from the running median
_NEGLIGIBLE = 0.02  # share of the person's spread; a smaller error is never gross


def without_gaps(xy: Array, frames: NDArray[np.int64]) -> Array:
    """Return joints `(F, ...)` for every frame number from the first to the last, NaN where there was no frame."""
    dense = np.full((int(frames[-1] - frames[0]) + 1, *xy.shape[1:]), np.nan)
    dense[frames - frames[0]] = xy
    return dense


def without_jumps(xy: Array, skeleton: Skeleton) -> Array:
    """Return joints `(F, J, 2)` whose left and right no longer change places between successive frames.

    One wrong link exchanges all frames that follow; whole-frame tests against another view can undo that.
    """
    flip = skeleton.flip_order
    sided = flip != np.arange(len(flip))
    readings = np.stack([xy[1:, sided], xy[1:, flip][:, sided]])
    distance = np.linalg.norm(readings - xy[:-1, sided], axis=-1)
    distance = np.where(np.isfinite(distance).all(axis=0), distance, 0.0)  # the same joints under both readings
    moved = distance[0][distance[0] > 0]
    cap = _CAP * np.median(moved) if moved.size else np.inf
    kept, changed = np.minimum(distance, cap).sum(axis=-1)
    swapped = np.logical_xor.accumulate(np.concatenate([[False], changed < _CHANGED * kept]))
    return np.where(swapped[:, None, None], xy[:, flip], xy)


def without_gross_errors(xy: Array) -> Array:
    """Return joints `(F, J, 2)` with NaN where they are far from the median of their neighbours in time."""
    floor = _NEGLIGIBLE * _spread(xy)
    kept = xy.copy()
    for joint in range(xy.shape[1]):  # one at a time to save memory
        distance = np.linalg.norm(xy[:, joint] - _running_median(xy[:, joint]), axis=-1)
        seen = np.isfinite(distance)
        usual = 1.4826 * float(np.median(distance[seen])) if seen.any() else 0.0
        kept[~(distance <= max(_GROSS * usual, floor)), joint] = np.nan
    return kept


def _spread(xy: Array) -> float:
    """Return the median distance of joints `(F, J, 2)` from the middle of those seen in their frame."""
    seen = np.isfinite(xy[..., 0])
    center = np.where(seen[..., None], xy, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]
    return float(np.median(np.linalg.norm(xy - center[:, None], axis=-1)[seen])) if seen.any() else 0.0


def _running_median(xy: Array) -> Array:
    """Return the median of each coordinate of one joint `(F, 2)` over the neighbours in time that show it."""
    padded = np.pad(xy, ((_MEDIAN_REACH, _MEDIAN_REACH), (0, 0)), constant_values=np.nan)
    window = np.lib.stride_tricks.sliding_window_view(padded, 2 * _MEDIAN_REACH + 1, axis=0)
    ordered = np.sort(window, axis=-1)  # NaN come last
    count = np.isfinite(window).sum(axis=-1, keepdims=True)
    lower = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    upper = np.take_along_axis(ordered, np.minimum(count // 2, 2 * _MEDIAN_REACH), axis=-1)
    return np.asarray((lower + upper)[..., 0] / 2)


def estimate_motion_at(xy: Array, times: Array) -> tuple[Array, Array]:
    """Return position and velocity per frame of joints at any time, by local linear regression with a Gaussian kernel.

    The kernel leaves the same amount of noise at every fraction of a frame. Interpolation between two frames would
    leave the least noise half-way, which would attract every offset that is found by minimising residuals.

    Args:
        xy: Joints `(F, J, 2)` of successive frames, NaN where missing.
        times: Times to read, `(N,)` in frames from the first.

    Returns:
        Positions and velocities, each `(N, J, 2)`; NaN with too few frames around, or with frames on one side only.
    """
    moments, sums = _kernel_sums(xy, times)
    enough = 0.5 * np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _SMOOTHING) ** 2).sum()
    surrounded = (moments[0] > enough) & (np.abs(moments[1]) < 0.5 * _SMOOTHING * moments[0])
    determinant = np.where(surrounded, moments[0] * moments[2] - moments[1] ** 2, np.nan)
    # solution of the weighted 2x2 normal equations for intercept and slope
    position = moments[2][..., None] * sums[0] - moments[1][..., None] * sums[1]
    velocity = moments[0][..., None] * sums[1] - moments[1][..., None] * sums[0]
    return position / determinant[..., None], velocity / determinant[..., None]


def _kernel_sums(xy: Array, times: Array) -> tuple[Array, Array]:
    """Return weighted sums of 1, lag, lag^2 `(3, N, J)`, and of x, x * lag `(2, N, J, 2)`."""
    nearest = np.rint(times).astype(int)
    moments, sums = np.zeros((3, len(times), xy.shape[1])), np.zeros((2, len(times), *xy.shape[1:]))
    for shift in range(-_REACH, _REACH + 1):
        frame = np.clip(nearest + shift, 0, len(xy) - 1)
        lag = (nearest + shift - times)[:, None]
        seen = np.isfinite(xy[frame, :, 0]) & (frame == nearest + shift)[:, None]
        weight = np.where(seen, np.exp(-0.5 * (lag / _SMOOTHING) ** 2), 0.0)
        sample = np.where(seen[..., None], xy[frame], 0.0)
        for power in range(3):
            moments[power] += weight
            if power < 2:
                sums[power] += weight[..., None] * sample
            weight = weight * lag
    return moments, sums
