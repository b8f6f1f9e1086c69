"""Formulas that compiled loops share: each against what it is derived from."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from epitool.geometry.compiled import mixture, point, projection, rays, sampson, symmetric
from epitool.geometry.compiled.formula import compiled
from epitool.synthetic.scene import ring_of_cameras

RNG = np.random.default_rng(0)
P, CENTERS = ring_of_cameras().stacked("P", "center")
X = np.array([120.0, -80.0, 950.0])


def by_differences(function, at, step):
    """Derivative of a function of a vector, by central differences, `(..., N)`."""
    sides = [np.array(function(*(at + sign * step * row))) for row in np.eye(len(at)) for sign in (1, -1)]
    return np.stack([(sides[2 * k] - sides[2 * k + 1]) / (2 * step) for k in range(len(at))], axis=-1)


@pytest.mark.parametrize("v", range(len(P)))
def test_a_projections_slope_is_its_derivative(v):
    u, w, over_depth = projection.project(P, v, *X)
    found = [projection.pixel_derivative(P, v, row, pixel, over_depth) for row, pixel in ((0, u), (1, w))]
    np.testing.assert_allclose(found, by_differences(lambda *x: projection.project(P, v, *x)[:2], X, 1e-2), rtol=1e-6)


def test_what_lies_behind_a_camera_is_at_no_distance_from_a_pixel():
    behind = 2 * CENTERS[0] - X
    assert projection.squared_error(P, 0, behind, 5.0, 5.0) == np.inf
    assert np.isnan(projection.squared_error(P, 0, X, np.nan, np.nan))


def test_inverses_of_symmetric_matrices():
    A = RNG.normal(size=(3, 5))
    A = A @ A.T
    out, same = np.empty((3, 3)), A.copy()
    assert symmetric.invert(A[np.triu_indices(3)], out)
    symmetric.invert_matrix(same, same)
    np.testing.assert_allclose(out, np.linalg.inv(A), rtol=1e-12)
    np.testing.assert_array_equal(same, out)
    assert not symmetric.invert(np.outer(X, X)[np.triu_indices(3)], out)


def test_where_rays_pass_each_other_the_way_between_them_is_perpendicular_to_both():
    a, b, d = RNG.normal(size=(3, 50, 3))
    s, t, squared_sine = rays.closest_approach(*a.T, *b.T, *d.T)
    way = d + t[:, None] * b - s[:, None] * a
    np.testing.assert_allclose((way * a).sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose((way * b).sum(axis=1), 0, atol=1e-9)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(squared_sine, 1 - cosine**2, atol=1e-12)


def test_almost_parallel_rays_are_told_apart_without_cancellation():
    assert rays.closest_approach(0.0, 0.0, 1.0, 1e-9, 0.0, 1.0, 1.0, 0.0, 0.0)[2] == pytest.approx(1e-18, rel=1e-6)


def test_the_epipolar_constraint_has_its_gradient():
    F, match = RNG.normal(size=(3, 3)), RNG.normal(size=4)
    value, *gradient = sampson.epipolar_constraint(F, *match)
    a, b = np.append(match[:2], 1), np.append(match[2:], 1)
    assert value == pytest.approx(b @ F @ a)
    np.testing.assert_allclose(gradient, by_differences(lambda *m: sampson.epipolar_constraint(F, *m)[0], match, 1e-4))


def test_a_formula_gives_compiled_loops_numbers_and_arrays_the_same_bits():
    @njit
    def one_by_one(F, a, b):
        return [sampson.squared_sampson(F, a[n, 0], a[n, 1], b[n, 0], b[n, 1]) for n in range(len(a))]

    F, a, b = RNG.normal(size=(3, 3)), RNG.normal(size=(20, 2)), RNG.normal(size=(20, 2))
    of_arrays = sampson.squared_sampson(F, *a.T, *b.T)
    np.testing.assert_array_equal(one_by_one(F, a, b), of_arrays)
    np.testing.assert_array_equal([sampson.squared_sampson(F, *p, *q) for p, q in zip(a, b)], of_arrays)


def test_a_keypoints_probability_is_bayes_rule_over_both_densities():
    share, variance, area, squared = 0.9, 4.0, 1e5, 30.0
    inlier = share / (2 * np.pi * variance) * np.exp(-squared / (2 * variance))
    gross = (1 - share) / area
    weights, cost = mixture.expectation(
        np.array([[squared]]), *(np.array([[x]]) for x in (variance, share)), np.array([area])
    )
    assert weights[0, 0] == pytest.approx(inlier / (inlier + gross))
    assert cost == pytest.approx(-np.log(inlier + gross))
    best = mixture.best_odds(share, variance, area)
    log_odds = mixture.log_odds(np.log(best), 1 / variance, squared)
    assert mixture.probability_of_log(log_odds) == pytest.approx(inlier / (inlier + gross))
    assert mixture.evidence(log_odds) == pytest.approx(np.log1p(inlier / gross))
    assert mixture.evidence(mixture.CERTAIN + 1) == pytest.approx(np.log1p(np.exp(mixture.CERTAIN + 1)), abs=1e-3)


def test_a_point_takes_three_coordinates_from_its_keypoints():
    precision = RNG.uniform(0.5, 2, size=(1, len(P)))
    assert point.freedoms(P, X[None], precision).sum() == pytest.approx(2 * len(P) - 3)


def test_a_steps_normal_matrix_is_the_inverse_of_the_covariance():
    precision, H = RNG.uniform(0.5, 2, size=len(P)), np.empty(6)
    xy = np.array([projection.project(P, v, *X)[:2] for v in range(len(P))])
    point.gauss_newton_step(P, xy, precision, X.copy(), H)
    full = np.zeros((3, 3))
    full[np.triu_indices(3)] = H
    full = np.triu(full) + np.triu(full, 1).T
    np.testing.assert_allclose(point.covariances(P, X[None], precision[None])[0] @ full, np.eye(3), atol=1e-9)
    alone = np.where(np.arange(len(P)) == 0, precision, 0.0)
    assert np.isnan(point.covariances(P, X[None], alone[None])).all()


def test_a_compiled_loop_that_allocates_is_refused():
    @compiled
    def loop(values):
        values[0] = np.empty(3).size

    with pytest.raises(TypingError, match="returning of array"):
        loop(np.zeros(3))
