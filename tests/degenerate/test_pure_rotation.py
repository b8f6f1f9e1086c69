"""Cameras at one place: rotations are known, distances are not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from outcomes import detected, outcome, scene
from tiers import thorough_but

from epitool.geometry.calibration.calibrate import calibrate
from epitool.geometry.calibration.verdict import Weakness, weakness


def turned_only():
    rig = scene().rig
    first, cameras = rig.cameras[0], []
    for i, camera in enumerate(rig.cameras):
        R = cv2.Rodrigues(np.array([0, 0.06 * i, 0]))[0] @ first.R
        cameras.append(replace(camera, R=R, t=-R @ first.center))
    return replace(rig, cameras=tuple(cameras))


@pytest.mark.parametrize("views", thorough_but([2, 4], 2))
def test_it_fails_for_want_of_parallax(views):
    labels = scene(views, rig=turned_only())
    said = outcome(detected(labels), labels.rig)
    assert said.startswith("fail")
    assert "set the cameras further apart" in said


def test_the_pair_is_remarked_on():
    labels = scene(2, rig=turned_only())
    options = {"method": "essential", "seed": 0, "jobs": 1}
    (pair,) = calibrate(detected(labels), labels.rig.cameras, **options).pairs.values()
    assert weakness(pair) is Weakness.NO_PARALLAX
