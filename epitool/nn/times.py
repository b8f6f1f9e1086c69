"""Times of images, and poses averaged over time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_BREAK_S = 0.5  # images further apart are treated as unrelated
_REACH, _REACH_PER_S = 0.2, 1.5  # box sides by which a person's middle moves at most; faster is somebody else


class Moment(NamedTuple):
    """When an image was taken: the number of its recording, and the seconds since that began."""

    sequence: int
    seconds: float

    def until(self, later: Moment) -> float:
        """Return the seconds until a later image; infinite where it does not follow closely.

        >>> Moment(0, 1.0).until(Moment(0, 1.25)), Moment(0, 1.0).until(Moment(1, 1.25))
        (0.25, inf)
        """
        gap = later.seconds - self.seconds
        return gap if later.sequence == self.sequence and 0 < gap <= _BREAK_S else np.inf


@dataclass(frozen=True, eq=False)
class Times:
    """When N images were taken.

    Attributes:
        sequence: Number of the recording that each image belongs to, `(N,)`.
        seconds: Time since the recording began, `(N,)`; images further on in the order are related only if they
            are later in time.
    """

    sequence: NDArray[np.int64]
    seconds: Array

    @classmethod
    def unrelated(cls, count: int) -> Times:
        """Return times of images that have no relation to each other."""
        return cls(np.arange(count), np.zeros(count))

    @classmethod
    def of_one(cls, seconds: float) -> Times:
        """Return the time of a single image of a stream, whose others come one by one."""
        return cls(np.zeros(1, dtype=np.int64), np.array([seconds]))

    def of_people(self, boxes: Array) -> Times:
        """Return times in which a sequence shows one person: images that show somebody else are of another sequence.

        Who it is follows from the place in the image: a detector may take one of two people now and the other then.

        Args:
            boxes: Square boxes [x, y, side, side] around the person in each image, `(N, 4)` px; NaN for nobody.
        """
        middle, side = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2]
        sequence, fresh = self.sequence.copy(), count(int(self.sequence.max(initial=-1)) + 1)
        newest = dict[int, Indices]()  # of each sequence, the images in which somebody was seen last
        for n in np.flatnonzero(np.isfinite(side)).tolist():
            video = int(self.sequence[n])
            seen = newest.get(video, np.empty(0, dtype=np.intp))
            gap = self.seconds[n] - self.seconds[seen]
            close = (gap > 0) & (gap <= _BREAK_S)
            seen, gap = seen[close], gap[close]
            reach = (_REACH + _REACH_PER_S * gap) * np.maximum(side[n], side[seen])
            away = np.linalg.norm(middle[seen] - middle[n], axis=1) / reach
            if len(seen) and away.min() <= 1:
                same = seen[away.argmin()]
                sequence[n], newest[video] = sequence[same], np.where(seen == same, n, seen)
            else:
                sequence[n], newest[video] = next(fresh), np.append(seen, n)
        return Times(sequence, self.seconds)

    def at(self, image: int) -> Moment:
        """Return when an image was taken."""
        return Moment(int(self.sequence[image]), float(self.seconds[image]))

    def runs(self, usable: NDArray[np.bool_]) -> list[Indices]:
        """Return the indices of usable images in runs of one sequence that follow each other closely."""
        index = np.flatnonzero(usable)
        index = index[np.argsort(self.sequence[index], kind="stable")]
        gaps = np.diff(self.seconds[index])
        apart = (np.diff(self.sequence[index]) != 0) | (gaps > _BREAK_S) | (gaps <= 0)
        return [run for run in np.split(index, np.flatnonzero(apart) + 1) if len(run)]


def windows(seconds: Array, reach: float) -> tuple[Indices, Indices]:
    """Return where the images begin and end that are within `reach` of each, at either side, among increasing times.

    >>> [ends.tolist() for ends in windows(np.array([0.0, 1.0, 2.0, 3.0]), 1.0)]
    [[0, 0, 1, 2], [2, 3, 4, 4]]
    """
    return np.searchsorted(seconds, seconds - reach), np.searchsorted(seconds, seconds + reach, side="right")


def smoothed(poses: Array, times: Times, width_s: float) -> Array:
    """Smooth poses `(N, J, 3)` over time by local linear regression with a Gaussian window; NaN stays NaN.

    A line is fitted rather than a mean, so that joints which move steadily are left where they are, also at the ends of
    a video, where all neighbours lie on one side. The standard deviation of the window is `width_s`, and it is cut off
    at three times that.
    """
    out = poses.copy()
    for run in times.runs(np.isfinite(poses).any(axis=(1, 2))):
        seconds, part = times.seconds[run], poses[run]
        known = np.isfinite(part)
        values = np.where(known, part, 0.0)
        for n, ends in enumerate(zip(*windows(seconds, 3 * width_s))):
            near = slice(*ends)
            t = ((seconds[near] - seconds[n]) / width_s)[:, None, None]
            window = np.exp(-0.5 * t**2) * known[near]
            fitted = _line_at_zero(t, values[near], window)
            out[run[n]] = np.where(known[n], fitted, np.nan)
    return out


def _line_at_zero(t: Array, values: Array, weight: Array) -> Array:
    """Return the height at t = 0 of the lines fitted to `values (N, J, 3)` by weighted least squares, `(J, 3)`.

    Where the weights leave a single time, it is the value at that time.
    """
    w0, w1, w2 = ((weight * t**power).sum(axis=0) for power in (0, 1, 2))
    v0, v1 = ((weight * t**power * values).sum(axis=0) for power in (0, 1))
    spread = w0 * w2 - w1**2  # determinant of the normal equations
    line = spread > 1e-9 * w0**2
    mean = v0 / np.where(w0 > 0, w0, 1.0)
    return np.asarray(np.where(line, (w2 * v0 - w1 * v1) / np.where(line, spread, 1.0), mean))
