"""Joints that all lie at one place of the image, or of the body."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, outcome, scene


@pytest.mark.parametrize("views", [2, 4])
def test_one_pixel_for_all_is_an_error(views):
    labels = scene(views)
    keypoints = detected(labels)
    said = outcome(replace(keypoints, xy=np.full(keypoints.xy.shape, 100.0)), labels.rig)
    assert said.startswith("error")


@pytest.mark.parametrize("views", [2, 4])
def test_a_detector_that_gives_one_joint_for_all_is_not_trusted(views):
    labels = scene(views)
    keypoints = detected(labels)
    same = np.repeat(keypoints.xy[:, :, :1], 17, axis=2)
    assert outcome(replace(keypoints, xy=same), labels.rig).startswith(("fail", "error"))
