"""A video that was mirrored: its geometry with one other view is possible, and the body is not."""

from dataclasses import replace

import numpy as np
from outcomes import detected, outcome, scene, solved, worst_deg

from epitool.geometry.calibration.known_cameras import judge_known
from epitool.geometry.triangulation.labels import make_labels


def mirrored(keypoints):
    xy = keypoints.xy.copy()
    xy[:, 1, :, 0] = 383 - xy[:, 1, :, 0]
    return replace(keypoints, xy=xy)


def test_among_four_it_is_left_out_by_name():
    labels = scene(4)
    found = solved(mirrored(detected(labels)), labels.rig)
    assert list(found.left_out) == ["cam2"]
    assert worst_deg(found, labels.rig) < 1


def test_of_two_views_none_is_trusted():
    labels = scene(2)
    said = outcome(mirrored(detected(labels)), labels.rig)
    assert said.startswith("fail")
    assert "is no view mirrored?" in said


def all_mirrored(keypoints):
    """What a detector finds in mirror images of all views: it names the mirror image of a left arm a right one."""
    order = keypoints.skeleton.flip_order
    xy = keypoints.xy[:, :, order].copy()
    xy[..., 0] = 383 - xy[..., 0]
    return replace(keypoints, xy=xy, confidence=keypoints.confidence[:, :, order])


def test_where_all_views_are_mirrored_the_world_is_a_mirror_image_and_nothing_tells():
    """A mirror image of a recording is a possible recording, of somebody who does with the left what they did with
    the right."""
    labels = scene(4)
    keypoints = all_mirrored(detected(labels))
    found = solved(keypoints, labels.rig)
    assert found.verdict.level == "pass"
    poses = make_labels(keypoints, found.rig, method="polynomial", jobs=1).poses
    order = keypoints.skeleton.flip_order
    world = labels.poses.xyz[:, order] * [-1.0, 1.0, 1.0]
    known = np.isfinite(poses.xyz).all(axis=-1)
    assert np.median(similarity_errors(poses.xyz[known], world[known])) < 15  # mm


def test_cameras_known_otherwise_tell_that_all_views_are_mirrored():
    labels = scene(4)
    verdict = judge_known(all_mirrored(detected(labels)), labels.rig, jobs=1)
    assert verdict.level != "pass"
    said = judge_known(detected(labels), labels.rig, jobs=1)
    assert said.level == "pass"


def similarity_errors(points, truth):
    """Distances after the best rotation, shift and scale, without a reflection."""
    a, b = points - points.mean(axis=0), truth - truth.mean(axis=0)
    U, S, Vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    scale = (S * sign).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ (U * sign @ Vt).T - b, axis=-1)
