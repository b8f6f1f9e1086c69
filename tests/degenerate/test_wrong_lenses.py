"""Focal lengths that are stated half as long again, or too short: of all cameras, and of one."""

from dataclasses import replace

import pytest
from outcomes import detected, outcome, scene
from tiers import thorough_but

from epitool.geometry.calibration.first_rig import with_focal


@pytest.mark.parametrize("factor", [0.7, 1.5])
@pytest.mark.parametrize("views", [2, 4])
def test_they_are_not_trusted(views, factor):
    """Of four views some fit no common geometry; of two, bones that change their length give it away."""
    labels = scene(views)
    stated = replace(labels.rig, cameras=tuple(with_focal(labels.rig.cameras, factor)))
    said = outcome(detected(labels), stated)
    assert said.startswith(("warn", "fail"))
    assert ("bones change their length" if views == 2 else "is left out") in said


@pytest.mark.parametrize("factor", thorough_but([0.7, 1.5], 1.5))
def test_one_of_four_is_not_trusted(factor):
    """The adjustment bends the places of the cameras to fit: freed, this focal length alone would change."""
    labels = scene(4)
    wrong, *others = labels.rig.cameras
    stated = replace(labels.rig, cameras=(*with_focal([wrong], factor), *others))
    said = outcome(detected(labels), stated)
    assert said.startswith(("warn", "fail"))
    assert "view cam1: the joints make its focal length" in said.lower()


def test_one_of_two_is_warned_of():
    labels = scene(2)
    wrong, other = labels.rig.cameras
    stated = replace(labels.rig, cameras=(*with_focal([wrong], 1.5), other))
    assert outcome(detected(labels), stated).startswith(("warn", "fail"))
