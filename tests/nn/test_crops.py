"""The volume's convention is undone exactly, by each of the three rules for the scale, and crops show what it says."""

import numpy as np
import pytest

from epitool.camera import Camera, Rig
from epitool.nn.crops import (
    RELEASED_CROPS,
    STANDARD_CROPS,
    bones,
    crop_image,
    labels_to_volume,
    median_bone_lengths,
    volume_to_pose,
)
from epitool.pose import square_boxes
from epitool.skeleton import Skeleton, skeleton

H36M = skeleton("h36m17")
NO_BONES = np.full(len(bones(H36M)), np.nan)


def rig_of(distortion=(), focal=900.0):
    K = [[focal, 0, 330], [0, focal * 1.02, 250], [0, 0, 1]]
    return Rig((Camera("a", K, distortion, np.eye(3), [0.0, 0.0, 4.0], (640, 480)),), "mm", "none")


def some_poses(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, (count, len(H36M), 3)) + rng.normal(0, 0.3, (count, 1, 3))


def to_volume(in_cameras, rig, boxes):
    K = np.broadcast_to([camera.K for camera in rig.cameras], (*boxes.shape[:2], 3, 3))
    return labels_to_volume(in_cameras, rig.project_own(in_cameras), K, boxes, H36M)


def boxes_of(rig, xyz):
    return square_boxes(rig.project(xyz))


def lengths(xyz):
    start, end = np.array(bones(H36M)).T
    return np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1)


def test_pose_comes_back_exactly_from_its_volume_coordinates():
    rig, xyz = rig_of(), some_poses(5)
    boxes = boxes_of(rig, xyz)
    volume, visible = to_volume(rig.to_cameras(xyz), rig, boxes)
    assert visible.all()
    for i in range(5):
        sizes = median_bone_lengths(xyz[[i]], H36M)
        pose, xy = volume_to_pose(volume[i].astype(float), boxes[i], rig.cameras[0].K, sizes, H36M)
        np.testing.assert_allclose(xy, rig.project(xyz[[i]])[0], atol=1e-3)
        np.testing.assert_allclose(pose[0], (xyz[i] - xyz[i, 0]), atol=1e-5)


def test_pose_off_the_axis_comes_back_from_the_depth_of_its_root():
    rig, xyz = rig_of(), some_poses(6) + np.array([1.4, -0.9, 0.5])
    boxes, in_cameras = boxes_of(rig, xyz), rig.to_cameras(xyz)
    volume, visible = to_volume(in_cameras, rig, boxes)
    assert visible.all()
    K, depth = rig.cameras[0].K, in_cameras[:, 0, 0, 2]
    pose, xy = volume_to_pose(volume[:, 0].astype(float), boxes[:, 0], K, NO_BONES, H36M, root_depth=depth)
    expected = in_cameras[:, 0] - in_cameras[:, 0, :1]
    assert np.abs(pose - expected).max() < 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(xy, rig.project(xyz)[:, 0], atol=1e-4)


def test_pose_in_a_box_of_known_length_comes_back_exactly():
    K, rng = np.array([[1145.0, 0, 512], [0, 1145, 515], [0, 0, 1]]), np.random.default_rng(2)
    pose = rng.normal(0, 300, (5, 17, 3)) + rng.uniform(-800, 800, (5, 1, 3)) + [0, 0, 5000]
    root, length = pose[:, :1], RELEASED_CROPS.box_size
    side = 1145 * length / root[:, :, 2]
    pixels = (pose @ K.T)[..., :2] / pose[..., 2:]
    boxes = np.concatenate([pixels[:, 0] - side / 2, side, side], axis=-1)
    x_y = (pixels - boxes[:, None, :2]) / side[..., None] - 0.5
    volume = np.concatenate([x_y, (pose - root)[..., 2:] / length], axis=-1)  # as the release labels its crops
    answer, xy = volume_to_pose(volume, boxes, K, NO_BONES, H36M, RELEASED_CROPS)
    np.testing.assert_allclose(answer, pose - root, atol=1e-9)
    np.testing.assert_allclose(xy, pixels, atol=1e-9)


def test_depth_of_the_root_goes_before_the_box_and_the_box_before_the_bones():
    K, box, volume = np.diag([900.0, 900.0, 1.0]), np.array([[-50.0, -50, 100, 100]]), some_poses(1) / 4
    bone_lengths, depth = lengths(some_poses(1, seed=1))[0], 3.0
    by_depth, by_box, by_bones = (
        volume_to_pose(volume, box, K, bone_lengths, H36M, convention, root_depth)[0]
        for convention, root_depth in ((RELEASED_CROPS, depth), (RELEASED_CROPS, None), (STANDARD_CROPS, None))
    )
    np.testing.assert_allclose(by_box, by_depth * (2000 * 900 / 100 / depth))
    assert lengths(by_bones).sum() == pytest.approx(bone_lengths.sum())


def test_pose_without_a_scale_is_missing_and_its_pixels_are_not():
    pose, xy = volume_to_pose(some_poses(1), np.array([[0.0, 0, 9, 9]]), np.eye(3), NO_BONES, H36M)
    assert np.isnan(pose).all()
    assert np.isfinite(xy).all()


def test_wrong_focal_length_harms_the_rule_of_the_root_depth_and_hardly_that_of_the_bones():
    rig, xyz = rig_of(focal=1100.0), some_poses(20) / 3
    boxes, in_cameras = boxes_of(rig, xyz), rig.to_cameras(xyz)
    volume, _ = to_volume(in_cameras, rig, boxes)
    K = rig.cameras[0].K * [[1.2], [1.2], [1]] * [[1, 1, 1 / 1.2], [1, 1, 1 / 1.2], [1, 1, 1]]
    expected = in_cameras[:, 0] - in_cameras[:, 0, :1]
    errors = []
    for depth in (in_cameras[:, 0, 0, 2], None):
        answers = [
            volume_to_pose(
                volume[[i], 0].astype(float),
                boxes[i],
                K,
                lengths(xyz)[i],
                H36M,
                root_depth=None if depth is None else depth[[i]],
            )[0][0]
            for i in range(20)
        ]
        errors.append(np.linalg.norm(answers - expected, axis=-1).mean() / np.linalg.norm(expected, axis=-1).mean())
    assert errors[0] > 0.1
    assert errors[1] < 0.03


def test_scale_of_the_world_does_not_matter():
    rig, xyz = rig_of(), some_poses(3)
    larger, boxes = rig.scaled(1000, "mm", "none"), boxes_of(rig, xyz)
    first, second = (to_volume(r.to_cameras(x), r, boxes)[0] for x, r in ((xyz, rig), (xyz * 1000, larger)))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_x_and_y_follow_the_distorted_image():
    rig, xyz = rig_of(distortion=[-0.3, 0.1, 0, 0]), some_poses(2)
    boxes = boxes_of(rig, xyz)
    volume, _ = to_volume(rig.to_cameras(xyz), rig, boxes)
    xy = (volume[..., :2] + 0.5) * boxes[..., None, 2:] + boxes[..., None, :2]
    np.testing.assert_allclose(xy, rig.project(xyz), atol=1e-3)


def test_joints_beyond_the_box_or_unknown_are_not_learned():
    rig, xyz = rig_of(), some_poses(1)
    boxes = boxes_of(rig, xyz)
    xyz[0, 3], xyz[0, 5] = np.nan, [0.0, 30.0, 0.0]
    volume, visible = to_volume(rig.to_cameras(xyz), rig, boxes)
    assert np.flatnonzero(~visible[0, 0]).tolist() == [3, 5]
    assert np.isfinite(volume).all()


def test_unseen_bones_do_not_count_towards_the_size():
    rig, xyz = rig_of(), some_poses(1)
    boxes = boxes_of(rig, xyz)
    volume, _ = to_volume(rig.to_cameras(xyz), rig, boxes)
    sizes = lengths(xyz)[0]
    sizes[4:9] = np.nan
    pose, _ = volume_to_pose(volume[0].astype(float), boxes[0], rig.cameras[0].K, sizes, H36M)
    np.testing.assert_allclose(pose[0], xyz[0] - xyz[0, 0], atol=1e-5)


def test_skeleton_without_bones_takes_its_size_from_the_root():
    assert bones(Skeleton("foreign", ("a", "b", "c"), (-1, -1, -1))) == ((0, 1), (0, 2))


@pytest.mark.parametrize("side", [40.0, 100.0, 400.0])
def test_crop_pixel_shows_the_image_where_the_convention_says(side):
    x, y = np.meshgrid(np.arange(512.0), np.arange(512.0))
    image = np.stack([x / 2, y / 2, 0 * x], axis=-1).astype(np.uint8)
    crop = crop_image(image, np.array([60.3, 41.7, side, side]), 96).astype(float)
    grid = np.arange(2, 94)
    np.testing.assert_allclose(crop[50, grid, 0] * 2, 60.3 + grid * side / 96, atol=2.5)
    np.testing.assert_allclose(crop[grid, 50, 1] * 2, 41.7 + grid * side / 96, atol=2.5)


def test_crop_is_black_outside_of_the_image():
    crop = crop_image(np.full((50, 50, 3), 200, np.uint8), np.array([-50.0, -50.0, 100.0, 100.0]), 64)
    assert crop[:30, :30].max() == 0
    assert crop[36:, 36:].min() == 200
