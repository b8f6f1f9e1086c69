"""One video given for two cameras."""

from dataclasses import replace

from outcomes import detected, outcome, scene, solved, worst_deg

from epitool.stages.shared.doubts import Asked, word_verdict


def doubled(keypoints):
    xy, confidence = keypoints.xy.copy(), keypoints.confidence.copy()
    xy[:, 1], confidence[:, 1] = xy[:, 0], confidence[:, 0]
    return replace(keypoints, xy=xy, confidence=confidence)


def test_among_four_it_is_named():
    labels = scene(4)
    found = solved(doubled(detected(labels)), labels.rig)
    assert found.verdict.level == "warn"
    reasons = word_verdict(found.verdict, Asked()).reasons
    assert "views cam1 and cam2 see the same; is one video given twice?" in reasons


def test_two_such_views_determine_nothing():
    labels = scene(2)
    assert outcome(doubled(detected(labels)), labels.rig).startswith(("error", "fail"))


def test_two_cameras_side_by_side_among_four_are_no_harm():
    """As one video given twice, but seen by two detectors: the others give depth."""
    labels = scene(4)
    rig = replace(labels.rig, cameras=(labels.rig.cameras[0], beside(labels.rig.cameras[0]), *labels.rig.cameras[2:]))
    found = solved(detected(scene(4, rig=rig)), rig)
    assert found.left_out == {}
    assert worst_deg(found, rig) < 1


def beside(camera):
    return replace(camera, name="cam2", t=camera.t - [20.0, 0, 0])
