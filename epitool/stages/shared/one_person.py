"""Choice of the same person in all views out of several, once cameras are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.console import say, warn
from epitool.geometry.people.association import choose_by_geometry
from epitool.geometry.people.candidates import Candidates, choice_of, with_choice
from epitool.geometry.people.lost_views import placed_by_someone
from epitool.geometry.triangulation.labels import label
from epitool.io.candidates_h5 import has_candidates, read_candidates
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.pose import Keypoints

_PART = 10_000  # frames read at a time
_PLACED_FRAMES = 1000  # frames, spread over the recording, in which the person is triangulated
_ENOUGH, _HARDLY = 20, 0.02  # least frames to judge a view by, and share of them in which a view must show the person


@dataclass(frozen=True, eq=False)
class Chosen:
    """One of several people, read like the keypoints of a file.

    Attributes:
        source: The file.
        views: Names of the views that are read.
        candidates: All people in these views.
        choice: Index of the person's candidate in every frame and view, `(F, V)`; -1 for nobody.
    """

    source: KeypointsFile
    views: tuple[str, ...]
    candidates: Candidates
    choice: NDArray[np.intp]

    @property
    def frames(self) -> NDArray[np.int64]:
        """Frame numbers of the file."""
        return self.source.frames

    def __len__(self) -> int:
        return len(self.source)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Keypoints:
        """Read the keypoints of every `step`-th frame from index `start` to before `stop`."""
        part = self.source.read(start, stop, step).select_views(self.views)
        return with_choice(part, self.candidates, self.choice[start:stop:step])

    def views_without_the_person(self) -> dict[str, str]:
        """Return the views that show people, but hardly ever the one on whom other views agree, with likely causes."""
        agreed = (self.choice >= 0).sum(axis=1) >= 2
        anybody = self.candidates.table(*self.choice.shape)[agreed, :, 0] >= 0
        frames, shown = anybody.sum(axis=0), (anybody & (self.choice[agreed] >= 0)).sum(axis=0)
        return {
            name: f"it shows the person whom others agree on in {found} of {there} frames; does it show the same"
            " people, in sync, not mirrored, and does the camera stand where it is said to?"
            for name, there, found in zip(self.views, frames.tolist(), shown.tolist(), strict=True)
            if there >= _ENOUGH and found < _HARDLY * there
        }


def chosen_by_geometry(source: KeypointsFile, rig: Rig, views: Sequence[str] = ()) -> Chosen | None:
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
    everyone = read_candidates(source.path, (len(source), len(source.views), len(source.skeleton)))
    if everyone is None or not len(everyone):
        return None
    everyone = everyone.without_unsure(source.least_confidence)
    names = tuple(views) or rig.names
    candidates = everyone.select_views([source.views.index(name) for name in names])
    before = np.concatenate(list(_choices(source, names, candidates)))
    own = [names.index(name) for name in rig.names]
    mine = np.flatnonzero(np.isin(candidates.view_index, own))
    number = np.full(len(candidates) + 1, -1)  # the last one stands for index -1, nobody
    number[mine] = np.arange(len(mine))
    found = choose_by_geometry(candidates.select_views(own), rig, number[before[:, own]], source.skeleton)
    choice = before.copy()
    choice[:, own] = np.append(mine, -1)[found]
    return Chosen(source, names, candidates, choice)


def chosen_in_all_views(source: KeypointsFile, rig: Rig, lenses: Sequence[Camera], seed: int) -> Chosen | None:
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
    chosen = chosen_by_geometry(source, rig, names)
    lost = [camera for camera in lenses if camera.name not in rig.names]
    if chosen is None or not lost:
        return chosen
    xyz = _places(chosen, rig)
    found = [placed_by_someone(chosen.candidates, names.index(c.name), c, xyz, source.skeleton, seed) for c in lost]
    back = [camera for camera in found if camera]
    if not back:
        return chosen
    return chosen_by_geometry(source, replace(rig, cameras=(*rig.cameras, *back)), names)


def _places(chosen: Chosen, rig: Rig) -> NDArray[np.float64]:
    """Return the person's joints `(F, J, 3)` in some frames spread over the recording; NaN in others."""
    step = max(len(chosen) // _PLACED_FRAMES, 1)
    sample = chosen.read(step=step).select_views(rig.names)
    xyz = np.full((len(chosen), len(sample.skeleton), 3), np.nan)
    xyz[::step] = label(sample, rig).poses.xyz
    return xyz


def say_whom(chosen: Chosen) -> None:
    """Report that one of several people is chosen, and in how many frames this changes the choice so far."""
    before = np.concatenate(list(_choices(chosen.source, chosen.views, chosen.candidates)))
    changed = int((chosen.choice != before).any(axis=1).sum())
    say(f"several people: the one whom all views agree on is taken, in {changed} frames another than was followed")


def _choices(source: KeypointsFile, views: Sequence[str], candidates: Candidates) -> Iterator[NDArray[np.intp]]:
    """Yield the candidates that the file's keypoints were taken from, a part of the frames at a time."""
    table = candidates.table(len(source), len(views))
    for start in range(0, len(source), _PART):
        part = source.read(start, start + _PART).select_views(views)
        yield choice_of(part, candidates, table[start : start + _PART])


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
