"""Focal lengths that are stated half as long again, or too short; telephoto lenses far away."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, outcome, scene, solved, worst_deg

from epitool.geometry.calibrate import with_focal


@pytest.mark.parametrize("factor", [0.7, 1.5])
@pytest.mark.parametrize("views", [2, 4])
def test_they_are_not_trusted(views, factor):
    """Of four views some fit no common geometry; of two, bones that change their length give it away."""
    labels = scene(views)
    stated = replace(labels.rig, cameras=tuple(with_focal(labels.rig.cameras, factor)))
    said = outcome(detected(labels), stated)
    assert said.startswith(("warn", "fail"))
    assert ("bones change their length" if views == 2 else "is left out") in said


def test_a_person_far_away_before_long_lenses():
    """Nearly parallel rays: perspective says little, and what is claimed is true all the same."""
    rig = scene().rig
    K = np.array([[490.0 * 8, 0, 191.5], [0, 490.0 * 8, 191.5], [0, 0, 1]])
    middle = np.array([0.0, 0.0, 950.0])
    cameras = [replace(c, K=K, t=-c.R @ (middle + 8 * (c.center - middle))) for c in rig.cameras]
    labels = scene(4, rig=replace(rig, cameras=tuple(cameras)))
    found = solved(detected(labels), labels.rig)
    assert found.verdict.level != "pass" or worst_deg(found, labels.rig) < 1
