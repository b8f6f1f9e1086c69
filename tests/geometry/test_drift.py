"""Views whose clocks run apart are told from the joints alone; views in sync never are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import epitool
from test_sync import RIG, recorded
from tiers import thorough_but

from epitool.geometry.timing.drift import doubts_of_drift, drift_of, motion_of_views, of_all_views, select_runs
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.stages.shared.doubts import doubt_text

FRAMES, RATE = 600, 1.003  # over which the second view gains 1.8 frames


@pytest.fixture(scope="module")
def apart():
    return recorded((0, 0, 0), frames=FRAMES, rates=(1, RATE, 1), swap_share=0.2)


def test_how_far_clocks_run_apart_is_measured(apart):
    drift = drift_of(motion_of_views(apart, RIG), RIG)
    gained = (RATE - 1) * (FRAMES - 1)
    np.testing.assert_allclose(drift.frames, [0, gained, 0], atol=0.3)
    assert (drift.sd[1:] < 0.15).all()
    assert drift.span == FRAMES - 1


def test_it_is_a_doubt_that_names_the_views(apart):
    (doubt,) = doubts_of_drift(motion_of_views(apart, RIG), RIG)
    assert doubt.level == "warn"
    text = doubt_text(doubt)
    assert text.startswith("the views run apart: over 599 frames cam2 gets 1.")
    assert "frames ahead of cam" in text


@pytest.mark.parametrize("seed", thorough_but(range(4), 0))
@pytest.mark.parametrize("offset", [0, 2])  # a constant one is no drift
def test_views_at_one_rate_do_not_run_apart(seed, offset):
    keypoints = recorded((0, offset, 0), frames=FRAMES, swap_share=0.3, seed=seed)
    assert doubts_of_drift(motion_of_views(keypoints, RIG), RIG) == []


def test_it_does_not_depend_on_which_view_comes_first(apart):
    forward, backward = (
        drift_of(motion_of_views(apart, RIG.select(names)), RIG.select(names)) for names in (RIG.names, RIG.names[::-1])
    )
    np.testing.assert_allclose(
        forward.frames - forward.frames[2], backward.frames[::-1], atol=0.1
    )  # linearised in either view


def test_few_frames_or_single_ones_tell_nothing(apart):
    assert drift_of(motion_of_views(apart.select_frames(np.arange(400)), RIG), RIG) is None
    assert (
        drift_of(motion_of_views(apart.select_frames(np.arange(0, FRAMES, 2)), RIG), RIG) is None
    )  # motion is between successive frames
    nobody = replace(apart, xy=np.full_like(apart.xy, np.nan))
    assert drift_of(motion_of_views(nobody, RIG), RIG) is None
    assert doubts_of_drift(motion_of_views(nobody, RIG), RIG) == []


def test_views_that_no_chain_of_pairs_joins_have_no_common_clock():
    triangles = {pair: (1.0, 0.1 + sum(pair) / 70) for pair in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5))}
    assert of_all_views(triangles, 6) is None
    assert of_all_views({}, 2) is None
    values, _ = of_all_views({**triangles, (2, 3): (1.0, 0.1)}, 6)
    assert np.isfinite(values).all()


def test_runs_of_a_long_recording_are_spread_over_it(apart):
    long = replace(apart, frames=np.arange(FRAMES) * 10)
    assert len(select_runs(long).frames) == FRAMES  # of more than 2000 frames, 40 runs of 50


def test_calibrate_and_triangulate_say_it_where_no_footage_tells_the_rates(here, apart):
    write_keypoints(Path("keypoints.h5"), apart)
    write_rig(Path("rig.toml"), RIG)
    for command in (("calibrate", "--scale", "height=1.75m"), ("triangulate", "--cameras", "rig.toml")):
        result = epitool(*command)
        assert result.returncode == 0, result.stderr
        assert "the views run apart" in " ".join(result.stderr.split())
        assert "verdict: warn" in result.stdout
