"""The volume's convention is undone exactly, and crops, targets and augmentation agree on where a joint is."""

from dataclasses import replace

import numpy as np
import pytest

from epitool.camera import Camera, Rig
from epitool.nn.crops import (
    assumed_intrinsics,
    bones,
    crop_image,
    labels_to_volume,
    median_bone_lengths,
    volume_to_pose,
)
from epitool.nn.dataset import CACHE_MARGIN, CropDataset, Samples
from epitool.options import SMALL
from epitool.pose import square_boxes
from epitool.skeleton import Skeleton, skeleton

H36M = skeleton("h36m17")


def rig_of(distortion=(), focal=900.0):
    K = [[focal, 0, 330], [0, focal * 1.02, 250], [0, 0, 1]]
    return Rig((Camera("a", K, distortion, np.eye(3), [0.0, 0.0, 4.0], (640, 480)),), "mm", "none")


def some_poses(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, (count, len(H36M), 3)) + rng.normal(0, 0.3, (count, 1, 3))


def boxes_of(rig, xyz):
    return square_boxes(rig.project(xyz))


def lengths(xyz):
    start, end = np.array(bones(H36M)).T
    return np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1)


def test_pose_comes_back_exactly_from_its_volume_coordinates():
    rig, xyz = rig_of(), some_poses(5)
    boxes = boxes_of(rig, xyz)
    volume, visible = labels_to_volume(rig.to_cameras(xyz), rig, boxes, H36M)
    assert visible.all()
    for i in range(5):
        sizes = median_bone_lengths(xyz[[i]], H36M)
        pose, xy = volume_to_pose(volume[i].astype(float), boxes[i], rig.cameras[0].K, sizes, H36M)
        np.testing.assert_allclose(xy, rig.project(xyz[[i]])[0], atol=1e-3)
        np.testing.assert_allclose(pose[0], (xyz[i] - xyz[i, 0]), atol=1e-5)


def test_scale_of_the_world_does_not_matter():
    rig, xyz = rig_of(), some_poses(3)
    larger, boxes = rig.scaled(1000, "mm", "none"), boxes_of(rig, xyz)
    first, second = (
        labels_to_volume(r.to_cameras(x), r, boxes, H36M)[0] for x, r in ((xyz, rig), (xyz * 1000, larger))
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_x_and_y_follow_the_distorted_image():
    rig, xyz = rig_of(distortion=[-0.3, 0.1, 0, 0]), some_poses(2)
    boxes = boxes_of(rig, xyz)
    volume, _ = labels_to_volume(rig.to_cameras(xyz), rig, boxes, H36M)
    xy = (volume[..., :2] + 0.5) * boxes[..., None, 2:] + boxes[..., None, :2]
    np.testing.assert_allclose(xy, rig.project(xyz), atol=1e-3)


def test_joints_beyond_the_box_or_unknown_are_not_learned():
    rig, xyz = rig_of(), some_poses(1)
    boxes = boxes_of(rig, xyz)
    xyz[0, 3], xyz[0, 5] = np.nan, [0.0, 30.0, 0.0]
    volume, visible = labels_to_volume(rig.to_cameras(xyz), rig, boxes, H36M)
    assert np.flatnonzero(~visible[0, 0]).tolist() == [3, 5]
    assert np.isfinite(volume).all()


def test_unseen_bones_do_not_count_towards_the_size():
    rig, xyz = rig_of(), some_poses(1)
    boxes = boxes_of(rig, xyz)
    volume, _ = labels_to_volume(rig.to_cameras(xyz), rig, boxes, H36M)
    sizes = lengths(xyz)[0]
    sizes[4:9] = np.nan
    pose, _ = volume_to_pose(volume[0].astype(float), boxes[0], rig.cameras[0].K, sizes, H36M)
    np.testing.assert_allclose(pose[0], xyz[0] - xyz[0, 0], atol=1e-5)


def test_skeleton_without_bones_takes_its_size_from_the_root():
    assert bones(Skeleton("foreign", ("a", "b", "c"), (-1, -1, -1))) == ((0, 1), (0, 2))


def test_assumed_camera_looks_through_the_middle():
    np.testing.assert_array_equal(assumed_intrinsics((640, 480), 1.5), [[960, 0, 319.5], [0, 960, 239.5], [0, 0, 1]])


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


def test_augmentation_moves_target_and_image_alike():
    options = replace(SMALL, occlusion=False, colour_range=(1.0, 1.0))
    size = round(options.image_size * CACHE_MARGIN)
    volume = np.array([[[0.21, -0.13, 0.3]]], np.float32)
    at = np.round((volume[0, 0, :2] / CACHE_MARGIN + 0.5) * size).astype(int)
    crops = np.zeros((1, size, size, 3), np.uint8)
    crops[0, at[1] - 3 : at[1] + 4, at[0] - 3 : at[0] + 4] = 255
    one = np.zeros(1, np.intp)
    samples = Samples(("a.png",), one, one, np.ones((1, 4)), volume, np.ones((1, 1), bool))
    dataset = CropDataset(crops, samples, options, augment=True)
    for epoch in range(20):
        dataset.epoch = epoch
        crop, target, visible = dataset[0]
        bright = crop[..., 0].numpy() > crop.numpy().max() - 1
        found = np.array([axis.mean() for axis in np.nonzero(bright)])[::-1] / options.image_size - 0.5
        np.testing.assert_allclose(found, target[0, :2].numpy(), atol=1.5 / options.image_size)
        assert bool(visible[0])
    np.testing.assert_array_equal(dataset[0][0], dataset[0][0])
