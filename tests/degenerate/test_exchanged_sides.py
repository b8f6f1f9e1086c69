"""Left and right exchanged by the detector in one view: in most frames, and in all."""

from pathlib import Path

import numpy as np
import pytest
from outcomes import detected, scene, solved, worst_deg
from test_cli import epitool
from tiers import thorough_but

from epitool.geometry.triangulation.labels import make_labels
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels


@pytest.mark.parametrize("share", thorough_but([0.3, 0.6, 1.0], 0.6, 1.0))
@pytest.mark.parametrize("views", [2, 4])
def test_the_cameras_are_right_all_the_same(views, share):
    labels = scene(views)
    swapped = np.zeros((100, views), dtype=bool)
    swapped[:, 1] = np.random.default_rng(0).random(100) < share
    keypoints = detected(labels).with_swaps(swapped)
    found = solved(keypoints, labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1
    sides = make_labels(keypoints, found.rig, method="polynomial", jobs=1).swapped
    if views > 2:  # of two views it can't be told which one is exchanged
        assert (sides == swapped).mean() > 0.98


@pytest.mark.parametrize(("views", "share"), [(2, 0.0), (2, 1.0), (4, 0.3)])
def test_sides_that_too_few_views_tell_are_no_pass(here, views, share):
    """Of two views it is by chance which one is put right; labels then exchange left and right from frame to frame."""
    labels = scene(views)
    swapped = np.zeros((100, views), dtype=bool)
    swapped[:, 1] = np.random.default_rng(0).random(100) < share
    write_keypoints(Path("keypoints.h5"), detected(labels).with_swaps(swapped))
    write_rig(Path("cameras.toml"), labels.rig)
    result = epitool("triangulate")
    found = read_labels(Path("labels.h5")).poses.xyz
    wrong = np.nanmean(np.linalg.norm(found - labels.poses.xyz, axis=-1) > 150)
    silent = "left and right are exchanged against the others" not in result.stderr
    assert (wrong < 0.02) == silent == ("verdict: pass" in result.stdout)
