"""Several people before the cameras: one is followed, and no other is mixed in."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from conftest import exact_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.geometry.people import association as identity
from epitool.geometry.people import candidates as people_module
from epitool.geometry.people.association import People, main_person, match_people
from epitool.geometry.people.candidates import Candidates, choice_of, follow_person, with_choice
from epitool.io.candidates_h5 import add_candidates, read_candidates
from epitool.io.keypoints_h5 import open_keypoints, read_keypoints, write_keypoints
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton, skeleton
from epitool.stages.shared import people as choosing
from epitool.synthetic import noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import ring_of_cameras

FRAMES, VIEWS = 150, 4
H36M, RIG = skeleton("h36m17"), ring_of_cameras()


def walker(seed, offset=(0.0, 0.0), frames=FRAMES):
    return random_motion(frames, seed).xyz + np.array([*offset, 0.0])


def standing(seed, offset, frames=FRAMES):
    return np.repeat(walker(seed, offset, 1), frames, axis=0)


def seen(xyz, seed) -> Keypoints:
    """What a detector with noise of 1 px, 5% gross errors and swapped sides makes of someone."""
    truth = exact_labels(len(xyz))
    xy = RIG.project(xyz)
    inside = ((xy >= 0) & (xy <= 383)).all(axis=-1)
    exact = replace(truth, keypoints=replace(truth.keypoints, xy=xy, confidence=inside.astype(float)))
    return noisy_keypoints(exact, sigma_px=1.0, outliers=0.05, swap_share=0.25, seed=seed)


def mixed_up(people, seed=0, missing=0.1, hidden=()):
    """Candidates in random order, some missed by the detector, and who each is `(C,)`; hidden: (person, view)."""
    rng, rows = np.random.default_rng(seed), []
    for f, v in np.ndindex(len(people[0].xy), VIEWS):
        for p in rng.permutation(len(people)):
            if rng.random() >= missing and (p, v) not in hidden and np.isfinite(people[p].xy[f, v]).any():
                rows.append((f, v, p))
    f, v, p = np.array(rows).T
    xy, confidence = (np.stack([getattr(people[k], n)[a, b] for a, b, k in rows]) for n in ("xy", "confidence"))
    return Candidates(xy, confidence, f, v), p


def choose_by_geometry(candidates, rig, previous, skeleton):
    """Which candidates one person is in all views, as commands choose them: `previous` where nobody else is seen."""
    if candidates.table(*previous.shape).shape[2] == 1:  # nobody else is seen
        return previous
    people = match_people(candidates, rig, len(previous), skeleton)
    return people.identities(*main_person(people, previous))


def shown(choice, who):
    """Who is chosen `(F, V)`, -1 for nobody."""
    return np.where(choice >= 0, who[choice], -1)


@pytest.fixture(scope="module")
def crossing():
    """Two who get in each other's way: they come as near as half a metre, and in the images cross often."""
    people = [seen(walker(3), 3), seen(walker(103, (300, 200)), 53)]
    assert np.linalg.norm(walker(3)[:, 0] - walker(103, (300, 200))[:, 0], axis=1).min() < 550
    return mixed_up(people)


def test_two_people_who_cross_are_told_apart_by_geometry(crossing):
    candidates, who = crossing
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    found = shown(choose_by_geometry(candidates, RIG, first, H36M), who)
    person = np.bincount(found[found >= 0]).argmax()
    assert ((found == person) | (found < 0)).all(axis=1).mean() >= 0.99
    there = candidates.table(FRAMES, VIEWS) >= 0
    of_person = (there & (who[candidates.table(FRAMES, VIEWS)] == person)).any(axis=-1)
    assert (found == person)[of_person].mean() > 0.98


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_people_who_almost_touch_are_told_apart(seed):
    """Less than 20 cm between their hips, at 5 frames a second."""
    candidates, who = mixed_up([seen(walker(seed), seed), seen(walker(seed + 100, (300, 200)), seed + 50)])
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    found = shown(choose_by_geometry(candidates, RIG, first, H36M), who)
    person = np.bincount(found[found >= 0]).argmax()
    assert ((found == person) | (found < 0)).all(axis=1).mean() >= 0.99


def test_before_calibration_most_views_agree_on_who_it_is(crossing):
    """By chance half of all pairs of views would show the same person: too few to calibrate from."""
    candidates, who = crossing
    found = shown(follow_person(candidates, FRAMES, VIEWS, H36M), who)
    both = (found[:, :, None] >= 0) & (found[:, None] >= 0) & ~np.eye(VIEWS, dtype=bool)
    assert (found[:, :, None] == found[:, None])[both].mean() > 0.75


@pytest.mark.parametrize("seed", range(3))
def test_a_bystander_in_two_views_is_never_chosen(seed):
    people = [seen(walker(seed), seed), seen(standing(seed + 100, (-1300, 1200)), seed + 50)]
    candidates, who = mixed_up(people, hidden={(1, 0), (1, 2)})
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    assert (shown(first, who) == 1).mean() < 0.01
    found = shown(choose_by_geometry(candidates, RIG, first, H36M), who)
    assert not (found == 1).any()
    assert (found == 0).mean() > 0.8


@pytest.mark.parametrize(("frames_followed", "chosen"), [((4, 3, 3), 1), ((2, 2, 6), 2), ((0, 0, 0), 1)])
def test_who_is_followed_in_most_images_is_chosen_or_else_who_is_seen_most(frames_followed, chosen):
    """Person 1 is seen in ten frames, and two others in nine; what was followed changes from one to the other."""
    groups = np.arange(10 * 3 * 2).reshape(10, 3, 2)
    groups[9, [0, 2]] = -1
    names = np.where((groups >= 0).any(axis=-1), np.arange(3), -1)
    followed = np.repeat(np.arange(3), frames_followed)
    previous = np.full((10, 2), -1)
    previous[: len(followed)] = groups[np.arange(len(followed)), followed]
    assert main_person(People(groups, names), previous)[0] == chosen


def test_three_people_and_one_of_them_in_one_view_only():
    people = [seen(walker(1), 1), seen(walker(103, (300, 200)), 2), seen(walker(7), 3)]
    candidates, who = mixed_up(people, hidden={(2, 0), (2, 1), (2, 3)})
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    found = shown(choose_by_geometry(candidates, RIG, first, H36M), who)
    assert not (found == 2).any()
    assert np.mean([len(set(row[row >= 0])) <= 1 for row in found]) >= 0.99


def test_one_person_stays_as_found_bit_for_bit(detected):
    detected = replace(detected, **{n: getattr(detected, n).astype(np.float32) for n in ("xy", "confidence")})
    there = np.isfinite(detected.xy[..., 0]).any(axis=-1)
    frame, view = np.nonzero(there)
    candidates = Candidates(detected.xy[there], detected.confidence[there], frame, view)
    first = follow_person(candidates, *there.shape, H36M)
    assert choose_by_geometry(candidates, RIG, first, H36M) is first
    again = with_choice(detected, candidates, first)
    np.testing.assert_array_equal(again.xy, detected.xy)
    np.testing.assert_array_equal(again.confidence, detected.confidence)


def test_how_many_are_worked_on_at_a_time_does_not_matter(crossing, monkeypatch):
    candidates, _ = crossing
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    found = choose_by_geometry(candidates, RIG, first, H36M)
    monkeypatch.setattr(people_module, "_PART", 7)
    monkeypatch.setattr(identity, "_CHUNK", 11 * (VIEWS * 2) ** 3)
    np.testing.assert_array_equal(follow_person(candidates, FRAMES, VIEWS, H36M), first)
    np.testing.assert_array_equal(choose_by_geometry(candidates, RIG, first, H36M), found)


def test_frames_without_anybody_stay_empty(crossing):
    candidates, _ = crossing
    kept = (candidates.frame_index < 40) | (candidates.frame_index >= 60)
    names = ("xy", "confidence", "frame_index", "view_index")
    fewer = Candidates(*(getattr(candidates, name)[kept] for name in names))
    choice = choose_by_geometry(fewer, RIG, follow_person(fewer, FRAMES, VIEWS, H36M), H36M)
    assert (choice[40:60] == -1).all()
    assert (choice[:40] >= 0).mean() > 0.8
    none = Candidates(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0, int), np.zeros(0, int))
    assert (follow_person(none, 5, 2, H36M) == -1).all()
    assert follow_person(none, 0, 2, H36M).shape == (0, 2)


@pytest.mark.parametrize("scale", [lambda c: c / 3, lambda c: c**2, lambda c: 100 * c + 5])
def test_the_scale_of_confidence_does_not_matter(crossing, scale):
    candidates, _ = crossing
    other = replace(candidates, confidence=np.where(candidates.confidence > 0, scale(candidates.confidence), 0))
    np.testing.assert_array_equal(
        follow_person(other, FRAMES, VIEWS, H36M), follow_person(candidates, FRAMES, VIEWS, H36M)
    )
    previous = candidates.table(FRAMES, VIEWS)[..., 0]
    choices = [choose_by_geometry(each, RIG, previous, H36M) for each in (candidates, other)]
    np.testing.assert_array_equal(*choices)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
def test_the_order_of_candidates_and_views_and_the_unit_do_not_matter(crossing, seed, factor):
    candidates, _ = crossing
    previous = candidates.table(FRAMES, VIEWS)[..., 0]
    choice = choose_by_geometry(candidates, RIG, previous, H36M)
    rng = np.random.default_rng(seed)
    order, views = rng.permutation(len(candidates)), rng.permutation(VIEWS)
    names = ("xy", "confidence", "frame_index", "view_index")
    shuffled = Candidates(*(getattr(candidates, name)[order] for name in names)).select_views(views.tolist())
    rig = Rig(tuple(RIG.cameras[v] for v in views), "mm", "none").scaled(factor, "arbitrary", "none")
    again = choose_by_geometry(shuffled, rig, np.argsort(order)[previous][:, views], H36M)
    before = np.where((choice >= 0)[..., None, None], candidates.xy[choice], np.nan)
    after = np.where((again >= 0)[..., None, None], shuffled.xy[again], np.nan)
    np.testing.assert_array_equal(after, before[:, views])


def test_mirrored_detections_are_chosen_alike(crossing):
    candidates, _ = crossing
    mirrored = np.arange(len(candidates)) % 3 == 0
    order = H36M.flip_order
    xy = np.where(mirrored[:, None, None], candidates.xy[:, order], candidates.xy)
    confidence = np.where(mirrored[:, None], candidates.confidence[:, order], candidates.confidence)
    changed = replace(candidates, xy=xy, confidence=confidence)
    first = follow_person(candidates, FRAMES, VIEWS, H36M)
    np.testing.assert_array_equal(follow_person(changed, FRAMES, VIEWS, H36M), first)
    np.testing.assert_array_equal(
        choose_by_geometry(changed, RIG, first, H36M), choose_by_geometry(candidates, RIG, first, H36M)
    )


def test_where_nobody_moves_the_one_seen_best_is_followed():
    """Statues, without any noise: whom to follow cannot be told from motion."""
    bodies = np.random.default_rng(0).uniform(0, 50, (2, 17, 2)) + np.array([[[0, 0]], [[200, 0]]])
    person, frame = np.tile([0, 1], 30), np.repeat(np.arange(30), 2)
    confidence = np.where(person == 1, 1.0, 0.7)[:, None] * np.ones(17)
    candidates = Candidates(bodies[person], confidence, frame, np.zeros(60, dtype=int))
    assert (person[follow_person(candidates, 30, 1, H36M)] == 1).all()


def test_skeletons_without_sides_are_followed_too(crossing):
    candidates, who = crossing
    plain = Skeleton("plain", tuple(f"joint{j}" for j in range(17)), (-1,) * 17)
    first = follow_person(candidates, FRAMES, VIEWS, plain)
    assert (first >= 0).mean() > 0.5
    found = shown(choose_by_geometry(candidates, RIG, first, plain), who)
    assert np.mean([len(set(row[row >= 0])) <= 1 for row in found]) >= 0.99


def test_candidates_are_checked_and_read_only():
    xy, confidence, index = np.zeros((3, 17, 2)), np.ones((3, 17)), np.arange(3)
    with pytest.raises(ValueError, match="confidence has shape"):
        Candidates(xy, confidence[:2], index, index)
    with pytest.raises(ValueError, match="view_index is negative"):
        Candidates(xy, confidence, index, -index)
    xy[0, 0, 0] = np.nan
    candidates = Candidates(xy, confidence, index, index)
    assert candidates.confidence[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        candidates.xy[0] = 1


def test_views_are_selected_and_renumbered(crossing):
    candidates, _ = crossing
    chosen = candidates.select_views([2, 0])
    assert sorted(set(chosen.view_index.tolist())) == [0, 1]
    np.testing.assert_array_equal(chosen.xy[chosen.view_index == 1], candidates.xy[candidates.view_index == 0])


@pytest.fixture
def stored(tmp_path, crossing):
    candidates, _ = crossing
    keypoints = with_choice(exact_labels(FRAMES).keypoints, candidates, follow_person(candidates, FRAMES, VIEWS, H36M))
    path = tmp_path / "keypoints.h5"
    write_keypoints(path, keypoints)
    return path


def test_candidates_survive_the_file_and_the_choice_is_one_of_them(stored, crossing):
    candidates, _ = crossing
    keypoints = read_keypoints(stored)
    assert read_candidates(stored, keypoints.xy.shape[:3]) is None
    add_candidates(stored, candidates)
    read = read_candidates(stored, keypoints.xy.shape[:3])
    np.testing.assert_array_equal(read.xy, candidates.xy.astype(np.float32))
    np.testing.assert_array_equal(read.frame_index, candidates.frame_index)
    choice, table = follow_person(candidates, FRAMES, VIEWS, H36M), read.table(FRAMES, VIEWS)
    np.testing.assert_array_equal(choice_of(keypoints, read, table), choice)
    np.testing.assert_array_equal(with_choice(keypoints, read, choice).xy, keypoints.xy)
    assert (choice_of(replace(keypoints, xy=keypoints.xy + 1), read, table) == -1).all()


def test_candidates_that_do_not_fit_are_refused(stored, crossing):
    candidates, _ = crossing
    add_candidates(stored, candidates)
    with pytest.raises(InputError, match="frames or views that its keypoints lack"):
        read_candidates(stored, (5, VIEWS, 17))
    with pytest.raises(InputError, match="17 joints, its keypoints have 16"):
        read_candidates(stored, (FRAMES, VIEWS, 16))
    with h5py.File(stored, "r+") as file:
        del file["candidates/xy"]
    with pytest.raises(InputError, match=r"lacks dataset 'candidates/xy'.*epitool detect2d"):
        read_candidates(stored, (FRAMES, VIEWS, 17))


def test_a_file_in_which_nobody_is_has_nobody_to_choose_from(stored, tmp_path, crossing):
    candidates, _ = crossing
    nobody = Candidates(*(getattr(candidates, name)[:0] for name in ("xy", "confidence", "frame_index", "view_index")))
    for frames in (0, FRAMES):
        write_keypoints(tmp_path / "k.h5", read_keypoints(stored).select_frames(np.arange(frames)))
        add_candidates(tmp_path / "k.h5", nobody)
        with open_keypoints(tmp_path / "k.h5") as file:
            assert choosing.choose_by_geometry(file, RIG) is None


def test_images_of_one_person_each_leave_nobody_to_choose(stored, crossing):
    candidates, who = crossing
    alone = Candidates(*(values[who == 0] for values in vars(candidates).values()))
    add_candidates(stored, alone)
    with open_keypoints(stored) as file:
        assert choosing.choose_by_geometry(file, RIG) is None


def test_linked_candidates_are_refused(stored, tmp_path):
    with h5py.File(stored, "r+") as file:
        file["candidates"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(InputError, match="'candidates' is no group of this file"):
        read_candidates(stored, (FRAMES, VIEWS, 17))
