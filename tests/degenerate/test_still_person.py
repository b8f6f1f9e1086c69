"""A person who does not move: seventeen points, seen a hundred times."""

import numpy as np
from outcomes import detected, outcome, scene, solved, worst_deg


def still(views):
    return scene(views, np.repeat(scene().poses.xyz[:1], 100, axis=0))


def test_four_views_are_placed_by_one_pose():
    labels = still(4)
    found = solved(detected(labels), labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1


def test_two_views_say_how_little_one_pose_tells():
    labels = still(2)
    said = outcome(detected(labels), labels.rig)
    assert said.startswith("warn")
    assert "rotation uncertain by" in said
