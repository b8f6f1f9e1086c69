from dataclasses import replace

import cv2
import numpy as np
import pytest

from epitool.camera import Camera, Rig
from epitool.geometry.triangulation.labels import convert_labels, frames_solved, make_labels
from epitool.geometry.triangulation.triangulate import triangulate
from epitool.geometry.triangulation.vector_median import triangulate_dlt, triangulate_pair, vector_median
from epitool.skeleton import skeleton

WAYS = [("polynomial", "robust"), ("polynomial", "vector-median"), ("dlt", "vector-median")]


@pytest.mark.parametrize(("method", "combine"), WAYS)
def test_exact_keypoints_give_exact_poses(truth, method, combine):
    found = triangulate(truth.keypoints.xy, truth.keypoints.confidence, truth.rig, method=method, combine=combine)
    seen = truth.keypoints.seen
    pairs = seen.sum(axis=1) >= 2 if combine == "robust" else (seen & np.roll(seen, -1, axis=1))[:, :-1].any(axis=1)
    np.testing.assert_allclose(found.xyz, np.where(pairs[..., None], truth.poses.xyz, np.nan), atol=1e-6)
    assert pairs.mean() > 0.9


def test_a_pair_is_opencvs_triangulation_of_corrected_matches(truth):
    a, b = truth.rig.cameras[:2]
    rng = np.random.default_rng(0)
    xy = truth.keypoints.xy[:20, :2] + rng.normal(0, 2, truth.keypoints.xy[:20, :2].shape)
    ours = triangulate_pair(xy[:, 0], xy[:, 1], a, b)
    R = b.R @ a.R.T
    t = b.t - R @ a.t
    F = np.linalg.inv(b.K).T @ np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ R @ np.linalg.inv(a.K)
    corrected = cv2.correctMatches(F, xy[:, 0].reshape(1, -1, 2), xy[:, 1].reshape(1, -1, 2))
    points = cv2.triangulatePoints(a.P, b.P, corrected[0][0].T, corrected[1][0].T)
    np.testing.assert_allclose(ours.reshape(-1, 3), (points[:3] / points[3]).T, atol=1e-3)


@pytest.mark.parametrize(("method", "combine"), WAYS)
def test_a_joint_that_one_view_sees_is_missing(truth, method, combine):
    xy = truth.keypoints.xy.copy()
    xy[0, 1:, 3] = np.nan
    found = triangulate(xy, truth.keypoints.confidence, truth.rig, method=method, combine=combine)
    assert np.isnan(found.xyz[0, 3]).all()
    assert found.confidence[0, 3] == 0
    assert np.isfinite(np.delete(found.xyz[0], 3, axis=0)).all()


def test_a_point_behind_the_cameras_is_missing():
    """Two cameras side by side; a joint further right in the right camera than in the left one is behind both."""
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    left = Camera("left", K, [], np.eye(3), [0, 0, 0], (640, 480))
    right = Camera("right", K, [], np.eye(3), [-1, 0, 0], (640, 480))
    xy = np.array([[[[320.0, 240.0]], [[300.0, 240.0]]], [[[320.0, 240.0]], [[340.0, 240.0]]]])
    np.testing.assert_allclose(triangulate_pair(xy[:, 0], xy[:, 1], left, right)[0], [[0, 0, 25]])
    for found in (
        triangulate_pair(xy[:, 0], xy[:, 1], left, right),
        triangulate_dlt(xy, Rig((left, right), "mm", "x")),
    ):
        assert np.isfinite(found[:, 0, 0]).tolist() == [True, False]


def test_cameras_at_one_place_determine_no_point(truth):
    one = truth.rig.cameras[0]
    twin = replace(one, name="twin", R=cv2.Rodrigues(np.array([0, 0.05, 0]))[0] @ one.R)
    twin = replace(twin, t=-twin.R @ one.center)
    xy = one.project(truth.poses.xyz), twin.project(truth.poses.xyz)
    assert np.isnan(triangulate_pair(*xy, one, twin)).all()


def test_vector_median_is_the_candidate_nearest_to_the_others():
    candidates = np.array([0.0, 1.0, 1.1, 50.0])[:, None, None, None] * np.ones((1, 1, 1, 3))
    assert vector_median(candidates, np.zeros((4, 1, 1)))[0, 0] in (1, 2)
    assert vector_median(candidates[:3], np.zeros((3, 1, 1)))[0, 0] == 1


def test_two_candidates_tie_and_reprojection_decides():
    candidates = np.stack([np.zeros((1, 1, 3)), np.ones((1, 1, 3))])
    assert vector_median(candidates, np.array([[[2.0]], [[1.0]]]))[0, 0] == 1
    assert vector_median(candidates, np.array([[[1.0]], [[2.0]]]))[0, 0] == 0
    missing = np.stack([np.full((1, 1, 3), np.nan), np.ones((1, 1, 3))])
    assert vector_median(missing, np.zeros((2, 1, 1)))[0, 0] == 1


def test_one_bad_view_of_four_is_voted_down_where_dlt_is_not(truth):
    """A gross error in an outer view spoils one of three pairs, so the vector median does not notice."""
    xy = truth.keypoints.xy.copy()
    xy[:, 0] += [60, -40]

    def error(xyz):
        return np.nanmedian(np.linalg.norm(xyz - truth.poses.xyz, axis=-1))

    for combine in ("robust", "vector-median"):
        assert error(triangulate(xy, truth.keypoints.confidence, truth.rig, combine=combine).xyz) < 1e-6
    assert error(triangulate_dlt(xy, truth.rig)) > 50


def test_labels_undo_swaps_and_are_near_the_truth(truth, detected):
    labels = make_labels(detected, truth.rig, method="polynomial", jobs=1)
    error = np.linalg.norm(labels.poses.xyz - truth.poses.xyz, axis=-1)
    assert np.nanmedian(error) < 40
    assert frames_solved(labels).all()
    assert labels.swapped.any(axis=0).sum() == 1


def test_converted_labels_measure_their_own_joints(truth):
    other = convert_labels(truth, skeleton("mpii16"))
    assert other.poses.xyz.shape[1] == other.reprojection_px.shape[2] == 16
    assert np.nanmax(other.reprojection_px) < 1e-6  # all of its joints are joints of the source


def test_a_joint_errs_by_as_many_pixels_before_a_conversion_as_after(truth):
    """Pixels of a distorted image, whatever the joints are solved in."""
    wide = tuple(replace(camera, distortion=np.array([-0.3, 0.1, 0, 0, 0])) for camera in truth.rig.cameras)
    seen = replace(truth.rig, cameras=wide)
    noise = np.random.default_rng(0).normal(0, 3, truth.keypoints.xy.shape)
    labels = make_labels(replace(truth.keypoints, xy=seen.project(truth.poses.xyz) + noise), seen, jobs=1)
    body = skeleton("mpii16")
    kept = [labels.poses.skeleton.index(joint) for joint in body.joints]
    converted = convert_labels(labels, body)
    np.testing.assert_allclose(converted.reprojection_px, labels.reprojection_px[..., kept], atol=1e-9)
