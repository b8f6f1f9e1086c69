"""An augmentation does to the targets what it does to the image."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.nn import augment
from epitool.nn.augment import Occluders, paste, recolour
from epitool.nn.crop_store import CACHE_MARGIN
from epitool.nn.crops import crop_image, enlarged
from epitool.nn.dataset import CropDataset
from epitool.options.network import SMALL
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


def test_crop_that_is_not_augmented_is_the_one_that_predict_cuts():
    y, x = np.mgrid[:300, :400]
    image = np.round(127 + 100 * np.stack([np.sin(x / 21), np.cos(y / 17), np.sin((x + y) / 25)], -1)).astype(np.uint8)
    box = np.array([120.3, 60.7, 150.0, 150.0])
    zeros = np.zeros((1, 17, 3), np.float32)
    samples = SimpleNamespace(volume=zeros, weight=zeros, skeleton=H36M)
    data = CropDataset([crop_image(image, enlarged(box, CACHE_MARGIN), SIDE)], samples, PLAIN, augment=False)
    found, exact = data[0][0].numpy().astype(int), crop_image(image, box, SMALL.image_size)
    # A shift by a tenth of a pixel would differ by up to 0.8 levels in the mean.
    assert np.abs(found - exact).max() <= 3
    assert np.abs((found - exact).mean(axis=(0, 1))).max() < 0.3


def cutout_of(rgb: int, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([np.round(alpha * (rgb / 255)).astype(np.uint8)] * 3 + [alpha])


@pytest.mark.parametrize(("over", "under"), [(200, 100), (0, 255), (255, 0), (255, 255), (7, 250)])
def test_constant_cutout_is_blended_by_its_alpha(over, under):
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    crop = np.full((16, 16, 3), under, np.uint8)
    paste(crop, cutout_of(over, alpha), np.array([8, 8]))
    exact = (over * alpha.astype(float) + under * (255 - alpha.astype(float))) / 255
    assert np.abs(crop - exact[..., None]).max() <= 1  # two roundings
    np.testing.assert_array_equal(crop[0, 0], under)
    np.testing.assert_array_equal(crop[15, 15], over)


def test_cutout_is_cut_at_the_border():
    crop, cutout = np.full((10, 10, 3), 100, np.uint8), cutout_of(200, np.full((4, 4), 255, np.uint8))
    paste(crop, cutout, np.array([0, 5]))
    assert (crop[3:7, :2] == 200).all()
    assert (crop == 200).sum() == 4 * 2 * 3  # the left half is beyond the border
    for far in ([50, 50], [-50, 5]):
        before = crop.copy()
        paste(crop, cutout, np.array(far))
        np.testing.assert_array_equal(crop, before)


def write_cutout(file, bgr, alpha) -> None:
    cv2.imwrite(str(file), np.dstack([np.full(alpha.shape, value, np.uint8) for value in bgr] + [alpha]))


def test_cutouts_of_a_folder_are_pasted(tmp_path):
    write_cutout(tmp_path / "red.png", (0, 0, 255), np.full((300, 200), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "opaque.png"), np.full((300, 200, 3), 255, np.uint8))
    occluders, rng, shares = Occluders(str(tmp_path), 96, seed=0), np.random.default_rng(0), []
    for _ in range(40):
        crop = np.zeros((96, 96, 3), np.uint8)
        occluders.paint(crop, rng)
        assert not crop[..., 1:].any()
        shares.append((crop[..., 0] > 0).mean())
    assert 10 < np.count_nonzero(shares) < 30
    assert max(shares) > 0.3


def test_hidden_colours_of_a_cutout_do_not_shine_through(tmp_path):
    y, x = np.mgrid[:200, :200]
    inside = np.hypot(x - 100, y - 100) < 80
    white = np.where(inside, 255, 0).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "disc.png"), np.dstack([white, white, white, white]))  # black where it is hidden
    occluders, rng = Occluders(str(tmp_path), 96, seed=0), np.random.default_rng(0)
    for _ in range(20):
        crop = np.full((96, 96, 3), 255, np.uint8)
        occluders.paint(crop, rng)
        assert crop.min() >= 253


def test_same_seed_keeps_the_same_cutouts(tmp_path, monkeypatch):
    monkeypatch.setattr(augment, "_MOST_CUTOUTS", 2)
    for i in range(6):
        write_cutout(tmp_path / f"{i}.png", (40 * i, 0, 0), np.full((20, 20), 255, np.uint8))
        cv2.imwrite(str(tmp_path / f"opaque{i}.png"), np.zeros((5, 5, 3), np.uint8))

    def kept(seed: int) -> list[int]:
        return [int(cutout[0, 0, 2]) for cutout in Occluders(str(tmp_path), 96, seed)._cutouts]

    assert kept(1) == kept(1)
    assert {len(kept(seed)) for seed in range(8)} == {2}
    assert len({tuple(kept(seed)) for seed in range(8)}) > 1


def test_painting_depends_on_its_generator_alone(tmp_path):
    write_cutout(tmp_path / "a.png", (10, 20, 30), np.full((90, 60), 128, np.uint8))
    write_cutout(tmp_path / "b.png", (90, 80, 70), np.full((40, 60), 255, np.uint8))
    for folder in ("", str(tmp_path)):
        crops = [np.zeros((96, 96, 3), np.uint8) for _ in range(2)]
        for crop, occluders in zip(crops, [Occluders(folder, 96, 0), Occluders(folder, 96, 0)], strict=True):
            for k in range(10):
                occluders.paint(crop, np.random.default_rng(k))
        assert crops[0].any()
        np.testing.assert_array_equal(*crops)


def test_folder_without_alpha_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "opaque.png"), np.zeros((5, 5, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((5, 5, 4), np.uint16))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "folder.png").mkdir()
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError, match=r"holds no image with alpha|no such folder"):
            Occluders(str(folder), 96, seed=0)
