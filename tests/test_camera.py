from dataclasses import replace

import cv2
import numpy as np
import pytest

from epitool.arrays import inverses
from epitool.camera import Camera, Rig, centred_intrinsics
from epitool.errors import InputError

DISTORTION = np.array([-0.12, 0.05, 0.001, -0.0008, 0.01])


def camera(name="a", distortion=DISTORTION, seed=0):
    rng = np.random.default_rng(seed)
    R = cv2.Rodrigues(rng.normal(size=3) * 0.3)[0]
    K = [[900, 0, 640], [0, 910, 360], [0, 0, 1]]
    return Camera(name, K, distortion, R, rng.normal(size=3) * 0.2 + [0, 0, 5], (1280, 720))


@pytest.mark.parametrize("distortion", [np.zeros(0), DISTORTION], ids=["ideal", "distorted"])
def test_unproject_undoes_project(distortion):
    points = np.random.default_rng(1).uniform(-1, 1, (4, 7, 3))
    a = camera(distortion=distortion)
    depth = a.to_camera(points)[..., 2]
    np.testing.assert_allclose(a.unproject(a.project(points), depth), points, atol=1e-7)


def test_project_is_P_for_an_ideal_camera():
    points = np.random.default_rng(1).uniform(-1, 1, (9, 3))
    a = camera(distortion=[])
    image = np.column_stack([points, np.ones(9)]) @ a.P.T
    np.testing.assert_allclose(a.project(points), image[:, :2] / image[:, 2:], atol=1e-9)


def test_undistorted_pixels_are_where_an_ideal_camera_sees_them():
    points = np.random.default_rng(1).uniform(-1, 1, (9, 3))
    distorted, ideal = camera(), camera(distortion=[])
    np.testing.assert_allclose(distorted.undistort(distorted.project(points)), ideal.project(points), atol=1e-6)


def test_the_center_is_at_the_origin_of_the_camera_and_behind_is_nan():
    a = camera()
    np.testing.assert_allclose(a.to_camera(a.center), 0, atol=1e-12)
    assert np.isnan(a.project(a.center - a.R[2])).all()


def test_a_cropped_camera_sees_the_same_point_shifted():
    point = np.array([0.1, 0.2, 0.3])
    a = camera(distortion=[])
    cropped = replace(a, K=a.K - [[0, 0, 100], [0, 0, 50], [0, 0, 0]], image_size=(300, 200))
    np.testing.assert_allclose(cropped.project(point), a.project(point) - [100, 50], atol=1e-9)


def test_centred_intrinsics_look_through_the_middle():
    np.testing.assert_array_equal(centred_intrinsics((640, 480), 960), [[960, 0, 319.5], [0, 960, 239.5], [0, 0, 1]])


def test_missing_points_stay_missing():
    a = camera()
    points = np.array([[0.0, 0, 0], [np.nan, 0, 0]])
    assert np.isnan(a.project(points)).any(axis=-1).tolist() == [False, True]
    assert np.isnan(a.undistort(a.project(points))).any(axis=-1).tolist() == [False, True]


def test_cameras_are_frozen_and_checked():
    a = camera()
    with pytest.raises(ValueError, match="read-only"):
        a.K[0, 0] = 1
    with pytest.raises(ValueError, match="not a rotation"):
        Camera("a", np.eye(3), [], np.diag([1, 1, -1]), np.zeros(3), (1, 1))
    with pytest.raises(ValueError, match="same name"):
        Rig((a, a), "mm", "none")


def test_scaling_a_rig_scales_centers_and_keeps_pixels():
    rig = Rig((camera("a"), camera("b", seed=1)), "arbitrary", "none")
    large = rig.scaled(1000.0, "mm", "test")
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 3, 3))
    np.testing.assert_allclose(large.cameras[1].center, rig.cameras[1].center * 1000)
    np.testing.assert_allclose(large.project(points * 1000), rig.project(points), atol=1e-9)


def test_a_missing_camera_is_named():
    with pytest.raises(InputError, match="no camera for view c; the rig has a"):
        Rig((camera("a"),), "mm", "none").select(["a", "c"])


def test_inverses_of_many_matrices_are_those_of_each():
    one = np.array([[900.0, 0.5, 320.0], [0.0, 910.0, 240.0], [0.0, 0.0, 1.0]])
    K = one + np.arange(3)[:, None, None] * np.eye(3)
    np.testing.assert_allclose(inverses(K), [np.linalg.inv(each) for each in K], rtol=1e-12, atol=1e-15)
