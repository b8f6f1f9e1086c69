"""What the refinement unit is told: laws of looks, of mixed poses, and of errors put on to other poses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epitool.nn.detector_errors import AS_SEEN, DetectorErrors, Hardships, errors_of, looks_with_errors
from epitool.nn.looks import (
    BODY,
    FEATURES,
    LIMBS,
    PELVIS,
    THORAX,
    Looks,
    body_joints,
    described,
    face_apart,
    facing,
    looks_of,
    unit_size,
)
from epitool.nn.mocap import (
    Cameras,
    Mixing,
    Wardrobe,
    drawn_lengths,
    median_lengths,
    mirrored,
    mixed_poses,
    place_before_cameras,
    with_heads,
    with_lengths,
)
from epitool.nn.refiner import reference_lengths
from epitool.skeleton import skeleton
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
DOWN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up to y down


def level(count=40, seed=0):
    """Poses of a made-up motion, `(count, 16, 3)` mm, in the axes of a level camera."""
    xyz = random_motion(count, seed).xyz @ DOWN.T
    poses, _ = body_joints(xyz, H36M)
    return poses - poses[:, [PELVIS]]


def before_camera(count=40, seed=0, aside=0.35):
    return place_before_cameras(level(count, seed), Cameras(fallen=0.0, aside=aside), np.random.default_rng(seed))


def exact_looks(poses, hint=None):
    xy = poses @ K.T
    return looks_of(
        xy[..., :2] / xy[..., 2:], np.ones(poses.shape[:2]), np.empty(0) if hint is None else hint,
        np.tile(K, (len(poses), 1, 1)), BODY,
    )  # fmt: skip


def test_pelvis_and_thorax_are_in_the_middle_of_hips_and_shoulders():
    poses = level(5)
    for middle, joint in ((PELVIS, "hip"), (THORAX, "shoulder")):
        both = [poses[:, BODY.index(f"{side}_{joint}")] for side in ("left", "right")]
        np.testing.assert_allclose(poses[:, middle], np.mean(both, axis=0), atol=1e-9)


@pytest.mark.parametrize("name", ["h36m17", "coco17", "body25", "blazepose33", "halpe26", "mpii16", "common14"])
def test_every_detector_gives_the_limbs(name):
    known = np.isfinite(BODY.weights_from(skeleton(name))).all(axis=1)
    assert known[LIMBS].all()


@given(st.floats(0.2, 5), st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_what_is_told_does_not_change_with_the_size_of_the_world(factor, seed):
    poses = before_camera(6, seed)
    for a, b in zip(described(exact_looks(poses, poses)), described(exact_looks(factor * poses, factor * poses))):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_is_told_does_not_change_where_the_camera_turns():
    """A camera turned about its level axis sees other pixels of the same directions."""
    poses = before_camera(6, aside=0.0)
    angle = 0.3
    R = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    for a, b in zip(described(exact_looks(poses))[::2], described(exact_looks(poses @ R.T))[::2]):
        np.testing.assert_allclose(a, b, atol=2e-3)  # the middle of the rays is not quite that of the trunk


def test_the_mirror_of_a_mirror_and_exchanged_twice_are_nothing():
    looks = exact_looks(before_camera(4), before_camera(4))
    for twice, same in (
        (looks.mirrored().mirrored(), looks),
        (looks.exchanged().exchanged(), looks.without_hint()),
    ):
        for name in ("rays", "confidence", "hint"):
            np.testing.assert_array_equal(getattr(twice, name), getattr(same, name))


def test_a_hint_of_a_body_that_faces_the_other_way_is_none():
    poses = before_camera(30)
    assert np.isnan(exact_looks(poses, poses).exchanged().hint).all()


def test_what_is_not_seen_is_told_as_nothing_and_changes_no_other():
    poses = before_camera(4)
    looks = exact_looks(poses, poses)
    wrist = BODY.index("left_wrist")
    rays, sure = looks.rays.copy(), looks.confidence.copy()
    rays[:, wrist], sure[:, wrist] = np.nan, 0
    told = described(Looks(rays, sure, np.full(looks.hint.shape, np.nan)))[0]
    assert told.shape == (4, FEATURES)
    assert np.isfinite(told).all()
    assert (told[:, 2 * wrist : 2 * wrist + 2] == 0).all()
    assert (told[:, -48:] == 0).all()


def test_too_few_joints_or_all_in_one_place_are_not_usable():
    looks = exact_looks(before_camera(3))
    rays = looks.rays.copy()
    rays[0, 2:] = np.nan
    rays[1] = rays[1, :1]
    assert Looks(rays, looks.confidence, looks.hint).usable.tolist() == [False, False, True]


@given(st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_mixed_poses_keep_the_lengths_of_limbs(seed):
    """Carried over and turned rigidly: of one body, every bone of the limbs is as long as before."""
    poses = level(20)
    made = mixed_poses(poses, 50, Mixing(), np.random.default_rng(seed))
    lengths = median_lengths(poses)
    for parent, child in BODY.bones:
        if BODY.joints[child].endswith(("knee", "ankle", "elbow", "wrist", "hip")):
            found = np.linalg.norm(made[:, child] - made[:, parent], axis=-1)
            np.testing.assert_allclose(found, lengths[child], rtol=1e-6)
    assert len(np.unique(made.round(3), axis=0)) == 50


def test_nothing_mixed_is_the_poses_or_their_mirror_images():
    poses = level(8)
    made = mixed_poses(poses, 30, Mixing(0, 0, 0, 0), np.random.default_rng(0))
    both = np.concatenate([poses, mirrored(poses, BODY)])
    assert max(np.abs(both - one).max(axis=(1, 2)).min() for one in made) < 1e-9


def test_stated_lengths_are_taken_on_and_directions_kept():
    poses, wanted = level(10), reference_lengths()
    made = with_lengths(poses, np.tile(wanted, (10, 1)))
    for parent, child in BODY.bones:
        if BODY.joints[child].endswith(("knee", "ankle", "elbow", "wrist")):
            bone, before = made[:, child] - made[:, parent], poses[:, child] - poses[:, parent]
            np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), wanted[child], rtol=1e-9)
            cosine = (bone * before).sum(-1) / np.linalg.norm(bone, axis=-1) / np.linalg.norm(before, axis=-1)
            np.testing.assert_allclose(cosine, 1, atol=1e-9)


def test_lengths_are_drawn_alike_for_both_sides_but_for_a_little():
    drawn = drawn_lengths(reference_lengths(), (0.06, 0.0), 500, np.random.default_rng(0))
    left, right = (drawn[:, BODY.index(f"{side}_knee")] for side in ("left", "right"))
    np.testing.assert_allclose(left, right)
    assert np.log(left).std() == pytest.approx(0.06, rel=0.15)


def test_new_heads_are_above_and_before_the_chest():
    poses = level(200)
    made = with_heads(poses, np.random.default_rng(0))
    up = made[:, BODY.index("head_top")] - made[:, THORAX]
    assert (up[:, 1] < 0).mean() > 0.95
    nose = made[:, BODY.index("neck_nose")] - made[:, THORAX]
    assert ((nose * facing(poses)).sum(-1) > 0).mean() > 0.95


def test_people_stand_before_the_cameras():
    made = before_camera(500)
    assert (made[..., 2] > 0).all()
    up = made[:, THORAX] - made[:, PELVIS]
    assert (up[:, 1] < 0).mean() > 0.9


def test_errors_put_back_on_the_poses_they_come_from_give_what_was_seen():
    """With one known pose, whose residuals all take, and none of their scale drawn at random."""
    poses = before_camera(1)
    rng = np.random.default_rng(1)
    xy = poses @ K.T
    xy = xy[..., :2] / xy[..., 2:] + rng.normal(0, 3, (1, 16, 2))
    seen = looks_of(xy, np.full((1, 16), 0.7), poses + rng.normal(0, 40, poses.shape), K[None], BODY)
    errors = errors_of(seen, poses)
    assert len(errors) == 2  # and its mirror image
    one = DetectorErrors(*(getattr(errors, name)[:1] for name in ("poses", "rays", "confidence", "hints")))
    again = looks_with_errors(poses, one, AS_SEEN, _Plain())
    np.testing.assert_allclose(again.rays, seen.rays, atol=1e-6)
    np.testing.assert_allclose(unit_size(again.hint)[0], unit_size(seen.hint)[0], atol=1e-6)
    np.testing.assert_array_equal(again.confidence, seen.confidence)


class _Plain:
    """A generator of random numbers that draws none but the first, and no deviation at all."""

    def integers(self, *args, size=None, **kwargs):
        return np.zeros(size, dtype=int)

    def random(self, size=None):
        return np.full(size, 0.999)

    def uniform(self, low, high, size=None):
        return np.full(size, high)

    def normal(self, mean=0.0, deviation=1.0, size=None):
        return np.zeros(size) + mean

    def choice(self, values, size=None):
        return np.full(size, values[0])


def test_most_looks_with_gross_errors_are_left_out():
    poses = before_camera(400)
    looks = exact_looks(poses, poses)
    assert len(errors_of(looks, poses)) == 800
    turned_round = Looks(looks.rays, looks.confidence, looks.hint[:, BODY.flip_order] * [1.0, 1.0, -1.0])
    apart = face_apart(turned_round.hint, poses)  # but for those seen from the side
    assert apart.sum() > 100
    assert 0.2 < len(errors_of(turned_round.at(apart), poses[apart])) / (2 * apart.sum()) < 0.4


def test_hardships_happen_as_often_as_stated():
    poses = before_camera(600)
    errors = errors_of(exact_looks(poses, poses), poses)
    looks = looks_with_errors(poses, errors, Hardships(no_hint=0.3, unseen=0.5), np.random.default_rng(0))
    assert np.isnan(looks.hint[:, 0, 0]).mean() == pytest.approx(0.3, abs=0.06)
    assert 0.25 < (looks.confidence == 0).any(axis=1).mean() < 0.5
    made_up = looks_with_errors(poses, errors, Hardships(made_up=1.0, unseen=0.0), np.random.default_rng(0))
    apart = np.linalg.norm(made_up.rays - exact_looks(poses).rays, axis=-1)
    assert 0.01 < (apart > 5 * np.median(apart, axis=1, keepdims=True)).mean() < 0.03  # gross errors


def test_a_wardrobe_draws_the_same_with_the_same_seed():
    wardrobe = Wardrobe(level(10), reference_lengths(), (0.06, 0.02), (Mixing(), Mixing(turn=1.0)), new_heads=True)
    first, again = (wardrobe.draw(7, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (7, 16, 3)
