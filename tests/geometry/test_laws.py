"""Laws that hold for any scene: what does not change, and what changes with its input, and how."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from epitool.camera import Camera, Rig
from epitool.geometry.body.axes import least_rotation
from epitool.geometry.body.scale import apply_scale, parse_scale, stature
from epitool.geometry.calibration.calibrate import calibrate
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.triangulation.triangulate import triangulate
from epitool.io.cameras import read_rig, write_rig
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton
from epitool.synthetic import noisy_keypoints

TRUTH = exact_labels(frames=50, seed=5)
DETECTED = noisy_keypoints(TRUTH, sigma_px=1.5, outliers=0.05, swap_share=0.2, seed=6)
SIGMA_PX = 1.5
NOTICEABLE_DEG = 0.02  # a tenth of what noise does to this rig; solutions of the same problem differ by less
NOTICEABLE_MM = 0.1  # a hundredth of what noise does to a joint


def examples(count):
    """No shrinking: a smaller seed is no simpler scene."""
    return settings(max_examples=count, deadline=None, derandomize=True, phases=[Phase.generate])


seeds = st.integers(0, 2**32 - 1)
scales = st.floats(1e-3, 1e3)
rotations = seeds.map(lambda seed: Rotation.random(random_state=seed).as_matrix())
shifts = seeds.map(lambda seed: np.random.default_rng(seed).uniform(-5000, 5000, 3))
distortions = st.tuples(*(st.floats(-limit, limit) for limit in (0.15, 0.05, 2e-3, 2e-3, 0.01)))


def calibrated(keypoints: Keypoints, cameras) -> Rig:
    return calibrate(keypoints, cameras, method="essential", seed=0, jobs=1).rig


@cache
def plain() -> Rig:
    return calibrated(DETECTED, TRUTH.rig.cameras)


def assert_same_cameras(found, expected, within_deg=NOTICEABLE_DEG):
    differences = compare_rigs(found, expected)
    assert len(differences) == 6
    assert max(max(pair.rotation_deg, pair.direction_deg) for pair in differences) < within_deg


def test_the_cameras_of_the_laws_are_right():
    assert_same_cameras(plain(), TRUTH.rig, within_deg=0.5)


@examples(2)
@given(st.permutations(TRUTH.rig.names))
def test_the_order_of_the_views_does_not_matter(names):
    found = calibrated(DETECTED.select_views(names), TRUTH.rig.select(names).cameras)
    assert found.names == tuple(names)
    assert_same_cameras(found, plain())


@examples(2)
@given(st.permutations(range(17)))
def test_the_order_of_the_joints_does_not_matter(order):
    found = calibrated(reordered(DETECTED, order), TRUTH.rig.cameras)
    assert_same_cameras(found, plain())


def reordered(keypoints: Keypoints, order) -> Keypoints:
    old = keypoints.skeleton
    parents = tuple(-1 if old.parents[j] < 0 else order.index(old.parents[j]) for j in order)
    skeleton = Skeleton("reordered", tuple(old.joints[j] for j in order), parents)
    xy, confidence = keypoints.xy[:, :, order], keypoints.confidence[:, :, order]
    return replace(keypoints, xy=xy, confidence=confidence, skeleton=skeleton)


@examples(2)
@given(st.integers(1, 3).map(lambda exponent: 2.0**exponent))
def test_larger_images_of_the_same_scene_give_the_same_cameras(factor):
    sizes = (DETECTED.image_size * factor).astype(int)
    keypoints = replace(DETECTED, xy=DETECTED.xy * factor, image_size=sizes)
    scale = np.diag([factor, factor, 1.0])
    cameras = [
        replace(camera, K=scale @ camera.K, image_size=tuple(size)) for camera, size in zip(TRUTH.rig.cameras, sizes)
    ]
    assert_same_cameras(calibrated(keypoints, cameras), plain())


def test_a_film_run_backwards_gives_the_same_cameras():
    backwards = replace(DETECTED, xy=DETECTED.xy[::-1], confidence=DETECTED.confidence[::-1])
    assert_same_cameras(calibrated(backwards, TRUTH.rig.cameras), plain())


@examples(2)
@given(st.integers(-200, 200), st.integers(-200, 200))
def test_cropped_images_give_the_same_cameras(x, y):
    away = np.array([[0, 0, x], [0, 0, y], [0, 0, 0]])
    cameras = [replace(camera, K=camera.K - away) for camera in TRUTH.rig.cameras]
    assert_same_cameras(calibrated(replace(DETECTED, xy=DETECTED.xy - [x, y]), cameras), plain())


def triangulated(rig: Rig = TRUTH.rig, keypoints: Keypoints = DETECTED):
    return triangulate(keypoints.xy, keypoints.confidence, rig)


@cache
def plain_points():
    return triangulated().xyz


@examples(10)
@given(rotations, shifts, scales)
def test_points_move_turn_and_grow_with_the_world(R, shift, scale):
    """x_cam = R_c x + t_c stays as it is in a world of y = scale (R x + shift), but for its scale."""
    turned = [replace(c, R=c.R @ R.T, t=scale * (c.t - c.R @ R.T @ shift)) for c in TRUTH.rig.cameras]
    found = triangulated(replace(TRUTH.rig, cameras=tuple(turned)))
    expected = scale * (plain_points() @ R.T + shift)
    np.testing.assert_allclose(found.xyz, expected, atol=NOTICEABLE_MM * scale)


@examples(10)
@given(st.permutations(TRUTH.rig.names))
def test_points_do_not_depend_on_the_order_of_the_views(names):
    found = triangulated(TRUTH.rig.select(names), DETECTED.select_views(names))
    np.testing.assert_allclose(found.xyz, plain_points(), atol=NOTICEABLE_MM)


@examples(10)
@given(st.permutations(range(17)))
def test_points_do_not_depend_on_the_order_of_the_joints(order):
    found = triangulated(keypoints=reordered(DETECTED, order))
    np.testing.assert_allclose(found.xyz, plain_points()[:, order], atol=NOTICEABLE_MM)


@examples(10)
@given(rotations, shifts, st.integers(2, 4))
def test_exact_keypoints_give_back_the_points_from_any_two_views_on(R, shift, views):
    xyz = TRUTH.poses.xyz @ R.T + shift
    cameras = [replace(c, R=c.R @ R.T, t=c.t - c.R @ R.T @ shift) for c in TRUTH.rig.cameras[-views:]]
    rig = replace(TRUTH.rig, cameras=tuple(cameras))
    xy = rig.project(xyz)
    np.testing.assert_allclose(triangulate(xy, np.ones(xy.shape[:3]), rig).xyz, xyz, atol=1e-4)


@examples(10)
@given(st.integers(0, 3), seeds)
def test_a_gross_error_in_one_of_four_views_does_no_more_than_its_absence(view, seed):
    """One joint a frame thrown anywhere, but not so near its true place that it passes for noise."""
    rng = np.random.default_rng(seed)
    xy = TRUTH.keypoints.xy + rng.normal(0, SIGMA_PX, TRUTH.keypoints.xy.shape)
    hit = np.arange(50), np.full(50, view), rng.integers(17, size=50)
    wrong, without = xy.copy(), xy.copy()
    wrong[hit] = rng.uniform(0, 383, (50, 2))
    without[hit] = np.nan
    far = np.linalg.norm(wrong[hit] - xy[hit], axis=-1) > 20 * SIGMA_PX
    frames, joints = hit[0][far], hit[2][far]
    ones = np.ones(xy.shape[:3])
    found, expected = (triangulate(values, ones, TRUTH.rig).xyz[frames, joints] for values in (wrong, without))
    np.testing.assert_allclose(found, expected, atol=1.0)  # mm; the noise moves a joint by some 10 mm


@examples(15)
@given(seeds)
def test_the_least_rotation_takes_a_direction_to_another_and_turns_by_their_angle(seed):
    start = Rotation.random(8, random_state=seed).as_matrix()[..., 0]
    start[0] = np.eye(3)[seed % 3]
    end = np.roll(start, 1, axis=0)
    for towards, angles in ((end, np.arccos((start * end).sum(axis=-1))), (-start, np.pi), (start, 0.0)):
        R = least_rotation(start, towards)
        np.testing.assert_allclose((R @ start[..., None])[..., 0], towards, atol=1e-9)
        np.testing.assert_allclose(np.linalg.det(R), 1.0)
        np.testing.assert_allclose(Rotation.from_matrix(R).magnitude(), angles, atol=1e-7)
    assert np.isnan(least_rotation(np.full(3, np.nan), end)).all()


@examples(15)
@given(distortions, rotations, seeds)
def test_unprojecting_undoes_projecting(distortion, R, seed):
    camera = Camera("a", [[900, 0, 640], [0, 910, 360], [0, 0, 1]], distortion, R, [0.1, -0.2, 5.0], (1280, 720))
    points = np.random.default_rng(seed).uniform(-1, 1, (20, 3))
    depth = camera.to_camera(points)[:, 2]
    np.testing.assert_allclose(camera.unproject(camera.project(points), depth), points, atol=1e-6)


@examples(15)
@given(distortions, seeds)
def test_undistorting_undoes_distorting(distortion, seed):
    ideal = Camera("a", [[900, 0, 640], [0, 910, 360], [0, 0, 1]], [], np.eye(3), np.zeros(3), (1280, 720))
    camera = replace(ideal, distortion=distortion)
    pixels = np.random.default_rng(seed).uniform(0, [1279, 719], (20, 2))
    distorted = camera.project(ideal.unproject(pixels, np.ones(20)))
    np.testing.assert_allclose(camera.undistort(distorted), pixels, atol=1e-4)


@examples(15)
@given(distortions, rotations, shifts, st.floats(-30, 30), st.sampled_from(["mm", "arbitrary"]))
def test_cameras_come_back_from_their_file(distortion, R, t, offset, unit):
    K = [[900.5, 0, 640.25], [0, 910, 360], [0, 0, 1]]
    cameras = (
        Camera("left one", K, distortion, R, t, (1280, 720), offset),
        Camera("b", K, np.zeros(5), R.T, -t, (640, 480)),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cameras.toml"
        write_rig(path, Rig(cameras, unit, "none"))
        back = read_rig(path)
    assert (back.names, back.unit, back.scale_source) == (("left one", "b"), unit, "none")
    for one, other in zip(back.cameras, cameras):
        assert (one.image_size, one.time_offset) == (other.image_size, other.time_offset)
        for name, within in (("K", 0), ("distortion", 0), ("t", 0), ("R", 1e-9)):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=within)


@examples(5)
@given(seeds, st.floats(0, 0.9))
def test_labels_come_back_from_their_file(seed, missing):
    """In single precision, and what was missing is missing."""
    rng = np.random.default_rng(seed)
    gone = rng.random(TRUTH.keypoints.confidence.shape) < missing
    keypoints = replace(TRUTH.keypoints, xy=np.where(gone[..., None], np.nan, TRUTH.keypoints.xy))
    poses = replace(TRUTH.poses, xyz=np.where(gone[:, 0, :, None], np.nan, TRUTH.poses.xyz))
    swapped = rng.random(TRUTH.swapped.shape) < 0.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.h5"
        write_labels(path, replace(TRUTH, keypoints=keypoints, poses=poses, swapped=swapped))
        back = read_labels(path)
    np.testing.assert_allclose(back.keypoints.xy, keypoints.xy, rtol=1e-6)
    np.testing.assert_allclose(back.poses.xyz, poses.xyz, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(back.swapped, swapped)
    assert (back.poses.confidence == 0).tolist() == gone[:, 0].tolist()


@examples(10)
@given(scales, st.sampled_from([None, "height=1.9m", "femur=40cm", "baseline:cam2,cam4=3m"]))
def test_the_scale_found_does_not_depend_on_the_scale_given(factor, text):
    rule = parse_scale(text) if text else None
    rig, poses = TRUTH.rig.scaled(factor, "arbitrary", "none"), replace(TRUTH.poses, xyz=TRUTH.poses.xyz * factor)
    found, expected = apply_scale(rig, poses, rule), apply_scale(TRUTH.rig, TRUTH.poses, rule)
    assert (found.unit, found.scale_source) == (expected.unit, expected.scale_source)
    for one, other in zip(found.cameras, expected.cameras):
        np.testing.assert_allclose(one.t, other.t, rtol=1e-9)


@examples(10)
@given(st.floats(1.2, 2.2))
def test_a_rule_that_states_what_is_there_changes_nothing(height):
    poses = replace(TRUTH.poses, xyz=TRUTH.poses.xyz * (height * 1000 / stature(TRUTH.poses)))
    found = apply_scale(TRUTH.rig, poses, parse_scale(f"height={height:.9f}m"))
    assert found.cameras[0].center == pytest.approx(TRUTH.rig.cameras[0].center, rel=1e-6)
