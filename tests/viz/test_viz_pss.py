"""Pictures of the clusters of the Pose Structure Score."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.options import PssFitOptions
from epitool.pss.embedding import embed
from epitool.skeleton import skeleton
from epitool.stages import pss_fit
from epitool.stages.pss_fit.pictures import turn_to_camera_axes
from epitool.synthetic.motion import random_motion
from epitool.viz.colors import SIDE_COLORS
from epitool.viz.pss import plot_pss_centres, plot_pss_plane

H36M = skeleton("h36m17")
WALK = random_motion(120, seed=0).xyz


def drawn(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 3
    return image[..., ::-1]


def test_all_centres_are_drawn_ten_a_row(tmp_path):
    path = tmp_path / "centres.png"
    shapes = []
    for count in (3, 10, 25):
        plot_pss_centres(path, np.random.default_rng(count).normal(size=(count, 17, 3)), H36M, np.full(count, 0.1))
        shapes.append(drawn(path).shape)
    assert shapes[0][1] < shapes[1][1] == shapes[2][1]
    assert shapes[1][0] < shapes[2][0]


def test_no_centres_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="no poses"):
        plot_pss_centres(tmp_path / "none.png", np.empty((0, 17, 3)), H36M)


def test_bones_have_the_colours_of_their_sides(tmp_path):
    plot_pss_centres(tmp_path / "centres.png", turn_to_camera_axes(WALK[:4], WALK, H36M), H36M)
    pixels = drawn(tmp_path / "centres.png").reshape(-1, 3)
    for color in SIDE_COLORS.values():
        assert (np.abs(pixels.astype(int) - color).max(axis=1) < 5).sum() > 100


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_heads_are_above_feet_in_pictures_whichever_way_is_up_and_left_stays_left(axis, sign):
    stood = np.roll(WALK, axis + 1, axis=-1)
    poses = stood * [sign, sign, 1] if axis != 2 else stood * [1, sign, sign]  # turned by a half, no mirror
    upright = turn_to_camera_axes(poses, poses, H36M)
    assert (upright[:, H36M.index("head_top"), 1] < upright[:, H36M.index("left_ankle"), 1] - 500).mean() > 0.9

    def handedness(bodies: np.ndarray) -> np.ndarray:
        corners = [bodies[:, H36M.index(name)] - bodies[:, 0] for name in ("left_hip", "head_top", "neck_nose")]
        return np.sign(np.linalg.det(np.stack(corners, axis=1)))

    np.testing.assert_array_equal(handedness(upright), handedness(poses))


def test_poses_in_the_plane_are_drawn_and_numbered(tmp_path):
    places = np.random.default_rng(0).normal(size=(300, 2))
    plot_pss_plane(tmp_path / "plane.png", places, np.arange(300) % 7, 7)
    assert len(np.unique(drawn(tmp_path / "plane.png").reshape(-1, 3), axis=0)) > 50


def test_few_poses_have_a_plane_and_three_have_not():
    assert embed(np.random.default_rng(0).normal(size=(5, 51)).astype(np.float32), 0).shape == (5, 2)
    with pytest.raises(ValueError, match="too few"):
        embed(np.zeros((3, 51), np.float32), 0)


def test_command_draws_both_pictures_for_each_k(tmp_path):
    np.savez(tmp_path / "walk.npz", xyz_mm=WALK)
    pictures = tmp_path / "pictures"
    pss_fit.run(
        PssFitOptions(
            poses=tmp_path / "walk.npz", k=(4, 6), out=tmp_path / "pss.npz", seed=0, split="all", pictures=pictures
        )
    )
    names = {path.name for path in pictures.iterdir()}
    assert names == {f"pss-{kind}-{k}.png" for kind in ("centres", "tsne") for k in (4, 6)}
    for name in names:
        drawn(pictures / name)
