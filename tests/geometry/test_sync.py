"""Time offsets: how they are applied, how they are found, and which recordings are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from test_cli import failing
from tiers import thorough_but

from epitool.errors import GeometryError
from epitool.geometry.timing.refusals import OutOfReachError
from epitool.geometry.timing.sync import estimate_offsets, synchronized
from epitool.geometry.timing.trajectories import estimate_motion_at, without_gross_errors, without_jumps
from epitool.geometry.timing.weighted import invert_positive
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.pose import Keypoints
from epitool.skeleton import skeleton
from epitool.synthetic import noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import ring_of_cameras

H36M = skeleton("h36m17")
FINE = 20  # moments of the motion to one frame
RIG = ring_of_cameras().select(["cam1", "cam2", "cam3"])


def recorded(offsets, *, frames=240, fps=30.0, rates=None, still=False, swap_share=0.0, seed=0) -> Keypoints:
    """What views with these clocks show of a walk; offsets in frames, multiples of 1/20."""
    truth = exact_labels(frames, rig=RIG.select(RIG.names[: len(offsets)]))
    moments = random_motion(FINE * (frames + 100), seed, fps * FINE).xyz
    xy, start = [], max(40, max(offsets) + 5)
    for camera, offset, rate in zip(truth.rig.cameras, offsets, rates or np.ones(len(offsets))):
        at = np.rint(FINE * (np.arange(frames) / rate - offset + start)).astype(int)
        xy.append(camera.project(moments[np.full(frames, 0) if still else at]))
    exact = replace(truth.keypoints, xy=np.stack(xy, axis=1), confidence=np.ones((frames, len(offsets), 17)))
    return noisy_keypoints(
        replace(truth, keypoints=exact), sigma_px=1.0, outliers=0.05, swap_share=swap_share, seed=seed
    )


def found(keypoints: Keypoints, jobs: int = 1):
    return estimate_offsets(keypoints, RIG.select(keypoints.views).cameras, jobs=jobs)


def test_a_whole_offset_moves_frames_exactly_and_back(detected):
    there = synchronized(detected, [0, 3, -2, 0])
    np.testing.assert_array_equal(there.xy[:-3, 1], detected.xy[3:, 1])
    np.testing.assert_array_equal(there.confidence[2:, 2], detected.confidence[:-2, 2])
    assert there.images[0, 1] == detected.images[3, 1]
    assert np.isnan(there.xy[-3:, 1]).all()
    assert (there.images[-3:, 1] == "").all()
    back = synchronized(there, [0, -3, 2, 0])
    np.testing.assert_array_equal(back.xy[3:-2], detected.xy[3:-2])


def test_no_offset_changes_nothing(detected):
    same = synchronized(detected, np.zeros(4))
    np.testing.assert_array_equal(same.xy, detected.xy)
    np.testing.assert_array_equal(same.images, detected.images)


def test_a_fraction_is_interpolated_at_the_lower_confidence(detected):
    read = synchronized(detected, [0, 1.25, 0, 0])
    expected = 0.75 * detected.xy[1:-1, 1] + 0.25 * detected.xy[2:, 1]
    np.testing.assert_allclose(read.xy[:-2, 1], expected, atol=1e-9)
    lower = np.minimum(detected.confidence[1:-1, 1], detected.confidence[2:, 1])
    np.testing.assert_array_equal(read.confidence[:-2, 1], lower)
    assert read.images[0, 1] == detected.images[1, 1]


def test_nothing_is_interpolated_over_a_gap_in_the_frame_numbers(detected):
    gap = detected.select_frames(np.r_[0:10, 11:20])
    read = synchronized(gap, [0, 0.5, 0, 0])
    assert np.isnan(read.xy[9, 1]).all()
    assert np.isfinite(read.xy[8, 1]).any()
    np.testing.assert_array_equal(read.frames, gap.frames)


def test_uniform_motion_is_read_exactly_between_frames_and_around_missing_ones():
    times = np.arange(60.0)
    line = np.stack([3 + 2 * times, 5 - times], axis=-1)[:, None]
    line[20] = np.nan
    at = np.array([10.0, 19.7, 20.0, 30.45])
    position, velocity = estimate_motion_at(line, at)
    np.testing.assert_allclose(position[:, 0], np.stack([3 + 2 * at, 5 - at], axis=-1))
    np.testing.assert_allclose(velocity[:, 0], np.tile([2.0, -1.0], (4, 1)))
    assert np.isnan(estimate_motion_at(line, np.array([-3.0, 70.0]))[0]).all()


def test_gross_errors_are_removed_and_nine_tenths_of_the_rest_stay():
    walk = RIG.cameras[0].project(random_motion(300, 0, 30.0).xyz)
    noisy = walk + np.random.default_rng(0).normal(0, 1, walk.shape)
    noisy[50:250:10, 3] += 80
    kept = np.isfinite(without_gross_errors(noisy)[..., 0])
    assert not kept[50:250:10, 3].any()
    assert kept.mean() > 0.9


def test_sides_exchanged_in_single_frames_and_for_a_while_are_put_back():
    walk = RIG.cameras[0].project(random_motion(200, 3, 30.0).xyz)
    wrong = walk.copy()
    for part in (slice(40, 41), slice(90, 110)):
        wrong[part] = walk[part][:, H36M.flip_order]
    np.testing.assert_array_equal(without_jumps(wrong, H36M), walk)


@pytest.mark.parametrize("offsets", [(0, 17.35), (0, -26.6, 11.85)])
def test_offsets_are_found_to_a_fifth_of_a_frame(offsets):
    result = found(recorded(offsets))
    np.testing.assert_allclose(result.offsets, offsets, atol=0.2)
    assert (np.abs(result.offsets - offsets) <= 5 * result.sd + 1e-9).all()
    assert result.offsets[0] == result.sd[0] == 0


def test_offsets_are_found_in_spite_of_exchanged_sides():
    assert found(recorded((0, 8.4), swap_share=0.25)).offsets[1] == pytest.approx(8.4, abs=0.2)


def test_applying_the_offsets_leaves_none():
    keypoints = recorded((0, -9.3), frames=300)
    again = found(synchronized(keypoints, found(keypoints).offsets))
    assert again.offsets[1] == pytest.approx(0, abs=0.2)


def test_the_number_of_jobs_changes_nothing():
    keypoints = recorded((0, 4.5, -7.25), frames=100)
    one, two = found(keypoints), found(keypoints, jobs=2)
    np.testing.assert_array_equal(one.offsets, two.offsets)
    np.testing.assert_array_equal(one.sd, two.sd)


def test_a_person_who_stands_still_is_refused():
    with pytest.raises(GeometryError, match="hardly moves"):
        found(recorded((0, 5), still=True, frames=100))


@pytest.mark.filterwarnings("error")
def test_views_that_never_show_the_person_at_once_are_refused_without_a_warning_of_numpys():
    keypoints = recorded((0, 0, 0), frames=60)
    xy = keypoints.xy.copy()
    xy[::2, 0] = xy[1::2, 1:] = np.nan
    with pytest.raises(GeometryError):
        found(replace(keypoints, xy=xy, confidence=np.where(np.isnan(xy[..., 0]), 0, 1)))
    with pytest.raises(GeometryError, match="determines no time offset"):
        invert_positive(np.array([[0, 1e200], [1e200, 1]]))


def test_frame_rates_of_24_and_25_are_refused_by_the_drift():
    with pytest.raises(GeometryError, match=r"cam2's clock runs 4\.\d% fast against cam1"):
        found(recorded((0, 2), rates=(1, 25 / 24), fps=24.0))


def test_frame_rates_of_25_and_30_are_refused():
    with pytest.raises(GeometryError, match="equal frame rates"):
        found(recorded((0, 2), rates=(1, 30 / 25), fps=25.0))


@pytest.mark.parametrize(
    "offset", thorough_but([45, 90], 90)
)  # where other offsets are tried for the sake of other views, and beyond
def test_an_offset_out_of_reach_is_said_and_found_with_more_reach(offset):
    keypoints = recorded((0, offset), frames=300)
    with pytest.raises(OutOfReachError, match=rf"cam2 seems to be about \+{offset // 10}\d frames ") as error:
        found(keypoints)
    there = estimate_offsets(keypoints, RIG.select(keypoints.views).cameras, reach=error.value.reach)
    assert abs(there.offsets[1] - offset) < 0.2


@pytest.mark.parametrize(("frames", "offset"), [(80, 42), pytest.param(100, 62, marks=pytest.mark.thorough)])
def test_views_that_share_half_of_their_time_are_not_taken_for_other_frame_rates(frames, offset):
    keypoints = recorded((0, offset), frames=frames)
    with pytest.raises(OutOfReachError, match=rf"about \+{offset // 10}\d frames .* in common") as error:
        found(keypoints)
    there = estimate_offsets(keypoints, RIG.select(keypoints.views).cameras, reach=error.value.reach)
    assert abs(there.offsets[1] - offset) < 0.3


def test_the_command_names_the_option_that_looks_farther(here):
    write_keypoints(Path("keypoints.h5"), recorded((0, 45), frames=200))
    write_rig(Path("lenses.toml"), RIG)
    assert "--sync-reach 50 looks farther" in failing(4, "calibrate", "--intrinsics", "lenses.toml", "--sync")


def test_a_reach_that_finds_no_offset_is_not_suggested(here, monkeypatch):
    def estimate(*_, reach, **__):
        if reach < 50:
            raise OutOfReachError("cam2 seems to be about +45 frames against cam1", 50)
        raise GeometryError(f"no time offset within +-{reach} frames explains the joints")

    monkeypatch.setattr("epitool.stages.calibrate.estimate_offsets", estimate)
    write_keypoints(Path("keypoints.h5"), recorded((0, 2), frames=40))
    write_rig(Path("lenses.toml"), RIG)
    said = failing(4, "calibrate", "--intrinsics", "lenses.toml", "--sync")
    assert "no time offset within +-50 frames" in said
    assert "looks farther" not in said


def test_frames_that_were_skipped_are_refused():
    with pytest.raises(GeometryError, match="every frame"):
        found(recorded((0, 2)).select_frames(np.arange(0, 240, 5)))
