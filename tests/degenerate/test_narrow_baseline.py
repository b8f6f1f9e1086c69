"""Cameras a hand apart before a person five metres away."""

from dataclasses import replace

import numpy as np
from outcomes import detected, outcome, scene


def side_by_side(apart):
    rig = scene().rig
    first, cameras = rig.cameras[0], []
    for i, camera in enumerate(rig.cameras):
        center = first.center + first.R.T @ np.array([apart * i, 0.0, 0.0])
        cameras.append(replace(camera, R=first.R, t=-first.R @ center))
    return replace(rig, cameras=tuple(cameras))


def test_two_cameras_60_mm_apart_are_not_trusted():
    labels = scene(2, rig=side_by_side(60.0))
    said = outcome(detected(labels), labels.rig)
    assert said.startswith("fail")
    assert "set the cameras further apart" in said


def test_four_of_them_are_warned_of():
    labels = scene(4, rig=side_by_side(60.0))
    said = outcome(detected(labels), labels.rig)
    assert said.startswith("warn")
    assert "set the cameras further apart" in said


def test_half_a_metre_is_enough():
    labels = scene(4, rig=side_by_side(500.0))
    assert outcome(detected(labels), labels.rig).startswith("pass")
