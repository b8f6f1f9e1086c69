"""Left and right exchanged by the detector in one view: in most frames, and in all."""

import numpy as np
import pytest
from outcomes import detected, scene, solved, worst_deg
from tiers import thorough_but

from epitool.geometry.triangulation.labels import make_labels


@pytest.mark.parametrize("share", thorough_but([0.3, 0.6, 1.0], 0.6, 1.0))
@pytest.mark.parametrize("views", [2, 4])
def test_the_cameras_are_right_all_the_same(views, share):
    labels = scene(views)
    swapped = np.zeros((100, views), dtype=bool)
    swapped[:, 1] = np.random.default_rng(0).random(100) < share
    keypoints = detected(labels).with_swaps(swapped)
    found = solved(keypoints, labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1
    sides = make_labels(keypoints, found.rig, method="polynomial", jobs=1).swapped
    if views > 2:  # of two views it can't be told which one is exchanged
        assert (sides == swapped).mean() > 0.98
