"""One person whom a detector found in two parts is one person; limbs of another are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import epitool
from test_people import H36M, RIG, mixed_up, seen, walker

from epitool.geometry.people.candidates import follow_person, with_choice
from epitool.geometry.people.halves import parts_of_people
from epitool.io.cameras import write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.skeleton import skeleton
from epitool.stages.shared.assembling import Found, join_bodies

FRAMES = 60
COCO = skeleton("coco17")
LEGS = [i for i, joint in enumerate(H36M.joints) if joint.endswith(("hip", "knee", "ankle"))]
ARMS = [i for i, joint in enumerate(H36M.joints) if joint.endswith(("elbow", "wrist"))]


def only(xy: np.ndarray, joints: list[int]) -> np.ndarray:
    out = np.full_like(xy, np.nan)
    out[..., joints, :] = xy[..., joints, :]
    return out


def found_in_parts(people: list[np.ndarray], parts: list[list[int]]) -> Found:
    """What a detector makes of people `(F, J, 2)` in one view if it finds each in these parts."""
    rows = [only(person[f], part) for f in range(len(people[0])) for person in people for part in parts]
    counts = np.full(len(people[0]), len(people) * len(parts))
    confidence = np.isfinite(rows)[..., 0].astype(np.float32)
    own = np.zeros((len(rows), *confidence.shape[1:], 3), np.float16)
    return Found(np.arange(len(people[0])), counts, np.array(rows, np.float32), confidence, own)


REST = sorted(set(range(len(H36M))) - set(LEGS))


@pytest.mark.parametrize("view", range(4))
def test_upper_and_lower_body_are_one_person(view, capsys):
    xy = RIG.project(walker(3, frames=FRAMES))[:, view]
    whole = join_bodies(found_in_parts([xy], [REST, LEGS]), "cam1", H36M)
    assert whole.people.tolist() == [1] * FRAMES
    np.testing.assert_array_equal(whole.xy, xy.astype(np.float32))
    assert (whole.confidence == 1).all()
    assert np.isnan(whole.xyz).all()  # each part has its own origin
    assert f"view cam1: {FRAMES} people in {FRAMES} images came in two parts" in " ".join(
        capsys.readouterr().err.split()
    )


def test_parts_of_two_who_stand_apart_are_not_mixed():
    two = [RIG.project(walker(seed, (way, 0), FRAMES))[:, 0] for seed, way in ((3, -700), (103, 900))]
    whole = join_bodies(found_in_parts(two, [REST, LEGS]), "cam1", H36M)
    assert (whole.people == 2).mean() > 0.95
    frame = np.repeat(np.arange(FRAMES), whole.people)
    seen_joints = np.isfinite(whole.xy[..., 0])
    same = np.stack([np.isclose(whole.xy, person[frame], atol=1e-3).all(axis=-1) for person in two])
    assert ((same == seen_joints).all(axis=-1)).any(axis=0).mean() > 0.98


def test_whole_people_and_people_of_whom_one_half_is_seen_each_stay_as_they_are():
    near = [RIG.project(walker(seed, (way, 0), FRAMES))[:, 0] for seed, way in ((3, -700), (103, 900))]
    whole = found_in_parts(near, [list(range(len(H36M)))])
    assert join_bodies(whole, "cam1", H36M) is whole
    sitting = found_in_parts(near, [REST])  # behind desks: nobody has a joint that the other lacks
    assert join_bodies(sitting, "cam1", H36M) is sitting


def test_parts_that_overlap_join_where_their_joints_are_the_same():
    xy = RIG.project(walker(5, frames=1))[:, 0]
    hips = [H36M.index(f"{side}_hip") for side in ("left", "right")]
    assert join_bodies(found_in_parts([xy], [[*REST, *hips], LEGS]), "cam1", H36M).people.tolist() == [1]
    other = xy + 60.0  # someone else's legs: their hips are elsewhere
    both = np.stack([only(xy[0], [*REST, *hips]), only(other[0], LEGS)])
    assert parts_of_people(both, np.array([2]), H36M).tolist() == [-1, -1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.2, 5), st.floats(-1000, 1000))
def test_what_is_a_part_does_not_depend_on_order_scale_or_place(seed, scale, shift):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 300, (4, len(COCO), 2))
    xy[rng.random(xy.shape[:2]) < 0.6] = np.nan
    some = parts_of_people(xy, np.array([4]), COCO)
    np.testing.assert_array_equal(parts_of_people(scale * xy + shift, np.array([4]), COCO), some)
    order = rng.permutation(4)
    pairs = {frozenset((i, w)) for i, w in enumerate(some.tolist()) if w >= 0}
    again = parts_of_people(xy[order], np.array([4]), COCO)
    assert {frozenset((int(order[i]), int(order[w]))) for i, w in enumerate(again.tolist()) if w >= 0} == pairs


def test_arms_of_another_in_several_views_are_named(here):
    people = [seen(walker(3), 3), seen(walker(103, (900, 600)), 53)]
    rng = np.random.default_rng(0)
    taken = rng.random(people[0].xy.shape[:2]) < 0.35
    xy = [person.xy.copy() for person in people]
    for one, other in ((0, 1), (1, 0)):
        swapped = people[other].xy[taken][:, ARMS]
        some = xy[one][taken]
        some[:, ARMS] = swapped
        xy[one][taken] = some
    people = [type(p)(**{**vars(p), "xy": x, "confidence": np.isfinite(x[..., 0]) * 0.9}) for p, x in zip(people, xy)]
    candidates, _ = mixed_up(people, missing=0.0)
    choice = follow_person(candidates, len(people[0].xy), 4, H36M)
    write_keypoints(Path("keypoints.h5"), with_choice(people[0], candidates, choice))
    add_candidates(Path("keypoints.h5"), candidates)
    write_rig(Path("cameras.toml"), RIG)
    result = epitool("triangulate", "--keypoints", "keypoints.h5", "--cameras", "cameras.toml", "--out", "labels.h5")
    labels = read_labels("labels.h5")
    assert (result.returncode, labels.verdict) == (0, "warn")
    assert "a part of an arm or leg is more than twice as long" in labels.reasons[0]
