"""What triangulated poses are looked at for: how the views fit, and what no body does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.body.facing import facing_of, is_of_a_person
from epitool.geometry.body.scale import bone_lengths
from epitool.geometry.doubts import Level
from epitool.geometry.triangulation.labels import LabelSettings, frames_solved, label_chunk
from epitool.labels import Labels
from epitool.pose import Keypoints, Poses

Array = NDArray[np.float64]
_JUDGED_FRAMES = 20_000  # at most, evenly spread, that the summary's medians are over
_JUDGED_POSES = 200  # by which a body's usual lengths, its sides and its stature are looked at
_DOUBTFUL_ERROR = 0.025  # of the person's box; detectors are off by about 0.01
_ODD_BONES = 0.2  # of their length: more than the usual bone of a body changes
_JUMP, _USUAL_MOVES = 0.5, 8.0  # of the body's size, and times the usual way between frames: no body moves like that
_ODD_FRAMES, _JUMPS = (0.05, 0.25), (0.01, 0.2)  # of all frames: from where on labels are doubtful, or of no use
_FEW = 2  # odd frames that happen anyhow


@dataclass
class Tally:
    """What is said of all labels, added up while chunks of them go by.

    Attributes:
        frames: Of the recording.
        rig: Its cameras.
        usual: Poses of some frames, in the labels' joints.
    """

    frames: int
    rig: Rig
    usual: Poses
    solved: int = 0
    swaps: NDArray[np.int64] = field(init=False)
    errors_px: list[Array] = field(default_factory=list)
    sides_px: list[Array] = field(default_factory=list)
    odd_frames: int = 0
    steps: list[NDArray[np.float32]] = field(default_factory=list)
    _fit: NDArray[np.int64] = field(init=False)
    _measured: int = 0
    _last: tuple[int, Array] = (-2, np.full(3, np.nan))

    def __post_init__(self) -> None:
        self.swaps, self._fit = np.zeros(len(self.rig), dtype=np.int64), np.zeros((2, len(self.rig)), dtype=np.int64)
        self._lengths = _usual_lengths(self.usual)

    def add(self, labels: Labels) -> None:
        """Counts the labels of the next frames."""
        self.solved += int(frames_solved(labels).sum())
        self.swaps += labels.swapped.sum(axis=0)
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
        """Counts what no body does: bones of other lengths, and ways from one frame to the next."""
        with np.errstate(invalid="ignore"):
            off = np.abs(bone_lengths(labels.poses.xyz, labels.poses.skeleton) / self._lengths - 1)
        self.odd_frames += int((_median(off) > _ODD_BONES).sum())
        numbers = np.concatenate([[self._last[0]], labels.poses.frames])
        whole = np.where(frames_solved(labels)[:, None], _median(labels.poses.xyz.swapaxes(1, 2)), np.nan)
        centers = np.concatenate([self._last[1][None], whole])
        ways = np.linalg.norm(np.diff(centers, axis=0), axis=1)[np.diff(numbers) == 1]
        self.steps.append(ways[np.isfinite(ways)].astype(np.float32))
        self._last = (int(numbers[-1]), centers[-1])

    def medians(self) -> tuple[float, float]:
        """Median reprojection error and median side of the person's box, px."""
        return float(np.nanmedian(np.concatenate(self.errors_px))), float(np.nanmedian(np.concatenate(self.sides_px)))

    @property
    def fit(self) -> dict[str, float]:
        """Per view the share of its keypoints that the joints rest on, of those of joints with a place."""
        shares = self._fit[0] / np.maximum(self._fit[1], 1)
        return dict(zip(self.rig.names, shares.round(4).tolist(), strict=True))

    def doubts(self) -> list[tuple[Level, str]]:
        """What speaks against the labels."""
        error, side = self.medians()
        large = (
            f"the median reprojection error of {error:.1f} px is {error / side:.0%} of the person's size in the images"
        )
        said = "do not trust these labels: are the views in sync, of one person, and calibrated?"
        return [
            ("warn" if error > _DOUBTFUL_ERROR * side else "pass", f"{large}; {said}"),
            (
                _graded(self.odd_frames, self.solved, _ODD_FRAMES),
                f"in {self.odd_frames} of {self.solved} frames bones are longer or shorter than usual by"
                f" {_ODD_BONES:.0%}: are two people mixed, or is the person lost there?",
            ),
            self._doubt_of_speed(),
        ]

    def _doubt_of_speed(self) -> tuple[Level, str]:
        steps = np.concatenate([np.empty(0, np.float32), *self.steps])
        size = _size(self.usual)
        jumps = int((steps > max(_JUMP * size, _USUAL_MOVES * float(np.median(steps)))).sum()) if len(steps) else 0
        text = (
            f"{jumps} times of {len(steps)} the body jumps by half its size from one frame to the next: are two people"
            " mixed, or are frames missing?"
        )
        return _graded(jumps, len(steps), _JUMPS), text


def doubts_of_bodies(poses: Poses, keypoints: Path) -> list[tuple[Level, str]]:
    """Whether bodies say that left and right are exchanged in all views."""
    facing = facing_of(poses)
    text = (
        f"{keypoints}: left and right seem to be exchanged in all views: in {facing.backward} of {facing.frames}"
        " frames looked at, faces look, feet point or knees bend backward; do not train on these labels: are the"
        " joints in another order than was said (`epitool convert --skeleton`), or named as a mirror shows them?"
    )
    return [("warn" if facing.exchanged else "pass", text)]


def usual_poses(sample: Keypoints, rig: Rig, settings: LabelSettings) -> Labels:
    """Labels of some of the sample's frames, with all joints that were detected."""
    step = max(ceil(len(sample.frames) / _JUDGED_POSES), 1)
    return label_chunk(sample.select_frames(np.arange(len(sample.frames))[::step]), rig, settings)


def _usual_lengths(poses: Poses) -> Array:
    return _median(bone_lengths(poses.xyz, poses.skeleton).T)


def _size(poses: Poses) -> float:
    """How large the body usually is: the largest extent of its joints along an axis."""
    extents = [
        float(np.ptp(pose[np.isfinite(pose[:, 0])], axis=0).max(initial=0.0))
        for pose in poses.xyz
        if np.isfinite(pose).any()
    ]
    return float(np.median(extents)) if extents else np.inf


def _median(values: Array) -> Array:
    """Medians over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(values).any(axis=-1)
    out = np.full(values.shape[:-1], np.nan)
    out[known] = np.nanmedian(values[known], axis=-1)
    return out


def _graded(odd: int, of: int, shares: Sequence[float]) -> Level:
    """The level of so many odd ones of many; a few happen anyhow."""
    if odd < _FEW or odd <= shares[0] * of:
        return "pass"
    return "warn" if odd <= shares[1] * of else "fail"
