"""Joints over time: gaps filled by splines, Butterworth's filter, and the smoother that learns from the recording."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from epitool.geometry.motion.banded import inverse_blocks
from epitool.geometry.motion.butterworth import butterworth
from epitool.geometry.motion.gaps import fill_gaps
from epitool.geometry.motion.smoothing import smooth
from epitool.synthetic.motion import random_motion

FPS = 60.0
ROWS, COLUMNS = np.triu_indices(3)


def rms(error):
    return float(np.sqrt(np.nanmean((error**2).sum(axis=-1))))


@pytest.fixture(scope="module")
def path():
    return random_motion(400, seed=3, frames_per_second=FPS).xyz[:, [3, 13]]


def noisy(path, sd, seed=0):
    """Places whose depth is four times as unsure as the rest, and their covariances."""
    deviations = np.array([sd, 4 * sd, sd])
    covariance = np.diag(deviations**2)[ROWS, COLUMNS]
    noise = np.random.default_rng(seed).normal(0, 1, path.shape) * deviations
    return path + noise, np.tile(covariance, (*path.shape[:2], 1))


def test_short_gaps_are_filled_near_the_truth_and_long_ones_stay(path):
    gone = path.copy()
    gone[100:105, 0], gone[200:206, 0], gone[:3, 1], gone[-2:, 1] = np.nan, np.nan, np.nan, np.nan
    filled = fill_gaps(gone, 5)
    np.testing.assert_allclose(filled[100:105, 0], path[100:105, 0], atol=5)
    assert np.isnan(filled[200:206, 0]).all()
    assert np.isnan(filled[:3, 1]).all()
    assert np.isnan(filled[-2:, 1]).all()
    kept = np.isfinite(gone)
    np.testing.assert_array_equal(filled[kept], gone[kept])
    np.testing.assert_array_equal(fill_gaps(gone, 0), gone)


@pytest.mark.parametrize(("hertz", "gain"), [(0.0, 1.0), (6.0, np.sqrt(0.5)), (24.0, 0.0)])
def test_a_wave_at_the_cutoff_keeps_seven_tenths_of_its_height_and_its_time(hertz, gain):
    seconds = np.arange(600) / FPS
    wave = np.cos(2 * np.pi * hertz * seconds)[:, None, None] * np.ones(3)
    filtered, left = butterworth(wave, 6.0, FPS)
    np.testing.assert_allclose(filtered[150:-150], gain * wave[150:-150], atol=0.003)
    assert left == 0


def test_the_filter_does_not_reach_over_gaps(path):
    gone = path.copy()
    gone[200:205] = np.nan
    other = gone.copy()
    other[205:] += 1e6
    first, second = butterworth(gone, 6.0, FPS)[0], butterworth(other, 6.0, FPS)[0]
    np.testing.assert_array_equal(first[:205], second[:205])
    assert np.isnan(first[200:205]).all()


def test_runs_too_short_to_filter_are_counted(path):
    gone = path.copy()
    gone[5, 0] = np.nan
    filtered, left = butterworth(gone, 6.0, FPS)
    assert left == 5
    np.testing.assert_array_equal(filtered[:5, 0], gone[:5, 0])


@pytest.mark.parametrize("cutoff", [0.0, 30.0, 100.0, np.nan])
def test_a_cutoff_that_no_rate_allows_is_refused(path, cutoff):
    with pytest.raises(ValueError, match="between 0 and half"):
        butterworth(path, cutoff, FPS)


def test_clean_places_stay_where_they_are(path):
    for sd in (1e-6, 1e-3):
        _, covariance = noisy(path, sd)
        np.testing.assert_allclose(smooth(path, covariance).xyz, path, atol=0.05)


@pytest.mark.parametrize("sd", [0.1, 1.0, 10.0, 30.0])
def test_places_come_nearer_to_the_truth_about_as_near_as_by_the_cutoff_that_the_truth_knows(path, sd):
    places, covariance = noisy(path, sd)
    error, filtered = rms(smooth(places, covariance).xyz - path), {}
    for cutoff in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0):
        filtered[cutoff] = rms(butterworth(places, cutoff, FPS)[0] - path)
    assert error < rms(places - path)
    assert error < 1.1 * min(filtered.values())
    assert error < 0.95 * filtered[6.0]


def test_covariances_that_change_over_time_count(path):
    """Places are bad by turns, as where a camera is lost, and the file says when."""
    places, covariance = noisy(path, 2.0)
    worse = np.where(np.arange(len(path)) // 20 % 2, 1.0, 10.0)[:, None, None]
    spoilt = path + worse * (places - path)
    error = rms(smooth(spoilt, worse**2 * covariance).xyz - path)
    assert error < 0.9 * min(rms(butterworth(spoilt, cutoff, FPS)[0] - path) for cutoff in (2, 3, 4, 5, 6, 8))


def test_without_covariances_it_is_better_than_six_hertz(path):
    places, covariance = noisy(path, 5.0)
    error = rms(smooth(places, np.full_like(covariance, np.nan)).xyz - path)
    assert error < 0.95 * rms(butterworth(places, 6.0, FPS)[0] - path)


def test_gross_errors_hardly_move_the_path(path):
    places, covariance = noisy(path, 5.0)
    wrong = np.random.default_rng(1).random(places.shape[:2]) < 0.05
    spoilt = places + 500 * wrong[..., None]
    good = rms(smooth(places, covariance).xyz - path)
    assert rms(smooth(spoilt, covariance).xyz - path) < 1.3 * good
    assert rms(butterworth(spoilt, 6.0, FPS)[0] - path) > 3 * good


def test_the_path_turns_and_grows_with_the_places(path):
    places, covariance = noisy(path, 5.0)
    R, factor = Rotation.from_euler("xyz", [20, 50, 70], degrees=True).as_matrix(), 0.001
    full = np.empty((*covariance.shape[:2], 3, 3))
    full[..., ROWS, COLUMNS] = full[..., COLUMNS, ROWS] = covariance
    turned = (factor**2 * R @ full @ R.T)[..., ROWS, COLUMNS]
    expected = factor * smooth(places, covariance).xyz @ R.T
    np.testing.assert_allclose(smooth(factor * places @ R.T + 7, turned).xyz, expected + 7, atol=1e-4)


def test_what_is_missing_is_bridged_and_nothing_is_made_up_at_the_ends(path):
    places, covariance = noisy(path, 3.0)
    places[:4, 0], places[100:108, 0], places[:, 1], places[5:16, 1] = np.nan, np.nan, np.nan, path[5:16, 1]
    found = smooth(places, covariance).xyz
    assert np.isnan(found[:4, 0]).all()
    assert rms(found[100:108, 0] - path[100:108, 0]) < 40
    np.testing.assert_array_equal(found[:, 1], places[:, 1])  # eleven places are too few


def test_chunks_pass_into_each_other(path, monkeypatch):
    places, covariance = noisy(path, 5.0)
    whole, all_sure = smooth(places, covariance)
    monkeypatch.setattr("epitool.geometry.motion.smoothing._CHUNK", 240)
    monkeypatch.setattr("epitool.geometry.motion.smoothing._OVERLAP", 120)
    parts, sure = smooth(places, covariance)
    assert 0.8 < np.median(sure[..., 0]) / np.median(all_sure[..., 0]) < 1.25
    assert rms(parts - whole) < 0.3 * rms(parts - path)
    assert np.abs(np.diff(parts, 3, axis=0)).max() < 1.5 * np.abs(np.diff(whole, 3, axis=0)).max()


def deviations(error, covariance):
    """Errors over their standard deviations, coordinate by coordinate."""
    return error / np.sqrt(covariance[..., [0, 3, 5]])


def test_steady_motion_stays_as_it_is_and_what_noise_does_to_it_all_but_goes():
    steady = np.arange(300.0)[:, None, None] * np.array([[[3.0, -5.0, 1.0]]]) + [[[0.0, 100.0, 900.0]]]
    exact, covariance = noisy(steady, 0.0)[0], noisy(steady, 5.0)[1]
    np.testing.assert_allclose(smooth(exact, covariance).xyz, steady, atol=0.01)
    places, _ = noisy(steady, 5.0)
    assert rms(smooth(places, covariance).xyz - steady) < 0.15 * rms(places - steady)


@pytest.mark.parametrize("sd", [1.0, 10.0])
@pytest.mark.parametrize("lasts", [0.0, 0.5, 0.9])
def test_two_thirds_of_errors_are_within_one_deviation_also_where_errors_last(path, sd, lasts):
    """A share of the variance changes from frame to frame, and the rest over half a second, as a detector's bias."""
    white, covariance = noisy(path, sd * np.sqrt(1 - lasts))
    slow, _ = noisy(0 * path, sd * np.sqrt(lasts), seed=1)
    for frame in range(1, len(slow)):
        slow[frame] = np.exp(-1 / 30) * slow[frame - 1] + np.sqrt(1 - np.exp(-2 / 30)) * slow[frame]
    _, covariance = noisy(path, sd)
    found = smooth(white + slow, covariance)
    off = np.abs(deviations(found.xyz - path, found.covariance))
    assert 0.58 < (off < 1).mean() < 0.78
    assert (off < 2).mean() > 0.88
    stated = np.sqrt(found.covariance[..., [0, 3, 5]].sum(axis=-1)).mean()
    assert stated < (0.98 if lasts else 0.7) * np.sqrt(18) * sd


def test_the_covariance_is_the_inverse_of_the_whole_matrix():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(20, 3, 3))
    precision, stiffness = factor @ factor.swapaxes(1, 2), np.exp(rng.normal(0, 2, 17))
    precision[[4, 5, 11]] = 0.0  # missing places
    whole = np.zeros((20, 3, 20, 3))
    for f in range(20):
        whole[f, :, f] = precision[f]
    for f, strength in enumerate(stiffness):
        differences = np.zeros(20)
        differences[f : f + 4] = -1, 3, -3, 1
        whole += strength * np.einsum("f,g,ab->fagb", differences, differences, np.eye(3))
    dense = np.linalg.inv(whole.reshape(60, 60)).reshape(20, 3, 20, 3)
    np.testing.assert_allclose(inverse_blocks(precision, stiffness), dense[range(20), :, range(20)], rtol=1e-6)


def test_the_covariance_turns_and_grows_with_the_places(path):
    places, covariance = noisy(path[:150], 5.0)
    R, factor = Rotation.from_euler("xyz", [20, 50, 70], degrees=True).as_matrix(), 0.001
    full = np.empty((*covariance.shape[:2], 3, 3))
    full[..., ROWS, COLUMNS] = full[..., COLUMNS, ROWS] = covariance
    turned = factor**2 * R @ full @ R.T
    as_it_is = smooth(places, covariance).covariance
    full[..., ROWS, COLUMNS] = full[..., COLUMNS, ROWS] = as_it_is
    found = smooth(factor * places @ R.T, turned[..., ROWS, COLUMNS]).covariance
    size = factor**2 * as_it_is[..., [0, 3, 5]].mean()
    np.testing.assert_allclose(found, (factor**2 * R @ full @ R.T)[..., ROWS, COLUMNS], rtol=0.03, atol=0.02 * size)


def test_places_amid_a_gap_are_the_less_sure(path):
    places, covariance = noisy(path, 3.0)
    places[100:110] = np.nan
    variances = smooth(places, covariance).covariance[..., [0, 3, 5]].sum(axis=-1)
    assert (variances[105] > 1.5 * variances[90:95].mean(axis=0)).all()


def test_jobs_change_nothing(path):
    places, covariance = noisy(path, 5.0)
    for one, two in zip(smooth(places, covariance), smooth(places, covariance, jobs=2), strict=True):
        np.testing.assert_array_equal(one, two)


def test_one_who_stands_still_stays_still():
    places = np.tile(np.array([1.0, 2.0, 3.0]), (50, 2, 1))
    for covariance in (np.full((50, 2, 6), np.nan), np.tile(np.eye(3)[ROWS, COLUMNS], (50, 2, 1))):
        np.testing.assert_allclose(smooth(places, covariance).xyz, places, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_breaks_whatever_is_missing_wrong_or_said_of_it(seed):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 300))
    places = np.cumsum(rng.normal(0, 10.0 ** rng.integers(-3, 3), (frames, 3, 3)), axis=0)
    places += 1e6 * rng.normal(size=places.shape) * (rng.random((frames, 3, 1)) < rng.choice([0, 0.1]))
    places[rng.random((frames, 3)) < rng.choice([0, 0.3, 0.9])] = np.nan
    places[frames // 4 : frames // 4 + 60, 0] = np.nan
    covariance = np.tile(np.eye(3)[ROWS, COLUMNS], (frames, 3, 1)) * 10.0 ** rng.normal(0, 3, (frames, 3, 1))
    covariance[rng.random((frames, 3)) < 0.2] = rng.choice([np.nan, 0.0, -1.0])
    known = np.isfinite(places)
    path = smooth(places, covariance)
    for found in (path.xyz, butterworth(fill_gaps(places, 5), 6.0, FPS)[0]):
        assert np.isfinite(found[known]).all()
    assert np.isnan(path.xyz[frames // 4 : frames // 4 + 60, 0]).all()
    moved = (path.xyz != places).any(axis=-1) & np.isfinite(path.xyz[..., 0])
    assert (path.covariance[moved][:, [0, 3, 5]] > 0).all()
