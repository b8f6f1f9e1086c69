"""Recording to learn from: labels of one or of several people in the same images, a part of the frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

_CHUNK_FRAMES = 2048

Chunk: TypeAlias = Labels | Keypoints


class Part(NamedTuple):
    """Labels of one person in a part of a recording.

    Attributes:
        person: Index of the person in `Recording.people`.
        frames: Indices of the labels' frames in the recording, `(n,)`.
        chunk: The labels, or keypoints.
    """

    person: int
    frames: NDArray[np.intp]
    chunk: Chunk

    @property
    def keypoints(self) -> Keypoints:
        """Keypoints of the part."""
        return self.chunk.keypoints if isinstance(self.chunk, Labels) else self.chunk


@dataclass(frozen=True, eq=False)
class Recording:
    """Labels to learn from, of which one part is in memory at a time.

    Attributes:
        frames: All frame numbers `(F,)`.
        views: Names of the V views.
        skeleton: Skeleton of the joints.
        rigs: Cameras of every take; empty if there are only keypoints.
        split: As `Keypoints.split`.
        read: Returns the labels (or keypoints) of the frames in a range of indices, start inclusive and end exclusive.
        doubts: Reasons for the verdict on the labels if it is "warn".
        person: Name of the person; "" for one who is alone.
        others: Further people in the same images, on some of these frames, with the same views and skeleton.
    """

    frames: NDArray[np.int64]
    views: tuple[str, ...]
    skeleton: Skeleton
    rigs: tuple[Rig, ...]
    split: tuple[int, int] | None
    read: Callable[[int, int], Chunk]
    doubts: tuple[str, ...] = ()
    person: str = ""
    others: tuple[Recording, ...] = ()

    @classmethod
    def of(cls, labels: Labels) -> Recording:
        """Return a recording of labels that are in memory already."""
        keypoints = labels.keypoints
        doubts = labels.reasons if labels.verdict == "warn" else ()
        return cls(
            keypoints.frames, keypoints.views, keypoints.skeleton, labels.rigs, keypoints.split, labels.between, doubts
        )

    @property
    def unit(self) -> str:
        """Unit of the poses; "arbitrary" if there are none."""
        return self.rigs[0].unit if self.rigs else "arbitrary"

    @property
    def people(self) -> tuple[Recording, ...]:
        """Everyone: this person and the others."""
        return (self, *self.others)

    def chunks(self) -> Iterator[tuple[range, list[Part]]]:
        """Yield all parts in order, each with the indices of its frames and the people who have labels there."""
        for start in range(0, len(self.frames), _CHUNK_FRAMES):
            part = range(start, min(start + _CHUNK_FRAMES, len(self.frames)))
            yield part, list(self._people_in(part))

    def _people_in(self, part: range) -> Iterator[Part]:
        for number, person in enumerate(self.people):
            first, last = np.searchsorted(person.frames, self.frames[[part[0], part[-1]]] + [0, 1]).tolist()
            if first < last:
                frames = np.searchsorted(self.frames, person.frames[first:last])
                yield Part(number, frames, person.read(first, last))
