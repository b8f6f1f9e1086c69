"""Candidates in every view, and following one person through them before any camera is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array, mean_known
from epitool.camera import Camera, undistort_views
from epitool.geometry.noise import rank_confidences
from epitool.geometry.people.tracking import (
    correlate_limbs,
    limb_motion,
    link_sightings,
    sightings_of,
    swing,
)
from epitool.pose import Keypoints, midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_BRIDGE = 5  # frames for which someone may be out of sight in a view
_STILL = 1e-3  # of a size: if nobody moves, the person seen longest and best counts most
_PART = 100_000  # candidates processed at a time
_SWEEPS = 4  # passes over the views, each compared with the choices in the others


@dataclass(frozen=True, eq=False)
class Candidates:
    """All people found, C of them over all frames and views.

    Attributes:
        xy: Pixels `(C, J, 2)`, in 32 bits as in files because there may be millions; NaN where missing.
        confidence: Confidence of the joints `(C, J)`, 0 where missing, in 32 bits.
        frame_index: Index of each candidate's frame among those of the keypoints, `(C,)`.
        view_index: Index of each candidate's view among those of the keypoints, `(C,)`.
    """

    xy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    frame_index: Indices
    view_index: Indices

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        xy = frozen_array(self.xy, (None, None, 2), "xy", np.float32)
        confidence = frozen_array(self.confidence, xy.shape[:2], "confidence", np.float32)
        missing = ~np.isfinite(xy).all(axis=-1) | (confidence == 0)
        unknown = missing | ~np.isfinite(confidence)
        if not np.isnan(xy[missing]).all():  # else nothing is copied: there may be gigabytes
            xy = frozen_array(np.where(missing[..., None], np.float32(np.nan), xy), xy.shape, "xy", np.float32)
        if confidence[unknown].any():
            confidence = frozen_array(np.where(unknown, np.float32(0), confidence), unknown.shape, "", np.float32)
        set_field(self, "xy", xy)
        set_field(self, "confidence", confidence)
        for field in ("frame_index", "view_index"):
            set_field(self, field, frozen_array(getattr(self, field), (len(xy),), field, np.intp))
            if (getattr(self, field) < 0).any():
                raise ValueError(f"{field} is negative")

    def __len__(self) -> int:
        return len(self.xy)

    def table(self, frames: int, views: int) -> Indices:
        """Return the candidates of every frame and view, `(F, V, P)`, padded by -1 to the largest number P of any."""
        cell = self.frame_index * views + self.view_index
        order = np.argsort(cell, kind="stable")
        rank = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
        out = np.full((frames * views, int(rank.max(initial=0)) + 1), -1)
        out[cell[order], rank] = order
        return out.reshape(frames, views, out.shape[1])

    def joints(self, chosen: Indices | slice) -> Array:
        """Return the joints `(..., J, 2)` of the candidates at these indices, NaN where missing."""
        return self.xy[chosen].astype(np.float64)

    def take(self, choice: Indices) -> tuple[Array, Array]:
        """Return joints `(..., J, 2)`, NaN where missing, and confidence `(..., J)` at indices; -1 is nobody."""
        there, joints = choice >= 0, self.xy.shape[1]
        xy, confidence = np.full((*choice.shape, joints, 2), np.nan), np.zeros((*choice.shape, joints))
        xy[there], confidence[there] = self.xy[choice[there]], self.confidence[choice[there]]
        return xy, confidence

    def without_unsure(self, least: float | None) -> Candidates:
        """Return the candidates without joints of lower confidence than `least`; None keeps all."""
        if least is None:
            return self
        return replace(self, xy=np.where((self.confidence >= least)[..., None], self.xy, np.nan))

    def select_views(self, views: Sequence[int]) -> Candidates:
        """Return only the candidates of the views at these indices, renumbered in this order."""
        place = np.full(max(max(views, default=-1), int(self.view_index.max(initial=-1))) + 1, -1)
        place[list(views)] = np.arange(len(views))
        renumbered = place[self.view_index]
        kept = renumbered >= 0
        if (renumbered == self.view_index).all():
            return self
        return Candidates(self.xy[kept], self.confidence[kept], self.frame_index[kept], renumbered[kept])

    def select_frames(self, frames: Indices) -> Candidates:
        """Return only the candidates of the frames at these increasing indices, renumbered."""
        place = np.searchsorted(frames, self.frame_index)
        kept = np.append(frames, -1)[place] == self.frame_index
        return Candidates(self.xy[kept], self.confidence[kept], place[kept], self.view_index[kept])

    def undistorted(self, table: Indices, cameras: Sequence[Camera]) -> Array:
        """Return the joints `(F, V, P, J, 2)` of a table's candidates, as ideal pinholes would see them; NaN for -1."""
        xy = np.where((table >= 0)[..., None, None], self.joints(table), np.nan)
        return undistort_views(xy, cameras)


def with_choice(keypoints: Keypoints, candidates: Candidates, choice: Indices) -> Keypoints:
    """Return the keypoints with the chosen candidates, `(F, V)` indices with -1 for nobody."""
    xy, confidence = candidates.take(choice)
    own = keypoints.detected_xyz
    if own.size:  # it belongs to the person chosen before
        same = (np.nan_to_num(xy) == np.nan_to_num(keypoints.xy)).all(axis=(-1, -2))
        own = np.where(same[..., None, None], own, np.nan)
    return replace(keypoints, xy=xy, confidence=confidence, detected_xyz=own)


def choice_of(keypoints: Keypoints, candidates: Candidates, table: Indices) -> Indices:
    """Return the candidates that the keypoints were taken from, `(F, V)`; -1 where there is none.

    Args:
        keypoints: Keypoints of F frames.
        candidates: Candidates of these and other frames.
        table: Table of the candidates for these frames, `(F, V, P)`.
    """
    if not len(candidates):
        return table[..., 0]
    same = np.nan_to_num(candidates.xy[table]) == np.nan_to_num(keypoints.xy)[:, :, None]
    found = same.all(axis=(-1, -2)) & (table >= 0) & np.isfinite(keypoints.xy).any(axis=(-1, -2))[..., None]
    return np.where(found.any(axis=-1), np.take_along_axis(table, found.argmax(-1)[..., None], -1)[..., 0], -1)


def follow_person(candidates: Candidates, frames: int, views: int, skeleton: Skeleton) -> Indices:
    """Follow one person through every view without knowing the cameras: candidates `(F, V)`, -1 for nobody.

    In each view, candidates are linked to tracks, which end where people touch. A track is weighted by its length, its
    confidence, how much its legs swing, and how well its limbs go up and down in time with the tracks chosen in the
    other views; the view with most to see comes first. The track with the largest weight is taken, and others fill its
    gaps. A view that never shows more than one person is taken as it is.
    """
    table = candidates.table(frames, views)
    if table.shape[2] == 1:
        return table[..., 0]
    heights, legs = _limbs(candidates, skeleton)
    tracks = [tracks_of_view(candidates, table[:, v], skeleton) for v in range(views)]
    trust = rank_confidences(candidates.confidence).mean(axis=1)
    worth = [np.array([trust[track].sum() * (swing(legs[track]) + _STILL) for track in found]) for found in tracks]
    alone = [_path(candidates, *each, frames) for each in zip(tracks, worth)]
    gained = [
        sum(w for track, w in zip(*each) if path[candidates.frame_index[track[0]]] == track[0])
        for *each, path in zip(tracks, worth, alone)
    ]
    choice = np.full((frames, views), -1)
    single = (table[..., 1:] < 0).all(axis=(0, 2))
    for v in [*np.argsort(-np.array(gained), kind="stable")] * _SWEEPS:
        signal = mean_known(heights[np.delete(choice, v, axis=1)], axis=1)
        times = np.array(
            [correlate_limbs(heights[track], signal[candidates.frame_index[track]]) for track in tracks[v]]
        )
        weight = np.maximum(times, 0) ** 2 if times.any() else np.ones(len(times))
        choice[:, v] = table[:, v, 0] if single[v] else _path(candidates, tracks[v], worth[v] * weight, frames)
    return choice


def _limbs(candidates: Candidates, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return the heights of limbs `(C + 1, K)`, whose last row is NaN so that index -1 is nobody, and leg motion."""
    parts = [slice(start, start + _PART) for start in range(0, len(candidates), _PART)]
    motion = [limb_motion(candidates.joints(part), skeleton) for part in parts]
    heights = [limbs[..., 1].copy() for limbs, _ in motion]
    nobody = np.full((1, heights[0].shape[1]), np.nan)
    return np.concatenate([*heights, nobody]), np.concatenate([legs for _, legs in motion])


def tracks_of_view(candidates: Candidates, table: Indices, skeleton: Skeleton) -> list[Indices]:
    """Return the candidates of each track in a view, in order of time; `table (F, P)` holds the view's candidates."""
    there = table[table >= 0]
    points = midline(candidates.joints(there), skeleton)
    names = link_sightings(points, candidates.frame_index[there], bridge=_BRIDGE)
    return [there[track] for track in sightings_of(names)]


def _path(candidates: Candidates, tracks: Sequence[Indices], worth: Array, frames: int) -> Indices:
    """Return candidates `(F,)`, or -1, of the track of most worth and of the next ones that do not overlap in time."""
    path, taken = np.full(frames, -1), np.zeros(frames, dtype=bool)
    for i in np.argsort(-worth, kind="stable"):
        times = candidates.frame_index[tracks[i]]
        if worth[i] > 0 and not taken[times[0] : times[-1] + 1].any():
            path[times] = tracks[i]
            taken[times[0] : times[-1] + 1] = True
    return path
