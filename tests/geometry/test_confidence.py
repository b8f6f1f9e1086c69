"""What a detector's confidence means is learned from the recording: only ranks count, and they count for what is so."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels
from scipy.stats import rankdata
from test_bundle import rms_deg
from tiers import thorough_but

from epitool.geometry.calibration.calibrate import calibrate
from epitool.geometry.noise import Residuals, refit_noise, unknown_noise
from epitool.geometry.triangulation.labels import make_labels
from epitool.geometry.triangulation.triangulate import estimate_noise
from epitool.io.keypoints_h5 import open_keypoints, write_keypoints
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

SIGMA, GROSS = 4.0, 0.2
MAPS = {
    "a third": lambda c: c / 3,
    "squared": lambda c: c**2,
    "ranks": lambda c: rankdata(c).reshape(c.shape),
    "above 1": lambda c: 10 + 5 * c,
    "logarithms": lambda c: np.log(c),
}


@pytest.fixture(scope="module")
def truth():
    return exact_labels(200, seed=8)


@pytest.fixture(scope="module")
def faulty(truth):
    """Keypoints with gross errors, and which they are."""
    noisy = noisy_keypoints(truth, sigma_px=SIGMA, outliers=GROSS, swap_share=0.0, seed=1)
    clean = noisy_keypoints(truth, sigma_px=SIGMA, outliers=0.0, swap_share=0.0, seed=1)
    return noisy, (noisy.xy != clean.xy).any(axis=-1) & noisy.seen & clean.seen


def told(faulty, right: tuple[float, float], wrong: tuple[float, float]):
    """The keypoints with confidences of these means and deviations."""
    keypoints, gross = faulty
    rng = np.random.default_rng(0)
    (m, s), (n, t) = right, wrong
    drawn = np.where(gross, rng.normal(n, t, gross.shape), rng.normal(m, s, gross.shape))
    return replace(keypoints, confidence=np.clip(drawn, 0.01, 0.99))


@pytest.fixture(scope="module")
def half(faulty):
    """Half of the gross errors are told by confidences under 0.5, as heatmaps have them."""
    return told(faulty, (0.5, 0.08), (0.35, 0.15))


@pytest.fixture(scope="module")
def solved(half, truth):
    """The cameras and the poses that these confidences give."""
    rig = calibrate(half, truth.rig.cameras, seed=0, jobs=1).rig
    return rig, make_labels(half, rig, jobs=1)


@pytest.mark.parametrize("name", thorough_but(MAPS, "logarithms"))
def test_the_scale_of_confidence_does_not_matter(half, truth, solved, name):
    other = replace(half, confidence=MAPS[name](half.confidence))
    rig, labels = solved
    same = calibrate(other, truth.rig.cameras, seed=0, jobs=1).rig
    for a, b in zip(rig.cameras, same.cameras, strict=True):
        np.testing.assert_allclose(b.P, a.P, atol=1e-6)
    again = make_labels(other, rig, jobs=1)
    np.testing.assert_allclose(again.poses.xyz, labels.poses.xyz, atol=1e-6)
    np.testing.assert_allclose(again.poses.confidence, labels.poses.confidence, atol=1e-6)
    np.testing.assert_array_equal(again.used, labels.used)


def test_confidences_below_zero_come_back_from_files(half, tmp_path):
    """Logarithms of probabilities are all below zero; no cut is no cut, and a cut is one."""
    logs = replace(half, confidence=np.where(half.seen, np.log(np.maximum(half.confidence, 0.01)), 0.0))
    write_keypoints(tmp_path / "keypoints.h5", logs)
    with open_keypoints(tmp_path / "keypoints.h5") as file:
        np.testing.assert_array_equal(file.read().seen, half.seen)
    with open_keypoints(tmp_path / "keypoints.h5", -0.7) as file:
        kept = file.read().confidence[file.read().seen]
    assert kept.min() >= -0.7
    assert 0 < len(kept) < half.seen.sum()


def test_low_confidences_are_no_reason_to_leave_joints_out(half, truth):
    low = replace(half, confidence=half.confidence * 0.1)
    found = make_labels(low, truth.rig, jobs=1)
    assert np.isfinite(found.poses.xyz[..., 0]).mean() > 0.96


def errors(keypoints, truth) -> tuple[float, float]:
    """Of the rotations, degrees, and of the joints with the true cameras, mm."""
    rig = calibrate(keypoints, truth.rig.cameras, seed=0, jobs=1).rig
    xyz = make_labels(keypoints, truth.rig, jobs=1).poses.xyz
    return rms_deg(rig, truth), float(np.nanmean(np.linalg.norm(xyz - truth.poses.xyz, axis=-1)))


@pytest.fixture(scope="module")
def silent(faulty, truth):
    """Errors where all joints are equally sure."""
    return errors(replace(faulty[0], confidence=faulty[0].seen.astype(float)), truth)


def test_confidence_that_says_nothing_costs_nothing(faulty, truth, silent):
    noise = told(faulty, (0.6, 0.2), (0.6, 0.2))
    (rotation, place), (other_rotation, other_place) = silent, errors(noise, truth)
    assert other_rotation < 1.05 * rotation + 0.005
    assert other_place < 1.02 * place


@pytest.mark.parametrize(("right", "wrong"), [((0.85, 0.1), (0.3, 0.2)), ((0.5, 0.1), (0.9, 0.05))])
def test_confidence_that_tells_gross_errors_helps_whichever_way_it_tells_them(faulty, truth, silent, right, wrong):
    """The second one is surest of its gross errors: what it says is learned, not believed."""
    (rotation, place), (other_rotation, other_place) = silent, errors(told(faulty, right, wrong), truth)
    assert other_rotation < 1.05 * rotation
    assert other_place < place


def test_joints_that_are_surer_where_they_are_better_place_the_body_better(truth):
    """Standard deviations of 2 to 10 px, of which the confidence tells the order."""
    rng = np.random.default_rng(4)
    sd = rng.uniform(2, 10, truth.keypoints.confidence.shape)
    xy = truth.keypoints.xy + rng.normal(0, 1, truth.keypoints.xy.shape) * sd[..., None]
    silent = replace(truth.keypoints, xy=xy)
    (rotation, place), (other_rotation, other_place) = (
        errors(each, truth) for each in (silent, replace(silent, confidence=1 / sd))
    )
    assert other_place < 0.9 * place
    assert other_rotation < rotation


def test_what_confidence_means_is_found(faulty, truth):
    """Where all gross errors are unsure and nothing else is, the lowest levels hold them."""
    keypoints = told(faulty, (0.8, 0.05), (0.2, 0.05))
    noise = estimate_noise(truth.rig.undistort(keypoints.xy), keypoints.confidence, truth.rig)
    assert noise.inlier_share[0] < 0.12
    assert noise.inlier_share[-1] > 0.97
    assert noise.sigma_px == pytest.approx(SIGMA, rel=0.15)


def test_the_noise_of_every_joint_is_found_whatever_its_points_follow(truth):
    """A point follows the keypoints that are taken for precise: restricted likelihood does not fall for that."""
    rng = np.random.default_rng(6)
    sd = np.where(np.arange(17) % 2, 3.0, 6.0)
    xy = truth.keypoints.xy + rng.normal(0, 1, truth.keypoints.xy.shape) * sd[:, None]
    noise = estimate_noise(xy, truth.keypoints.confidence, truth.rig)
    np.testing.assert_allclose(noise.sigma_px * np.sqrt(noise.by_joint), sd, rtol=0.15)


def test_equal_confidences_are_of_one_level():
    seen = np.ones((400, 2, 5), dtype=bool)
    assert len(unknown_noise(np.ones(seen.shape), seen, 1.0, 0.9).inlier_share) == 1
    steps = np.tile(np.arange(1.0, 6.0), (400, 2, 1))
    noise = unknown_noise(steps, seen, 1.0, 0.9)
    assert (np.diff(noise.levels(np.arange(1.0, 6.0))) == 1).all()


def test_of_joints_without_a_place_at_most_one_keypoint_is_right():
    """Two views, odds of 9 and 1: the first is right with 9/11, the second with 1/11."""
    noise = replace(unknown_noise(np.ones((1, 2, 1)), np.ones((1, 2, 1), dtype=bool), 1.0, 0.5), edges=np.array([0.5]))
    noise = replace(noise, inlier_share=np.array([0.5, 0.9]), by_level=np.ones(2))
    none, lost = np.empty((0, 2)), np.tile([1, 0], (100_000, 1))
    residuals = Residuals(none, none, none, none.astype(int), np.empty(0, dtype=int), lost)
    np.testing.assert_allclose(refit_noise(noise, residuals).inlier_share, [1 / 11, 9 / 11], rtol=0.02)


def test_a_joint_at_the_other_camera_does_not_spoil_the_noise():
    """Mismatched keypoints may place a joint in the second camera, before or behind it by rounding alone."""
    truth = labels_of(random_motion(60, 1).xyz, walking_room())
    rig = truth.rig.select([truth.rig.names[0], truth.rig.names[3]])
    keypoints = noisy_keypoints(truth, sigma_px=3.0, outliers=0.0, swap_share=0.0, seed=1).select_views(rig.names)
    at_the_other = rig.cameras[0].project(rig.cameras[1].center)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        xy, frame, joint = rig.undistort(keypoints.xy), rng.integers(60), rng.integers(17)
        xy[frame, :, joint] = at_the_other + rng.normal(0, 10, 2), rng.uniform(0, 1000, 2)
        xy[(frame + 1) % 60, 0, joint] = 2e4, -2e4  # makes the first guess of the noise large
        assert estimate_noise(xy, keypoints.confidence, rig).sigma_px == pytest.approx(3.0, rel=0.1)
