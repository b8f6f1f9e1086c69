"""The rendered person: exact truth, constant bones, and pictures that show what the truth says."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.labels import Labels, split_frames
from epitool.pose import Keypoints, Poses
from epitool.skeleton import skeleton
from epitool.synthetic import noisy_keypoints, render_scene
from epitool.synthetic.body import SLEEVES
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import draw_lit, ring_of_cameras
from epitool.synthetic.solids import Solid, solids_mesh

H36M = skeleton("h36m17")
FRAMES = 14


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    return render_scene(tmp_path_factory.mktemp("scene"), frames=FRAMES, seed=4)


@pytest.fixture(scope="module")
def images(scene: Labels) -> np.ndarray:
    """(F, V, height, width, 3), RGB."""
    return np.array([[cv2.imread(name)[..., ::-1] for name in frame] for frame in scene.keypoints.images.tolist()])


@pytest.fixture(scope="module")
def long_truth() -> Labels:
    """Exact labels of many frames, without images."""
    f, rig, xyz = 400, ring_of_cameras(), random_motion(400, 0).xyz
    xy, frames = rig.project(xyz), np.arange(f)
    names, sizes = np.full((f, 4), ""), np.array([camera.image_size for camera in rig.cameras])
    keypoints = Keypoints(xy, np.ones(xy.shape[:3]), frames, rig.names, names, sizes, H36M)
    poses = Poses(xyz, np.ones((f, 17)), frames, H36M, "mm", "world")
    return Labels(poses, keypoints, rig, np.zeros(xy.shape[:3]), np.zeros((f, 4), dtype=bool))


def bone_lengths(xyz: np.ndarray) -> np.ndarray:
    parents, children = np.array(H36M.bones).T
    return np.linalg.norm(xyz[:, children] - xyz[:, parents], axis=-1)


def at_pixels(images: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Colours (F, V, 3) of the images at pixels (F, V, 2), held inside the image."""
    f, v = np.indices(xy.shape[:2])
    x, y = np.clip(np.round(xy), 0, images.shape[2] - 1).astype(int).transpose(2, 0, 1)
    return images[f, v, y, x].astype(float)


def test_bones_keep_their_length_and_a_person_s_proportions():
    lengths = bone_lengths(random_motion(200, 1).xyz)
    assert np.ptp(lengths, axis=0).max() < 1e-9
    np.testing.assert_allclose(lengths[0], bone_lengths(random_motion(3, 2).xyz)[0])
    thigh = H36M.bones.index((H36M.index("left_hip"), H36M.index("left_knee")))
    assert lengths[0, thigh] == pytest.approx(425)


def test_the_left_and_the_right_side_are_equally_long_and_mirrored():
    xyz = random_motion(5, 0).xyz
    np.testing.assert_allclose(bone_lengths(xyz), bone_lengths(xyz[:, H36M.flip_order]))
    hips = xyz[:, H36M.index("left_hip")] - xyz[:, H36M.index("right_hip")]
    nose = xyz[:, H36M.index("neck_nose")] - xyz[:, H36M.index("thorax")]
    forward = np.cross(hips, [0, 0, 1])  # of someone upright
    assert np.median((forward * nose).sum(axis=-1)) > 0


def test_one_foot_stands_on_the_floor_and_nothing_is_below_it():
    motion = random_motion(200, 3)
    assert motion.xyz[..., 2].min() >= 70
    toes_or_soles = np.minimum(
        motion.toes[..., 2] - 30, np.stack([motion.joint(f"{s}_ankle")[:, 2] - 80 for s in ("left", "right")], 1)
    )
    np.testing.assert_allclose(toes_or_soles.min(axis=1), 0, atol=1e-9)


def test_poses_vary_and_the_held_out_ones_are_new():
    xyz = random_motion(120, 0).xyz
    relative = xyz - xyz[:, :1]
    assert relative[:, H36M.index("left_wrist")].std(axis=0).min() > 150
    parts = split_frames(120)
    apart = np.linalg.norm(relative[parts["test"]][:, None] - relative[parts["train"]], axis=-1).mean(axis=-1)
    assert apart.min() > 30
    assert np.ptp(xyz[:, 0, :2], axis=0).max() < 3000


def test_keypoints_are_the_projected_poses(scene: Labels):
    expected = np.stack([camera.project(scene.poses.xyz) for camera in scene.rig.cameras], axis=1)
    np.testing.assert_array_equal(scene.keypoints.xy, expected)
    assert not scene.reprojection_px.any()
    assert not scene.swapped.any()
    assert (scene.rig.unit, scene.rig.scale_source, scene.poses.space) == ("mm", "rendered", "world")


def test_every_camera_sees_nearly_all_joints(long_truth: Labels):
    size = long_truth.keypoints.image_size[:, None]
    inside = ((long_truth.keypoints.xy >= 0) & (long_truth.keypoints.xy < size)).all(axis=-1)
    assert inside.mean(axis=(0, 2)).min() > 0.97


def test_cameras_look_at_the_middle_from_all_around():
    rig = ring_of_cameras()
    centers = np.array([camera.center for camera in rig.cameras])
    gaps = np.degrees(np.diff(np.unwrap(np.arctan2(centers[:, 1], centers[:, 0]))))
    assert (gaps > 55).all()
    assert (gaps < 95).all()
    for camera in rig.cameras:
        middle = (np.array(camera.image_size) - 1) / 2
        np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 950.0])), middle, atol=1e-6)
        assert camera.project(np.array([0.0, 0.0, 1750.0]))[1] < middle[1]


def test_images_lie_where_the_labels_say(scene: Labels):
    names = [Path(name) for name in scene.keypoints.images[3]]
    assert [name.parts[-2:] for name in names] == [(f"cam{i}", "00003.jpg") for i in (1, 2, 3, 4)]
    assert all(name.is_file() for name in names)


def test_the_person_is_drawn_where_the_truth_says(scene: Labels, images: np.ndarray):
    empty = np.median(images, axis=0)
    changed = np.abs(images - empty).max(axis=-1) > 12
    near = np.array([[cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) for mask in frame] for frame in changed])
    hits = [at_pixels(near[..., None], scene.keypoints.xy[:, :, j])[..., 0] for j in range(len(H36M))]
    inside = scene.keypoints.confidence > 0
    assert np.stack(hits, axis=-1)[inside].mean() > 0.95
    assert 0.01 < changed.mean() < 0.15


def test_sleeves_tell_left_from_right(scene: Labels, images: np.ndarray):
    for side, other in (("left", "right"), ("right", "left")):
        elbow, wrist = (scene.keypoints.xy[:, :, H36M.index(f"{side}_{joint}")] for joint in ("elbow", "wrist"))
        color = at_pixels(images, (elbow + wrist) / 2)
        hue = color / color.sum(axis=-1, keepdims=True)
        own, wrong = (np.array(SLEEVES[s]) / sum(SLEEVES[s]) for s in (side, other))
        assert (np.linalg.norm(hue - own, axis=-1) < np.linalg.norm(hue - wrong, axis=-1)).mean() > 0.75


def test_a_seed_determines_every_byte(tmp_path: Path):
    first, again, other = (
        render_scene(tmp_path / name, frames=2, seed=s) for name, s in (("a", 7), ("b", 7), ("c", 8))
    )
    for name, same, different in zip(
        first.keypoints.images.flat, again.keypoints.images.flat, other.keypoints.images.flat
    ):
        assert Path(name).read_bytes() == Path(same).read_bytes()
        assert Path(name).read_bytes() != Path(different).read_bytes()
    np.testing.assert_array_equal(first.poses.xyz, again.poses.xyz)
    assert np.abs(first.poses.xyz - other.poses.xyz).max() > 100


def draw(*solids: Solid) -> np.ndarray:
    camera = ring_of_cameras().cameras[0]
    image = np.zeros((384, 384, 3), np.uint8)
    draw_lit(image, solids_mesh(solids), camera)
    return image


@pytest.mark.parametrize("radii", [(60.0, 60.0), (90.0, 30.0), (30.0, 90.0)])
def test_a_limb_covers_the_spheres_that_sweep_it(radii: tuple[float, float]):
    ends = np.array([[100.0, -300.0, 700.0], [-400.0, 250.0, 1300.0]])
    limb = draw(Solid(ends, radii, (255, 255, 255), np.eye(3))).any(axis=-1)
    share = np.linspace(0, 1, 150)[:, None]
    centers, sizes = ends[0] + share * (ends[1] - ends[0]), radii[0] + share * (radii[1] - radii[0])
    spheres = [Solid(np.stack([c, c]), (r.item(),) * 2, (255, 255, 255), np.eye(3)) for c, r in zip(centers, sizes)]
    swept = draw(*spheres).any(axis=-1)
    assert (swept ^ limb).sum() <= 3  # pixels whose ray just grazes the surface


def test_the_nearer_solid_hides_the_farther_whatever_the_order():
    camera = ring_of_cameras().cameras[0]
    middle = np.array([0.0, 0.0, 950.0])
    toward = (camera.center - middle) / np.linalg.norm(camera.center - middle)
    near = Solid(np.stack([middle + 500 * toward] * 2), (80.0, 80.0), (255, 0, 0), np.eye(3))
    far = Solid(np.stack([middle - 500 * toward] * 2), (80.0, 80.0), (0, 255, 0), np.eye(3))
    np.testing.assert_array_equal(draw(near, far), draw(far, near))
    assert draw(near, far)[192, 192, 1] == 0


def test_noise_has_the_width_asked_for(long_truth: Labels):
    noisy = noisy_keypoints(long_truth, sigma_px=3.0, outliers=0.0, swap_share=0.0, seed=1)
    residual = noisy.xy - long_truth.keypoints.xy
    assert np.nanstd(residual) == pytest.approx(3.0, rel=0.02)
    assert abs(np.nanmean(residual)) < 0.1


def test_outliers_are_gross_as_many_as_asked_for_and_look_confident_enough(long_truth: Labels):
    noisy = noisy_keypoints(long_truth, sigma_px=1.0, outliers=0.2, swap_share=0.0)
    gross = np.linalg.norm(noisy.xy - long_truth.keypoints.xy, axis=-1) > 6
    assert gross[np.isfinite(noisy.xy[..., 0])].mean() == pytest.approx(0.2, abs=0.02)
    assert noisy.confidence[gross].min() > 0.3
    inlying = np.isfinite(noisy.xy[..., 0]) & ~gross
    assert noisy.confidence[gross].mean() < noisy.confidence[inlying].mean() - 0.2


def test_left_and_right_are_swapped_in_one_view_only(long_truth: Labels):
    noisy = noisy_keypoints(long_truth, sigma_px=0.0, outliers=0.0, swap_share=0.3, seed=2)
    exact = long_truth.keypoints
    mirrored = exact.xy[:, :, H36M.flip_order]
    swapped = np.nanmax(np.abs(noisy.xy - mirrored), axis=(2, 3)) < 1e-9
    straight = np.nanmax(np.abs(noisy.xy - exact.xy), axis=(2, 3)) < 1e-9
    assert (swapped ^ straight).all()
    assert sorted(swapped.mean(axis=0) > 0) == [False, False, False, True]
    assert swapped.mean(axis=0).max() == pytest.approx(0.3, abs=0.08)


def test_some_limbs_are_missing_and_say_so(long_truth: Labels):
    noisy = noisy_keypoints(long_truth, sigma_px=1.0, outliers=0.0, swap_share=0.0)
    missing = np.isnan(noisy.xy[..., 0])
    assert missing[..., H36M.index("left_wrist")].mean() == pytest.approx(0.02, abs=0.01)
    assert not missing[..., H36M.index("thorax")].any()
    assert not noisy.confidence[missing].any()


def test_what_is_outside_the_image_stays_missing(long_truth: Labels):
    exact = long_truth.keypoints
    confidence = np.array(exact.confidence)
    confidence[0, 0, 3] = 0
    outside = Keypoints(exact.xy, confidence, exact.frames, exact.views, exact.images, exact.image_size, H36M)
    truth = Labels(long_truth.poses, outside, long_truth.rig, long_truth.reprojection_px, long_truth.swapped)
    noisy = noisy_keypoints(truth, sigma_px=1.0, outliers=0.5, swap_share=0.0)
    assert np.isnan(noisy.xy[0, 0, 3]).all()
