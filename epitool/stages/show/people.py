"""All people found in the images of a `keypoints.h5`, not only the chosen person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.candidates import Candidates, choice_of, tracks_of_view
from epitool.io.candidates_h5 import read_candidates
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.pose import Keypoints
from epitool.viz.scene import Crowd

Indices = NDArray[np.intp]


class Everyone:
    """All people found in a recording, each with a number.

    Attributes:
        most: Largest number of people in one image.
    """

    def __init__(self, candidates: Candidates, file: KeypointsFile) -> None:
        self._candidates = candidates
        self._table = candidates.table(len(file), len(file.views))
        self._number = _numbers(candidates, self._table, file)
        self.most = self._table.shape[2]

    def besides(self, shown: Keypoints, frames: slice) -> Crowd:
        """Return the people besides the chosen one in these frames of the recording; `shown` are their keypoints."""
        table = self._table[frames]
        choice = choice_of(shown, self._candidates, table)
        other = (table >= 0) & (table != choice[..., None])
        cell = np.repeat(np.arange(choice.size), other.reshape(choice.size, -1).sum(axis=1))
        others = table[other]
        chosen = np.where(choice >= 0, self._number[choice], 0)
        return Crowd(self._candidates.joints(others), cell, self._number[others], chosen)


def load_everyone(file: KeypointsFile) -> Everyone | None:
    """Return all people found; None if no image shows more than one.

    Raises:
        InputError: The file is damaged.
    """
    candidates = read_candidates(file.path, file.shape)
    return Everyone(candidates, file) if candidates is not None and len(candidates) else None


def _numbers(candidates: Candidates, table: Indices, file: KeypointsFile) -> Indices:
    """Return a number, from 1, for each of the people, `(C,)`; it stays the same along a track in a view.

    A track gets the lowest number that no other track has at the same time, so that few numbers and colours are needed.
    """
    number = np.zeros(len(candidates), dtype=np.intp)
    for v in range(len(file.views)):
        tracks = tracks_of_view(candidates, table[:, v], file.skeleton)
        tracks += [np.array([i]) for i in np.setdiff1d(table[:, v], [-1, *np.concatenate([*tracks, []])])]
        free_from: list[int] = []  # for each number, the last frame of the latest track that has it
        for track in sorted(tracks, key=lambda track: int(candidates.frame_index[track[0]])):
            first, last = (int(candidates.frame_index[track[i]]) for i in (0, -1))
            n = next((n for n, end in enumerate(free_from) if end < first), len(free_from))
            free_from[n : n + 1] = [last]
            number[track] = n + 1
    return number
