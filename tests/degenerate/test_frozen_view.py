"""A recording that hangs: one view shows the same joints in all frames."""

from dataclasses import replace

import pytest
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but

from epitool.geometry.doubts import Kind


def frozen(keypoints, view):
    xy = keypoints.xy.copy()
    xy[:, view] = xy[30, view]
    return replace(keypoints, xy=xy)


@pytest.mark.parametrize("view", thorough_but([0, 1, 3], 0))
def test_it_is_left_out_by_name_and_the_others_are_right(view):
    labels = scene(4)
    found = solved(frozen(detected(labels), view), labels.rig)
    assert list(found.left_out) == [labels.rig.names[view]]
    assert found.left_out[labels.rig.names[view]].kind is Kind.STILL
    assert worst_deg(found, labels.rig) < 1
    assert found.verdict.level == "warn"


def test_of_two_views_none_is_trusted():
    labels = scene(2)
    said = outcome(frozen(detected(labels), 1), labels.rig)
    assert said.startswith("error: view cam2: its joints do not move")
