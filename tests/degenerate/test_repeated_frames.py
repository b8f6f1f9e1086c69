"""A video in which every frame is shown several times, as after a change of its frame rate."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, scene, solved, worst_deg


@pytest.mark.parametrize("views", [2, 4])
def test_the_cameras_are_right_all_the_same(views):
    labels = scene(views)
    shown = np.repeat(np.arange(34), 3)[:100]
    keypoints = detected(labels)
    held = replace(keypoints, xy=keypoints.xy[shown], confidence=keypoints.confidence[shown])
    found = solved(held, labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1


def test_repeats_are_not_taken_for_evidence():
    """Ten frames shown ten times tell as much as ten frames do."""
    labels = scene(2)
    few = detected(labels).select_frames(np.arange(0, 100, 10))
    shown = np.repeat(np.arange(10), 10)
    many = detected(labels)
    many = replace(many, xy=few.xy[shown], confidence=few.confidence[shown])
    once, again = solved(few, labels.rig).bundle, solved(many, labels.rig).bundle
    assert again.rotation_sd[1] > 0.5 * once.rotation_sd[1]
