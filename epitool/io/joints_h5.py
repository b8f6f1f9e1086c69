"""Joints of labels as `labels.h5` stores them, and replaced in place while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.io.h5 import LARGEST
from epitool.labels import Further, Labels

Array = NDArray[np.float64]
FURTHER = "further"  # group of the joints that the labels lack
_PLACES = 1 << 21  # frames times joints in memory at a time, some 500 MB with what is computed from them
_FRAMES = 10_000  # read, written, or whose errors are computed at a time


def label_arrays(labels: Labels) -> dict[str, NDArray[Any]]:
    """Return the arrays that are stored of labels, besides those of their keypoints."""
    return {
        "xyz": labels.poses.xyz.astype(np.float32),
        "xyz_confidence": labels.poses.confidence.astype(np.float32),
        "xyz_covariance": _stored(labels.covariance),
        "reprojection_px": _stored(labels.reprojection_px),
        "swapped": labels.swapped,
        "used": labels.used,
    }


def further_arrays(further: Further) -> dict[str, NDArray[Any]]:
    """Return the arrays that are stored of further joints."""
    return {
        "xyz": further.poses.xyz.astype(np.float32),
        "confidence": further.poses.confidence.astype(np.float32),
        "covariance": _stored(further.covariance),
    }


class StoredJoints:
    """The joints of one person in labels that are being written, with those that the labels lack.

    Args:
        file: The person's labels, of all frames.
        rigs: Cameras of every take.
    """

    def __init__(self, file: h5py.Group, rigs: Sequence[Rig]) -> None:
        self._file, self._rigs = file, rigs
        self._sets = [(file["xyz"], file["xyz_covariance"])]
        if FURTHER in file:
            self._sets.append((file[FURTHER]["xyz"], file[FURTHER]["covariance"]))

    def __len__(self) -> int:
        return sum(xyz.shape[1] for xyz, _ in self._sets)

    @property
    def take_of(self) -> NDArray[np.int64]:
        """Number of the take of every frame, `(F,)`."""
        return np.asarray(self._file["take"][()])

    def replace(self, change: Callable[[Array, Array], tuple[Array, Array]], done: Callable[[int], None]) -> None:
        """Replace all joints, and the reprojection errors that follow from them.

        Args:
            change: Function of places `(F, J, 3)` and covariances `(F, J, 6)` of some joints in all frames, which
                returns both anew.
            done: Called with the number of joints of every step.
        """
        for xyz, covariance in self._sets:
            frames, joints = xyz.shape[:2]
            few = max(_PLACES // max(frames, 1), 1)
            for start in range(0, joints, few):
                part = slice(start, min(start + few, joints))
                new = change(_read(xyz, part), _read(covariance, part))
                for stored, values in zip((xyz, covariance), new, strict=True):
                    _write(stored, part, _stored(values))
                done(part.stop - part.start)
        for frames in _blocks(len(self._file["xyz"])):
            self._replace_errors(frames)

    def _replace_errors(self, part: slice) -> None:
        xyz, xy = (self._file[name][part].astype(float) for name in ("xyz", "xy"))
        error, take = np.empty(xy.shape[:-1]), self._file["take"][part]
        for number in np.unique(take):
            own = take == number
            error[own] = np.linalg.norm(self._rigs[number].project(xyz[own]) - xy[own], axis=-1)
        self._file["reprojection_px"][part] = _stored(error)


def _blocks(frames: int) -> Iterator[slice]:
    yield from (slice(start, min(start + _FRAMES, frames)) for start in range(0, frames, _FRAMES))


def _read(stored: h5py.Dataset, joints: slice) -> Array:
    """Read some joints of all frames, by blocks of whole frames: HDF5 takes a hundred times as long to skip joints."""
    return np.concatenate([stored[block][:, joints].astype(float) for block in _blocks(len(stored))])


def _write(stored: h5py.Dataset, joints: slice, values: NDArray[np.float32]) -> None:
    """Write some joints of all frames, by blocks of whole frames."""
    for block in _blocks(len(stored)):
        whole = stored[block]
        whole[:, joints] = values[block]
        stored[block] = whole


def _stored(values: Array) -> NDArray[np.float32]:
    """Convert to float32, with NaN for values too large for a reader, such as those of a joint at infinity."""
    return np.where(np.abs(values) < LARGEST, values, np.nan).astype(np.float32)
