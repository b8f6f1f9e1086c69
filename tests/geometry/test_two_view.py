import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epitool.errors import GeometryError
from epitool.geometry.two_view.correction import correct_matches
from epitool.geometry.two_view.epipolar import (
    decompose_essential,
    depths_along_rays,
    essential_from_fundamental,
    fundamental_by_ransac,
    fundamental_of_pose,
    homogeneous,
    pose_by_cheirality,
    pose_by_poselib,
    sampson_distance,
    skew,
)

K_A = np.array([[1145.0, 0, 512], [0, 1140, 500], [0, 0, 1]])
K_B = np.array([[1000.0, 0, 480], [0, 1005, 520], [0, 0, 1]])


def pose(seed, forward=False):
    rng = np.random.default_rng(seed)
    R = cv2.Rodrigues(rng.normal(size=3) * 0.4)[0]
    t = np.array([0.05, 0.02, 1.0]) if forward else rng.normal(size=3)
    return R, t / np.linalg.norm(t)


def matches(seed, count=300, noise=0.0, forward=False):
    """Pixels of points in front of both cameras."""
    R, t = pose(seed, forward)
    rng = np.random.default_rng(seed + 1000)
    a = rng.uniform(0, 1000, (20 * count, 2))
    points = homogeneous(a) @ np.linalg.inv(K_A).T * rng.uniform(3, 8, (len(a), 1))
    in_b = points @ R.T + t
    keep = in_b[:, 2] > 0.5
    b = (in_b @ K_B.T)[keep]
    b = b[:, :2] / b[:, 2:]
    a = a[keep]
    return R, t, (a + rng.normal(0, noise, a.shape))[:count], (b + rng.normal(0, noise, b.shape))[:count]


def rays(xy, K):
    return homogeneous(xy) @ np.linalg.inv(K).T


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_exact_matches_lie_on_their_epipolar_lines(seed):
    R, t, a, b = matches(seed)
    assert sampson_distance(fundamental_of_pose(R, t, K_A, K_B), a, b).max() < 1e-7


def test_sampson_distance_is_the_true_distance_to_first_order():
    R, t, a, b = matches(3, noise=0.01)
    F = fundamental_of_pose(R, t, K_A, K_B)
    corrected_a, corrected_b = correct_matches(F, a, b)
    true = np.sqrt(((corrected_a - a) ** 2 + (corrected_b - b) ** 2).sum(axis=1))
    np.testing.assert_allclose(sampson_distance(F, a, b), true, atol=1e-6)


def test_decomposition_is_opencvs():
    R, t, _, _ = matches(4)
    E = skew(t) @ R
    ours = decompose_essential(E)
    R1, R2, u = cv2.decomposeEssentialMat(E)
    assert len(ours) == 4
    for S in (R1, R2):
        for v in (u.ravel(), -u.ravel()):
            assert any(np.allclose(S, R, atol=1e-9) and np.allclose(v, t, atol=1e-9) for R, t in ours)


def test_cheirality_picks_the_true_one_of_four():
    R, t, a, b = matches(5)
    E = essential_from_fundamental(fundamental_of_pose(R, t, K_A, K_B), K_A, K_B)
    for sign in (1, -1):
        found_R, found_t, share = pose_by_cheirality(sign * E, rays(a, K_A), rays(b, K_B))
        np.testing.assert_allclose(found_R, R, atol=1e-9)
        np.testing.assert_allclose(found_t, t, atol=1e-9)
        assert share == 1


@pytest.mark.parametrize("seed", range(3))
def test_both_routes_find_the_pose_from_exact_matches(seed):
    R, t, a, b = matches(seed + 10)
    by_five_points, direction, inliers = pose_by_poselib(a, b, K_A, K_B, 1.0, 0)
    np.testing.assert_allclose(by_five_points, R, atol=1e-6)
    np.testing.assert_allclose(direction, t, atol=1e-6)
    assert inliers.all()
    E = essential_from_fundamental(fundamental_by_ransac(a, b, 1.0, 0), K_A, K_B)
    by_fundamental, direction, _ = pose_by_cheirality(E, rays(a, K_A), rays(b, K_B))
    np.testing.assert_allclose(by_fundamental, R, atol=1e-4)
    np.testing.assert_allclose(direction, t, atol=1e-4)


def test_too_few_matches_are_refused():
    _, _, a, b = matches(1)
    for solve in (fundamental_by_ransac, lambda a, b, px, seed: pose_by_poselib(a, b, K_A, K_B, px, seed)):
        with pytest.raises(GeometryError, match="15 joints seen in both views"):
            solve(a[:15], b[:15], 1.0, 0)


def test_depths_are_those_of_the_points_and_missing_for_parallel_rays():
    R, t, a, b = matches(6)
    depth_a, depth_b = depths_along_rays(R, t, rays(a, K_A), rays(b, K_B))
    np.testing.assert_allclose((rays(a, K_A) * depth_a[:, None]) @ R.T + t, rays(b, K_B) * depth_b[:, None], atol=1e-8)
    forward = np.array([[0.0, 0, 1]])
    assert not np.isfinite(depths_along_rays(np.eye(3), np.array([1.0, 0, 0]), forward, forward)[0]).any()


def moved(a, b, new_a, new_b):
    return np.sqrt(((new_a - a) ** 2 + (new_b - b) ** 2).sum(axis=1))


@pytest.mark.parametrize("forward", [False, True], ids=["beside", "epipole in the image"])
@pytest.mark.parametrize("seed", range(3))
def test_correction_is_the_optimum_that_opencv_finds(seed, forward):
    """20% of the matches are gross errors; OpenCV gives NaN or a worse optimum for some of them, never a better one."""
    R, t, a, b = matches(seed, 5000, noise=5.0, forward=forward)
    b = b.copy()
    b[: len(b) // 5] = np.random.default_rng(seed).uniform(0, 1000, (len(b) // 5, 2))
    F = fundamental_of_pose(R, t, K_A, K_B)
    cv_a, cv_b = (corrected[0] for corrected in cv2.correctMatches(F, a[None], b[None]))
    for iterations in (20, 0):
        new_a, new_b = correct_matches(F, a, b, iterations)
        assert sampson_distance(F, new_a, new_b).max() < 1e-6
        excess = moved(a, b, new_a, new_b) - moved(a, b, cv_a, cv_b)
        assert np.nanmax(excess) < 1e-6


def test_correction_of_a_perfect_match_is_nothing_and_missing_stays_missing():
    R, t, a, b = matches(2)
    a[0] = np.nan
    new_a, new_b = correct_matches(fundamental_of_pose(R, t, K_A, K_B), a, b)
    np.testing.assert_allclose(new_a[1:], a[1:], atol=1e-7)
    np.testing.assert_allclose(new_b[1:], b[1:], atol=1e-7)
    assert np.isnan(new_a[0]).all()
