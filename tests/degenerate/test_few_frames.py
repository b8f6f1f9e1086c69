"""A recording of a few frames."""

import numpy as np
import pytest
from outcomes import detected, outcome, scene


@pytest.mark.parametrize("views", [2, 4])
def test_one_frame_is_too_little(views):
    labels = scene(views)
    said = outcome(detected(labels).select_frames(np.array([10])), labels.rig)
    assert said.startswith("error")
    assert "at least" in said


@pytest.mark.parametrize("frames", [2, 4, 8])
@pytest.mark.parametrize("views", [2, 4])
def test_a_few_frames_are_said_to_be_few(views, frames):
    labels = scene(views)
    said = outcome(detected(labels).select_frames(np.arange(frames) * 10), labels.rig)
    assert said.startswith(("warn", "fail"))
    assert f"only {frames} frames" in said.lower()
