"""A verdict does not depend on which view comes first: cameras are judged against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels

from epitool.geometry.calibration.calibrate import calibrate
from epitool.synthetic import noisy_keypoints


def few_in_one_view(truth, view=0, kept=4):
    """One camera sees a few frames only."""
    joints = noisy_keypoints(truth, sigma_px=2.0, outliers=0.02, swap_share=0.0, seed=0)
    confidence = joints.confidence.copy()
    confidence[kept:, view] = 0
    return replace(joints, confidence=confidence)


def test_the_order_of_views_changes_no_deviation_in_the_rig():
    truth = exact_labels(60, 2)
    joints, found = few_in_one_view(truth), {}
    for first in range(4):
        names = np.roll(truth.rig.names, -first).tolist()
        result = calibrate(joints.select_views(names), truth.rig.select(names).cameras, jobs=1)
        for values in (result.bundle.rotation_sd_in_rig, result.bundle.position_sd_in_rig / result_size(result)):
            for name, sd in zip(result.rig.names, values, strict=True):
                found.setdefault((name, len(values)), []).append(sd)
        levels = found.setdefault("levels", [])
        levels.append(result.verdict.level)
    assert len(set(found.pop("levels"))) == 1
    for values in found.values():
        rotations, places = values[::2], values[1::2]
        np.testing.assert_allclose(rotations, rotations[0], rtol=0.1)
        np.testing.assert_allclose(places, places[0], rtol=0.1)


def result_size(result):
    centers = np.stack([camera.center for camera in result.rig.cameras])
    return np.linalg.norm(centers - centers.mean(axis=0))


def test_a_first_view_that_is_known_badly_spoils_only_its_own():
    truth = exact_labels(60, 2)
    bundle = calibrate(few_in_one_view(truth), truth.rig.cameras, jobs=1).bundle
    assert bundle.rotation_sd_in_rig.argmax() == 0
    assert bundle.rotation_sd_in_rig[1:].max() < 0.5 * bundle.rotation_sd_in_rig[0]
    assert bundle.rotation_sd[1:].min() > bundle.rotation_sd_in_rig[1:].max()


def test_of_two_cameras_each_is_known_as_well_as_the_other():
    truth = exact_labels(60, 2)
    names = list(truth.rig.names[:2])
    joints = noisy_keypoints(truth, sigma_px=1.0, outliers=0.02, swap_share=0.0, seed=0)
    bundle = calibrate(joints.select_views(names), truth.rig.select(names).cameras, jobs=1).bundle
    assert bundle.rotation_sd_in_rig == pytest.approx([bundle.rotation_sd[1]] * 2, rel=1e-6)
