import numpy as np
import pytest

from epitool.errors import InputError, UsageError
from epitool.skeleton import SKELETONS, Skeleton, convert_joints, skeleton, skeleton_of


@pytest.mark.parametrize("name", SKELETONS)
def test_trees_have_one_parent_before_or_after_but_no_cycle(name):
    tree = SKELETONS[name]
    for joint in range(len(tree)):
        seen = {joint}
        while (joint := tree.parents[joint]) >= 0:
            assert joint not in seen
            seen.add(joint)


@pytest.mark.parametrize("name", SKELETONS)
def test_every_left_joint_has_its_right_one(name):
    lefts = [joint for joint in SKELETONS[name].joints if joint.startswith("left_")]
    assert len(SKELETONS[name].flip_pairs) == len(lefts) == sum("right_" in j for j in SKELETONS[name].joints)
    order = SKELETONS[name].flip_order
    np.testing.assert_array_equal(order[order], np.arange(len(order)))


@pytest.mark.parametrize("name", sorted(set(SKELETONS) - {"common14"}))  # which has no face
def test_every_skeleton_makes_the_17_joints_of_human36m_by_affine_weights(name):
    weights = skeleton("h36m17").weights_from(SKELETONS[name])
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_conversion_commutes_with_affine_maps():
    rng = np.random.default_rng(0)
    source, target = skeleton("blazepose33"), skeleton("h36m17")
    xyz, confidence = rng.normal(size=(5, 33, 3)), rng.random((5, 33))
    A, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    converted, _ = convert_joints(xyz, confidence, source, target)
    of_mapped, _ = convert_joints(xyz @ A.T + b, confidence, source, target)
    np.testing.assert_allclose(of_mapped, converted @ A.T + b, atol=1e-12)


def test_derived_joint_is_missing_with_one_of_its_parts_and_as_sure_as_the_least():
    source, target = skeleton("coco17"), skeleton("h36m17")
    xy, confidence = np.ones((17, 2)), np.linspace(0.1, 0.9, 17)
    hips = [source.index("left_hip"), source.index("right_hip")]
    _, converted = convert_joints(xy, confidence, source, target)
    assert converted[target.index("pelvis")] == confidence[hips].min()
    xy[hips[0]] = np.nan
    joints, _ = convert_joints(xy, confidence, source, target)
    assert np.isnan(joints[target.index("pelvis")]).all()
    assert np.isfinite(joints[target.index("right_hip")]).all()


def test_halpe26_has_a_pelvis_a_crown_and_a_nose_of_its_own():
    """Which its conversion takes rather than derive them; the thorax is the middle of the shoulders, not its neck."""
    source, target = skeleton("halpe26"), skeleton("h36m17")
    assert source.joints[17:20] == ("head_top", "neck", "pelvis")  # by the order of Halpe-FullBody
    xy, confidence = np.random.default_rng(0).normal(size=(26, 2)), np.linspace(0.1, 3, 26)
    joints, sure = convert_joints(xy, confidence, source, target)
    for joint, number in (("pelvis", 19), ("head_top", 17), ("neck_nose", 0), ("left_ankle", 15), ("right_wrist", 10)):
        np.testing.assert_array_equal(joints[target.index(joint)], xy[number])
        assert sure[target.index(joint)] == confidence[number]
    np.testing.assert_allclose(joints[target.index("thorax")], xy[[5, 6]].mean(axis=0))


def test_the_mirror_exchanges_the_sides_of_whole_bodies_as_their_points_are_numbered():
    """By the numbers of COCO-WholeBody: 17 of the body, 6 of the feet, 68 of the face, 21 of each hand."""
    face = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    face += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1)]
    face += [*range(64, 59, -1), 67, 66, 65]
    order = skeleton("wholebody133").flip_order
    np.testing.assert_array_equal(order[:23], skeleton("coco23").flip_order)
    np.testing.assert_array_equal(order[23:91], 23 + np.array(face))
    np.testing.assert_array_equal(order[91:], [*range(112, 133), *range(91, 112)])


def test_a_joint_that_cannot_be_derived_is_missing():
    arms = Skeleton("arms", ("left_wrist", "right_wrist"), (-1, -1))
    joints, confidence = convert_joints(np.ones((2, 2)), np.ones(2), arms, skeleton("h36m17"))
    assert np.isfinite(joints[:, 0]).sum() == 2
    assert confidence.sum() == 2


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="known are h36m17"):
        skeleton("openpose")
    with pytest.raises(InputError, match="not its own"):
        skeleton_of("h36m17", ["a", "b"])
    with pytest.raises(InputError, match="has no joint 'tail'"):
        skeleton("h36m17").index("tail")
