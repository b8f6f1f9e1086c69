"""Who of several people the keypoints are of, once cameras are known: one of them, or each in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.console import counted, say, warn
from epitool.geometry.people.association import People, main_person
from epitool.geometry.people.candidates import choice_of, with_choice
from epitool.geometry.people.everyone import Crowd
from epitool.geometry.people.lost_views import place_by_person
from epitool.geometry.people.mirrors import mirror_images
from epitool.geometry.people.tracking import sightings_of
from epitool.geometry.triangulation.labels import make_labels
from epitool.io.candidates_h5 import has_candidates, read_candidates, read_detected_xyz
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.labels import usual_split
from epitool.pose import Keypoints

_PART = 10_000  # frames read at a time
_PLACED_FRAMES = 1000  # about so many, spread over the recording, tell where a person is
_ENOUGH, _HARDLY = 20, 0.02  # frames that tell whether a view shows the person, and share in which it hardly does
LEAST_FRAMES = 25  # in which two views agree on a further person, or they are left out: a second of most recordings


@dataclass(frozen=True, eq=False)
class Chosen:
    """One of several people, read like the keypoints of a file.

    Attributes:
        source: The file.
        crowd: Everyone in some of its views.
        rows: Index in the file of each of these candidates, and -1 at the end, for nobody.
        choice: Which candidate the person is in every frame and view, `(F, V)`; -1 for nobody.
        followed: Which candidates the file's keypoints are, in all of its frames, likewise.
        people: Who is who in all of the file's frames.
        names: Names of the person there.
        first: Index of the first of these F frames among the file's.
    """

    source: KeypointsFile
    crowd: Crowd
    rows: NDArray[np.intp]
    choice: NDArray[np.intp]
    followed: NDArray[np.intp]
    people: People
    names: tuple[int, ...]
    first: int = 0

    @property
    def views(self) -> tuple[str, ...]:
        """The views."""
        return self.crowd.empty.views

    @property
    def frames(self) -> NDArray[np.int64]:
        """Numbers of the person's frames."""
        return self.source.frames[self.first : self.first + len(self)]

    def __len__(self) -> int:
        return len(self.choice)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Keypoints:
        """The keypoints of every `step`-th of the person's frames from index `start` to before `stop`.

        Frames of a further person are for training, validation or test as the first person's frames of these numbers.
        """
        start, stop, step = slice(start, stop, step).indices(len(self))
        part = self.source.read(self.first + start, self.first + stop, step).select_views(self.views)
        if len(self) < len(self.source):
            split = part.split or usual_split(len(self.source))
            early, late = (min(max(end - self.first, 0), len(self)) for end in split)
            part = replace(part, split=(early, late))
        choice = self.choice[start:stop:step]
        own = read_detected_xyz(self.source.path, self.rows[choice])
        found = with_choice(part, self.crowd.candidates, choice)
        return replace(found, detected_xyz=own) if own.size else found

    def views_without_the_person(self) -> dict[str, str]:
        """Return the views that show people, but hardly ever the one on whom other views agree, with likely causes."""
        agreed = (self.choice >= 0).sum(axis=1) >= 2
        anybody = self.crowd.count_shown()[agreed] > 0
        frames, shown = anybody.sum(axis=0), (anybody & (self.choice[agreed] >= 0)).sum(axis=0)
        return {
            name: f"it shows the person whom others agree on in {found} of {there} frames; does it show the same"
            " people, in sync, not mirrored, and does the camera stand where it is said to?"
            for name, there, found in zip(self.views, frames.tolist(), shown.tolist(), strict=True)
            if there >= _ENOUGH and found < _HARDLY * there
        }

    def everyone(self, most: int | None) -> tuple[list[Chosen], int]:
        """This person and the others of the recording, each on frames from the first to the last that shows them.

        Where there are others, this person is whom one name is for; alone, they are who was taken for them too when out
        of sight. Others are in the order of how often they are seen.

        Args:
            most: How many people are wanted at most; None for all.

        Returns:
            The people, and how many others two views agree on in fewer than `LEAST_FRAMES` frames.
        """
        if most == 1:
            return [self], 0
        sightings = sightings_of(self.people.names.ravel())
        long = [name for name, of_one in enumerate(sightings) if len(of_one) >= LEAST_FRAMES]
        if not set(long) - set(self.names):
            return [self], len(sightings) - len(set(long) | set(self.names))
        others = [name for name in long if name != self.names[0]]
        first = replace(self, choice=self.people.identities(self.names[0]), names=self.names[:1])
        wanted = others if most is None else others[: most - 1]
        people = [first, *(self._other(name, sightings[name]) for name in wanted)]
        return people, len(sightings) - len(set(long) | {self.names[0]})

    def _other(self, name: int, sightings: NDArray[np.intp]) -> Chosen:
        """A further person, whose groups are at these places of all frames' groups."""
        frame, group = np.divmod(sightings, self.people.names.shape[1])
        choice = np.full((int(frame[-1] - frame[0]) + 1, len(self.views)), -1)
        choice[frame - frame[0]] = self.people.candidates[frame, group]
        return replace(self, choice=choice, first=int(frame[0]), names=(name,))


def load_everyone(source: KeypointsFile, views: Sequence[str]) -> tuple[Crowd, NDArray[np.intp]] | None:
    """Everyone in some views of a file, held in memory, and `Chosen.rows`; None where the file has no candidates.

    Raises:
        InputError: The file cannot be read.
    """
    everyone = read_candidates(source.path, source.shape)
    if everyone is None or not len(everyone):
        return None
    wanted = [source.views.index(name) for name in views]
    own = everyone.without_unsure(source.least_confidence).select_views(wanted)
    rows = np.append(np.flatnonzero(np.isin(everyone.view_index, wanted)), -1)
    return Crowd(own, len(source), source.read(0, 0).select_views(views)), rows


def choose_by_geometry(source: KeypointsFile, rig: Rig, views: Sequence[str] = ()) -> Chosen | None:
    """Choose the person on whom all views of the rig agree; None if no image shows more than one person.

    All people are held in memory, because identities follow from the whole recording.

    Args:
        source: The `keypoints.h5` file.
        rig: Cameras of its views, or of some of them.
        views: Names of the views to read, including those of the rig; views without a camera keep their person. If
            empty, the views of the rig.

    Raises:
        InputError: The file cannot be read.
    """
    found = load_everyone(source, tuple(views) or rig.names)
    if found is None or not found[0].crowded:
        return None
    crowd, rows = found
    before = np.concatenate(list(_choices(source, crowd)))
    people = crowd.people(rig)
    names = tuple(main_person(people, before))
    own = np.isin(crowd.empty.views, rig.names)
    return Chosen(source, crowd, rows, np.where(own, people.identities(*names), before), before, people, names)


def choose_in_all_views(source: KeypointsFile, rig: Rig, lenses: Sequence[Camera], seed: int) -> Chosen | None:
    """Choose the person on whom the views of the rig agree, also in views whose cameras could not be placed.

    A camera may not have been placed because somebody else was followed in its view. If somebody in the view is the
    person, the camera is placed by them and the view takes part in the choice; otherwise it keeps its person.

    Args:
        source: The `keypoints.h5` file.
        rig: Cameras of some of its views.
        lenses: Cameras of all views to use.
        seed: Seed of the random sampling.

    Returns:
        The person in these views; None if no image shows more than one.

    Raises:
        InputError: The file cannot be read.
    """
    names = [camera.name for camera in lenses]
    chosen = choose_by_geometry(source, rig, names)
    lost = [camera for camera in lenses if camera.name not in rig.names]
    if chosen is None or not lost:
        return chosen
    xyz = _places(chosen, rig)
    everyone = chosen.crowd.candidates
    found = [place_by_person(everyone, names.index(c.name), c, xyz, source.skeleton, seed) for c in lost]
    back = [camera for camera in found if camera]
    if not back:
        return chosen
    return choose_by_geometry(source, replace(rig, cameras=(*rig.cameras, *back)), names)


def _places(chosen: Chosen, rig: Rig) -> NDArray[np.float64]:
    """Return the person's joints `(F, J, 3)` in some frames spread over the recording; NaN in others."""
    step = max(len(chosen) // _PLACED_FRAMES, 1)
    sample = chosen.read(step=step).select_views(rig.names)
    xyz = np.full((len(chosen), len(sample.skeleton), 3), np.nan)
    xyz[::step] = make_labels(sample, rig).poses.xyz
    return xyz


def report_choice(chosen: Chosen, scale: str | None = None) -> None:
    """Report that one of several people is taken, and in how many frames it is another than was followed.

    Args:
        chosen: The person.
        scale: Rule of the scale that goes by the lengths of this person; None if there is none.
    """
    changed = int((chosen.choice != chosen.followed).any(axis=1).sum())
    say(
        f"several people: the one whom all views agree on is taken, in {counted(changed, 'frame')} another"
        " than was followed"
    )
    if scale:
        there = np.flatnonzero((chosen.choice >= 0).sum(axis=1) >= 2)
        first, last = (chosen.source.frames[there[[0, -1]]].tolist()) if len(there) else ("-", "-")
        say(
            f"--scale {scale} is taken as that of person1 of the labels, who is in {len(there)} of {len(chosen)} frames"
            f" (the first is {first}, the last {last})"
        )


def warn_of_mirrors(everyone: Sequence[Chosen], rig: Rig) -> None:
    """Warn of people who move as others do in a mirror; `everyone` is in the order of their names in labels."""
    first = everyone[0]
    number = {person.names[0]: f"person{k}" for k, person in enumerate(everyone, 1)}
    images = mirror_images(first.people, tuple(number), first.crowd.candidates, rig, first.crowd.empty.skeleton)
    for image, of in images.items():
        warn(f"{number[image]} moves as {number[of]} does in a mirror: is one in view, and this what it shows?")


def _choices(source: KeypointsFile, crowd: Crowd) -> Iterator[NDArray[np.intp]]:
    """Which candidates the file's keypoints are, a part of the frames at a time."""
    table = crowd.candidates.table(crowd.frames, len(crowd.empty.views))
    for start in range(0, len(source), _PART):
        part = source.read(start, start + _PART).select_views(crowd.empty.views)
        yield choice_of(part, crowd.candidates, table[start : start + _PART])


def warn_of_people(path: Path, why: str) -> None:
    """Warn if keypoints hold several people, of whom none can be chosen by geometry.

    Args:
        path: The `keypoints.h5` file.
        why: What makes the choice impossible.

    Raises:
        InputError: The file cannot be read.
    """
    if has_candidates(path):
        warn(
            f"{path}: several people are in view, and with {why} the one whom all views agree on is not looked for; the"
            " one whose legs swing most is taken as `detect2d` followed them, which may be another in some frames"
        )
