"""Whether cameras are as far from the truth as their standard deviations say, over a few rigs and detectors."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from epitool.geometry.calibration.bundle_adjustment import adjust
from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.compare import angle_deg
from epitool.geometry.calibration.deviations import contributions_of_halves, jackknife_covariance
from epitool.geometry.doubts import Kind
from epitool.synthetic import detector_like, labels_of, random_rig
from epitool.synthetic.motion import random_motion

SCENES, FRAMES = range(8), 100


@pytest.fixture(scope="module")
def ratios():
    """Rotation errors of all cameras but the first over their deviations; the scenes that fail are left aside."""
    found = [errors_over_deviations(seed) for seed in SCENES]
    return np.concatenate(found)


def errors_over_deviations(seed):
    rig = random_rig(seed)
    rig = rig.select(rig.names[:4])
    keypoints = detector_like(
        labels_of(random_motion(FRAMES, seed).xyz, rig), noise=0.006, outliers=0.1, swap_share=0.2, seed=seed
    )
    found = calibrate(keypoints, rig.cameras, method="essential", seed=0, jobs=1)
    if found.verdict.level == "fail":
        return np.zeros(0)
    return ratios_of(found.bundle, rig)


def ratios_of(found, rig):
    """Rotation errors of all adjusted cameras but the first over their deviations."""
    truth, first = rig.select(found.rig.names).cameras, found.rig.cameras[0]
    errors = [angle_deg(a.R @ first.R.T @ (b.R @ truth[0].R.T).T) for a, b in zip(found.rig.cameras[1:], truth[1:])]
    return np.array(errors) / np.degrees(found.rotation_sd[1:])


def test_most_scenes_are_calibrated(ratios):
    assert len(ratios) >= 13  # of the 24 that eight scenes have


def test_errors_are_neither_larger_nor_smaller_than_stated(ratios):
    """Of three coordinates together: 61% within one deviation and 99% within two, were errors Gaussian and round."""
    assert 0.4 <= (ratios < 1).mean() <= 0.9
    assert (ratios < 2).mean() >= 0.85


@pytest.mark.parametrize("views", [2, 4])
def test_what_known_lenses_would_leave_is_what_they_leave(views):
    rig = random_rig(1)
    rig = rig.select(rig.names[:views])
    keypoints = detector_like(
        labels_of(random_motion(FRAMES, 1).xyz, rig), noise=0.006, outliers=0.1, swap_share=0.0, seed=1
    )
    assumed = [assumed_intrinsics(camera.name, camera.image_size, 60.0) for camera in rig.cameras]
    unknown = calibrate(keypoints, assumed, seed=0, jobs=1, focal="unknown")
    known = calibrate(keypoints, rig.cameras, seed=0, jobs=1).bundle
    (cause,) = [doubt for doubt in unknown.verdict.doubts if doubt.kind is Kind.LENSES]
    left = np.degrees(known.rotation_sd_in_rig.max())
    assert cause.numbers["known"] == pytest.approx(left, rel=0.3)
    assert np.degrees(unknown.bundle.rotation_sd_in_rig.max()) > 4 * left
    np.testing.assert_array_equal(known.rotation_sd_if_known, known.rotation_sd_in_rig)
    np.testing.assert_array_equal(known.position_sd_if_known, known.position_sd_in_rig)


def regression(errors, rows, prior=0.0):
    """Per observation, what it adds to the normal equations of a regression, and to their gradient at the optimum."""
    matrix = rows.T @ rows + prior * np.eye(rows.shape[1])
    residual = rows @ np.linalg.solve(matrix, rows.T @ errors) - errors
    return rows[:, :, None] * rows[:, None, :], rows * residual[:, None]


def grouped(values, group):
    return np.stack([values[group == g].sum(axis=0) for g in range(group.max() + 1)])


def test_leaving_out_each_of_independent_groups_gives_the_models_covariance():
    rng = np.random.default_rng(0)
    rows, group, found = rng.normal(size=(400, 2)), np.arange(400) // 20, []
    for _ in range(100):
        S, g = regression(rng.normal(0, 2.0, 400), rows)
        found.append(jackknife_covariance(grouped(S, group), grouped(g, group), np.zeros((2, 2))))
    assert np.diag(np.mean(found, axis=0)) == pytest.approx(4 * np.diag(np.linalg.inv(rows.T @ rows)), rel=0.15)


def test_errors_that_a_group_shares_count_as_one_observation():
    """A mean of 400 values of which each twenty are one and the same is known no better than one of twenty."""
    rng = np.random.default_rng(0)
    rows, group = np.ones((400, 1)), np.arange(400) // 20
    S, g = regression(np.repeat(rng.normal(size=20), 20), rows)
    variance = jackknife_covariance(grouped(S, group), grouped(g, group), np.zeros((1, 1)))
    assert variance[0, 0] == pytest.approx(1 / 20, rel=0.6)


def test_errors_that_each_half_of_a_recording_shares_are_two_observations_and_not_eight():
    """A mean of two values, each of which four stretches share, has half the variance of one."""
    rng, rows, group, found = np.random.default_rng(0), np.ones((80, 1)), np.arange(80) // 10, []
    for _ in range(200):
        S, g = (grouped(values, group) for values in regression(np.repeat(rng.normal(size=2), 40), rows))
        found.append(
            [jackknife_covariance(*sums, np.zeros((1, 1)))[0, 0] for sums in ((S, g), contributions_of_halves(S, g))]
        )
    stretches, halves = np.mean(found, axis=0)
    assert stretches < 0.2 * 0.5
    assert halves == pytest.approx(0.5, rel=0.2)


def test_a_group_that_alone_determines_something_does_no_harm():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 2))
    rows[10:, 1] = 0.0
    S, g = regression(rng.normal(size=100), rows)
    group = np.arange(100) // 10
    assert np.isfinite(jackknife_covariance(grouped(S, group), grouped(g, group), np.zeros((2, 2)))).all()


def test_a_detector_that_is_biased_by_joint_and_view_is_found_out():
    """Every joint is off by 1.5% of the person's size, in each view another way, in all frames: noise hardly counts."""
    ratios = []
    for seed in SCENES:
        rig = random_rig(seed)
        rig = rig.select(rig.names[:4])
        truth = labels_of(random_motion(FRAMES, seed).xyz, rig)
        detected = detector_like(truth, noise=0.002, outliers=0.0, swap_share=0.0, seed=seed)
        size = np.nanmedian(truth.keypoints.boxes()[..., 2], axis=0)[:, None, None]
        bias = 0.015 * size * np.random.default_rng(seed).normal(size=(*detected.xy.shape[1:3], 2))
        start = rig.undistort(detected.xy + bias)
        found = adjust(start, detected.confidence, truth.poses.xyz, rig)
        ratios += list(ratios_of(found, rig))
    assert (np.array(ratios) < 1).mean() >= 0.4
    assert (np.array(ratios) < 2).mean() >= 0.8


def two_people(seed, turn_deg, noise=0.002):
    """Two people, the errors of the cameras over the deviations, told apart and not.

    The first one is seen with less noise, but by cameras that are turned a little; the second is seen by the true
    cameras with noise of 0.6% of the person's size. Both are in every stretch of the recording.
    """
    rig, rng = random_rig(seed), np.random.default_rng(seed)
    rig = rig.select(rig.names[:4])
    turns = [cv2.Rodrigues(np.radians(turn_deg) * rng.normal(size=3) / np.sqrt(3))[0] for _ in rig.cameras]
    other = replace(rig, cameras=tuple(replace(c, R=R @ c.R, t=R @ c.t) for c, R in zip(rig.cameras, turns)))
    made_up, real = (labels_of(random_motion(FRAMES, 2 * seed + i).xyz, r) for i, r in enumerate((other, rig)))
    seen = [detector_like(made_up, noise=noise, outliers=0.0, swap_share=0.0, seed=seed)]
    seen.append(detector_like(real, noise=0.006, outliers=0.0, swap_share=0.0, seed=seed + 1))
    xy = np.concatenate([rig.undistort(keypoints.xy) for keypoints in seen])
    xyz = np.concatenate([made_up.poses.xyz, real.poses.xyz])
    sure = np.where(np.arange(len(xy)) < FRAMES, 0.9, 0.5)[:, None, None] * np.ones(xy.shape[1:3])
    turns_taken = np.arange(len(xy)).reshape(2, FRAMES).T.ravel()
    xy, sure, xyz, person = (values[turns_taken] for values in (xy, sure, xyz, np.arange(len(xy)) // FRAMES))
    return [ratios_of(adjust(xy, sure, xyz, rig, take_of=takes), rig) for takes in (person, None)]


def test_a_person_who_decides_against_the_others_does_not_make_the_cameras_certain():
    told, not_told = np.concatenate([two_people(seed, 1.0) for seed in SCENES[:4]], axis=1)
    assert np.mean(told**2) < 0.25 * np.mean(not_told**2)


def test_a_person_who_outweighs_the_others_does_not_hold_the_cameras_when_left_out():
    """A twentieth of somebody who weighs 600 times as much as the other would decide as well: 74 deviations."""
    told, _ = two_people(1, 1.0, noise=0.00025)
    assert np.mean(told**2) < 3.0**2


def test_people_whose_errors_are_independent_cost_nothing():
    told, not_told = np.concatenate([two_people(seed, 0.0) for seed in SCENES[:4]], axis=1)
    assert np.mean(not_told**2) < 1.2**2 * np.mean(told**2)
