"""A view that is a frame early or late, or shows frames twice, with cameras that are known: labels do not pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool

from epitool.geometry.timing.drift import motion_of_views
from epitool.geometry.timing.shifts import doubts_of_shifts
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.synthetic import noisy_keypoints

TRUTH = exact_labels(100, 2)
JOINTS = noisy_keypoints(TRUTH, sigma_px=0.5, outliers=0.03, swap_share=0.0, seed=0)


def with_second_view_at(rows):
    """The joints with the second view showing other frames."""
    xy, confidence = JOINTS.xy.copy(), JOINTS.confidence.copy()
    xy[:, 1], confidence[:, 1] = JOINTS.xy[rows, 1], JOINTS.confidence[rows, 1]
    return replace(JOINTS, xy=xy, confidence=confidence)


FRAMES = np.arange(100)
LATE, TWICE = np.maximum(FRAMES - 1, 0), FRAMES // 2 * 2


@pytest.mark.parametrize("views", [2, 4])
@pytest.mark.parametrize(("rows", "frames"), [(FRAMES, None), (LATE, 1.0), (TWICE, 0.5)])
def test_a_shift_is_found_and_measured(views, rows, frames):
    names = TRUTH.rig.names[:views]
    rig = TRUTH.rig.select(names)
    found = doubts_of_shifts(motion_of_views(with_second_view_at(rows).select_views(names), rig), rig)
    assert len(found) == (frames is not None)
    for doubt in found:
        assert "cam2" in doubt.views
        assert doubt.value == pytest.approx(frames, abs=0.2)


def test_labels_of_a_late_view_do_not_pass(here):
    write_keypoints(Path("keypoints.h5"), with_second_view_at(LATE).select_views(TRUTH.rig.names[:2]))
    write_rig(Path("cameras.toml"), TRUTH.rig)
    result = epitool("triangulate")
    assert "verdict: pass" not in result.stdout
    assert "out of sync" in result.stderr
