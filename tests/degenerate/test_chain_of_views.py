"""Views that see the person one after the other, some never together."""

from dataclasses import replace

import numpy as np
from outcomes import detected, scene, solved, worst_deg


def seen_only(keypoints, view, frames):
    shown = np.isin(np.arange(100), frames)
    confidence = keypoints.confidence.copy()
    confidence[~shown, view] = 0
    return replace(keypoints, confidence=confidence)


def test_views_that_never_see_the_person_together_are_joined_by_others():
    labels = scene(4)
    keypoints = seen_only(detected(labels), 0, np.arange(1, 100, 2))
    keypoints = seen_only(keypoints, 1, np.arange(0, 100, 2))
    found = solved(keypoints, labels.rig)
    assert ("cam1", "cam2") not in found.pairs
    assert found.left_out == {}
    assert worst_deg(found, labels.rig) < 1


def test_a_chain_in_which_neighbours_meet_one_after_the_other():
    """cam1 in the first half, cam3 in the second, cam2 and cam4 always."""
    labels = scene(4)
    keypoints = seen_only(seen_only(detected(labels), 0, np.arange(50)), 2, np.arange(50, 100))
    found = solved(keypoints, labels.rig)
    assert found.left_out == {}
    assert worst_deg(found, labels.rig) < 1


def test_where_no_three_views_meet_the_scale_between_pairs_is_open_and_views_are_left_out():
    """cam1 and cam2 meet, then cam2 and cam3, then cam3 and cam4."""
    labels = scene(4)
    keypoints = detected(labels)
    for view in range(4):
        keypoints = seen_only(keypoints, view, np.arange(20 * view, 20 * view + 40))
    found = solved(keypoints, labels.rig)
    assert len(found.rig) == 2
    assert all(doubt.why.startswith("it shows 0 joints that other views place") for doubt in found.left_out.values())
    assert worst_deg(found, labels.rig) < 3
    assert found.verdict.level in ("warn", "fail")
