"""Someone 37 m away before long lenses: nearly parallel rays, in which perspective says little."""

from dataclasses import replace

import numpy as np
from outcomes import detected, outcome, scene, solved, worst_deg


def far_away(views):
    rig = scene().rig
    K = np.array([[490.0 * 8, 0, 191.5], [0, 490.0 * 8, 191.5], [0, 0, 1]])
    middle = np.array([0.0, 0.0, 950.0])
    cameras = [replace(c, K=K, t=-c.R @ (middle + 8 * (c.center - middle))) for c in rig.cameras]
    return scene(views, rig=replace(rig, cameras=tuple(cameras)))


def test_four_views_do_without_perspective():
    labels = far_away(4)
    found = solved(detected(labels), labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1


def test_two_views_say_that_they_do_not():
    labels = far_away(2)
    said = outcome(detected(labels), labels.rig)
    assert said.startswith(("warn", "fail"))
    assert "rotation uncertain by" in said
