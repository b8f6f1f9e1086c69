"""Matching people between calibrated views and following them through space.

Detections of one person in two views lie on each other's epipolar lines, joint by joint; those of two people do not.
Detections that agree are grouped into people, and the groups are triangulated and linked over time. Left and right may
be swapped in any detection.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Rig
from epitool.geometry.people.bodies import fill_unseen, midlines, nearest_to_rays, sides
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.following import Follower
from epitool.geometry.people.grouping import Epipolar, Pairs, group_detections, usual_distances
from epitool.geometry.people.pieces import Sightings
from epitool.geometry.people.rejoining import identities_of
from epitool.geometry.people.tracking import centers_and_sizes, sightings_of
from epitool.geometry.two_view.epipolar import fundamental_of_cameras
from epitool.pose import usual_side
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
_BRIDGE = 8  # frames that somebody may go unseen and be followed; for longer, bones tell who comes back
_LEAST_NOISE = 2e-4  # radians; no detector is better, and exact data has rounding errors
_NOISE_FRAMES = 200
_LOOSE = 0.012  # of a person's size: deviation used for grouping people to measure the noise
_CHUNK = 500_000  # comparisons of two detections per chunk


@dataclass(frozen=True, eq=False)
class People:
    """All people on whom two or more views agree, each with one number through the recording.

    Attributes:
        candidates: Candidates of K groups in every frame and view, `(F, K, V)` indices; -1 where a view does not show
            the group.
        names: Number of each group's person, `(F, K)`, 0 for the person seen most; -1 where there is no group.
    """

    candidates: Indices
    names: Indices

    def __len__(self) -> int:
        return int(self.names.max(initial=-1)) + 1

    def identities(self, *persons: int) -> Indices:
        """Return a person's candidate in every frame and view, `(F, V)`; -1 where they are not seen.

        Several names may stand for one person, as long as no two of them appear in the same frame.
        """
        mine = np.isin(self.names, persons)
        groups = self.candidates[np.arange(len(mine)), mine.argmax(axis=1)]
        return np.where(mine.any(axis=1)[:, None], groups, -1)

    def shares(self, shown: Indices) -> Array:
        """Return the share of each view's people who are matched, `(V,)`; NaN for a view that shows nobody with others.

        It is the larger of two shares. The first is of the people in the view, in frames in which another view shows
        somebody. The second is of the people on whom two other views agree while the view shows somebody who might be
        them. So neither passers-by in the background nor people whom a view hardly sees are held against it.

        Args:
            shown: Number of people in each view and frame, `(F, V)`.
        """
        members = self.candidates >= 0
        matched = members.sum(axis=1)
        could = np.where((shown > 0).sum(axis=1, keepdims=True) - (shown > 0) >= 1, shown, 0)
        agreed = members.sum(axis=2, keepdims=True) - members >= 2
        might = agreed & (members | (shown > matched)[:, None])
        own, joined = (
            np.where(of > 0, found / np.maximum(of, 1), np.nan)
            for found, of in (
                (matched.sum(axis=0), could.sum(axis=0)),
                ((might & members).sum(axis=(0, 1)), might.sum(axis=(0, 1))),
            )
        )
        return np.fmax(own, joined)


def match_people(candidates: Candidates, rig: Rig, frames: int, skeleton: Skeleton, slack: float = 0.0) -> People:
    """Match all people between calibrated views and follow them through space.

    Args:
        candidates: All people found, distorted pixels.
        rig: The cameras, in the order of the views.
        frames: Number of frames.
        skeleton: Skeleton of the candidates.
        slack: Least deviation of joints that is allowed for, as a share of a person's size: cameras calibrated from one
            person may fit others less well.
    """
    if not len(candidates):
        return People(np.full((frames, 1, len(rig)), -1), np.full((frames, 1), -1))
    table = candidates.table(frames, len(rig))
    pairs = _pairs_of(rig)
    sample = candidates.undistorted(table[evenly_spread(frames, _NOISE_FRAMES)], rig.cameras)
    noise = _noise(sample, pairs, slack * _usual_size(sample, rig), _LOOSE * _usual_size(sample, rig), skeleton)
    parts, sightings, follower = [], [], Follower(_BRIDGE)
    chunk = max(1, _CHUNK // (table.shape[1] * table.shape[2]) ** 2)
    for start in range(0, frames, chunk):
        xy = candidates.undistorted(table[start : start + chunk], rig.cameras)
        slots = group_detections(xy, pairs, noise, skeleton)
        parts.append(take_slots(table[start : start + chunk], slots))
        sightings.append(_followed(follower, xy, slots, start, rig, skeleton))
    groups = np.full((frames, max(1, *(part.shape[1] for part in parts)), len(rig)), -1)
    for start, part in zip(range(0, frames, chunk), parts):
        groups[start : start + chunk, : part.shape[1]] = part
    del parts, table  # gigabytes, in a long recording
    return People(groups, _ranked(groups, sightings, candidates, rig, skeleton))


def main_person(people: People, previous: Indices) -> list[int]:
    """Names of the person whom a choice `(F, V)` shows in most of its images, or else of the one who is seen most.

    The first name is that person; others fit in whole where it leaves gaps, and are taken for the same person.
    """
    members = people.candidates >= 0
    as_before = members & (people.candidates == previous[:, None])
    sightings = sightings_of(people.names.ravel())
    followed, seen = (
        np.array([of.sum(axis=-1).ravel()[of_track].sum() for of_track in sightings]) for of in (as_before, members)
    )
    agreed = 2 * followed.max(initial=0) > followed.sum()  # views that follow different people choose nobody
    total = followed if agreed else seen
    taken, main = np.zeros(len(people.names), dtype=bool), []
    for name in np.argsort(-total, kind="stable").tolist():
        when = sightings[name] // people.names.shape[1]
        if total[name] >= 1 and not taken[when[0] : when[-1] + 1].any():
            main.append(name)
            taken[when[0] : when[-1] + 1] = True
    return main


def _pairs_of(rig: Rig) -> Pairs:
    """Return the epipolar geometry of all pairs of cameras, with distances in radians."""
    pairs = {}
    for (a, first), (b, second) in itertools.combinations(enumerate(rig.cameras), 2):
        pairs[a, b] = Epipolar(fundamental_of_cameras(first, second), (first.focal + second.focal) / 2)
    return pairs


def _usual_size(xy: Array, rig: Rig) -> float:
    """Return the usual size of a person in joints `(F, V, P, J, 2)`, radians; 0 if nobody is seen."""
    sizes = [usual_side(xy[:, v]) / camera.focal for v, camera in enumerate(rig.cameras)]
    return float(np.nan_to_num(np.nanmedian(sizes))) if np.isfinite(sizes).any() else 0.0


def _noise(xy: Array, pairs: Pairs, least: float, loose: float, skeleton: Skeleton) -> float:
    """Estimate the standard deviation of epipolar distances within people, radians.

    Detectors see some people better than others, so it is the deviation of most people, not of those who fit best.

    Args:
        xy: Undistorted joints of some frames `(F, V, P, J, 2)`.
        pairs: Epipolar geometry of pairs of views.
        least: Least deviation that is returned.
        loose: Deviation used for grouping people to measure the noise.
        skeleton: Skeleton of the joints.
    """
    least = max(least, _LEAST_NOISE)
    slots = group_detections(xy, pairs, max(loose, least), skeleton)
    usual = usual_distances(xy, slots, pairs, skeleton)
    return max(1.4826 * float(np.median(usual)), least) if len(usual) else least


def take_slots(table: Indices, slots: Indices) -> Indices:
    """Return the candidates in slots `(F, K, V)` of a table `(F, V, P)`; -1 for none."""
    found = np.take_along_axis(table, np.swapaxes(np.maximum(slots, 0), 1, 2), axis=2)
    return np.where(slots >= 0, np.swapaxes(found, 1, 2), -1)


def _followed(follower: Follower, xy: Array, slots: Indices, start: int, rig: Rig, skeleton: Skeleton) -> Sightings:
    """Follow the people of some frames.

    Args:
        follower: Who has followed people through the frames before.
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        slots: Slots of groups `(F, K, V)`, -1 for none.
        start: Number of the first of these frames.
        rig: The cameras.
        skeleton: Skeleton of the joints.
    """
    points, frame = midlines(xy, slots, skeleton), np.nonzero((slots >= 0).any(axis=-1))[0] + start
    places = nearest_to_rays(points, rig)
    shown = np.isfinite(points[..., 0]).any(axis=-1)
    names, margin = follower.follow(fill_unseen(points, places, rig), shown, frame)
    left, right = np.moveaxis(nearest_to_rays(sides(xy, slots, skeleton), rig), 1, 0)
    return Sightings(names, margin, frame, *centers_and_sizes(places), left - right)


def _ranked(groups: Indices, parts: list[Sightings], candidates: Candidates, rig: Rig, skeleton: Skeleton) -> Indices:
    """Return the number of each group's person, `(F, K)`, 0 for the person seen most; -1 for nobody.

    Args:
        groups: Candidates `(F, K, V)`, -1 for none.
        parts: The groups that have members, as followed.
        candidates: All people found.
        rig: The cameras.
        skeleton: Skeleton of the candidates.
    """
    there = groups >= 0
    names, (frame, group) = np.full(groups.shape[:2], -1), np.nonzero(there.any(axis=-1))
    if len(frame):
        every = Sightings(*map(np.concatenate, zip(*parts)))
        own = identities_of(every, groups[frame, group], candidates, rig, skeleton)
        seen = np.bincount(own[own >= 0], there[frame, group].sum(axis=-1)[own >= 0])
        rank = np.full(len(seen) + 1, -1)  # the last one stands for index -1, nobody
        rank[np.argsort(-seen, kind="stable")] = np.arange(len(seen))
        names[frame, group] = rank[own]
    return names
