"""Everyone in view gives the cameras, whoever they are: crowds of made-up people, and what cannot be matched."""

from dataclasses import replace

import numpy as np
import pytest
from crowds import crowd_scene
from identities import few_views

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.doubts import Kind
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.everyone import calibrate_everyone
from epitool.geometry.people.matching import match_views

FIELDS = ("xy", "confidence", "frame_index", "view_index")


@pytest.fixture(scope="module")
def scene():
    """Three people, one of whom comes and goes, before four of the cameras."""
    return few_views(crowd_scene(1, people=3, frames=80), [0, 1, 2, 3])


def only(scene, kept):
    """The scene with some of the candidates only."""
    fewer = Candidates(*(getattr(scene.crowd.candidates, name)[kept] for name in FIELDS))
    return replace(scene, crowd=replace(scene.crowd, candidates=fewer), who=scene.who[kept])


def test_a_crowd_gives_the_cameras_and_everyone_one_identity(scene):
    found = calibrate_everyone(scene.crowd, scene.rig.cameras, jobs=1)
    assert found.verdict.level == "pass"
    assert max(pair.rotation_deg for pair in compare_rigs(found.rig, scene.rig)) < 1
    people = scene.crowd.people(scene.rig)
    for person in range(3):
        candidates = people.identities(person)
        assert candidates.shape == (80, 4)
        who = scene.who[candidates[candidates >= 0]]
        assert (who == np.bincount(who[who >= 0]).argmax()).mean() > 0.97
    joints = scene.crowd.joints(people)
    moments, people = np.divmod(joints.frames, joints.take_of.max() + 1)
    np.testing.assert_array_equal(people, joints.take_of)
    assert (np.diff(joints.frames) > 0).all()  # in the order of time, whosoever they are
    assert moments.max() < 80


def test_people_are_matched_before_any_camera_is_known(scene):
    crowd = scene.crowd
    people, _ = match_views(crowd.candidates, scene.rig.cameras, crowd.frames, crowd.empty.skeleton, 0, 1)
    groups = people.candidates
    who = np.where(groups >= 0, scene.who[groups], -9).reshape(-1, 4)
    several = [set(row[row >= 0].tolist()) for row in who if (row >= 0).sum() >= 2]
    assert len(several) > 100
    assert np.mean([len(each) == 1 for each in several]) > 0.95


def test_people_who_never_share_two_views_give_no_cameras(scene):
    apart = only(scene, (scene.who >= 0) & (scene.who % 3 == scene.crowd.candidates.view_index % 3))
    apart = few_views(apart, [0, 1, 2])
    apart = replace(apart, crowd=apart.crowd.select_frames(np.arange(40)))
    try:
        found = calibrate_everyone(apart.crowd, apart.rig.cameras, jobs=1)
    except GeometryError:
        return
    assert found.verdict.level == "fail"


def test_one_frame_with_somebody_gives_no_cameras(scene):
    with pytest.raises(GeometryError, match="two views or more show people in 1 frame: are these enough"):
        calibrate_everyone(only(scene, scene.crowd.candidates.frame_index == 40).crowd, scene.rig.cameras, jobs=1)


def test_a_view_of_other_people_is_left_out_and_said_to_be_so(scene):
    other = crowd_scene(2, people=3, frames=80).crowd.candidates
    own = scene.crowd.candidates
    of_own, of_other = np.flatnonzero(own.view_index != 3), np.flatnonzero(other.view_index == 3)
    mixed = Candidates(*(np.concatenate([getattr(own, n)[of_own], getattr(other, n)[of_other]]) for n in FIELDS))
    found = calibrate_everyone(replace(scene.crowd, candidates=mixed), scene.rig.cameras, jobs=1)
    assert set(found.left_out) == {scene.rig.names[3]}  # although a dozen of its people fit a place by chance
    assert found.left_out[scene.rig.names[3]].kind is Kind.STRANGERS
    assert found.verdict.level == "warn"
    assert found.verdict.left_out == found.left_out
    kept = Rig(scene.rig.cameras[:3], "mm", "none")
    assert max(pair.rotation_deg for pair in compare_rigs(found.rig, kept)) < 1


def test_the_order_in_which_people_are_found_does_not_matter(scene):
    crowd = scene.crowd
    order = np.random.default_rng(0).permutation(len(crowd.candidates))
    shuffled = Candidates(*(getattr(crowd.candidates, name)[order] for name in FIELDS))
    people, again = (replace(crowd, candidates=c).people(scene.rig) for c in (crowd.candidates, shuffled))
    for person in range(3):
        found = again.identities(person)
        np.testing.assert_array_equal(people.identities(person), np.where(found >= 0, order[found], -1))
