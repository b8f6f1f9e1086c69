"""Labels of everyone in one table, and who of one table is who of another: those nearest in the same images."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.io.labels_h5 import open_everyone
from epitool.labels import Labels, split_frames
from epitool.names import images_or_frames
from epitool.pose import square_boxes
from epitool.stages.shared.label_verdict import check_verdicts

Indices = NDArray[np.intp]
_SAME = 0.5  # of a box's side: largest distance between the middles of two boxes of one person


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


def boxes_of(labels: Labels) -> Array:
    """Return boxes around where each pose is in each view, `(F, V, 4)`; NaN where it is not known."""
    return square_boxes(labels.project_own(labels.in_cameras))


def same_people(
    ours: Sequence[Hashable], our_boxes: Array, theirs: Sequence[Hashable], their_boxes: Array
) -> tuple[Indices, Indices]:
    """Return the indices of pairs of one person in one image, at most one pair for each.

    Where an image has one of each, they are the same person. Else, those whose boxes lie nearest to each other are
    paired, at the least sum of distances (Hungarian method), if they are near at all.

    Args:
        ours: Image of each of N people.
        our_boxes: Their boxes, `(N, 4)`.
        theirs: Image of each of M people.
        their_boxes: Their boxes, `(M, 4)`.
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
            pairs += _nearest(rows, our_boxes[rows], columns, their_boxes[columns])
    first, second = np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2).T
    return first, second


def _nearest(
    rows: Sequence[int], our_boxes: Array, columns: Sequence[int], their_boxes: Array
) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment  # slow to import

    middle, other = (boxes[:, :2] + boxes[:, 2:] / 2 for boxes in (our_boxes, their_boxes))
    apart = np.linalg.norm(middle[:, None] - other, axis=-1)
    side = (our_boxes[:, None, 2:].max(axis=-1) + their_boxes[:, 2:].max(axis=-1)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.nan_to_num(apart / side, nan=np.inf)
    chosen = zip(*linear_sum_assignment(np.minimum(apart, 1e3)), strict=True)
    return [(rows[i], columns[j]) for i, j in chosen if apart[i, j] < _SAME]
