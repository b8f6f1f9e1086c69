"""Bone lengths as a prior: what is estimated, what the prior gains, and what it does not invent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels, uniform_noise
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.body.scale import bone_lengths
from epitool.geometry.triangulation.bones import BoneLengths, estimate_bone_lengths, refine_with_bones
from epitool.geometry.triangulation.triangulate import triangulate
from epitool.skeleton import Skeleton, skeleton
from epitool.synthetic import noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import ring_of_cameras

H36M = skeleton("h36m17")
PARENTS = np.array(H36M.parents)
SIGMA = 2.0  # px in images of 384 px


def true_lengths(xyz: np.ndarray, skel: Skeleton = H36M, spread: float = 0.01) -> BoneLengths:
    length = np.full(len(skel), np.nan)
    length[[child for _, child in skel.bones]] = np.median(bone_lengths(xyz, skel), axis=0)
    return BoneLengths(length, spread * length)


def refine(xy, rig, bones, skel=H36M, start=None, sigma=SIGMA, inliers=0.9):
    start = np.full((len(xy), len(skel), 3), np.nan) if start is None else start
    return refine_with_bones(xy, np.ones(xy.shape[:3]), rig, start, skel, bones, uniform_noise(sigma, inliers))


def robust(xy, rig):
    """Each joint alone."""
    return triangulate(xy, np.isfinite(xy[..., 0]).astype(float), rig, noise=uniform_noise(SIGMA, 0.9))


def error_of(xyz: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.linalg.norm(xyz - true, axis=-1)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.fixture(scope="module")
def faulty():
    """Keypoints with noise and 10% gross errors, and the truth."""
    labels = exact_labels(400, seed=3)
    return noisy_keypoints(labels, sigma_px=SIGMA, outliers=0.1, swap_share=0.0, seed=4).xy, labels.poses.xyz


@pytest.fixture(scope="module")
def rig() -> Rig:
    return ring_of_cameras()


@pytest.fixture(scope="module")
def alone(faulty, rig):
    """The same without bones."""
    return robust(faulty[0], rig)


@pytest.fixture(scope="module")
def together(faulty, rig, alone):
    lengths = estimate_bone_lengths(alone.xyz, alone.covariance, H36M)
    return refine(faulty[0], rig, lengths, start=alone.xyz)


def noisy_poses(frames: int, stretch: float = 0.0, seed: int = 0):
    """Poses with noise of 25 mm sideways and 50 mm in depth, and its covariance."""
    rng = np.random.default_rng(seed)
    exact = random_motion(frames, seed).xyz
    xyz = exact.copy()
    for j in (1, 4, 7, 2, 5, 8, 3, 6, 9, 11, 14, 10, 12, 15, 13, 16):
        factor = 1 + stretch * rng.standard_normal(frames)
        xyz[:, j] = xyz[:, PARENTS[j]] + factor[:, None] * (exact[:, j] - exact[:, PARENTS[j]])
    deviation = np.array([25.0, 50.0, 25.0])
    covariance = np.broadcast_to(np.diag(deviation**2), (*xyz.shape, 3))
    return xyz + rng.normal(size=xyz.shape) * deviation, covariance, true_lengths(exact).length


def test_bone_lengths_are_free_of_the_bias_that_noise_gives_to_distances():
    xyz, covariance, length = noisy_poses(3000)
    children = PARENTS >= 0
    naive = bone_lengths(xyz, H36M).mean(axis=0) / length[children]
    found = estimate_bone_lengths(xyz, covariance, H36M).length[children] / length[children]
    assert naive.max() > 1.08
    assert np.abs(found - 1).max() < 0.015


def test_gross_errors_do_not_move_bone_lengths():
    xyz, covariance, length = noisy_poses(3000)
    wrong = np.random.default_rng(1).random(xyz.shape[:2]) < 0.1
    xyz = np.where(wrong[..., None], xyz + 1500.0, xyz)
    found = estimate_bone_lengths(xyz, covariance, H36M).length / length
    assert np.nanmax(np.abs(found - 1)) < 0.03


def test_the_spread_is_that_of_the_bones_and_not_of_the_noise():
    rigid, elastic = (estimate_bone_lengths(*noisy_poses(3000, s)[:2], H36M) for s in (0.0, 0.15))
    assert np.nanmedian(rigid.spread / rigid.length) < 0.04
    assert np.nanmedian(elastic.spread / elastic.length) == pytest.approx(0.15, abs=0.03)


def test_noise_stated_too_large_does_not_shorten_bones():
    xyz, covariance, length = noisy_poses(3000)
    found = estimate_bone_lengths(xyz, 4 * covariance, H36M).length / length
    assert np.nanmedian(np.abs(found - 1)) < 0.03


def test_left_and_right_share_one_length():
    found = estimate_bone_lengths(*noisy_poses(50)[:2], H36M).length
    assert np.array_equal(found, found[H36M.flip_order], equal_nan=True)


def test_poses_in_which_no_bone_is_seen_often_enough_are_refused():
    xyz, covariance, _ = noisy_poses(9)
    with pytest.raises(GeometryError, match="bone lengths"):
        estimate_bone_lengths(xyz, covariance, H36M)


@pytest.mark.parametrize("name", ["h36m17", "mpii16", "coco17", "blazepose33"])
def test_exact_keypoints_give_the_exact_pose_in_any_skeleton(name, rig):
    skel = skeleton(name)
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(1, len(skel), 3)) * 250 + [0, 0, 1000]
    found = refine(rig.project(pose), rig, true_lengths(pose, skel), skel, sigma=1.0)
    assert found.converged.all()
    assert error_of(found.xyz, pose).max() < 1e-3


def test_one_known_bone_leaves_all_other_joints_as_they_are(rig):
    labels = exact_labels(3)
    knee, true = H36M.index("left_knee"), labels.poses.xyz
    bones = true_lengths(true)
    only = np.where(np.arange(17) == knee, bones.length, np.nan)
    assert error_of(refine(labels.keypoints.xy, rig, BoneLengths(only, only / 100)).xyz, true).max() < 1e-3


def test_bones_lower_the_error_by_a_fifth_among_gross_errors(faulty, alone, together):
    without, with_bones = error_of(alone.xyz, faulty[1]), error_of(together.xyz, faulty[1])
    both = np.isfinite(without) & np.isfinite(with_bones)
    assert rms(with_bones[both]) < 0.8 * rms(without[both])
    assert np.median(with_bones[both]) < 0.85 * np.median(without[both])
    assert np.isnan(with_bones).mean() < 0.01
    assert together.converged.mean() > 0.99


def test_bones_reach_the_error_of_known_inliers(faulty, rig, together):
    xy, true = faulty
    gross = np.linalg.norm(xy - rig.project(true), axis=-1) > 5 * SIGMA
    known = refine(np.where(gross[..., None], np.nan, xy), rig, true_lengths(true))
    errors, floor = error_of(together.xyz, true), error_of(known.xyz, true)
    both = np.isfinite(errors) & np.isfinite(floor)
    assert rms(errors[both]) < 1.1 * rms(floor[both])


def test_the_covariance_is_true(faulty, together):
    error = together.xyz - faulty[1]
    good = np.isfinite(error[..., 0])
    e, C = error[good], together.covariance[good]
    squared = np.einsum("ni,ni->n", e, np.linalg.solve(C, e[..., None])[..., 0])
    assert 0.92 < (squared < 7.815).mean() < 0.97  # 95% of chi-square with three degrees of freedom


def test_the_solution_is_the_least_squares_solution_of_keypoints_and_bones(rig):
    labels = exact_labels(1, seed=5)
    true = labels.poses.xyz
    xy = labels.keypoints.xy + np.random.default_rng(0).normal(0, 1.0, labels.keypoints.xy.shape)
    bones = true_lengths(true, spread=0.05)
    children = np.flatnonzero(PARENTS >= 0)

    def residuals(flat):
        pose = flat.reshape(1, 17, 3)
        excess = bone_lengths(pose, H36M)[0] - bones.length[children]
        return np.concatenate([(rig.project(pose) - xy).ravel(), excess / bones.spread[children]])

    expected = least_squares(residuals, true.ravel(), x_scale=10.0, xtol=1e-12, ftol=1e-12)
    found = refine(xy, rig, bones, sigma=1.0, inliers=1 - 1e-9)
    assert error_of(found.xyz[0], expected.x.reshape(17, 3)).max() < 0.5
    dense = np.linalg.inv(expected.jac.T @ expected.jac)
    blocks = np.stack([dense[3 * j : 3 * j + 3, 3 * j : 3 * j + 3] for j in range(17)])
    assert np.allclose(found.covariance[0], blocks, atol=0.1 * blocks.max())


def test_a_joint_that_one_view_sees_is_placed_by_its_ray_and_two_bones(rig):
    labels = exact_labels(60, seed=6)
    true, xy = labels.poses.xyz, np.array(labels.keypoints.xy)
    knee = H36M.index("left_knee")
    xy[:, 1:, knee] = np.nan
    assert np.isnan(robust(xy, rig).xyz[:, knee]).all()
    errors = error_of(refine(xy, rig, true_lengths(true), sigma=1.0).xyz, true)[:, knee]
    assert np.isfinite(errors).mean() > 0.3  # a straight leg has two places that are about as good
    assert np.nanpercentile(errors, 95) < 25


def test_the_end_of_a_limb_that_one_view_sees_is_left_missing_where_two_places_are_possible(rig):
    labels = exact_labels(60, seed=6)
    true, xy = labels.poses.xyz, np.array(labels.keypoints.xy)
    wrist = H36M.index("left_wrist")
    xy[:, 1:, wrist] = np.nan
    found = refine(xy, rig, true_lengths(true), sigma=1.0)
    assert np.isnan(found.xyz[:, wrist]).mean() > 0.8
    assert not np.nanmax(error_of(found.xyz, true)[:, wrist], initial=0.0) > 100


def test_an_unseen_joint_is_not_invented(rig):
    labels = exact_labels(5)
    xy = np.array(labels.keypoints.xy)
    xy[:, :, H36M.index("left_knee")] = np.nan
    xy[2] = np.nan
    found = refine(xy, rig, true_lengths(labels.poses.xyz))
    unseen = np.isnan(found.xyz[..., 0])
    assert unseen[2].all()
    assert unseen[:, H36M.index("left_knee")].all()
    assert unseen.sum() == 17 + 4
    assert np.array_equal(np.isnan(found.covariance[..., 0, 0]), unseen)


def test_a_missing_joint_does_not_let_its_neighbour_drift_off(rig):
    """Two gross errors that happen to meet far from the body are no joint of this body."""
    labels = exact_labels(1)
    xy, ankle = np.array(labels.keypoints.xy), H36M.index("left_ankle")
    xy[:, :, [ankle, H36M.index("left_knee")]] = np.nan
    xy[:, :2, ankle] = rig.project(labels.poses.xyz[:, :1] + [2500.0, 0, 0])[:, :2, 0]
    assert np.isfinite(robust(xy, rig).xyz[0, ankle]).all()
    assert np.isnan(refine(xy, rig, true_lengths(labels.poses.xyz)).xyz[0, ankle]).all()


def test_frames_do_not_influence_each_other(faulty, rig):
    xy, true = faulty
    whole = refine(xy[:40], rig, true_lengths(true))
    parts = [refine(xy[a : min(a + 7, 40)], rig, true_lengths(true)) for a in range(0, 40, 7)]
    for name in ("xyz", "covariance", "converged"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(getattr(whole, name), joined, equal_nan=name != "converged")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 1000))
def test_moving_and_scaling_the_world_moves_and_scales_the_pose(faulty, rig, seed, scale):
    xy, true = faulty
    R, shift = Rotation.random(random_state=seed).as_matrix(), np.random.default_rng(seed).normal(size=3) * 2000
    moved = Rig(tuple(_moved(camera, R, shift, scale) for camera in rig.cameras), "mm", "none")
    bones = true_lengths(true)
    here = refine(xy[:5], rig, bones)
    there = refine(xy[:5], moved, BoneLengths(bones.length * scale, bones.spread * scale))
    expected = scale * (here.xyz @ R.T + shift)
    assert np.array_equal(np.isnan(there.xyz), np.isnan(expected))
    assert np.nanmax(np.abs(there.xyz - expected)) < 0.1 * scale


def _moved(camera: Camera, R: np.ndarray, shift: np.ndarray, scale: float) -> Camera:
    turned = camera.R @ R.T
    return replace(camera, R=turned, t=scale * (camera.t - turned @ shift))


def test_the_order_of_views_does_not_matter(faulty, rig):
    xy, true = faulty
    order = [2, 0, 3, 1]
    turned = Rig(tuple(rig.cameras[v] for v in order), "mm", "none")
    bones = true_lengths(true)
    here, there = refine(xy[:100], rig, bones).xyz, refine(xy[:100, order], turned, bones).xyz
    both = np.isfinite(here) & np.isfinite(there)
    assert both.mean() > 0.98
    assert np.median(np.abs(here - there)[both]) < 0.01


@pytest.mark.parametrize(("sigma", "inliers"), [(0.0, 0.9), (2.0, 0.0), (2.0, 1.0), (np.nan, 0.9)])
def test_impossible_noise_is_refused(rig, sigma, inliers):
    labels = exact_labels(1)
    with pytest.raises(ValueError, match="out of range"):
        refine(labels.keypoints.xy, rig, true_lengths(labels.poses.xyz), sigma=sigma, inliers=inliers)


def test_bones_without_any_length_are_refused(rig):
    labels = exact_labels(1)
    unknown = BoneLengths(np.full(17, np.nan), np.full(17, np.nan))
    with pytest.raises(ValueError, match="no bone length"):
        refine(labels.keypoints.xy, rig, unknown)
