"""True poses that predictions are measured against: their parts, sequences and joints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.errors import InputError
from epitool.geometry.body.scale import to_usual_size
from epitool.io.pose_arrays import read_pose_arrays
from epitool.labels import Labels, split_frames
from epitool.skeleton import Skeleton, skeleton
from epitool.stages.scoring.everyone import Everyone, read_everyone

ARRAYS = (".npz", ".npy")
# Skeleton of each joint set. The 14 joints are those of Drover et al. 2018, which the paper's Table 3 compares with.
JOINT_SETS = {"14": "common14", "17": "h36m17"}
STRETCHES = 20  # number of stretches that a single recording is divided into, in place of sequences

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Truth:
    """The true poses `(F, V, J, 3)` in the axes of each of V cameras (plain arrays: V = 1).

    Attributes:
        clips: Number of each frame's clip or take, `(F,)`; 0 everywhere if there is one recording.
        actions: Action of each frame, `(F,)`, or None.
        joint_set: Requested joints: "all", or a key of JOINT_SETS.
        everyone: Labels of everyone, whose frames follow each other person by person; None for plain arrays.
    """

    path: Path
    xyz: Array
    skeleton: Skeleton
    unit: str
    scale_source: str
    clips: NDArray[np.int64]
    actions: NDArray[np.str_] | None
    joint_set: str
    everyone: Everyone | None = None

    @property
    def labels(self) -> Labels | None:
        """The labels; None for plain arrays."""
        return self.everyone.labels if self.everyone else None

    def groups(self, frames: Indices) -> dict[str, NDArray[np.str_]]:
        """Return by what else than joints the scores of these frames are divided: "action" and "person" if known."""
        found = {} if self.actions is None else {"action": self.actions[frames]}
        if self.everyone and self.everyone.several:
            found["person"] = self.everyone.people[frames]
        return found

    def frames_of(self, split: str) -> Indices:
        """Return the indices of the frames of a part."""
        if self.everyone is not None:
            return self.everyone.part(split)
        return part_of_clips(self.clips, split)

    def part(self, split: str) -> Array:
        """Return the poses of a part of the frames, in all views, `(N, J, 3)`."""
        return self.xyz[self.frames_of(split)].reshape(-1, *self.xyz.shape[2:])

    def sequences(self, frames: Indices) -> tuple[NDArray[np.int64], str]:
        """Return the sequence that each of these frames belongs to, and a description of the sequences in words.

        Sequences are the clips if there are several, and stretches of the recording otherwise. Neighbouring frames
        are correlated, so that intervals have to be computed from sequences and not from single frames.
        """
        several = len(np.unique(self.clips)) > 1
        if several:
            return self.clips[frames], f"the {len(np.unique(self.clips[frames]))} clips"
        numbers = self.everyone.numbers[frames] if self.everyone else frames  # the same stretches for everyone
        present = np.unique(numbers)
        stretch = np.searchsorted(present, numbers) * min(STRETCHES, len(present)) // len(present)
        return stretch.astype(np.int64), f"{len(np.unique(stretch))} stretches of one recording"


def part_of_clips(clips: NDArray[np.int64], split: str) -> Indices:
    """Return the indices of the poses of a part that is made of whole clips, with the same draw every time.

    Args:
        clips: Clip of each pose, `(N,)`. A single clip is divided as by `split_frames`.
        split: Name of the part.
    """
    numbers = np.unique(clips)
    if len(numbers) < 2:
        return split_frames(len(clips))[split]
    order = np.random.default_rng(0).permutation(numbers)
    return np.flatnonzero(np.isin(clips, order[split_frames(len(order))[split]]))


def read_truth(path: Path, joint_set: str = "all") -> Truth:
    """Read `labels.h5` or a pose array, and keep the joints of a set.

    Raises:
        InputError: The file cannot be read, or lacks a joint of the set.
        GeometryError: The labels have the verdict "fail".
    """
    if path.suffix.lower() in ARRAYS:
        arrays = read_pose_arrays(path)
        poses = arrays.poses
        xyz = poses.xyz[:, None] * to_usual_size(poses)
        truth = Truth(
            path, xyz, poses.skeleton, poses.unit, "as given", arrays.clips, arrays.actions, joint_set
        )  # fmt: skip
    else:
        everyone = read_everyone(path, heeded=True)
        labels = everyone.labels
        clips, named = labels.keypoints.take_of, np.array([take.action for take in labels.takes])
        actions = named[clips] if (named != "").any() else None
        xyz = labels.in_cameras * to_usual_size(labels.poses)
        truth = Truth(
            path, xyz, labels.poses.skeleton, labels.poses.unit, labels.rig.scale_source, clips, actions,
            joint_set, everyone,
        )  # fmt: skip
    if joint_set == "all":
        return truth
    body = skeleton(JOINT_SETS[joint_set])
    return replace(truth, xyz=joints_of(body, truth.xyz, truth.skeleton, str(path)), skeleton=body)


def joints_of(body: Skeleton, xyz: Array, given: Skeleton, source: str) -> Array:
    """Select the joints of a skeleton from those of another by name; none is derived, as that would be another joint.

    Raises:
        InputError: A joint is missing.
    """
    missing = [joint for joint in body.joints if joint not in given.joints]
    if missing:
        raise InputError(f"{source} has no {', '.join(missing)}: its joints ({given.name}) lack some of the set")
    return xyz[..., [given.joints.index(joint) for joint in body.joints], :]
