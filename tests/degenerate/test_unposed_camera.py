"""A camera that sees nobody, or shares no frame with the others; and chains of views."""

from dataclasses import replace

from outcomes import detected, outcome, scene, solved, worst_deg


def without(keypoints, view, frames=slice(None)):
    confidence = keypoints.confidence.copy()
    confidence[frames, view] = 0
    return replace(keypoints, confidence=confidence)


def test_a_view_that_sees_nobody_is_left_out_by_name():
    labels = scene(4)
    found = solved(without(detected(labels), 1), labels.rig)
    assert found.left_out == {"cam2": "it shows 0 joints that other views place, at least 16 are needed"}
    assert worst_deg(found, labels.rig) < 1
    assert found.verdict.level == "warn"


def test_two_views_of_which_one_sees_nobody_are_no_rig():
    labels = scene(2)
    said = outcome(without(detected(labels), 1), labels.rig)
    assert said == "error: views cam1 and cam2: 0 joints seen in both views, at least 16 are needed"


def test_views_that_never_see_the_person_together_are_joined_by_a_third():
    labels = scene(4)
    keypoints = without(without(detected(labels), 0, slice(0, None, 2)), 1, slice(1, None, 2))
    found = solved(keypoints, labels.rig)
    assert ("cam1", "cam2") not in found.pairs
    assert found.left_out == {}
    assert worst_deg(found, labels.rig) < 1


def test_a_chain_in_which_neighbours_meet_one_after_the_other():
    """cam1 and cam2 in the first half, cam3 in the second, cam4 always."""
    labels = scene(4)
    keypoints = without(without(detected(labels), 0, slice(50, None)), 2, slice(0, 50))
    found = solved(keypoints, labels.rig)
    assert found.left_out == {}
    assert worst_deg(found, labels.rig) < 1
