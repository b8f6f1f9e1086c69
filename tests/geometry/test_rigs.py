"""Made-up rigs see the person, and the worst detector makes the faults it is asked for, no others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epitool.labels import Labels
from epitool.synthetic import detector_like, labels_of, random_rig, walking_room
from epitool.synthetic.motion import random_motion

XYZ = random_motion(200, 0).xyz


@pytest.fixture(scope="module")
def walking() -> Labels:
    return labels_of(XYZ, walking_room())


def faulty(truth: Labels, **faults):
    return detector_like(truth, **{"noise": 0.0, "outliers": 0.0, "swap_share": 0.0, **faults})


def test_the_walking_room_is_four_by_nine_metres():
    centers = np.array([camera.center for camera in walking_room().cameras])
    np.testing.assert_allclose(np.ptp(centers, axis=0), [4000, 9000, 0], atol=1e-9)
    np.testing.assert_allclose(centers[:, 2], 1500)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_every_camera_of_a_random_rig_stands_upright_and_sees_the_person(seed):
    rig = random_rig(seed)
    assert 2 <= len(rig) <= 8
    assert labels_of(XYZ[::10], rig).keypoints.confidence.mean(axis=(0, 2)).min() > 0.4
    for camera in rig.cameras:
        assert abs(camera.R[0, 2]) < 1e-12  # its x axis is level
        assert camera.R[1, 2] < 0  # its y axis points down


def test_random_rigs_are_all_kinds():
    rigs = [random_rig(seed) for seed in range(200)]
    assert {len(rig) for rig in rigs} == set(range(2, 9))
    apart = [np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center) for rig in rigs]
    assert min(apart) < 1000
    assert max(apart) > 8000
    np.testing.assert_array_equal(random_rig(3).cameras[1].P, random_rig(3).cameras[1].P)


def test_labels_are_the_projections_and_end_at_the_image():
    aside = XYZ + np.array([1200.0, 0.0, 0.0])
    labels = labels_of(aside, walking_room())
    xy, seen = labels.keypoints.xy, labels.keypoints.confidence > 0
    exact = labels.rig.project(aside)
    np.testing.assert_array_equal(seen, ((exact >= 0) & (exact <= 999)).all(axis=-1))
    np.testing.assert_array_equal(xy, np.where(seen[..., None], exact, np.nan))
    assert 0.1 < seen.mean() < 0.99


def test_tails_are_heavy_and_scale_with_the_person(walking):
    size = np.nanmedian(walking.keypoints.boxes()[..., 2], axis=0)[:, None, None]
    error = (faulty(walking, noise=0.01).xy - walking.keypoints.xy) / size
    error = np.abs(error[np.isfinite(error)])
    assert np.median(error) == pytest.approx(0.01 * 0.765, rel=0.05)  # the quartile of Student's t with 3 degrees
    assert (error > 0.04).mean() == pytest.approx(0.028, rel=0.2)  # a Gaussian of that median: 0.0004


def test_exchanged_sides_come_in_runs_of_one_view(walking):
    found, plain = (faulty(walking, swap_share=share, seed=2).xy for share in (0.3, 0.0))
    exchanged = (np.nan_to_num(found) != np.nan_to_num(plain)).any(axis=(2, 3))
    assert sorted(exchanged.sum(axis=0).tolist()) == [0, 0, 0, 60]
    starts = np.diff(exchanged.any(axis=1).astype(int), prepend=0) == 1
    assert starts.sum() <= 7


def test_a_frozen_view_repeats_one_frame_and_the_others_do_not(walking):
    keypoints = faulty(walking, frozen_view=1)
    still = [(np.nan_to_num(xy) == np.nan_to_num(xy[0])).all() for xy in keypoints.xy.transpose(1, 0, 2, 3)]
    assert still == [False, True, False, False]


def test_gross_errors_are_as_many_as_asked_for(walking):
    found, exact = faulty(walking, outliers=0.2).xy, walking.keypoints.xy
    error = np.linalg.norm(found - exact, axis=-1)
    assert (error[np.isfinite(error)] > 0).mean() == pytest.approx(0.2, abs=0.01)
