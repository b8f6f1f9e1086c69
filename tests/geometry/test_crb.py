"""The bound that benchmarks are held against, itself held against two others."""

from dataclasses import replace

import numpy as np
import pytest
from crb import camera_information, projection_derivatives, rotation_bound_deg
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from epitool.camera import Rig
from epitool.geometry.calibration.compare import compare_rigs
from epitool.synthetic import walking_room

RIG = Rig(walking_room().cameras[:3], "mm", "x")
XYZ = np.random.default_rng(0).uniform([-800, -800, 0], [800, 800, 1800], (14, 3))
ALL = np.ones((len(XYZ), len(RIG)), dtype=bool)


def moved(parameters: np.ndarray) -> tuple[Rig, np.ndarray]:
    """The rig and the points after a step (w, v) of every camera, and of every point."""
    cameras, points = parameters[: 6 * len(RIG)].reshape(-1, 6), parameters[6 * len(RIG) :].reshape(-1, 3)
    turns = Rotation.from_rotvec(cameras[:, :3]).as_matrix()
    steps = zip(RIG.cameras, turns, cameras[:, 3:])
    return replace(RIG, cameras=tuple(replace(c, R=R @ c.R, t=c.t + v) for c, R, v in steps)), XYZ + points


def pixels(parameters: np.ndarray) -> np.ndarray:
    rig, xyz = moved(parameters)
    return rig.project(xyz[None])[0].transpose(1, 0, 2)


def dense_jacobian() -> np.ndarray:
    """By central differences of every keypoint by every parameter: `(N, V, 2, 6 V + 3 N)`."""
    columns, step = [], 1e-4
    for unit in np.eye(6 * len(RIG) + XYZ.size):
        columns.append((pixels(step * unit) - pixels(-step * unit)) / (2 * step))
    return np.stack(columns, axis=-1)


def test_derivatives_are_those_of_the_projection():
    J = dense_jacobian()
    for v, camera in enumerate(RIG.cameras):
        xy, by_camera, by_point = projection_derivatives(camera, XYZ)
        np.testing.assert_allclose(xy, pixels(np.zeros(J.shape[-1]))[:, v], atol=1e-9)
        np.testing.assert_allclose(J[:, v, :, 6 * v : 6 * v + 6], by_camera, rtol=1e-4, atol=1e-4)
        for n, derivative in enumerate(by_point):
            first = 6 * len(RIG) + 3 * n
            np.testing.assert_allclose(J[n, v, :, first : first + 3], derivative, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("missing", [[], [(0, 1), (3, 0), (5, 2), (5, 1)]])
def test_information_is_that_of_all_parameters_with_the_points_eliminated(missing):
    inliers = ALL.copy()
    for keypoint in missing:
        inliers[keypoint] = False
    J = dense_jacobian()[inliers].reshape(-1, 6 * len(RIG) + XYZ.size)
    fisher, own = J.T @ J, slice(0, 6 * len(RIG))
    others = slice(own.stop, None)
    expected = fisher[own, own] - fisher[own, others] @ np.linalg.pinv(fisher[others, others]) @ fisher[others, own]
    found = camera_information(RIG, XYZ, inliers)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.thorough  # the derivatives and the information are held by the tests above
def test_least_squares_scatters_as_the_bound_says():
    sigma, errors = 0.5, []
    free = np.r_[6 : 6 * len(RIG) + XYZ.size]

    def residuals(part: np.ndarray, observed: np.ndarray) -> np.ndarray:
        parameters = np.zeros(6 * len(RIG) + XYZ.size)
        parameters[free] = part
        return (pixels(parameters) - observed).ravel()

    exact = pixels(np.zeros(6 * len(RIG) + XYZ.size))
    for seed in range(40):
        observed = exact + np.random.default_rng(seed).normal(0, sigma, exact.shape)
        found = least_squares(residuals, np.zeros(len(free)), method="lm", args=(observed,)).x
        rig, _ = moved(np.concatenate([np.zeros(6), found]))
        errors += [pair.rotation_deg for pair in compare_rigs(rig, RIG) if pair.consecutive]
    ratio = np.sqrt(np.mean(np.square(errors))) / rotation_bound_deg(RIG, XYZ, ALL, sigma)
    assert ratio == pytest.approx(1, abs=0.15)  # two and a half deviations of an RMS of 40 x 2 rotations


def test_bound_grows_with_the_noise_and_without_a_keypoint():
    bound = rotation_bound_deg(RIG, XYZ, ALL, 1.0)
    assert rotation_bound_deg(RIG, XYZ, ALL, 3.0) == pytest.approx(3 * bound)
    fewer = ALL.copy()
    fewer[0, 1] = False
    assert rotation_bound_deg(RIG, XYZ, fewer, 1.0) > bound


def test_bound_does_not_depend_on_the_world():
    bound = rotation_bound_deg(RIG, XYZ, ALL, 1.0)
    assert rotation_bound_deg(RIG.scaled(1e-3, "arbitrary", "none"), XYZ * 1e-3, ALL, 1.0) == pytest.approx(bound)
    turn, shift = Rotation.from_rotvec([0.3, -0.2, 0.9]).as_matrix(), np.array([300.0, -200.0, 50.0])
    cameras = tuple(replace(c, R=c.R @ turn.T, t=c.t - c.R @ turn.T @ shift) for c in RIG.cameras)
    assert rotation_bound_deg(replace(RIG, cameras=cameras), XYZ @ turn.T + shift, ALL, 1.0) == pytest.approx(bound)


def test_a_point_that_one_view_sees_carries_nothing():
    lonely = np.vstack([ALL, [[True, False, False]]])
    xyz = np.vstack([XYZ, [[100.0, 100.0, 500.0]]])
    np.testing.assert_allclose(camera_information(RIG, xyz, lonely), camera_information(RIG, XYZ, ALL))
