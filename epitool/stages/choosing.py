"""Which of several people the keypoints are of, once cameras are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.console import say
from epitool.geometry.identity import choose_by_geometry
from epitool.geometry.people import Candidates, choice_of, with_choice
from epitool.io.candidates import read_candidates
from epitool.io.keypoints import KeypointsFile
from epitool.pose import Keypoints

_PART = 10_000  # frames read at a time
_ENOUGH, _HARDLY = 20, 0.02  # frames that tell whether a view shows the person, and share in which it hardly does


@dataclass(frozen=True, eq=False)
class Chosen:
    """One of several people, read like the keypoints of a file.

    Attributes:
        source: The file.
        views: Which of its views.
        candidates: Everyone in these.
        choice: Which of them in every frame and view, `(F, V)`; -1 for nobody.
    """

    source: KeypointsFile
    views: tuple[str, ...]
    candidates: Candidates
    choice: NDArray[np.intp]

    @property
    def frames(self) -> NDArray[np.int64]:
        """As the file's."""
        return self.source.frames

    def __len__(self) -> int:
        return len(self.source)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Keypoints:
        """The keypoints of every `step`-th frame from index `start` to before `stop`."""
        part = self.source.read(start, stop, step).select_views(self.views)
        return with_choice(part, self.candidates, self.choice[start:stop:step])

    def views_without_the_person(self) -> dict[str, str]:
        """Views that show somebody, but hardly ever the one whom others agree on; and what is likely."""
        agreed = (self.choice >= 0).sum(axis=1) >= 2
        anybody = self.candidates.table(*self.choice.shape)[agreed, :, 0] >= 0
        frames, shown = anybody.sum(axis=0), (anybody & (self.choice[agreed] >= 0)).sum(axis=0)
        return {
            name: f"it shows the person whom others agree on in {found} of {there} frames; does it show the same"
            " people, in sync, not mirrored, and does the camera stand where it is said to?"
            for name, there, found in zip(self.views, frames.tolist(), shown.tolist(), strict=True)
            if there >= _ENOUGH and found < _HARDLY * there
        }


def chosen_by_geometry(source: KeypointsFile, rig: Rig, min_confidence: float) -> Chosen | None:
    """The person whom all views of the rig agree on; None where no image shows more than one person.

    Everyone is held in memory, for who someone is follows from the whole recording.

    Args:
        source: The `keypoints.h5`.
        rig: Cameras of its views, or of some of them.
        min_confidence: Joints under it say nothing.

    Raises:
        InputError: The file cannot be read.
    """
    everyone = read_candidates(source.path, (len(source), len(source.views), len(source.skeleton)))
    if everyone is None or not len(everyone):
        return None
    candidates = everyone.select_views([source.views.index(name) for name in rig.names])
    before = np.concatenate(list(_choices(source, rig, candidates)))
    choice = choose_by_geometry(candidates, rig, before, source.skeleton, min_confidence)
    changed = int((choice != before).any(axis=1).sum())
    say(f"several people: the one whom all views agree on is taken, in {changed} frames another than was followed")
    return Chosen(source, rig.names, candidates, choice)


def _choices(source: KeypointsFile, rig: Rig, candidates: Candidates) -> Iterator[NDArray[np.intp]]:
    """Which candidates the file's keypoints are, a part of the frames at a time."""
    table = candidates.table(len(source), len(rig))
    for start in range(0, len(source), _PART):
        part = source.read(start, start + _PART).select_views(rig.names)
        yield choice_of(part, candidates, table[start : start + _PART])
