"""A video that was mirrored: its geometry with one other view is possible, and the body is not."""

from dataclasses import replace

from outcomes import detected, outcome, scene, solved, worst_deg


def mirrored(keypoints):
    xy = keypoints.xy.copy()
    xy[:, 1, :, 0] = 383 - xy[:, 1, :, 0]
    return replace(keypoints, xy=xy)


def test_among_four_it_is_left_out_by_name():
    labels = scene(4)
    found = solved(mirrored(detected(labels)), labels.rig)
    assert list(found.left_out) == ["cam2"]
    assert worst_deg(found, labels.rig) < 1


def test_of_two_views_none_is_trusted():
    labels = scene(2)
    said = outcome(mirrored(detected(labels)), labels.rig)
    assert said.startswith("fail")
    assert "is no view mirrored?" in said
