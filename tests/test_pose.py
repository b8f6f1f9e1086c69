from dataclasses import replace

import numpy as np
import pytest

from epitool.errors import InputError
from epitool.labels import split_frames
from epitool.pose import square_boxes


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
    joints = np.where(truth.keypoints.seen()[..., None], truth.keypoints.xy, np.nan)
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
