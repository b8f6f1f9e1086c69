"""Keypoints anywhere in the image, three and five in ten, with full confidence."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but


def gross(keypoints, share):
    rng = np.random.default_rng(0)
    bad = rng.random(keypoints.confidence.shape) < share
    xy = np.where(bad[..., None], rng.uniform(0, 383, keypoints.xy.shape), keypoints.xy)
    return replace(keypoints, xy=xy, confidence=np.where(keypoints.confidence > 0, 1.0, 0.0))


@pytest.mark.parametrize("views", [2, 4])
def test_three_in_ten_are_borne(views):
    labels = scene(views)
    found = solved(gross(detected(labels), 0.3), labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1
    if views > 2:  # joints of which two views contradict each other are not placed
        np.testing.assert_allclose(found.bundle.inlier_share, 0.7, atol=0.1)


@pytest.mark.parametrize("views", thorough_but([2, 4], 2))
def test_five_in_ten_are_warned_of(views):
    labels = scene(views)
    keypoints = gross(detected(labels), 0.5).select_frames(np.arange(60))
    assert outcome(keypoints, labels.rig).startswith(("warn", "fail"))
