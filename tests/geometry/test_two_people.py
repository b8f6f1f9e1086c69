"""Two people, and a detector that finds one an image: the cameras hold, and a warning says what is likely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool
from test_people import H36M, RIG, mixed_up, seen, standing, walker

from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.people.candidates import follow_person, with_choice
from epitool.io.cameras import read_rig, write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import write_keypoints
from epitool.synthetic import noisy_keypoints


def test_now_one_now_the_other_in_each_view(here):
    first, second = exact_labels(120, 0), exact_labels(120, 7)
    moved = replace(second.poses, xyz=second.poses.xyz + np.array([900.0, -700.0, 0.0]))
    one = noisy_keypoints(first, sigma_px=1.5, outliers=0.02, swap_share=0.0, seed=0)
    xy = np.where(np.isfinite(first.rig.project(moved.xyz)), first.rig.project(moved.xyz), np.nan)
    other = np.random.default_rng(0).random((120, 4)) < 0.5
    mixed = replace(one, xy=np.where(other[..., None, None], xy, one.xy), confidence=np.ones(xy.shape[:3]))
    write_keypoints(Path("keypoints.h5"), mixed)
    write_rig(Path("lenses.toml"), first.rig)
    result = epitool("calibrate", "--intrinsics", "lenses.toml")
    assert result.returncode == 0, result.stderr
    assert "are there two people?" in result.stderr
    for pair in compare_rigs(read_rig(Path("cameras.toml")), first.rig):
        assert pair.rotation_deg < 1


def before_cameras(people, choice=None, hidden=()):
    """`keypoints.h5` with everyone, of whom some are followed; and `lenses.toml`."""
    candidates, who = mixed_up(people, missing=0.02, hidden=hidden)
    frames = len(people[0].xy)
    followed = follow_person(candidates, frames, 4, H36M)
    if choice:
        view, person = choice
        table = candidates.table(frames, 4)[:, view]
        mine = (table >= 0) & (who[table] == person)
        followed[:, view] = np.where(mine.any(axis=1), table[np.arange(frames), mine.argmax(axis=1)], -1)
    write_keypoints(Path("keypoints.h5"), with_choice(people[0], candidates, followed))
    add_candidates(Path("keypoints.h5"), candidates)
    write_rig(Path("lenses.toml"), RIG)


@pytest.mark.thorough  # test_mirrored_view.py has it without the bystander
def test_a_view_that_is_left_out_is_warned_of_with_a_bystander_too(here):
    """A mirrored view; the bystander is in two others."""
    people = [seen(walker(2), 2), seen(standing(102, (-1300, 1200)), 52)]
    mirrored = []
    for person in people:
        xy, confidence, order = person.xy.copy(), person.confidence.copy(), H36M.flip_order
        xy[:, 1, :, 0] = 383 - xy[:, 1, :, 0]
        xy[:, 1], confidence[:, 1] = xy[:, 1][:, order], confidence[:, 1][:, order]
        mirrored.append(replace(person, xy=xy, confidence=confidence))
    before_cameras(mirrored, hidden={(1, 0), (1, 1)})
    result = epitool("calibrate", "--intrinsics", "lenses.toml")
    assert result.returncode == 0, result.stderr
    assert "verdict: warn" in result.stdout
    assert "view cam2: is left out" in result.stderr
    assert "in sync" in result.stderr


def test_a_view_in_which_another_was_followed_gets_its_place_by_the_right_one(here):
    before_cameras([seen(walker(2), 2), seen(walker(105, (600, 500)), 52)], choice=(1, 1))
    result = epitool("calibrate", "--intrinsics", "lenses.toml")
    assert result.returncode == 0, result.stderr
    found = read_rig(Path("cameras.toml"))
    assert found.names == RIG.names
    assert max(pair.rotation_deg for pair in compare_rigs(found, RIG)) < 1
    assert "left out" not in result.stderr
