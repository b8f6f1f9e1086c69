"""Who is who once the cameras are known: detections that agree over all views, followed through space.

Detections of one person in two views lie on each other's epipolar lines, joint by joint, and those of two people do
not. What agrees is grouped to people, the groups are triangulated and linked over time. Left and right may be exchanged
in any detection.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.grouping import Epipolar, Pairs, groups_of_people, pair_gains, usual_distances
from epitool.geometry.people.tracking import link, midline, sightings_of
from epitool.geometry.two_view.epipolar import fundamental_of_pose
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
_BRIDGE = 60  # frames; in space people do not cover each other, so that a name is safe for long
_LEAST_NOISE = 2e-4  # radians: no detector is better, and exact data has some rounding
_NOISE_FRAMES = 500
_CHUNK = 2_000_000  # numbers at a time


@dataclass(frozen=True, eq=False)
class People:
    """Everyone on whom two views or more agree, each by one name through the recording.

    Attributes:
        candidates: Of K groups in every frame and view, `(F, K, V)` indices; -1 where a view does not show them.
        names: Which person each group is, `(F, K)`, from 0 for the one who is seen most; -1 where there is no group.
    """

    candidates: Indices
    names: Indices

    def __len__(self) -> int:
        return int(self.names.max(initial=-1)) + 1

    def identities(self, person: int) -> Indices:
        """Which candidate a person is in every frame and view, `(F, V)`; -1 where they are not seen."""
        return self._only(np.where(self.names == person, 0, -1).argmax(axis=1), (self.names == person).any(axis=1))

    def chosen(self, group: Indices) -> Indices:
        """Candidates `(F, V)` of one group a frame, `(F,)`; -1 for none."""
        return self._only(np.maximum(group, 0), group >= 0)

    def _only(self, group: Indices, there: Flags) -> Indices:
        return np.where(there[:, None], self.candidates[np.arange(len(group)), group], -1)


def people_of(candidates: Candidates, rig: Rig, frames: int, skeleton: Skeleton) -> People:
    """Everyone, matched between the views and followed through space, given the cameras.

    Args:
        candidates: All people found, distorted pixels.
        rig: The cameras, in the order of the views.
        frames: How many there are.
        skeleton: Of the candidates' joints.
    """
    table = candidates.table(frames, len(rig))
    pairs = _pairs_of(rig)
    usual = usual_distances(_joints(candidates, table[_spread(frames)], rig), pairs, skeleton)
    noise = max(float(np.median(usual)) * 1.4826, _LEAST_NOISE) if len(usual) else _LEAST_NOISE
    members, places = [], []
    chunk = max(1, _CHUNK // (table.shape[1] * table.shape[2]) ** 3)
    for start in range(0, frames, chunk):
        xy = _joints(candidates, table[start : start + chunk], rig)
        member = groups_of_people(pair_gains(xy, pairs, noise, skeleton), len(rig))
        members.append(member)
        places.append(_places(member, xy, rig, skeleton)[member.any(axis=-1)])
    none = np.zeros((0, 0, table[0].size if frames else 0), dtype=bool)
    return _named(np.concatenate(members or [none]), places, table)


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
    if candidates.table(*previous.shape).shape[2] == 1:
        return previous
    people = people_of(candidates, rig, len(previous), skeleton)
    as_before = (people.candidates >= 0) & (people.candidates == previous[:, None])
    return people.chosen(_main_group(people.names, as_before.sum(axis=-1).astype(float)))


def _pairs_of(rig: Rig) -> Pairs:
    """Epipolar geometry of all pairs of cameras, distances in radians."""
    pairs = {}
    for (a, first), (b, second) in itertools.combinations(enumerate(rig.cameras), 2):
        R = second.R @ first.R.T
        F = fundamental_of_pose(R, second.t - R @ first.t, first.K, second.K)
        pairs[a, b] = Epipolar(F, (first.focal + second.focal) / 2)
    return pairs


def _spread(frames: int) -> Indices:
    """Frames from which the noise is measured."""
    return np.unique(np.linspace(0, frames - 1, min(frames, _NOISE_FRAMES)).astype(int))


def _joints(candidates: Candidates, table: Indices, rig: Rig) -> Array:
    """Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen."""
    xy = np.where((table >= 0)[..., None, None], candidates.joints(table), np.nan)
    return np.stack([camera.undistort(xy[:, v]) for v, camera in enumerate(rig.cameras)], axis=1)


def _named(member: Flags, places: list[Array], table: Indices) -> People:
    """Groups with their names.

    Args:
        member: Which slots are of each group, `(F, K, V * P)`.
        places: Where in space the groups that have members are, parts of `(N, M, 3)`.
        table: Candidates of the slots, `(F, V, P)`.
    """
    frames, groups = member.shape[:2]
    names = np.full((frames, groups), -1)
    frame, group = np.nonzero(member.any(axis=-1))
    if len(frame):
        found = link(np.concatenate(places), frame, bridge=_BRIDGE, cut=False)
        seen = np.bincount(found[found >= 0], member.sum(axis=-1)[frame, group][found >= 0])
        rank = np.empty(len(seen) + 1, dtype=np.intp)
        rank[np.argsort(-seen, kind="stable")], rank[-1] = np.arange(len(seen)), -1
        names[frame, group] = rank[found]
    return People(grouped(member, table), names)


def grouped(member: Flags, table: Indices) -> Indices:
    """Candidates `(F, K, V)` of groups, -1 where a view shows nobody of it.

    Args:
        member: Which slots are of each group, `(F, K, V * P)`.
        table: Candidates of the slots, `(F, V, P)`.
    """
    mine = member.reshape(*member.shape[:2], *table.shape[1:])
    of_slot = np.broadcast_to(table[:, None], mine.shape)
    candidates = np.take_along_axis(of_slot, mine.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return np.where(mine.any(axis=-1), candidates, -1)


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
