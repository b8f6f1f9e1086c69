"""What smoothing over time and bones gain against Butterworth's filter, at 6 Hz and at the cutoff that is truly best.

The walking room (four cameras, or two of them), 60 frames a second, keypoints with noise, gross errors and missing
limbs, labelled as `triangulate` does, without and with `--bones`. RMS errors over all joints of places, velocities and
accelerations (differences of neighbouring frames), the first and last half second left out. The second bench says how
large errors are that last, and how many errors the covariances of smoothed joints own up to.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from epitool.geometry.motion.butterworth import butterworth
from epitool.geometry.motion.gaps import fill_gaps
from epitool.geometry.motion.smoothing import smooth
from epitool.geometry.triangulation.labels import label_chunk, label_settings, make_labels
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

FPS, FRAMES, EDGE, SEEDS = 60.0, 900, 30, range(3)
LASTS = 30  # frames over which a lasting error keeps a third of itself
CUTOFFS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)


def errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """RMS errors of places in mm, velocities in mm/s and accelerations in mm/s2."""
    out = []
    for order in range(3):
        off = np.diff(found - truth, order, axis=0)[EDGE:-EDGE] * FPS**order
        out.append(np.sqrt(np.nanmean((off**2).sum(axis=-1))))
    return np.array(out)


def lasting(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Errors `(F, ...)` of variance 1 that fade over `LASTS` frames."""
    errors, kept = np.random.default_rng(seed).normal(size=shape), np.exp(-1 / LASTS)
    for frame in range(1, len(errors)):
        errors[frame] = kept * errors[frame - 1] + np.sqrt(1 - kept**2) * errors[frame]
    return errors


def scene(views: int, sigma_px: float, outliers: float, seed: int, lasts: float = 0.0):
    """Truth, labels and labels with bones; `lasts` is the share of the keypoints' variance that lasts."""
    rig = walking_room()
    rig = rig.select(rig.names[:views])
    truth = labels_of(random_motion(FRAMES, seed, FPS).xyz, rig)
    changing = sigma_px * np.sqrt(1 - lasts)
    keypoints = noisy_keypoints(truth, sigma_px=changing, outliers=outliers, swap_share=0.0, seed=seed)
    if lasts:
        slow = sigma_px * np.sqrt(lasts) * lasting(keypoints.xy.shape, seed + 100)
        keypoints = replace(keypoints, xy=keypoints.xy + slow)
    settings = label_settings(keypoints, rig, method="polynomial", combine="robust", bones=True)
    return truth.poses.xyz, make_labels(keypoints, rig), label_chunk(keypoints, rig, settings)


@pytest.mark.bench
@pytest.mark.parametrize("views", [4, 2])
@pytest.mark.parametrize(("sigma_px", "outliers"), [(0.0, 0.0), (1.0, 0.0), (4.0, 0.0), (4.0, 0.05), (8.0, 0.1)])
def test_the_smoother_beats_the_best_cutoff(views, sigma_px, outliers):
    names = ("raw", "6 Hz", "best cutoff", "smooth", "no covariance", "bones", "bones, 6 Hz", "bones, smooth")
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    seconds = 0.0
    for seed in SEEDS:
        truth, labels, boned = scene(views, sigma_px, outliers, seed)
        places = labels.poses.xyz
        whole = fill_gaps(places, 20)
        filtered = {cutoff: errors(butterworth(whole, cutoff, FPS)[0], truth) for cutoff in CUTOFFS}
        begin = time.process_time()
        smoothed = smooth(places, labels.covariance).xyz
        seconds += time.process_time() - begin
        rows["raw"].append(errors(places, truth))
        rows["6 Hz"].append(filtered[6.0])
        rows["best cutoff"].append(np.min(list(filtered.values()), axis=0))
        rows["smooth"].append(errors(smoothed, truth))
        rows["no covariance"].append(errors(smooth(places, np.full_like(labels.covariance, np.nan)).xyz, truth))
        rows["bones"].append(errors(boned.poses.xyz, truth))
        rows["bones, 6 Hz"].append(errors(butterworth(fill_gaps(boned.poses.xyz, 20), 6.0, FPS)[0], truth))
        rows["bones, smooth"].append(errors(smooth(boned.poses.xyz, boned.covariance).xyz, truth))
    means = {name: np.mean(found, axis=0) for name, found in rows.items()}
    print(f"\n{views} views, {sigma_px:g} px, {outliers:.0%} gross errors; mm, mm/s, mm/s2")
    for name, (place, velocity, acceleration) in means.items():
        print(f"{name:14} {place:7.2f} {velocity:8.1f} {acceleration:9.0f}")
    print(f"smoother: {len(SEEDS) * FRAMES / seconds:.0f} frames of 17 joints per second of one core")
    assert (means["smooth"] <= means["raw"] + 0.12 * means["6 Hz"]).all()  # a tenth of a millimetre on clean data
    assert (means["smooth"] < means["6 Hz"]).all()
    if sigma_px >= 1:
        assert means["smooth"][0] < means["best cutoff"][0]
        assert (means["bones, smooth"] < means["smooth"]).all()


@pytest.mark.bench
@pytest.mark.parametrize("views", [4, 2])
@pytest.mark.parametrize(
    ("sigma_px", "outliers", "lasts"), [(1, 0, 0), (4, 0, 0), (4, 0.05, 0), (4, 0, 0.5), (4, 0, 0.9)]
)
def test_covariances_own_up_to_the_errors(views, sigma_px, outliers, lasts):
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("raw", "smooth", "bones", "bones, smooth")}
    for seed in SEEDS:
        truth, labels, boned = scene(views, sigma_px, outliers, seed, lasts)
        for name, found in (("raw", labels), ("bones", boned)):
            rows[name].append(calibration(found.poses.xyz, found.covariance, truth))
            smoothed = smooth(found.poses.xyz, found.covariance)
            known = np.isfinite(found.poses.xyz)
            rows[", ".join([*[name] * (name == "bones"), "smooth"])].append(
                calibration(np.where(known, smoothed.xyz, np.nan), smoothed.covariance, truth)
            )
    print(f"\n{views} views, {sigma_px:g} px, {outliers:.0%} gross errors, {lasts:.0%} lasts: mm, within 1 sd, 2 sd")
    means = {name: np.mean(found, axis=0) for name, found in rows.items()}
    for name, (place, one, two) in means.items():
        print(f"{name:14} {place:7.2f} {one:6.1%} {two:6.1%}")
    assert all(abs(means[f"{name}smooth"][1] - 0.683) < 0.11 for name in ("", "bones, "))


def calibration(found: np.ndarray, covariance: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """RMS error in mm, and shares of coordinates that are within one and two of their standard deviations."""
    off = np.abs(found - truth) / np.sqrt(covariance[..., [0, 3, 5]])
    within = [np.nanmean(np.where(np.isnan(off), np.nan, off < limit)) for limit in (1, 2)]
    return np.array([errors(found, truth)[0], *within])
