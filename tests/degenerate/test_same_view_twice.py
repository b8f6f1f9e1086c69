"""One video given for two cameras; and one frame shown again and again."""

from dataclasses import replace

import numpy as np
from outcomes import detected, outcome, scene, solved


def doubled(keypoints):
    xy, confidence = keypoints.xy.copy(), keypoints.confidence.copy()
    xy[:, 1], confidence[:, 1] = xy[:, 0], confidence[:, 0]
    return replace(keypoints, xy=xy, confidence=confidence)


def test_among_four_it_is_named():
    labels = scene(4)
    found = solved(doubled(detected(labels)), labels.rig)
    assert found.verdict.level == "warn"
    assert "views cam1 and cam2 see the same; is one video given twice?" in found.verdict.reasons


def test_two_such_views_determine_nothing():
    labels = scene(2)
    assert outcome(doubled(detected(labels)), labels.rig).startswith(("error", "fail"))


def test_frames_shown_three_times_are_borne():
    labels = scene(4)
    repeated = np.repeat(np.arange(34), 3)[:100]
    keypoints = detected(labels)
    held = replace(keypoints, xy=keypoints.xy[repeated], confidence=keypoints.confidence[repeated])
    assert outcome(held, labels.rig).startswith("pass")
