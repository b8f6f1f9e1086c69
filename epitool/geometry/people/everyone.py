"""Calibration from everyone in view, whose identities are not known.

People are matched between the views before any camera is known, in a few hundred frames. All of them together give
cameras; these match the people in all frames, which give better cameras, until the matches no longer change.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from epitool.camera import Camera, Rig
from epitool.console import counted
from epitool.errors import GeometryError
from epitool.geometry.calibration.calibrate import Calibration, calibrate, use_found_lenses
from epitool.geometry.calibration.first_rig import informative_frames
from epitool.geometry.doubts import Doubt, Kind, Level
from epitool.geometry.people.association import People, match_people
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.lost_views import place_by_person
from epitool.geometry.people.matching import match_views
from epitool.geometry.people.tracking import centers_and_sizes, median_over
from epitool.geometry.triangulation.labels import make_labels
from epitool.pose import Keypoints

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SLACK = (0.012, 0.006, 0.0, 0.0)  # of a person's size: least noise allowed for, in each round
_SAME = 0.99  # share of candidates matched with the same others at which the rounds end
_HARDLY = (0.2, 0.5)  # shares of matched people in a view below which it is left out, and below which it is doubted
_SAME_PLACE = 0.05  # of a size; nobody is nearer to somebody else, joint by joint
_FIRST_FRAMES = 400  # frames from which the first cameras are found


@dataclass(frozen=True, eq=False)
class Crowd:
    """All people in some frames.

    Attributes:
        candidates: All people found in F frames.
        frames: Number of frames F.
        empty: Keypoints without frames that hold the names of the views, the image sizes and the skeleton.
    """

    candidates: Candidates
    frames: int
    empty: Keypoints

    def people(self, rig: Rig, slack: float = 0.0) -> People:
        """Match everyone between the views that have cameras; other views show nobody.

        Args:
            rig: Cameras of some or all of the views.
            slack: Least deviation of joints that is allowed for, as a share of a person's size; see `match_people`.
        """
        views = [self.empty.views.index(name) for name in rig.names]
        mine = np.flatnonzero(np.isin(self.candidates.view_index, views))
        own = self.candidates.select_views(views)
        found = match_people(own, rig, self.frames, self.empty.skeleton, slack)
        everywhere = np.full((*found.candidates.shape[:2], len(self.empty.views)), -1)
        everywhere[..., views] = np.append(mine, -1)[found.candidates]
        return replace(found, candidates=everywhere)

    def select_frames(self, frames: Indices) -> Crowd:
        """Everyone in the frames at these increasing indices only."""
        return Crowd(self.candidates.select_frames(frames), len(frames), self.empty)

    def without_twins(self) -> Crowd:
        """Return everyone once: a detection at the very place of one with more confidence is left out.

        Tracks end where people touch, so detections of everyone twice would leave none.
        """
        table = self.candidates.table(self.frames, len(self.empty.views))
        twin = np.zeros(len(self.candidates) + 1, dtype=bool)  # the last one stands for index -1, nobody
        trust = np.append(self.candidates.confidence.sum(axis=1), 0.0)
        for p, q in itertools.combinations(range(table.shape[2]), 2):
            one, other = table[..., p].ravel(), table[..., q].ravel()
            both = np.flatnonzero((one >= 0) & (other >= 0))
            one, other = one[both], other[both]
            first, second = self.candidates.joints(one), self.candidates.joints(other)
            apart = median_over(np.linalg.norm(first - second, axis=-1))
            same = apart < _SAME_PLACE * centers_and_sizes(first)[1]
            twin[np.where(trust[one] < trust[other], one, other)[same]] = True
        if not twin[:-1].any():
            return self
        kept = np.flatnonzero(~twin[:-1])
        fields = ("xy", "confidence", "frame_index", "view_index")
        return replace(self, candidates=Candidates(*(getattr(self.candidates, name)[kept] for name in fields)))

    @property
    def crowded(self) -> bool:
        """Whether some view shows more than one person in some frame."""
        return bool((self.count_shown() > 1).any())

    def count_shown(self) -> Indices:
        """Return the number of people in each view and frame, `(F, V)`."""
        views = len(self.empty.views)
        cell = self.candidates.frame_index * views + self.candidates.view_index
        return np.bincount(cell, minlength=self.frames * views).reshape(self.frames, views)

    def joints(self, people: People) -> Keypoints:
        """Return the joints of all people as if one person had been filmed longer: a frame for each person and frame.

        Calibration may use joints of any person together. Only bone lengths differ between people, so each person is a
        take of its own. Frames are in the order of time, so that stretches of them are stretches of the recording, in
        which all people may err alike.
        """
        frame, group = np.nonzero(((people.candidates >= 0).sum(axis=-1) >= 2) & (people.names >= 0))
        order = np.lexsort((people.names[frame, group], frame))
        frame, group = frame[order], group[order]
        own, person = people.candidates[frame, group], people.names[frame, group]
        xy, confidence = self.candidates.take(own)
        return replace(
            self.empty,
            xy=xy,
            confidence=confidence,
            frames=frame * (person.max(initial=0) + 1) + person,
            images=np.full(own.shape, ""),
            take_of=person,
            detected_xyz=np.empty(0),
        )


def calibrate_everyone(
    crowd: Crowd, cameras: Sequence[Camera], *, seed: int = 0, jobs: int = -1, focal: str = "known"
) -> Calibration:
    """Recover the cameras up to scale from all people whom two or more views show.

    Args:
        crowd: All people in up to a few thousand frames; consecutive frames are needed to follow people.
        cameras: K, distortion and image size of every view; see `calibrate`.
        seed: Seed of the random sampling.
        jobs: Number of pairs of views processed at a time.
        focal: What is known of the lenses; see `calibrate`.

    Raises:
        GeometryError: No two views can be matched, or what is matched determines no cameras.
    """
    crowd = crowd.without_twins()
    with threadpool_limits(1, user_api="blas"):  # threads would only slow down many small products
        people, torn = match_views(crowd.candidates, cameras, crowd.frames, crowd.empty.skeleton, seed, jobs)
        joints = informative_frames(crowd.joints(people), _FIRST_FRAMES)
        if not len(joints.frames):
            together = int(((crowd.count_shown() > 0).sum(axis=1) >= 2).sum())
            raise GeometryError(
                "nobody in one view is found again in another; two views or more show people in"
                f" {counted(together, 'frame')}: are these enough, of the same people, and in sync?"
            )
        result = calibrate(joints, cameras, seed=seed, jobs=jobs, focal=focal)

        def again(people: People) -> Calibration:
            start = use_found_lenses(cameras, result.rig, focal)
            return calibrate(crowd.joints(people), cameras, seed=seed, jobs=jobs, focal=focal, start=start)

        before: People | None = None
        for slack in _SLACK:
            people = crowd.people(result.rig, slack)
            if result.left_out:
                people = crowd.people(_with_lost_views(crowd, people, result.rig, cameras, focal, seed), slack)
            if before and _share_of_same(before, people, len(crowd.candidates)) > _SAME:
                break
            result, before = again(people), people
        shares = people.shares(crowd.count_shown())
        strangers = [name for name, share in zip(crowd.empty.views, shares) if share < _HARDLY[0]]
        kept = [name for name in result.rig.names if name not in strangers]
        if len(kept) < len(result.rig) and len(kept) >= 2:
            people = crowd.people(result.rig.select(kept))
            result = again(people)
    return _with_doubts(crowd, people, result, torn)


def _with_doubts(crowd: Crowd, people: People, result: Calibration, torn: bool) -> Calibration:
    """Return the calibration with doubts about views in which hardly anybody is matched, and reasons for omissions.

    Only matched people determine the cameras, so a good fit does not show that the matches are right.
    """
    shares = dict(zip(crowd.empty.views, people.shares(crowd.count_shown()).tolist(), strict=True))
    doubted = {name: _doubt_of_share(name, share) for name, share in shares.items()}
    left_out = {n: doubted[n] if shares[n] < _HARDLY[0] else why for n, why in result.left_out.items()}
    if result.verdict is None:
        return replace(result, left_out=left_out)
    doubts = [doubted[name] for name in result.rig.names]
    doubts.append(Doubt(Kind.TWO_MATCHINGS, "warn" if torn else "pass"))
    return replace(result, left_out=left_out, verdict=replace(result.verdict, left_out=left_out).with_doubts(doubts))


def _doubt_of_share(view: str, share: float) -> Doubt:
    """Return what to think of a view of whose people this share is matched; one that shows nobody is not doubted."""
    level: Level = "fail" if share < _HARDLY[0] else "warn" if share < _HARDLY[1] else "pass"
    return Doubt(Kind.STRANGERS, level, (view,), share, _HARDLY[level != "fail"])


def _share_of_same(before: People, now: People, count: int) -> float:
    """Return the share of grouped candidates that are with the same others as before."""
    first, second = (_first_of_group(people.candidates, count) for people in (before, now))
    grouped = (first >= 0) | (second >= 0)
    return float((first == second)[grouped].mean()) if grouped.any() else 1.0


def _first_of_group(groups: Indices, count: int) -> Indices:
    """Return the first candidate `(C,)` of each candidate's group; -1 if it is in none."""
    groups = groups.reshape(-1, groups.shape[-1])
    lowest = np.where(groups >= 0, groups, count).min(axis=1, initial=count)
    found = np.full(count + 1, -1)  # the last one stands for index -1, nobody
    found[groups] = lowest[:, None]
    return found[:-1]


def _with_lost_views(crowd: Crowd, people: People, rig: Rig, cameras: Sequence[Camera], focal: str, seed: int) -> Rig:
    """Return the rig with cameras added that could be placed by the person whom the other views see most."""
    names = crowd.empty.views
    one = replace(
        people,
        names=np.where(people.names == 0, 0, -1),
        candidates=np.where((people.names == 0)[..., None], people.candidates, -1),
    )
    joints = crowd.joints(one).select_views(rig.names)
    xyz = np.full((crowd.frames, *joints.xy.shape[2:3], 3), np.nan)
    xyz[joints.frames] = make_labels(joints, rig, jobs=1).poses.xyz
    lost = [camera for camera in use_found_lenses(cameras, rig, focal) if camera.name not in rig.names]
    skeleton = crowd.empty.skeleton
    found = [place_by_person(crowd.candidates, names.index(c.name), c, xyz, skeleton, seed) for c in lost]
    return replace(rig, cameras=(*rig.cameras, *(camera for camera in found if camera)))
