"""What predictions are measured against: its poses, parts, sequences, and the joints that count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.errors import InputError
from epitool.io.pose_arrays import read_pose_arrays
from epitool.labels import Labels, split_frames
from epitool.skeleton import Skeleton, skeleton
from epitool.stages.shared.label_verdict import heeded_labels

ARRAYS = (".npz", ".npy")
# Skeletons. The 14 joints are those of Drover et al. 2018, with whom the paper's Table 3 compares.
JOINT_SETS = {"14": "common14", "17": "h36m17"}
STRETCHES = 20  # of a recording, that stand for sequences where there is only one

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is measured against: poses `(F, V, J, 3)` in the axes of each of V cameras (plain arrays: V = 1).

    Attributes:
        clips: The number of each frame's clip or take, `(F,)`; 0 of all of one recording.
        actions: What is done in each frame, `(F,)`, or None.
        joint_set: Asked for: "all", or a key of JOINT_SETS.
    """

    path: Path
    xyz: Array
    skeleton: Skeleton
    unit: str
    scale_source: str
    labels: Labels | None
    clips: NDArray[np.int64]
    actions: NDArray[np.str_] | None
    joint_set: str

    def frames_of(self, split: str) -> Indices:
        """Indices of the frames of a part."""
        if self.labels is not None:
            return part_of(len(self.clips), split, self.labels.keypoints.split)
        return part_of_clips(self.clips, split)

    def part(self, split: str) -> Array:
        """The poses of a part of the frames, all views, `(N, J, 3)`."""
        return self.xyz[self.frames_of(split)].reshape(-1, *self.xyz.shape[2:])

    def sequences(self, frames: Indices) -> tuple[NDArray[np.int64], str]:
        """The sequence that each of these frames belongs to, and what sequences are, in words.

        Clips, where there are several; else stretches of the recording, for its frames follow each other.
        """
        several = len(np.unique(self.clips)) > 1
        if several:
            return self.clips[frames], f"the {len(np.unique(self.clips[frames]))} clips"
        present = np.unique(frames)
        stretch = np.searchsorted(present, frames) * min(STRETCHES, len(present)) // len(present)
        return stretch.astype(np.int64), f"{len(np.unique(stretch))} stretches of one recording"


def part_of(count: int, split: str, stated: tuple[int, int] | None = None) -> Indices:
    """Indices of a part of so many frames, where the file states or by their order."""
    return split_frames(count, stated)[split]


def part_of_clips(clips: NDArray[np.int64], split: str) -> Indices:
    """Indices of the poses of a part that is made of whole clips, drawn the same way every time.

    Args:
        clips: Which clip each pose is from, `(N,)`; a single one is divided as `part_of` does.
        split: Which part.
    """
    numbers = np.unique(clips)
    if len(numbers) < 2:
        return part_of(len(clips), split)
    order = np.random.default_rng(0).permutation(numbers)
    return np.flatnonzero(np.isin(clips, order[part_of(len(order), split)]))


def read_truth(path: Path, joint_set: str = "all") -> Truth:
    """Reads `labels.h5`, or a pose array, and keeps the joints of a set.

    Raises:
        InputError: It cannot be read, or lacks a joint of the set.
        GeometryError: The labels were found not to be trusted.
    """
    if path.suffix.lower() in ARRAYS:
        arrays = read_pose_arrays(path)
        poses, xyz = arrays.poses, arrays.poses.xyz[:, None]
        truth = Truth(
            path, xyz, poses.skeleton, poses.unit, "as given", None, arrays.clips, arrays.actions, joint_set
        )  # fmt: skip
    else:
        labels = heeded_labels(path)
        clips, named = labels.keypoints.take_of, np.array([take.action for take in labels.takes])
        actions = named[clips] if (named != "").any() else None
        truth = Truth(
            path, labels.in_cameras, labels.poses.skeleton, labels.poses.unit, labels.rig.scale_source, labels, clips,
            actions, joint_set,
        )  # fmt: skip
    if joint_set == "all":
        return truth
    body = skeleton(JOINT_SETS[joint_set])
    return replace(truth, xyz=joints_of(body, truth.xyz, truth.skeleton, str(path)), skeleton=body)


def joints_of(body: Skeleton, xyz: Array, given: Skeleton, source: str) -> Array:
    """The joints of a skeleton out of those of another, by name: none is derived, for that would be another joint.

    Raises:
        InputError: One is missing.
    """
    missing = [joint for joint in body.joints if joint not in given.joints]
    if missing:
        raise InputError(f"{source} has no {', '.join(missing)}: its joints ({given.name}) lack some of the set")
    return xyz[..., [given.joints.index(joint) for joint in body.joints], :]
