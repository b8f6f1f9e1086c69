"""Which person, once the cameras are known: detections that agree over all views, followed through space.

Detections of one person in two views lie on each other's epipolar lines, joint by joint, and those of two people do
not. What agrees is grouped to people, the groups are triangulated and linked over time, and one of them is chosen.
Left and right may be exchanged in any detection.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.tracking import link, median_over, sightings_of
from epitool.geometry.two_view.epipolar import fundamental_of_cameras, sampson_distance
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
_BRIDGE = 60  # frames; in space people do not cover each other, so that a name is safe for long
_NEUTRAL = 3.0  # standard deviations at which a joint speaks neither for nor against
_CAP = 2.0  # so that one joint speaks against as loudly as one that fits speaks for
_LEAST_NOISE = 2e-4  # radians: no detector is better, and exact data has some rounding
_NOISE_FRAMES = 500
_MIN_SHARED = 5  # joints from which the noise is measured
_CHUNK = 2_000_000  # numbers at a time


def choose_by_geometry(candidates: Candidates, rig: Rig, previous: Indices, skeleton: Skeleton) -> Indices:
    """Chooses the same person in all views and frames, given the cameras.

    Args:
        candidates: All people found, distorted pixels.
        rig: The cameras, in the order of the views.
        previous: The choice so far `(F, V)`, -1 for nobody: of the people in space, the one that it shows most often
            is followed.
        skeleton: Of the candidates' joints.

    Returns:
        Candidates `(F, V)`; -1 where the person is not seen, and in frames in which fewer than two views agree on
        them. `previous` itself where no image shows more than one person.
    """
    table = candidates.table(*previous.shape)
    if table.shape[2] == 1:
        return previous
    noise = _noise(_joints(candidates, table[_spread(len(table))], rig), rig, skeleton)
    members, places = [], []
    chunk = max(1, _CHUNK // (previous.shape[1] * table.shape[2]) ** 3)
    for start in range(0, len(table), chunk):
        xy = _joints(candidates, table[start : start + chunk], rig)
        member = _groups_of_people(_pair_gains(xy, rig, skeleton, noise), len(rig))
        members.append(member)
        places.append(_places(member, xy, rig, skeleton)[member.any(axis=-1)])
    slots = _followed(np.concatenate(members), np.concatenate(places), (table >= 0) & (table == previous[..., None]))
    return np.where(slots >= 0, np.take_along_axis(table, np.maximum(slots, 0)[..., None], axis=2)[..., 0], -1)


def _spread(frames: int) -> Indices:
    """Frames from which the noise is measured."""
    return np.unique(np.linspace(0, frames - 1, _NOISE_FRAMES).astype(int))


def _joints(candidates: Candidates, table: Indices, rig: Rig) -> Array:
    """Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen."""
    xy = np.where((table >= 0)[..., None, None], candidates.joints(table), np.nan)
    return np.stack([camera.undistort(xy[:, v]) for v, camera in enumerate(rig.cameras)], axis=1)


def _followed(member: Flags, places: Array, previous: Flags) -> Indices:
    """The slot of one person in every frame and view `(F, V)`, -1 for none.

    Args:
        member: People in every frame: which slots are of each, `(F, K, V * P)`.
        places: Where in space the groups that have members are, `(N, M, 3)`.
        previous: Slots `(F, V, P)` of the person to follow, as far as known.
    """
    frames, names = len(member), np.full(member.shape[:2], -1)
    frame, group_of = np.nonzero(member.any(axis=-1))
    names[frame, group_of] = link(places, frame, bridge=_BRIDGE, cut=False)
    votes = np.einsum("fkc,fc->fk", member, previous.reshape(frames, -1).astype(float))
    group = _main_group(names, votes)
    mine = (group >= 0)[:, None] & member[np.arange(frames), np.maximum(group, 0)]
    mine = mine.reshape(previous.shape)
    return np.where(mine.any(axis=-1), mine.argmax(axis=-1), -1)


def _distances(xy: Array, rig: Rig, skeleton: Skeleton, a: int, b: int) -> Array:
    """Sampson distance in radians between all slots of two views, b as it is and mirrored: `(2, F, P, P, J)`."""
    first, second = rig.cameras[a], rig.cameras[b]
    F = fundamental_of_cameras(first, second)
    one, other = xy[:, a, :, None], xy[:, b, None]
    mirrored = other[..., skeleton.flip_order, :]
    focal = (first.focal + second.focal) / 2
    return np.stack([sampson_distance(F, one, other), sampson_distance(F, one, mirrored)]) / focal


def _noise(xy: Array, rig: Rig, skeleton: Skeleton) -> float:
    """Standard deviation of the Sampson distance, radians: of the slots that fit best in each frame and pair."""
    best = []
    for a, b in itertools.combinations(range(len(rig)), 2):
        distance = _distances(xy, rig, skeleton, a, b)
        typical = np.where(np.isfinite(distance).sum(axis=-1) >= _MIN_SHARED, median_over(distance), np.nan)
        best.append(np.nanmin(np.where(np.isnan(typical), np.inf, typical), axis=(0, 2, 3)))
    found = np.concatenate(best)
    found = found[np.isfinite(found)]
    return max(float(np.median(found)) * 1.4826, _LEAST_NOISE) if len(found) else _LEAST_NOISE


def _pair_gains(xy: Array, rig: Rig, skeleton: Skeleton, noise: float) -> Array:
    """What speaks for any two detections being of one person, in joints: `(F, V * P, V * P)`, symmetric.

    A joint on the other's epipolar line counts 1, one at 3 standard deviations 0, and one far off -1. Two detections
    in one view have nothing to say to each other.
    """
    frames, views, people = xy.shape[:3]
    gains = np.zeros((frames, views, people, views, people))
    for a, b in itertools.combinations(range(views), 2):
        distance = _distances(xy, rig, skeleton, a, b)
        fit = 1 - np.minimum((distance / (_NEUTRAL * noise)) ** 2, _CAP)
        gains[:, a, :, b] = np.nan_to_num(fit).sum(axis=-1).max(axis=0)
        gains[:, b, :, a] = np.swapaxes(gains[:, a, :, b], 1, 2)
    return gains.reshape(frames, views * people, views * people)


def _groups_of_people(gains: Array, views: int) -> Flags:
    """Detections grouped to people, the surest first: members `(F, K, V * P)`; empty groups fill up.

    From every pair of detections that agree, a group grows by the detection that it supports most, one a view, while
    there is one. The group with the largest sum of gains is a person; the next is grown from what is left.
    """
    slots = gains.shape[1]
    free, groups = np.ones((len(gains), slots), dtype=bool), []
    for _ in range(slots // views + 1):  # different views may lack different people
        both = free[:, :, None] & free[:, None]
        best = _best_group(np.where(both, gains, 0.0), views)
        groups.append(best)
        free &= ~best
    return np.stack(groups, axis=1)


def _best_group(gains: Array, views: int) -> Flags:
    """Members `(F, V * P)` of the group with the largest sum of gains, grown from any pair."""
    frames, slots = gains.shape[:2]
    of_view = np.arange(slots) * views // slots
    one, other = np.nonzero(of_view[:, None] < of_view)
    member = np.zeros((len(one), slots), dtype=bool)
    member[np.arange(len(one)), one] = member[np.arange(len(one)), other] = True
    member = np.broadcast_to(member, (frames, *member.shape)).copy()
    value = gains[:, one, other].copy()
    possible = value > 0
    for _ in range(views - 2):
        support = member.astype(float) @ gains
        full = member.reshape(*member.shape[:2], views, -1).any(axis=-1)[..., of_view]
        support = np.where(full, 0.0, support)
        best = support.argmax(axis=-1)[..., None]
        gain = np.take_along_axis(support, best, axis=-1)
        np.put_along_axis(member, best, np.take_along_axis(member, best, axis=-1) | (gain > 0), axis=-1)
        value += gain[..., 0]
    value = np.where(possible, value, 0.0)
    chosen = value.argmax(axis=1)
    rows = np.arange(frames)
    return member[rows, chosen] & (value[rows, chosen] > 0)[:, None]


def _places(member: Flags, xy: Array, rig: Rig, skeleton: Skeleton) -> Array:
    """Where each group is in space, `(F, K, M, 3)`: joints that have no mirror image; NaN for an empty group."""
    frames, views, people = xy.shape[:3]
    points = midline(xy, skeleton).reshape(frames, 1, views * people, -1, 2)
    mine = np.where(member[..., None, None], points, np.nan).reshape(*member.shape[:2], views, people, -1, 2)
    one_a_view = np.where(np.isfinite(mine), mine, 0.0).sum(axis=3)  # a group has at most one slot a view
    seen = np.isfinite(mine[..., 0]).any(axis=3)
    return _nearest_to_rays(np.where(seen[..., None], one_a_view, np.nan), rig)


def _nearest_to_rays(xy: Array, rig: Rig) -> Array:
    """Points `(F, K, M, 3)` with the least squared distance to the rays of `(F, K, V, M, 2)`; NaN with fewer than two.

    Good enough to tell people apart, and without iterations.
    """
    system, target = np.zeros((*xy.shape[:2], xy.shape[3], 3, 3)), np.zeros((*xy.shape[:2], xy.shape[3], 3))
    for v, camera in enumerate(rig.cameras):
        ray = np.concatenate([xy[:, :, v], np.ones_like(xy[:, :, v, :, :1])], axis=-1)
        ray = ray @ (camera.R.T @ np.linalg.inv(camera.K)).T
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        across = np.nan_to_num(np.eye(3) - ray[..., :, None] * ray[..., None, :])
        system += across
        target += across @ camera.center
    enough = (np.isfinite(xy[..., 0]).sum(axis=2) >= 2) & (np.linalg.det(system) > 1e-9)
    system = np.where(enough[..., None, None], system, np.eye(3))
    return np.where(enough[..., None], np.linalg.solve(system, target[..., None])[..., 0], np.nan)


def _main_group(names: Indices, votes: Array) -> Indices:
    """Per frame the group `(F,)` of the track with the most votes, -1 for none; gaps go to tracks that fit in whole."""
    group, taken = np.full(len(names), -1), np.zeros(len(names), dtype=bool)
    sightings = sightings_of(names.ravel())
    total = np.array([votes.ravel()[of_track].sum() for of_track in sightings])
    for name in np.argsort(-total, kind="stable"):
        when, which = np.divmod(sightings[name], names.shape[1])
        if total[name] >= 1 and not taken[when[0] : when[-1] + 1].any():
            group[when] = which
            taken[when[0] : when[-1] + 1] = True
    return group
