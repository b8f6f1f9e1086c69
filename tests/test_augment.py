"""An augmentation does to the targets what it does to the image."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.nn.augment import Occluders, paste, recolour
from epitool.nn.crop_store import CACHE_MARGIN
from epitool.nn.dataset import CropDataset
from epitool.options import SMALL
from epitool.skeleton import skeleton

H36M = skeleton("h36m17")
PLAIN = replace(SMALL, occlusion=False, colour_range=(1.0, 1.0))
SIDE = round(SMALL.image_size * CACHE_MARGIN)


def dataset(joint: int, options, weight=1.0) -> CropDataset:
    """One crop with a bright dot where a joint is; the other joints are unknown."""
    volume, weights = np.zeros((1, 17, 3), np.float32), np.zeros((1, 17, 3), np.float32)
    volume[0, joint], weights[0, joint] = (0.21, -0.13, 0.3), weight
    at = np.round((volume[0, joint, :2] / CACHE_MARGIN + 0.5) * SIDE).astype(int)
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    crop[at[1] - 3 : at[1] + 4, at[0] - 3 : at[0] + 4] = 255
    return CropDataset([crop], SimpleNamespace(volume=volume, weight=weights, skeleton=H36M), options, augment=True)


def test_target_follows_the_image():
    joint = H36M.index("left_wrist")
    data = dataset(joint, PLAIN)
    for epoch in range(30):
        data.epoch = epoch
        crop, target, weight = data[0]
        assert np.flatnonzero(weight[:, 0]).tolist() == [joint]
        bright = crop[..., 0].numpy() > crop.numpy().max() - 1
        found = np.array([axis.mean() for axis in np.nonzero(bright)])[::-1] / SMALL.image_size - 0.5
        np.testing.assert_allclose(found, target[joint, :2].numpy(), atol=1.5 / SMALL.image_size)


def test_same_epoch_gives_the_same_bits_and_another_one_others():
    data = dataset(3, SMALL)
    first = data[0][0].numpy().copy()
    np.testing.assert_array_equal(first, data[0][0].numpy())
    data.epoch = 1
    assert (first != data[0][0].numpy()).any()


def test_joint_that_leaves_the_crop_weighs_nothing():
    data = dataset(3, replace(PLAIN, scale_range=(0.3, 0.3), rotation_deg=0.0))
    assert (data[0][2] == 0).all()
    data = dataset(3, PLAIN, weight=np.array([1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(data[0][2][3].numpy(), [1, 1, 0])  # z stays unknown


def test_colours_are_multiplied_and_clipped():
    crop = np.full((4, 4, 3), 200, np.uint8)
    found = recolour(crop, np.random.default_rng(1), replace(SMALL, colour_range=(0.5, 2.0)))
    factors = np.random.default_rng(1).uniform(0.5, 2.0, 3)
    np.testing.assert_array_equal(found[0, 0], np.clip(200 * factors, 0, 255).astype(np.uint8))


def test_cutout_is_blended_by_its_alpha_and_cut_at_the_border():
    crop, cutout = np.full((10, 10, 3), 100, np.uint8), np.zeros((4, 4, 4), np.uint8)
    cutout[..., :3], cutout[..., 3] = 200, 128
    paste(crop, cutout, np.array([0, 5]))
    changed = crop[..., 0] != 100
    assert changed.sum() == 4 * 2  # the left half is beyond the border
    np.testing.assert_array_equal(crop[changed], round(100 + 100 * 128 / 255))
    paste(crop, cutout, np.array([50, 50]))  # far beyond


def test_cutouts_of_a_folder_are_pasted(tmp_path):
    red = np.zeros((300, 200, 4), np.uint8)
    red[..., 2], red[..., 3] = 255, 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    cv2.imwrite(str(tmp_path / "opaque.png"), red[..., :3])
    occluders, rng, painted = Occluders(str(tmp_path), seed=0), np.random.default_rng(0), 0
    for _ in range(40):
        crop = np.zeros((96, 96, 3), np.uint8)
        occluders.paint(crop, rng)
        assert not crop[..., 1:].any()
        painted += crop.any()
    assert 10 < painted < 30


def test_folder_without_alpha_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "opaque.png"), np.zeros((5, 5, 3), np.uint8))
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(InputError, match="holds no image with alpha"):
        Occluders(str(tmp_path), seed=0)
