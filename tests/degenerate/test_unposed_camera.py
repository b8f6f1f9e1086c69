"""A camera that sees nobody, or shares no frame with the others."""

from dataclasses import replace

from outcomes import detected, outcome, scene, solved, worst_deg

from epitool.geometry.doubts import doubt_of_unplaced


def without(keypoints, view, frames=slice(None)):
    confidence = keypoints.confidence.copy()
    confidence[frames, view] = 0
    return replace(keypoints, confidence=confidence)


def test_a_view_that_sees_nobody_is_left_out_by_name():
    labels = scene(4)
    found = solved(without(detected(labels), 1), labels.rig)
    why = "it shows 0 joints that other views place, at least 16 are needed"
    assert found.left_out == {"cam2": doubt_of_unplaced("cam2", why)}
    assert worst_deg(found, labels.rig) < 1
    assert found.verdict.level == "warn"


def test_two_views_of_which_one_sees_nobody_are_no_rig():
    labels = scene(2)
    said = outcome(without(detected(labels), 1), labels.rig)
    assert said == "error: views cam1 and cam2: 0 joints seen in both views, at least 16 are needed"


def test_a_view_that_shares_no_frame_is_left_out_by_name():
    labels = scene(4)
    keypoints = detected(labels)
    for view in range(4):
        keypoints = without(keypoints, view, slice(60, None) if view != 3 else slice(0, 60))
    found = solved(keypoints, labels.rig)
    assert list(found.left_out) == ["cam4"]
    assert worst_deg(found, labels.rig) < 1
