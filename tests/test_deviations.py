"""Whether cameras are as far from the truth as their standard deviations say, over a few rigs and detectors."""

from __future__ import annotations

import numpy as np
import pytest

from epitool.geometry.calibrate import calibrate
from epitool.geometry.compare import angle_deg
from epitool.synthetic import detector_like, labels_of, random_rig
from epitool.synthetic.motion import random_motion

SCENES, FRAMES = range(12), 100


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
    truth = rig.select(found.rig.names).cameras
    errors = [
        angle_deg(own.R @ found.rig.cameras[0].R.T @ (true.R @ truth[0].R.T).T)
        for own, true in zip(found.rig.cameras[1:], truth[1:])
    ]
    return np.array(errors) / np.degrees(found.bundle.rotation_sd[1:])


def test_most_scenes_are_calibrated(ratios):
    assert len(ratios) >= 20


def test_errors_are_neither_larger_nor_smaller_than_stated(ratios):
    """Of three coordinates together: 61% within one deviation and 99% within two, were errors Gaussian and round."""
    assert 0.4 <= (ratios < 1).mean() <= 0.9
    assert (ratios < 2).mean() >= 0.85
