from dataclasses import replace

import numpy as np
import pytest

from epitool.geometry.calibration.compare import angle_deg
from epitool.geometry.two_view.epipolar import fundamental_of_pose, sampson_distance
from epitool.geometry.two_view.relative_pose import estimate_pair
from epitool.geometry.two_view.swaps import best_assignment, find_swaps, swap_costs


@pytest.mark.parametrize("view", range(4))
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_swaps_in_one_view_are_found(truth, view, share):
    rng = np.random.default_rng(view)
    swapped = np.zeros((len(truth.keypoints.frames), 4), dtype=bool)
    swapped[:, view] = rng.random(len(swapped)) < share
    noisy = truth.keypoints.xy + rng.normal(0, 2, truth.keypoints.xy.shape)
    given = replace(truth.keypoints, xy=noisy).with_swaps(swapped)
    found = find_swaps(given.xy, given.confidence, truth.rig, given.skeleton, 5.0)
    assert (found == swapped).mean() > 0.99


def test_costs_are_capped_sampson_distances_of_the_same_joints_under_both_readings(truth, detected):
    a, b = truth.rig.cameras[:2]
    R = b.R @ a.R.T
    F, flip = fundamental_of_pose(R, b.t - R @ a.t, a.K, b.K), detected.skeleton.flip_order
    first, second = detected.xy[:, 0], detected.xy[:, 1]
    both = np.isfinite(first + second + second[:, flip])[..., 0] & (flip != np.arange(17))
    for found, other in zip(swap_costs(F, first, second, detected.skeleton, 5.0), (second, second[:, flip])):
        squared = np.minimum(sampson_distance(F, first, other), 5.0) ** 2
        np.testing.assert_allclose(found, np.where(both, squared, 0.0).sum(axis=1), rtol=1e-9)


def test_costs_are_the_same_for_any_layout_in_memory_and_chunk(truth, detected):
    xy = detected.xy
    whole = find_swaps(xy, detected.confidence, truth.rig, detected.skeleton, 5.0)
    parts = [
        find_swaps(np.asfortranarray(xy[s]), detected.confidence[s], truth.rig, detected.skeleton, 5.0)
        for s in (slice(0, 1), slice(1, 50), slice(50, None))
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_of_two_readings_the_one_with_fewer_swaps_is_taken():
    gain = np.zeros((1, 4, 4))
    for a in range(4):
        for b in range(a + 1, 4):
            gain[0, a, b] = -100.0 if 2 in (a, b) else 100.0  # view 2 disagrees with all the others
    assert best_assignment(gain, np.ones((1, 4, 3)))[0].tolist() == [False, False, True, False]


def test_in_a_tie_the_less_sure_view_is_taken_as_swapped():
    gain = np.zeros((2, 2, 2))
    gain[:, 0, 1] = -100.0
    confidence = np.array([[[0.9], [0.6]], [[0.6], [0.9]]])
    assert best_assignment(gain, confidence).tolist() == [[False, True], [True, False]]


def test_nothing_is_swapped_where_nothing_is_seen():
    assert not best_assignment(np.zeros((3, 2, 2)), np.zeros((3, 2, 5))).any()


def test_more_views_than_can_be_tried_exhaustively():
    views = 14
    gain = np.full((1, views, views), 1.0)
    gain[0, 5, :] = gain[0, :, 5] = -1.0
    assert np.flatnonzero(best_assignment(gain, np.ones((1, views, 1)))[0]).tolist() == [5]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_pair_survives_swapped_frames(truth, share):
    rng = np.random.default_rng(7)
    swapped = np.zeros((len(truth.keypoints.frames), 4), dtype=bool)
    swapped[:, 1] = rng.random(len(swapped)) < share
    given = truth.keypoints.with_swaps(swapped)
    xy = given.xy + rng.normal(0, 2, given.xy.shape)
    a, b = truth.rig.cameras[:2]
    pair = estimate_pair(xy[:, 0], xy[:, 1], a.K, b.K, given.skeleton, "essential", 0)
    assert angle_deg(pair.R.T @ (b.R @ a.R.T)) < 3
    assert (pair.swapped == swapped[:, 1]).mean() > 0.95
