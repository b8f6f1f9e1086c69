"""A view that is late, by a second and by one frame."""

from dataclasses import replace

import pytest
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but


def late(keypoints, by):
    xy, confidence = keypoints.xy.copy(), keypoints.confidence.copy()
    xy[:-by, 1], confidence[:-by, 1] = keypoints.xy[by:, 1], keypoints.confidence[by:, 1]
    confidence[-by:, 1] = 0
    return replace(keypoints, xy=xy, confidence=confidence)


@pytest.mark.parametrize("by", thorough_but([1, 15], 1))
def test_it_is_left_out_by_name(by):
    """The person walks 5 frames a second: one frame is much."""
    labels = scene(4)
    found = solved(late(detected(labels), by), labels.rig)
    assert list(found.left_out) == ["cam2"]
    assert worst_deg(found, labels.rig) < 1


@pytest.mark.parametrize("by", [1, 15])
def test_of_two_views_none_is_trusted(by):
    """One frame late makes cameras unsure, and they say by how much; fifteen fit nothing."""
    labels = scene(2)
    said = outcome(late(detected(labels), by), labels.rig)
    assert said.startswith(("fail", "error") if by > 1 else ("warn", "fail"))
