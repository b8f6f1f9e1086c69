"""Labels smoothed over time, each person by itself, after all of their frames are written."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import progress, warn
from epitool.geometry.motion.gaps import motions_of, spread, step_of
from epitool.images import frame_rate
from epitool.io.labels_h5 import LabelsWriter
from epitool.pose import Keypoints

Array = NDArray[np.float64]


def smooth_everyone(writer: LabelsWriter, jobs: int) -> None:
    """Smooth the joints of everyone in a file that is being written; missing joints stay missing.

    Args:
        writer: The file, with all frames of everyone; its first person is in every frame of the recording.
        jobs: Number of stretches of time that are smoothed side by side.
    """
    from epitool.geometry.motion.smoothing import SMOOTHED  # imports scipy's optimizers, which other labels do not need

    step, joints = step_of(writer.frames), [person.joints for person in writer.everyone]
    with progress("smooth", sum(map(len, joints))) as done:
        for person, own in zip(writer.everyone, joints, strict=True):
            motions = list(motions_of(person.frames, own.take_of, step))
            own.replace(partial(_smoothed, motions=motions, jobs=jobs), done)
            person.state_smoothed(SMOOTHED)


def _smoothed(
    xyz: Array, covariance: Array, motions: list[tuple[NDArray[np.intp], NDArray[np.int64]]], jobs: int
) -> tuple[Array, Array]:
    """Return joints `(F, J, 3)` and covariances `(F, J, 6)` smoothed, motion by motion."""
    from epitool.geometry.motion.smoothing import smooth

    missing = ~np.isfinite(xyz).all(axis=-1)
    out = np.full_like(xyz, np.nan), np.full_like(covariance, np.nan)
    for rows, at in motions:
        found = smooth(spread(xyz[rows], at), spread(covariance[rows], at), jobs)
        for values, new in zip(out, found, strict=True):
            values[rows] = new[at]
    for values in out:
        values[missing] = np.nan
    return out


def warn_of_unknown_rate(sample: Keypoints, path: Path) -> None:
    """Warn if nothing says that frames are evenly spaced in time, as the smoother takes them to be.

    Args:
        sample: Keypoints of some frames.
        path: File that they were read from.
    """
    if not np.isfinite(frame_rate(sample.first_image)):
        warn(
            f"{path}: cannot read a frame rate (photos, or the video is gone); --smooth takes the frames as evenly"
            " spaced in time"
        )
