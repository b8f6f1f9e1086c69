"""A view that is late, by a second and by one frame."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but

from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.first_rig import with_focal


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


def test_focal_lengths_found_with_a_view_that_does_not_fit_are_not_kept_for_two(monkeypatch):
    """A search that trusts a late view finds anything; the two views that are left have what they have alone."""
    labels = scene(3)
    keypoints = late(detected(labels), 15).select_frames(np.arange(0, 80, 2))
    usual = [assumed_intrinsics(camera.name, camera.image_size, 60.0) for camera in labels.rig.cameras]
    module = importlib.import_module("epitool.geometry.calibration.calibrate")
    monkeypatch.setattr(module, "with_likely_focal", lambda sample, cameras, *_: with_focal(cameras, 1.6))
    found = calibrate(keypoints, usual, focal="unknown", jobs=1)
    alone = calibrate(keypoints.select_views(found.rig.names), [usual[0], usual[2]], focal="unknown", jobs=1)
    assert found.rig.names == ("cam1", "cam3")
    assert list(found.left_out) == list(found.verdict.left_out) == ["cam2"]
    assert found.verdict.level != "pass"
    for camera, other in zip(found.rig.cameras, alone.rig.cameras, strict=True):
        np.testing.assert_allclose(camera.focal, other.focal, rtol=1e-9)
