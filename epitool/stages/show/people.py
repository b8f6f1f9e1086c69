"""Everyone that was found in the images of a `keypoints.h5`, not only the one person chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.candidates import Candidates, choice_of, tracks_of_view
from epitool.io.candidates import read_candidates
from epitool.io.keypoints import KeypointsFile
from epitool.pose import Keypoints
from epitool.viz.scene import Crowd

Indices = NDArray[np.intp]


def crowd_of(file: KeypointsFile, shown: Keypoints, step: int) -> tuple[Crowd | None, int]:
    """The people besides the one chosen, and how many one image shows at most.

    Args:
        file: All the keypoints.
        shown: Every `step`-th frame of them.
        step: From one frame shown to the next.

    Returns:
        None, and at most one, where no image shows more.

    Raises:
        InputError: The file is damaged.
    """
    everyone = read_candidates(file.path, (len(file), len(file.views), len(file.skeleton)))
    if everyone is None:
        return None, 1
    table = everyone.table(len(file), len(file.views))
    number = _numbers(everyone, table, file)
    table = table[::step]
    choice = choice_of(shown, everyone, table)
    other = (table >= 0) & (table != choice[..., None])
    cells = np.repeat(np.arange(choice.size), other.reshape(choice.size, -1).sum(axis=1))
    others = table[other]
    chosen = np.where(choice >= 0, number[choice], 0)
    return Crowd(everyone.joints(others), cells, number[others], chosen), table.shape[2]


def _numbers(everyone: Candidates, table: Indices, file: KeypointsFile) -> Indices:
    """What to call each of the people, `(C,)`: one number as long as a view's track of them lasts, from 1.

    The number is the lowest that nobody else has during that time, so that few are needed, and few colours.
    """
    number = np.zeros(len(everyone), dtype=np.intp)
    for v in range(len(file.views)):
        tracks = tracks_of_view(everyone, table[:, v], file.skeleton)
        tracks += [np.array([i]) for i in np.setdiff1d(table[:, v], [-1, *np.concatenate([*tracks, []])])]
        free_from: list[int] = []  # of each number, when the last track that has it is over
        for track in sorted(tracks, key=lambda track: int(everyone.frame_index[track[0]])):
            first, last = (int(everyone.frame_index[track[i]]) for i in (0, -1))
            n = next((n for n, end in enumerate(free_from) if end < first), len(free_from))
            free_from[n : n + 1] = [last]
            number[track] = n + 1
    return number
