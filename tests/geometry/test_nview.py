"""Robust triangulation over all views: against the optimum with the inliers known, and its own covariance."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels, uniform_noise
from scipy.optimize import least_squares

from epitool.geometry.triangulation.triangulate import estimate_noise, triangulate

SIGMA = 2.0


def observed(truth, gross, seed=0, sigma=SIGMA):
    """Noisy keypoints, and which of them are gross errors."""
    rng = np.random.default_rng(seed)
    xy = truth.keypoints.xy + rng.normal(0, sigma, truth.keypoints.xy.shape)
    bad = rng.random(xy.shape[:3]) < gross
    return np.where(bad[..., None], rng.uniform(0, 384, xy.shape), xy), bad


def distance(found, truth):
    return np.linalg.norm(found.xyz - truth.poses.xyz, axis=-1)


def test_without_gross_errors_it_is_the_least_squares_optimum(truth):
    xy, _ = observed(truth, 0.0)
    found = triangulate(xy, truth.keypoints.confidence, truth.rig, noise=uniform_noise(10.0, 0.99))
    for f, j in [(0, 0), (40, 9), (119, 16)]:

        def residuals(point, f=f, j=j):
            return (np.stack([c.project(point) for c in truth.rig.cameras]) - xy[f, :, j]).ravel()

        best = least_squares(residuals, truth.poses.xyz[f, j], xtol=1e-12, ftol=1e-12)
        np.testing.assert_allclose(found.xyz[f, j], best.x, atol=0.02)


@pytest.mark.parametrize(("gross", "most"), [(0.0, 1.01), (0.1, 1.1), (0.2, 1.2), (0.3, 1.3)])
def test_gross_errors_cost_little_against_the_inliers_known(truth, gross, most):
    """Over points that both solve; less than 1% of those that two inliers determine are left out."""
    xy, bad = observed(truth, gross)
    confidence = truth.keypoints.confidence
    robust = triangulate(xy, confidence, truth.rig)
    floor = triangulate(np.where(bad[..., None], np.nan, xy), confidence, truth.rig, noise=uniform_noise(50.0, 0.99))
    solvable, solved = np.isfinite(floor.xyz[..., 0]), np.isfinite(robust.xyz[..., 0])
    both = solvable & solved
    assert (solvable & ~solved).sum() < 0.01 * solvable.sum()
    assert distance(robust, truth)[both].mean() < most * distance(floor, truth)[both].mean()
    assert robust.used[bad].sum() <= 0.05 * bad.sum()


def test_covariances_are_those_of_the_errors(truth):
    """Squared Mahalanobis distances have the mean of a chi square with three degrees of freedom."""
    xy, _ = observed(truth, 0.1)
    found = triangulate(xy, truth.keypoints.confidence, truth.rig)
    error = found.xyz - truth.poses.xyz
    known = np.isfinite(error[..., 0])
    squared = np.einsum("ni,nij,nj->n", error[known], np.linalg.inv(found.covariance[known]), error[known])
    assert np.median(squared) == pytest.approx(2.37, rel=0.1)
    assert np.nanmax(np.abs(found.covariance - np.swapaxes(found.covariance, -1, -2))) == 0


@pytest.mark.parametrize("gross", [0.0, 0.2])
@pytest.mark.parametrize("views", [2, 3, 4])
def test_noise_and_share_of_gross_errors_are_estimated(truth, gross, views):
    xy, _ = observed(truth, gross)
    rig = truth.rig.select(truth.rig.names[:views])
    found = estimate_noise(xy[:, :views], truth.keypoints.confidence[:, :views], rig)
    if views == 2:  # two views alone leave open what is gross
        assert found.sigma_px == pytest.approx(SIGMA, rel=0.5)
    else:
        assert found.sigma_px == pytest.approx(SIGMA, rel=0.1)
        assert found.inlier_share == pytest.approx(1 - gross, abs=0.07)


def test_two_views_that_contradict_each_other_give_no_point(truth):
    xy, _ = observed(truth, 0.0)
    xy, rig = xy[:, :2].copy(), truth.rig.select(truth.rig.names[:2])
    xy[5, 1, 3] += [0, 80]
    found = triangulate(xy, truth.keypoints.confidence[:, :2], rig)
    assert np.isnan(found.xyz[5, 3]).all()
    assert not found.used[5, :, 3].any()
    assert np.isfinite(found.xyz[..., 0]).mean() > 0.99


def test_what_two_against_two_views_leave_open_is_decided_by_the_body_or_left_out():
    """Views 1 and 2 see a joint where it is; views 3 and 4 agree on another place, far from the body."""
    truth = exact_labels(frames=20)
    xy = truth.keypoints.xy.copy()
    elsewhere = truth.poses.xyz[7, 16] + [0.0, 0.0, 1200.0]
    for v in (2, 3):
        xy[7, v, 16] = truth.rig.cameras[v].project(elsewhere)
    noise = uniform_noise(1.0, 0.9)
    found = triangulate(xy, np.ones(xy.shape[:3]), truth.rig, noise=noise)
    np.testing.assert_allclose(found.xyz[7, 16], truth.poses.xyz[7, 16], atol=1e-3)
    assert found.used[7, :, 16].tolist() == [True, True, False, False]
    alone = triangulate(xy[:, :, 16:], np.ones(xy[:, :, 16:].shape[:3]), truth.rig, noise=noise)
    assert np.isnan(alone.xyz[7]).all()  # one joint is no body: nothing tells which two views are right


def test_confidence_tells_two_readings_apart():
    truth = exact_labels(frames=20)
    xy, confidence = truth.keypoints.xy[:, :, 16:].copy(), np.ones((20, 4, 1))
    for v in (2, 3):
        xy[7, v] = truth.rig.cameras[v].project(truth.poses.xyz[7, 16:] + [0.0, 0.0, 1200.0])
        confidence[7, v] = 0.1
    told = replace(
        uniform_noise(1.0, 0.9), edges=np.array([1.0]), inlier_share=np.array([0.5, 0.9]), by_level=np.ones(2)
    )
    found = triangulate(xy, confidence, truth.rig, noise=told)
    np.testing.assert_allclose(found.xyz[7, 0], truth.poses.xyz[7, 16], atol=1e-3)


def test_the_order_of_the_views_does_not_matter(truth):
    xy, _ = observed(truth, 0.2)
    order = [2, 0, 3, 1]
    rig = replace(truth.rig, cameras=tuple(truth.rig.cameras[v] for v in order))
    noise, confidence = uniform_noise(SIGMA, 0.8), truth.keypoints.confidence
    one = triangulate(xy, confidence, truth.rig, noise=noise).xyz
    other = triangulate(xy[:, order], confidence[:, order], rig, noise=noise).xyz
    same = np.isclose(one, other, atol=0.5, equal_nan=True).all(axis=-1)
    assert same.mean() > 0.999  # where chance makes a wrong place agree with three views, the first found stays


def test_nothing_seen_is_nothing_found(truth):
    found = triangulate(np.full((3, 4, 17, 2), np.nan), np.zeros((3, 4, 17)), truth.rig)
    assert np.isnan(found.xyz).all()
    assert (found.confidence == 0).all()


def test_joints_that_fewer_than_two_views_see_right_are_mostly_missing_and_never_far_from_the_body(truth):
    """Without the body a third of them would be placed wherever two rays happen to pass."""
    xy, bad = observed(truth, 0.4)
    found = triangulate(xy, truth.keypoints.confidence, truth.rig)
    hopeless = (~bad).sum(axis=1) < 2
    assert hopeless.sum() > 200
    placed = hopeless & np.isfinite(found.xyz[..., 0])
    assert placed.sum() < 0.2 * hopeless.sum()
    assert distance(found, truth)[placed].max() < 3000


def test_a_frame_s_joints_do_not_depend_on_the_other_frames(truth):
    xy, _ = observed(truth, 0.3)
    confidence, noise = np.random.default_rng(3).uniform(0.2, 1, xy.shape[:3]), uniform_noise(SIGMA, 0.7)
    whole = triangulate(xy, confidence, truth.rig, noise=noise)
    part = triangulate(xy[40:47], confidence[40:47], truth.rig, noise=noise)
    np.testing.assert_array_equal(part.xyz, whole.xyz[40:47])
    np.testing.assert_array_equal(part.covariance, whole.covariance[40:47])


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_world_of_another_unit_gives_the_same_joints(truth, factor):
    xy, _ = observed(truth, 0.2)
    noise, confidence = uniform_noise(SIGMA, 0.8), truth.keypoints.confidence
    one = triangulate(xy, confidence, truth.rig, noise=noise)
    other = triangulate(xy, confidence, truth.rig.scaled(factor, "arbitrary", "none"), noise=noise)
    np.testing.assert_allclose(other.xyz, one.xyz * factor, rtol=1e-6, atol=1e-6 * factor)
    np.testing.assert_array_equal(other.used, one.used)


def test_parallel_rays_determine_no_point(truth):
    """Two cameras at one place, of three that see a joint: only the third can place it, and then with the two."""
    one = truth.rig.cameras[0]
    twin = replace(one, name="twin")
    xy = np.stack([one.project(truth.poses.xyz)] * 2, axis=1)
    rig = replace(truth.rig, cameras=(one, twin))
    assert np.isnan(triangulate(xy, np.ones(xy.shape[:3]), rig, noise=uniform_noise(1.0, 0.9)).xyz).all()
    three = replace(truth.rig, cameras=(truth.rig.cameras[1], one, twin))
    xy = np.concatenate([truth.rig.cameras[1].project(truth.poses.xyz)[:, None], xy], axis=1)
    found = triangulate(xy, np.ones(xy.shape[:3]), three, noise=uniform_noise(1.0, 0.9))
    np.testing.assert_allclose(found.xyz, truth.poses.xyz, atol=1e-3)
