from dataclasses import replace

import numpy as np
import pytest

from epitool.errors import InputError
from epitool.geometry.people.candidates import Candidates, with_choice
from epitool.geometry.timing.sync import synchronized
from epitool.io.keypoints_h5 import read_keypoints, write_keypoints
from epitool.labels import split_frames
from epitool.pose import Keypoints, square_boxes
from epitool.skeleton import skeleton


def test_a_coordinate_that_is_not_finite_makes_the_joint_missing(truth):
    xy = truth.keypoints.xy.copy()
    xy[0, 0, 0, 1] = np.inf
    keypoints = replace(truth.keypoints, xy=xy)
    assert np.isnan(keypoints.xy[0, 0, 0]).all()
    assert keypoints.confidence[0, 0, 0] == 0


def test_swapping_twice_is_nothing(truth):
    flags = np.random.default_rng(0).random(truth.keypoints.xy.shape[:2]) < 0.5
    twice = truth.keypoints.with_swaps(flags).with_swaps(flags)
    np.testing.assert_array_equal(twice.xy, truth.keypoints.xy)


def test_boxes_hold_all_joints_in_a_square(truth):
    boxes = truth.keypoints.boxes()
    joints = np.where(truth.keypoints.seen[..., None], truth.keypoints.xy, np.nan)
    np.testing.assert_allclose(boxes[..., 2], boxes[..., 3])
    with np.errstate(invalid="ignore"):
        outside = (joints < boxes[..., None, :2]) | (joints > boxes[..., None, :2] + boxes[..., None, 2:])
    assert not outside.any()


def test_no_box_around_fewer_than_two_joints():
    assert np.isnan(square_boxes(np.array([[1.0, 2.0], [np.nan, np.nan]]))).all()
    assert np.isnan(square_boxes(np.array([[1.0, 2.0], [1.0, 2.0]]))).all()


def test_views_are_matched_by_name(truth):
    two = truth.keypoints.select_views(["cam3", "cam1"])
    np.testing.assert_array_equal(two.xy[:, 1], truth.keypoints.xy[:, 0])
    with pytest.raises(InputError, match="no keypoints of view door"):
        truth.keypoints.select_views(["door"])


def test_shapes_and_order_of_frames_are_checked(truth):
    with pytest.raises(ValueError, match="expected"):
        replace(truth.keypoints, confidence=truth.keypoints.confidence[:1])
    with pytest.raises(ValueError, match="increasing"):
        replace(truth.keypoints, frames=truth.keypoints.frames[::-1])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_parts_are_contiguous_disjoint_and_complete(count):
    parts = split_frames(count)
    joined = np.concatenate([parts[name] for name in ("train", "val", "test")])
    np.testing.assert_array_equal(joined, np.arange(count))


def test_the_recording_id_tells_recordings_apart(truth):
    renamed = replace(truth.keypoints, images=np.char.add(truth.keypoints.images, "x"))
    assert replace(truth, keypoints=renamed).recording_id != truth.recording_id
    moved = replace(truth.keypoints, images=np.char.add("elsewhere/", truth.keypoints.images))
    assert replace(truth, keypoints=moved).recording_id == truth.recording_id


def with_own_3d(frames=4):
    """Keypoints of two views, with the detector's own 3D in one of them."""
    body, rng = skeleton("coco17"), np.random.default_rng(0)
    own = rng.normal(0, 300, (frames, 2, 17, 3))
    own[:, 1] = np.nan
    return Keypoints(
        rng.uniform(0, 100, (frames, 2, 17, 2)), np.ones((frames, 2, 17)), np.arange(frames), ("a", "b"),
        np.full((frames, 2), ""), np.full((2, 2), 100), body, detected_xyz=own,
    )  # fmt: skip


def test_the_detectors_own_3d_goes_where_the_joints_go(tmp_path):
    keypoints = with_own_3d()
    own = keypoints.detected_xyz
    np.testing.assert_array_equal(keypoints.select_views(["b", "a"]).detected_xyz, own[:, ::-1])
    np.testing.assert_array_equal(keypoints.select_frames(np.array([1, 3])).detected_xyz, own[[1, 3]])
    swapped = np.zeros((4, 2), dtype=bool)
    swapped[2, 0] = True
    flipped = keypoints.with_swaps(swapped).detected_xyz
    assert np.isnan(flipped[2, 0]).all()  # it is of somebody who faces the other way
    np.testing.assert_array_equal(flipped[~swapped], own[~swapped])
    hips = [keypoints.skeleton.index(f"{side}_hip") for side in ("left", "right")]
    pelvis = keypoints.convert(skeleton("h36m17")).detected_xyz[:, :, 0]
    np.testing.assert_allclose(pelvis, own[:, :, hips].mean(axis=2))
    write_keypoints(tmp_path / "k.h5", keypoints)
    np.testing.assert_allclose(read_keypoints(tmp_path / "k.h5").detected_xyz, own, atol=1)


def test_keypoints_without_own_3d_have_none(tmp_path):
    keypoints = replace(with_own_3d(), detected_xyz=np.empty(0))
    assert not keypoints.convert(skeleton("h36m17")).select_views(["b"]).detected_xyz.size
    write_keypoints(tmp_path / "k.h5", keypoints)
    assert not read_keypoints(tmp_path / "k.h5").detected_xyz.size


def test_own_3d_is_of_the_one_chosen_before_and_goes_with_them():
    keypoints = with_own_3d()
    others = Candidates(keypoints.xy[:, 0] + 5, keypoints.confidence[:, 0], np.arange(4), np.zeros(4, dtype=int))
    choice = np.full((4, 2), -1)
    choice[:, 0] = np.arange(4)
    assert np.isnan(with_choice(keypoints, others, choice).detected_xyz).all()


def test_own_3d_is_that_of_the_image_where_views_are_shifted_in_time():
    keypoints = with_own_3d()
    np.testing.assert_array_equal(
        synchronized(keypoints, [1.0, 0.0]).detected_xyz[:3, 0], keypoints.detected_xyz[1:, 0]
    )
