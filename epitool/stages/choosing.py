"""Which of several people the keypoints are of, once cameras are known."""

from __future__ import annotations

from pathlib import Path

from epitool.camera import Rig
from epitool.console import say
from epitool.geometry.identity import choose_by_geometry
from epitool.geometry.people import choice_of, with_choice
from epitool.io.candidates import has_candidates, read_candidates
from epitool.io.keypoints import read_keypoints
from epitool.pose import Keypoints


def chosen_by_geometry(path: Path, rig: Rig, min_confidence: float) -> Keypoints | None:
    """Keypoints of the person whom all views of the rig agree on; None where no image shows more than one person.

    All frames are held in memory: who someone is follows from the whole recording.

    Args:
        path: The `keypoints.h5`.
        rig: Cameras of its views, or of some of them.
        min_confidence: Joints under it say nothing.

    Raises:
        InputError: The file cannot be read.
    """
    if not has_candidates(path):
        return None
    everyone = read_keypoints(path)
    found = read_candidates(path, everyone)
    if found is None:
        return None
    joints = everyone.select_views(rig.names)
    candidates = found.select_views([everyone.views.index(name) for name in rig.names])
    before = choice_of(joints, candidates)
    choice = choose_by_geometry(candidates, rig, before, joints.skeleton, min_confidence)
    changed = int((choice != before).any(axis=1).sum())
    say(f"several people: the one whom all views agree on is taken, in {changed} frames another than was followed")
    return with_choice(joints, candidates, choice)
