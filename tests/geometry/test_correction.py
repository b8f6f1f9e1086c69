"""Optimal two-view correction: stationary, on the constraint, and never worse than OpenCV's."""

import cv2
import numpy as np
import pytest

from epitool.arrays import homogeneous
from epitool.geometry.two_view.correction import correct_matches
from epitool.geometry.two_view.epipolar import fundamental_of_pose, sampson_distance

K = np.array([[1145.0, 0, 500], [0, 1140, 490], [0, 0, 1]])
SIDE, FACING, BEHIND = 1.2, np.pi - 0.02, 0.01  # turns about the person; in the last two each epipole is on the body
SCENES = [SIDE, FACING, BEHIND]


def scene(turn, count, gross, seed=0):
    """Noisy matches of points about 4.5 m before the first camera; a share of them are unrelated."""
    rng = np.random.default_rng(seed)
    middle = np.array([0, 0, 4.5])
    R = cv2.Rodrigues(np.array([0.01, turn, 0.0]))[0]
    t = middle * (1.5 if turn == BEHIND else 1.0) - R @ middle
    X = middle + rng.uniform(-0.8, 0.8, (count, 3))
    a, b = (x[:, :2] / x[:, 2:] for x in (X @ K.T, (X @ R.T + t) @ K.T))
    a, b = (xy + rng.normal(0, 5, xy.shape) for xy in (a, b))
    b = np.where((rng.random(count) < gross)[:, None], rng.uniform(0, 1000, b.shape), b)
    return fundamental_of_pose(R, t, K, K), a, b


def moved(a, b, new_a, new_b):
    return np.sqrt(((a - new_a) ** 2 + (b - new_b) ** 2).sum(axis=1))


def gradient_px(F, a, b, new_a, new_b):
    """How far the corrections are from one multiple of the constraint's gradient; 0 where they are stationary."""
    step = np.hstack([a - new_a, b - new_b])
    normal = np.hstack([(homogeneous(new_b) @ F)[:, :2], (homogeneous(new_a) @ F.T)[:, :2]])
    along = (step * normal).sum(axis=1) / (normal**2).sum(axis=1)
    return np.linalg.norm(step - along[:, None] * normal, axis=1)


@pytest.mark.parametrize("iterations", [20, 0])
@pytest.mark.parametrize("turn", SCENES)
@pytest.mark.parametrize("gross", [0.0, 0.3])
def test_it_is_the_optimum(turn, gross, iterations):
    """OpenCV finds a worse one for many matches near the epipole, and none at all for some; never a better one."""
    F, a, b = scene(turn, 10_000, gross)
    new_a, new_b = correct_matches(F, a, b, iterations)
    cv_a, cv_b = (corrected[0] for corrected in cv2.correctMatches(F, a[None], b[None]))
    assert sampson_distance(F, new_a, new_b).max() < 1e-8
    assert gradient_px(F, a, b, new_a, new_b).max() < 1e-6
    assert np.nanmax(moved(a, b, new_a, new_b) - moved(a, b, cv_a, cv_b)) < 1e-8


@pytest.mark.parametrize("seed", range(5))
def test_the_iteration_ends_where_the_polynomial_does(seed):
    """Matches without any relation, a pose at random: nothing is more awkward."""
    rng = np.random.default_rng(seed)
    t = rng.normal(size=3)
    F = fundamental_of_pose(cv2.Rodrigues(rng.normal(size=3))[0], t / np.linalg.norm(t), K, K)
    a, b = rng.uniform(0, 1000, (2, 5000, 2))
    fast, sure = (moved(a, b, *correct_matches(F, a, b, iterations)) for iterations in (20, 0))
    np.testing.assert_allclose(fast, sure, atol=1e-7)


def test_the_points_are_opencvs_as_far_as_those_are_stationary():
    """OpenCV's roots are good to a few thousandths of a pixel only."""
    F, a, b = scene(SIDE, 50_000, 0.0)
    ours, theirs = correct_matches(F, a, b), [corrected[0] for corrected in cv2.correctMatches(F, a[None], b[None])]
    apart = np.linalg.norm(np.hstack(ours) - np.hstack(theirs), axis=1)
    assert (apart < gradient_px(F, a, b, *theirs) + 1e-6).all()
    assert apart.max() < 0.01


def test_views_exchanged_exchange_the_corrections():
    F, a, b = scene(FACING, 1000, 0.3)
    for one, other in zip(correct_matches(F, a, b), reversed(correct_matches(F.T, b, a))):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_point_on_the_epipole_is_corrected_in_no_way_or_in_one_view_only():
    """Any point of the other view satisfies the constraint with an epipole."""
    F, _, b = scene(FACING, 50, 0.0)
    epipole = np.linalg.svd(F)[2][2]
    a = np.tile(epipole[:2] / epipole[2], (50, 1))
    assert moved(a, b, *correct_matches(F, a, b)).max() < 1e-6


def test_missing_stays_missing_and_nothing_gives_nothing():
    F, a, b = scene(SIDE, 5, 0.0)
    a[1, 0] = np.nan
    new_a, new_b = correct_matches(F, a, b)
    assert np.isnan(new_a).all(axis=1).tolist() == np.isnan(new_b).all(axis=1).tolist() == [False, True, *[False] * 3]
    assert correct_matches(F, a[:0], b[:0])[0].shape == (0, 2)
