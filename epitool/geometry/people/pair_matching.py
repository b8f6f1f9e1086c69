"""Matching the people of two views and finding the views' relative pose together, without known cameras.

Two tracks of one person share hundreds of joints with one epipolar geometry, and two tracks of different people do not.
Tracks whose limbs go up and down together are tried first: each pair of them proposes a relative pose, which is scored
by all people of both views. The poses that explain most people are refined with all people whom they explain.
Only joints without a mirror image and the midpoints of left and right are used, which swapped sides do not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.errors import GeometryError
from epitool.geometry.calibration.compare import angle_deg
from epitool.geometry.compiled.crowd import slot_gains
from epitool.geometry.people.candidates import Candidates, tracks_of_view
from epitool.geometry.people.grouping import CAP
from epitool.geometry.people.tracking import centers_and_sizes, limb_motion, standardized
from epitool.geometry.two_view.epipolar import MIN_MATCHES, fundamental_of_pose, pose_by_poselib, sampson_distance
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_TRACKS, _SHORT = 150, 5  # number of longest tracks of a view, and frames below which a track is too short
_PROPOSALS, _REFINED, _ROUNDS = 24, 4, 4  # pairs of tracks tried, poses refined, and iterations of each
_PER_TRACK, _PER_POSE, _DRAWS = 200, 600, 100  # matches used for a pose, and RANSAC iterations
_LEAST_SYNCHRONY = 1e-3  # orders tracks by length where the limbs do not tell
_ROUGH, _WIDE, _CLOSEST = (
    0.04,
    0.10,
    0.03,
)  # of half a stature: threshold of a track's pose, and largest and smallest distance at which a joint is neutral
_NEUTRAL = 3.0  # standard deviations at which a joint is neutral
_OTHER_DEG = 20.0  # angle above which two poses are different


@dataclass(frozen=True, eq=False)
class ViewTracks:
    """The people in one view.

    Attributes:
        K: Intrinsics of the view.
        tracks: Rows of `points` of each track, in order of time.
        points: Undistorted midline joints of N candidates, `(N, M, 2)`.
        frame: Frames of the candidates, `(N,)`.
        heights: Standardised vertical motion of each track's limbs in F frames, `(T, F, L)`; 0 where unknown.
        slots: Undistorted midline joints in S sampled frames, `(S, P, M, 2)`; NaN where there is nobody.
        size: Half a stature of each person in `slots`, `(S, P)` px.
    """

    K: Array
    tracks: list[Indices]
    points: Array
    frame: Indices
    heights: NDArray[np.float32]
    slots: Array
    size: Array


@dataclass(frozen=True, eq=False)
class PairMatch:
    """Relative pose of two views, found from the people whom both see.

    Attributes:
        R: Rotation b_from_a.
        t: Unit translation b_from_a.
        sd: Standard deviation of the epipolar distance, in half statures.
        gain: Number of joints in the sampled frames that fit, less those that do not.
        rival: Gain of the best different pose; 0 if there is none.
    """

    R: Array
    t: Array
    sd: float
    gain: float
    rival: float


def view_tracks(
    candidates: Candidates, view: int, camera: Camera, table: Indices, sample: Indices, skeleton: Skeleton
) -> ViewTracks:
    """Collect the people in a view.

    Args:
        candidates: All people found.
        view: Index of the view.
        camera: Intrinsics of the view.
        table: Candidates of all frames and views `(F, V, P)`, padded by -1.
        sample: Frames in which all people are compared, `(S,)`.
        skeleton: Skeleton of the candidates.
    """
    own = table[:, view]
    mine = own[own >= 0]
    row = np.full(len(candidates) + 1, -1)
    row[mine] = np.arange(len(mine))
    joints = candidates.joints(mine)
    frame = candidates.frame_index[mine]
    tracks = sorted((row[track] for track in tracks_of_view(candidates, own, skeleton)), key=len, reverse=True)
    tracks = [track for track in tracks[:_TRACKS] if len(track) >= _SHORT]
    limbs = limb_motion(joints, skeleton)[0][..., 1] if len(mine) else np.zeros((0, 0))
    heights = np.zeros((len(tracks), len(table), limbs.shape[1]), dtype=np.float32)
    for of_track, track in zip(heights, tracks):
        of_track[frame[track]] = standardized(limbs[track])
    points = midline(camera.undistort(joints), skeleton)
    points_or_none = np.append(points, np.full((1, *points.shape[1:]), np.nan), axis=0)
    slots = np.ascontiguousarray(points_or_none[row[own[sample]]])
    return ViewTracks(camera.K, tracks, points, frame, heights, slots, centers_and_sizes(slots)[1])


def match_pair(a: ViewTracks, b: ViewTracks, seed: int) -> PairMatch | None:
    """Find the relative pose of two views; None if no pose explains anybody."""
    refined = []
    for R, t in _proposed(a, b, seed):
        try:
            refined.append(_refined(a, b, R, t, seed))
        except GeometryError:
            continue
    if not refined:
        return None
    best = max(refined, key=lambda found: found.gain)
    others = [found.gain for found in refined if angle_deg(found.R @ best.R.T) > _OTHER_DEG]
    return PairMatch(best.R, best.t, best.sd, best.gain, max(others, default=0.0))


def _proposed(a: ViewTracks, b: ViewTracks, seed: int) -> list[tuple[Array, Array]]:
    """Return relative poses found from one track of each view, those that explain most people first."""
    found = []
    for i, j in _pair_by_movement(a, b):
        frames, one, other = np.intersect1d(a.frame[a.tracks[i]], b.frame[b.tracks[j]], return_indices=True)
        if len(frames) < _SHORT:
            continue
        x, y = a.points[a.tracks[i][one]], b.points[b.tracks[j][other]]
        size = float(np.nanmedian(np.concatenate([centers_and_sizes(x)[1], centers_and_sizes(y)[1]])))
        try:
            R, t = _pose(x, y, a.K, b.K, _ROUGH * size, _PER_TRACK, seed)
        except GeometryError:
            continue
        found.append((_matches(a, b, R, t, _WIDE)[0], R, t))
    found.sort(key=lambda each: -each[0])
    return [(R, t) for _, R, t in found[:_REFINED]]


def _pair_by_movement(a: ViewTracks, b: ViewTracks) -> list[tuple[int, int]]:
    """Return pairs of tracks, most likely the same person first: long ones whose limbs move in time with each other."""
    if not a.tracks or not b.tracks:
        return []
    there_a, there_b = ((view.heights != 0).any(axis=-1).astype(np.float32) for view in (a, b))
    shared = there_a @ there_b.T
    total, count = np.zeros_like(shared), np.zeros_like(shared)
    for x, y in zip(np.moveaxis(a.heights, -1, 0), np.moveaxis(b.heights, -1, 0)):
        norm = np.sqrt(((x**2) @ there_b.T) * (there_a @ (y**2).T))
        total += np.where(norm > 0, (x @ y.T) / np.where(norm > 0, norm, 1), 0)
        count += norm > 0
    promise = np.sqrt(shared) * (np.maximum(total / np.maximum(count, 1), 0) + _LEAST_SYNCHRONY)
    order = np.argsort(-promise, axis=None, kind="stable")[:_PROPOSALS]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, promise.shape)) if promise[i, j] > 0]


def _pose(x: Array, y: Array, K_a: Array, K_b: Array, threshold: float, most: int, seed: int) -> tuple[Array, Array]:
    """Estimate the relative pose from points `(..., 2)` of both views."""
    both = np.isfinite(x[..., 0]) & np.isfinite(y[..., 0])
    x, y = x[both], y[both]
    if len(x) < 2 * MIN_MATCHES:
        raise GeometryError("too few joints in common")
    some = np.random.default_rng(seed).permutation(len(x))[:most]
    R, t, _ = pose_by_poselib(x[some], y[some], K_a, K_b, threshold, seed, _DRAWS)
    return R, t


def _refined(a: ViewTracks, b: ViewTracks, R: Array, t: Array, seed: int) -> PairMatch:
    """Refine a pose with all people whom it explains, until the gain no longer changes."""
    neutral, sd, before = _WIDE, _WIDE / _NEUTRAL, 0.0
    for _ in range(_ROUNDS):
        _, frame, one, other = _matches(a, b, R, t, neutral)
        x, y = a.slots[frame, one], b.slots[frame, other]
        if not len(frame):
            raise GeometryError("nobody fits")
        size = (a.size[frame, one] + b.size[frame, other]) / 2
        distance = sampson_distance(fundamental_of_pose(R, t, a.K, b.K), x, y) / size[:, None]
        sd = 1.4826 * float(np.nanmedian(distance))
        neutral = float(np.clip(_NEUTRAL * sd, _CLOSEST, _WIDE))
        R, t = _pose(x, y, a.K, b.K, neutral * float(np.median(size)), _PER_POSE, seed)
        gain = _matches(a, b, R, t, _WIDE / 2)[0]
        if abs(gain - before) < 1e-3 * gain:
            break
        before = gain
    return PairMatch(R, t, sd, gain, 0.0)


def _matches(
    a: ViewTracks, b: ViewTracks, R: Array, t: Array, neutral: float
) -> tuple[float, Indices, Indices, Indices]:
    """Match people who are each other's best fit: return the sum of gains, and frame and both slots of each match.

    A joint on the other's epipolar line gains 1, one at `neutral` half statures nothing, and one far off costs 1.
    """
    F = fundamental_of_pose(R, t, a.K, b.K)
    gain = slot_gains(F, a.slots, b.slots, np.arange(a.slots.shape[2]), neutral * a.size, neutral * b.size, CAP)
    theirs = gain.argmax(axis=2)
    best = np.take_along_axis(gain, theirs[..., None], axis=2)[..., 0]
    mutual = np.take_along_axis(gain.argmax(axis=1), theirs, axis=1) == np.arange(gain.shape[1])
    frame, one = np.nonzero(mutual & (best > 0))
    return float(best[frame, one].sum()), frame, one, theirs[frame, one]
