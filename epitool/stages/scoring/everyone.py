"""Labels of everyone in one table, and who of one table is who of another: those nearest in the same images."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import mean_known
from epitool.camera import Array
from epitool.io.labels_h5 import open_everyone
from epitool.labels import Labels, split_frames
from epitool.names import images_or_frames
from epitool.pose import square_boxes
from epitool.stages.shared.label_verdict import check_verdicts

Indices = NDArray[np.intp]
_SAME = 0.5  # of a box's side: largest mean distance between the joints of one person and of the same one elsewhere


@dataclass(frozen=True, eq=False)
class Everyone:
    """Labels of all people of a recording.

    Attributes:
        labels: Labels of one person after the other, as if they were further frames: with several people, these are
            numbered anew.
        people: Name of the person of each of these frames, `(F,)`.
        numbers: Number of each of these frames in the recording, `(F,)`.
        splits: Split that the labels of each person state, by their names.
        recording_id: Identifier of the recording, which the first person's labels give.
    """

    labels: Labels
    people: NDArray[np.str_]
    numbers: NDArray[np.int64]
    splits: dict[str, tuple[int, int] | None]
    recording_id: str

    @property
    def several(self) -> bool:
        """Whether there is more than one person."""
        return len(self.splits) > 1

    @property
    def image_names(self) -> NDArray[np.str_]:
        """Names of the images `(F, V)`; `view:cam1#7` if no image has a name."""
        return images_or_frames(self.labels.keypoints.images, self.numbers, self.labels.keypoints.views)

    def part(self, name: str) -> Indices:
        """Return the indices of the frames of a part, as `split_frames` divides those of each person."""
        parts = []
        for person, split in self.splits.items():
            own = np.flatnonzero(self.people == person)
            parts.append(own[split_frames(len(own), split)[name]])
        return np.concatenate(parts)


def read_everyone(path: Path, heeded: bool) -> Everyone:
    """Read the labels of everyone in a file.

    Args:
        path: The `labels.h5`.
        heeded: Whether their verdicts count, as in `check_verdicts`.

    Raises:
        InputError: The file cannot be read.
        GeometryError: Labels that are to be heeded have the verdict "fail".
    """
    with open_everyone(path) as people:
        if heeded:
            check_verdicts(path, people)
        found = {file.person: file.read() for file in people}
    parts = list(found.values())
    names = np.repeat(list(found), [len(labels.poses.frames) for labels in parts])
    splits = {name: labels.keypoints.split for name, labels in found.items()}
    numbers = np.concatenate([labels.poses.frames for labels in parts])
    return Everyone(_join_people(parts), names, numbers, splits, parts[0].recording_id)


def _join_people(parts: Sequence[Labels]) -> Labels:
    if len(parts) == 1:
        return parts[0]
    from epitool.geometry.triangulation.labels import join_labels  # imports numba, which one person does not need

    return join_labels(list(_renumbered(parts)))


def _renumbered(parts: Sequence[Labels]) -> Iterator[Labels]:
    """Number the frames of one person after the other, because frames of labels increase."""
    start = 0
    for labels in parts:
        frames = np.arange(start, start + len(labels.poses.frames))
        start += len(frames)
        poses, keypoints = replace(labels.poses, frames=frames), replace(labels.keypoints, frames=frames, split=None)
        yield replace(labels, poses=poses, keypoints=keypoints)


def joints_in_images(labels: Labels) -> Array:
    """Return where the joints of each pose are in each view, `(F, V, J, 2)` px; NaN where it is not known."""
    return labels.project_own(labels.in_cameras)


def same_people(
    ours: Sequence[Hashable], our_xy: Array, theirs: Sequence[Hashable], their_xy: Array
) -> tuple[Indices, Indices]:
    """Return the indices of pairs of one person in one image, at most one pair for each.

    Where an image has one of each, they are the same person. Else, those whose joints lie nearest to each other are
    paired, at the least sum of distances (Hungarian method), if they are near at all. Boxes would not do: they hardly
    differ where one person stands behind another.

    Args:
        ours: Image of each of N people.
        our_xy: Their joints in the image, `(N, J, 2)` px; NaN where not known.
        theirs: Image of each of M people.
        their_xy: The same joints of these, `(M, J, 2)` px.
    """
    of_image: dict[Hashable, list[int]] = {}
    for j, image in enumerate(theirs):
        of_image.setdefault(image, []).append(j)
    mine: dict[Hashable, list[int]] = {}
    for i, image in enumerate(ours):
        if image in of_image:
            mine.setdefault(image, []).append(i)
    pairs = []
    for image, rows in mine.items():
        columns = of_image[image]
        if len(rows) == len(columns) == 1:
            pairs.append((rows[0], columns[0]))
        else:
            nearest = _nearest(our_xy[rows], their_xy[columns])
            pairs += [(rows[i], columns[j]) for i, j in nearest]
    first, second = np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2).T
    return first, second


def _nearest(xy: Array, other: Array) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment  # slow to import

    apart = mean_known(np.linalg.norm(xy[:, None] - other, axis=-1), axis=-1)
    size = (_sizes(xy)[:, None] + _sizes(other)) / 2
    apart = np.nan_to_num(apart / size, nan=np.inf)
    chosen = zip(*linear_sum_assignment(np.minimum(apart, 1e3)), strict=True)
    return [(i, j) for i, j in chosen if apart[i, j] < _SAME]


def _sizes(xy: Array) -> Array:
    return square_boxes(xy)[:, 2]
