"""Left and right exchanged in all views: a front at the back tells, and nothing else does."""

from dataclasses import replace

import numpy as np
import pytest

from epitool.geometry.body.facing import facing_of
from epitool.geometry.triangulation.labels import make_labels
from epitool.labels import Labels
from epitool.pose import Poses
from epitool.skeleton import Skeleton, skeleton
from epitool.synthetic import labels_of, walking_room
from epitool.synthetic.motion import SIDES, SKELETON, random_motion

BODY = skeleton("halpe26")


def poses_of(xyz: np.ndarray, body: Skeleton = SKELETON) -> Poses:
    return Poses(xyz, np.isfinite(xyz[..., 0]).astype(float), np.arange(len(xyz)), body, "mm", "world")


def whole_body(seed: int, noise: float = 0.0) -> Poses:
    """A puppet's face and feet, too, as joints of Halpe's; what it lacks is NaN."""
    motion = random_motion(200, seed)
    xyz = np.full((200, len(BODY), 3), np.nan)
    for name in SKELETON.joints:
        if name in BODY.joints:
            xyz[:, BODY.index(name)] = motion.joint(name)
    xyz[:, BODY.index("nose")] = motion.joint("neck_nose")
    for i, side in enumerate(SIDES):
        xyz[:, BODY.index(f"{side}_big_toe")] = motion.toes[:, i]
        to_ear = np.array([-20.0, (70, -70)[i], 40.0])
        xyz[:, BODY.index(f"{side}_ear")] = motion.joint("neck_nose") + motion.head_axes @ (to_ear - [80, 0, 0])
    return poses_of(xyz + np.random.default_rng(seed).normal(0, noise, xyz.shape), BODY)


def exchanged(poses: Poses) -> Poses:
    return replace(poses, xyz=poses.xyz[:, poses.skeleton.flip_order])


@pytest.mark.parametrize("seed", range(5))
def test_a_mirror_image_is_noticed_and_its_original_is_not(seed):
    for poses in (whole_body(seed, noise=30.0), poses_of(random_motion(200, seed).xyz)):
        told = facing_of(poses)
        assert told.frames > 150
        assert told.backward < 0.03 * told.frames
        assert not told.exchanged
        assert facing_of(exchanged(poses)).exchanged
        assert facing_of(replace(poses, xyz=poses.xyz * [1, -1, 1])).exchanged


@pytest.mark.parametrize("part", [("nose", "ear"), ("toe",), ("knee",)])
def test_face_feet_and_knees_tell_it_alone(part):
    poses = whole_body(1)
    xyz = poses.xyz.copy()
    for j, name in enumerate(BODY.joints):
        if name.endswith(("nose", "ear", "toe", "knee")) and not name.endswith(part):
            xyz[:, j] = np.nan
    one = replace(poses, xyz=xyz)
    assert facing_of(one).frames > 100
    assert not facing_of(one).exchanged
    assert facing_of(exchanged(one)).exchanged


def test_few_frames_and_half_of_them_say_nothing():
    poses = whole_body(2)
    few = exchanged(poses)
    few = replace(few, xyz=few.xyz[:19], confidence=few.confidence[:19], frames=few.frames[:19])
    assert facing_of(few).backward > 15
    assert not facing_of(few).exchanged
    half = np.where((np.arange(200) % 2 == 0)[:, None, None], exchanged(poses).xyz, poses.xyz)
    assert not facing_of(replace(poses, xyz=half)).exchanged


def test_who_lies_or_hangs_faces_ahead_too():
    poses = whole_body(3)
    for turn in (np.diag([1.0, -1, -1]), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])):
        assert facing_of(replace(poses, xyz=poses.xyz @ turn.T)).backward == facing_of(poses).backward


def test_animals_and_walkers():
    mouse = Skeleton("mouse", ("nose", "left_ear", "right_ear", "left_hip", "right_hip"), (-1,) * 5)
    assert facing_of(poses_of(np.random.default_rng(0).normal(size=(50, 5, 3)), mouse)).frames == 0
    walk: Labels = labels_of(random_motion(240, 4, frames_per_second=30.0).xyz, walking_room())
    assert facing_of(walk.poses).backward == 0


@pytest.mark.parametrize("wrong", [(0, 1), (1, 2, 3), (2,)])
def test_where_views_contradict_each_other_the_front_tells_which_are_right(wrong):
    """The exchanged views are half of them, most, or one."""
    motion, rig = whole_body(3), walking_room()
    truth = labels_of(motion.xyz, rig, body=BODY)
    swapped = np.zeros((len(motion.xyz), len(rig)), dtype=bool)
    swapped[20:120, wrong] = True
    labels = make_labels(truth.keypoints.with_swaps(swapped), rig, jobs=1)
    right = (labels.swapped == swapped).all(axis=1)
    assert right.mean() > 0.99
    np.testing.assert_allclose(labels.poses.xyz[right], truth.poses.xyz[right], atol=1.0)
    np.testing.assert_allclose(labels.keypoints.xy[right], truth.keypoints.xy[right])
    assert labels.reprojection_px[right][labels.used[right]].max() < 0.5
