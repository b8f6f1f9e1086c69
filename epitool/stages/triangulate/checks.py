"""Checks of triangulated poses: how well the views fit, and whether the bodies move as bodies can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import median_known
from epitool.camera import Rig
from epitool.geometry.body.axes import dot
from epitool.geometry.body.facing import across_trunk, facing_of, is_of_a_person
from epitool.geometry.body.scale import bone_lengths
from epitool.geometry.doubts import NOISE, Level
from epitool.geometry.triangulation.labels import LabelSettings, frames_solved, label_chunk
from epitool.labels import Labels
from epitool.pose import Keypoints, Poses

Array = NDArray[np.float64]
_JUDGED_FRAMES = 20_000  # largest number of frames, evenly spread, that the medians in the summary are taken over
_JUDGED_POSES = 200  # number of poses that determine a body's usual bone lengths, its sides and its stature
_ERROR = (0.025, NOISE[1])  # fractions of the person's box; detectors are off by about 0.01
_ODD_BONES = 0.2  # relative change of length that the median bone of a body does not exceed
_LIMB_ENDS = ("elbow", "wrist", "knee", "ankle")
# A body moves neither by this fraction of its size nor by this multiple of its median step from one frame to the next.
_JUMP, _USUAL_MOVES = 0.5, 8.0
_ODD_FRAMES, _JUMPS = (0.05, 0.25), (0.01, 0.2)  # fractions of all frames above which labels are doubtful, or useless
_LONG_LIMB = 2.0  # multiple of its usual length that no limb has
_LONG_LIMBS = (0.05, np.inf)  # as _ODD_FRAMES; limbs that are wrong do not make the other joints useless
_EXCHANGED = (0.02, np.inf)  # as _ODD_FRAMES; the joints are right but for their names
_TURNED, _NEXT = -0.5, 2  # cosine of a turn that no trunk makes within so many frames
_FEW = 2  # fewer odd frames than this are ignored
_ENDS_EARLY = 0.03  # share of the recording by which one of two views ends before the other


@dataclass
class Tally:
    """The statistics of all labels, accumulated chunk by chunk.

    Attributes:
        frames: Number of frames of the recording.
        rig: Cameras of the recording.
        usual: Poses of some frames, with the labels' joints.
    """

    frames: int
    rig: Rig
    usual: Poses
    solved: int = 0
    swaps: NDArray[np.int64] = field(init=False)
    errors_px: list[Array] = field(default_factory=list)
    sides_px: list[Array] = field(default_factory=list)
    odd_frames: int = 0
    long_limbs: int = 0
    steps: list[NDArray[np.float32]] = field(default_factory=list)
    side_turns: int = 0
    of_sides: NDArray[np.int64] = field(init=False)
    _fit: NDArray[np.int64] = field(init=False)
    _seen_until: NDArray[np.int64] = field(init=False)
    _begin: int = -1
    _measured: int = 0
    _last: tuple[int, Array] = (-2, np.full(3, np.nan))
    _trunk: tuple[int, Array] = (-2, np.full(3, np.nan))
    _exchanged: bool = False

    def __post_init__(self) -> None:
        self.swaps, self._fit = np.zeros(len(self.rig), dtype=np.int64), np.zeros((2, len(self.rig)), dtype=np.int64)
        self._seen_until = np.zeros(len(self.rig), dtype=np.int64)
        self.of_sides = np.zeros(2, dtype=np.int64)
        self._lengths = median_known(bone_lengths(self.usual.xyz, self.usual.skeleton), axis=0)
        joints = self.usual.skeleton.joints
        self._limbs = [i for i, (_, end) in enumerate(self.usual.skeleton.bones) if joints[end].endswith(_LIMB_ENDS)]

    def add(self, labels: Labels) -> None:
        """Count the labels of the next frames."""
        self.solved += int(frames_solved(labels).sum())
        self.swaps += labels.swapped.sum(axis=0)
        numbers = labels.keypoints.frames
        self._begin = int(numbers[0]) if self._begin < 0 and len(numbers) else self._begin
        seen = np.where(labels.keypoints.seen.any(axis=2), numbers[:, None], self._begin)
        self._seen_until = np.maximum(self._seen_until, seen.max(axis=0, initial=0))
        measured = np.flatnonzero(np.isfinite(labels.reprojection_px).any(axis=(1, 2)))
        step = max(ceil(self.frames / _JUDGED_FRAMES), 1)
        judged = measured[(self._measured + np.arange(len(measured))) % step == 0]
        self._measured += len(measured)
        self.errors_px.append(labels.reprojection_px[judged])
        self.sides_px.append(labels.boxes()[judged, :, 2])
        placed = np.isfinite(labels.poses.xyz[:, None, :, 0]) & np.isfinite(labels.keypoints.xy[..., 0])
        self._fit += np.stack([(labels.used & placed).sum(axis=(0, 2)), placed.sum(axis=(0, 2))])
        if is_of_a_person(labels.poses.skeleton):
            self._add_bodies(labels)

    def _add_bodies(self, labels: Labels) -> None:
        """Count frames with unusual bone lengths, and collect the distances moved from one frame to the next."""
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = bone_lengths(labels.poses.xyz, labels.poses.skeleton) / self._lengths
            self.long_limbs += int((relative[:, self._limbs] > _LONG_LIMB).any(axis=1).sum())
            off = np.abs(relative - 1)
        self.odd_frames += int((frames_solved(labels) & (median_known(off, axis=-1) > _ODD_BONES)).sum())
        numbers = np.concatenate([[self._last[0]], labels.poses.frames])
        # Medians over the joints are not affected by single joints that are wrong.
        whole = np.where(frames_solved(labels)[:, None], median_known(labels.poses.xyz, axis=1), np.nan)
        centers = np.concatenate([self._last[1][None], whole])
        ways = np.linalg.norm(np.diff(centers, axis=0), axis=1)[np.diff(numbers) == 1]
        self.steps.append(ways[np.isfinite(ways)].astype(np.float32))
        self._last = (int(numbers[-1]), centers[-1])
        self._add_sides(labels.poses)

    def _add_sides(self, poses: Poses) -> None:
        """Count the frames before and after each exchange of left and right, which turns the trunk at once."""
        right = across_trunk(poses)
        known = np.isfinite(right[:, 0])
        axes = np.concatenate([self._trunk[1][None], right[known]])
        numbers = np.concatenate([[self._trunk[0]], poses.frames[known]])
        turns = (dot(axes[1:], axes[:-1]) < _TURNED) & (np.diff(numbers) <= _NEXT)
        exchanged = np.logical_xor.accumulate(np.concatenate([[self._exchanged], turns]))
        self.side_turns += int(turns.sum())
        self.of_sides += np.bincount(exchanged[1:], minlength=2)
        self._trunk, self._exchanged = (int(numbers[-1]), axes[-1]), bool(exchanged[-1])

    def medians(self) -> tuple[float, float]:
        """Return the median reprojection error and the median side of the person's box, px."""
        error, side = (median_known(np.concatenate(parts).ravel(), axis=0) for parts in (self.errors_px, self.sides_px))
        return float(error), float(side)

    @property
    def unseen(self) -> list[str]:
        """The views that have no joint of any pose."""
        return [name for name, placed in zip(self.rig.names, self._fit[1], strict=True) if not placed]

    @property
    def fit(self) -> dict[str, float]:
        """Share of each view's keypoints that were used as inliers, among those of triangulated joints."""
        shares = self._fit[0] / np.maximum(self._fit[1], 1)
        return dict(zip(self.rig.names, shares.round(4).tolist(), strict=True))

    def doubts(self) -> list[tuple[Level, str]]:
        """Return the doubts about the labels, each with its level."""
        error, side = self.medians()
        large = (
            f"the median reprojection error of {error:.1f} px is {error / side:.0%} of the person's size in the images:"
            " are the views in sync, of one person, and calibrated?"
        )
        return [
            ("fail" if error > _ERROR[1] * side else "warn" if error > _ERROR[0] * side else "pass", large),
            (
                _graded(self.odd_frames, self.solved, _ODD_FRAMES),
                f"in {self.odd_frames} of {self.solved} frames bones are longer or shorter than usual by"
                f" {_ODD_BONES:.0%}: are two people mixed, or is the person lost there?",
            ),
            (
                _graded(self.long_limbs, self.solved, _LONG_LIMBS),
                f"in {self.long_limbs} of {self.solved} frames a part of an arm or leg is more than twice as long as"
                " usual: do some views show another's there?",
            ),
            self._doubt_of_sides(),
            self._doubt_of_speed(),
            self._doubt_of_ends(),
        ]

    def _doubt_of_sides(self) -> tuple[Level, str]:
        # one turn alone is a wrong trunk in a frame before or after which it is not seen
        frames = int(self.of_sides.min()) if self.side_turns >= _FEW else 0
        text = (
            f"in {frames} of {self.solved} frames left and right are exchanged against the others: the views disagree"
            " on the sides, and too few of them tell which is right; further views, or another detector, would"
        )
        return _graded(frames, self.solved, _EXCHANGED), text

    def _doubt_of_speed(self) -> tuple[Level, str]:
        steps = np.concatenate([np.empty(0, np.float32), *self.steps])
        size = _size(self.usual)
        jumps = int((steps > max(_JUMP * size, _USUAL_MOVES * float(np.median(steps)))).sum()) if len(steps) else 0
        text = (
            f"{jumps} times of {len(steps)} the body jumps by half its size from one frame to the next: are two people"
            " mixed, or are frames missing?"
        )
        return _graded(jumps, len(steps), _JUMPS), text

    def _doubt_of_ends(self) -> tuple[Level, str]:
        """Return a doubt if one of two views ends early: only further views would show that it is out of sync."""
        first, last = np.argsort(self._seen_until)[[0, -1]]
        ends, until = self._seen_until[[first, last]]
        text = (
            f"{self.rig.names[first]} shows nobody after frame {ends}, {self.rig.names[last]} until frame {until};"
            " are its frames of the same rate, and are none missing? Two views alone cannot show it"
        )
        early = len(self.rig) == 2 and until - ends > max(_ENDS_EARLY * (until - self._begin), _FEW)
        return "warn" if early else "pass", text


def doubts_of_bodies(poses: Poses, keypoints: Path) -> list[tuple[Level, str]]:
    """Return a doubt, with its level, on whether left and right are exchanged in all views, judged from the bodies."""
    facing = facing_of(poses)
    text = (
        f"{keypoints}: left and right seem to be exchanged in all views: in {facing.backward} of {facing.frames}"
        " frames looked at, faces look, feet point or knees bend backward; do not train on these labels: are the"
        " joints in another order than was said (`epitool convert --skeleton`), or named as a mirror shows them?"
    )
    return [("warn" if facing.exchanged else "pass", text)]


def label_usual_poses(sample: Keypoints, rig: Rig, settings: LabelSettings) -> Labels:
    """Return labels of some of the sample's frames, with all joints that were detected."""
    step = max(ceil(len(sample.frames) / _JUDGED_POSES), 1)
    return label_chunk(sample.select_frames(np.arange(len(sample.frames))[::step]), rig, settings)


def _size(poses: Poses) -> float:
    """Return the usual size of the body: the median over the poses of the largest extent along an axis."""
    extents = [
        float(np.ptp(pose[np.isfinite(pose[:, 0])], axis=0).max(initial=0.0))
        for pose in poses.xyz
        if np.isfinite(pose).any()
    ]
    return float(np.median(extents)) if extents else np.inf


def _graded(odd: int, of: int, shares: Sequence[float]) -> Level:
    """Return the level for a number of odd cases among all; very few are always accepted."""
    if odd < _FEW or odd <= shares[0] * of:
        return "pass"
    return "warn" if odd <= shares[1] * of else "fail"
