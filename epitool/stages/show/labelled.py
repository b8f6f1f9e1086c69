"""Labels of everyone in a `labels.h5`, in the frames of the person who is seen most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.io import labels_h5
from epitool.io.labels_h5 import LabelsFile
from epitool.labels import Labels
from epitool.viz.scene import Person


class LabelledPeople:
    """The labels of all people in an open `labels.h5`, which can be read in parts.

    Attributes:
        files: The labels of each person, those of the person who is seen most first.
    """

    def __init__(self, files: Sequence[LabelsFile]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files[0])

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> tuple[Labels, tuple[Person, ...]]:
        """Read every `step`-th of the first person's frames from index `start` up to, but not including, `stop`.

        Returns:
            The labels of the first person, and everyone in these frames.

        Raises:
            InputError: The file is damaged.
        """
        first, *others = self.files
        labels = first.read(start, stop, step)
        one = _person(first.person if others else "", labels)
        return labels, (one, *(_among(other, labels.poses.frames, step, one) for other in others))


@contextmanager
def open_everyone(path: Path) -> Iterator[LabelledPeople]:
    """Open the labels of everyone in a file; errors are those of `labels_h5.open_everyone`."""
    with labels_h5.open_everyone(path) as files:
        yield LabelledPeople(files)


def _person(name: str, labels: Labels) -> Person:
    """Return a person's joints; those behind a camera are not in its image."""
    in_cameras = labels.in_cameras
    own = np.where(in_cameras[..., 2:] > 0, labels.project_own(in_cameras), np.nan)
    return Person(name, labels.poses.xyz, labels.keypoints.xy, own)


def _among(file: LabelsFile, frames: NDArray[np.int64], step: int, like: Person) -> Person:
    """Read a person in frames `(F,)`, every `step`-th of a recording's, with arrays of the shapes of another person's.

    Only these frames are read, in as few parts as possible.
    """
    xyz, xy, own = (np.full_like(values, np.nan) for values in (like.xyz, like.xy, like.own) if values is not None)
    present = np.flatnonzero(np.isin(frames, file.keypoints.frames))
    rows = np.searchsorted(file.keypoints.frames, frames[present])
    ends = np.flatnonzero(np.diff(rows) != step) + 1
    for places, part in zip(np.split(present, ends), np.split(rows, ends), strict=True):
        if len(part):
            read = _person(file.person, file.read(int(part[0]), int(part[-1]) + 1, step))
            xyz[places], xy[places], own[places] = read.xyz, read.xy, read.own
    return Person(file.person, xyz, xy, own)
