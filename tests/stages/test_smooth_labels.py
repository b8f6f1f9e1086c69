"""`triangulate --smooth`: the smoother of `convert`, in the labels, with covariances that are true for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from crowds import crowd_scene
from test_labels_of_everyone import write as write_crowd

from epitool.camera import Window
from epitool.io import joints_h5
from epitool.io.cameras import write_rig, write_windows
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import LabelsWriter, open_labels, people_in, read_labels, write_labels
from epitool.labels import Labels
from epitool.options import ConvertOptions, ShowOptions, TriangulateOptions
from epitool.options.convert import read_filter
from epitool.stages import convert, show, triangulate
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

FPS, FRAMES = 60.0, 240


@pytest.fixture(scope="module")
def walk() -> Labels:
    """Somebody who walks at 60 frames a second, exactly."""
    return labels_of(random_motion(FRAMES, 0, FPS).xyz, walking_room())


@pytest.fixture
def recording(here, walk) -> Labels:
    keypoints = noisy_keypoints(walk, sigma_px=4.0, outliers=0.05, swap_share=0.0, seed=0)
    write_keypoints(Path("keypoints.h5"), keypoints)
    write_rig(Path("cameras.toml"), walk.rig)
    return walk


def labelled(out: str = "labels.h5", **options: object) -> Labels:
    triangulate.run(TriangulateOptions(out=Path(out), **options))
    return read_labels(out)


def off(labels: Labels, truth: Labels) -> np.ndarray:
    return labels.poses.xyz - truth.poses.xyz


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean((error**2).sum(axis=-1))))


def converted(path: str, *filters: str) -> np.ndarray:
    options = {"filter": read_filter(filters[0])} if filters else {}
    convert.run(ConvertOptions(inputs=(Path(path),), out=Path("out.npz"), fps=FPS, **options))
    return np.load("out.npz")["xyz"]


def test_errors_go_down_with_bones_too_and_covariances_say_by_how_much(recording):
    errors = {}
    for bones in (False, True):
        for smooth in (False, True):
            labels = labelled(bones=bones, smooth=smooth)
            errors[bones, smooth] = rms(off(labels, recording))
            sure = np.abs(off(labels, recording)) < np.sqrt(labels.covariance[..., [0, 3, 5]])
            known = np.isfinite(labels.poses.xyz)
            assert 0.58 < sure[known].mean() < 0.76
            np.testing.assert_array_equal(np.isnan(labels.covariance[..., 0]), ~known[..., 0])
    assert errors[False, True] < 0.5 * errors[False, False]
    assert errors[True, True] < 0.5 * errors[True, False]
    assert errors[True, True] < 0.95 * errors[False, True]


def test_only_what_follows_from_the_joints_changes_and_the_file_says_so(recording):
    plain, smooth = labelled("plain.h5"), labelled("smooth.h5", smooth=True)
    assert (plain.smoothed, smooth.smoothed[:8]) == ("", "smoothed")
    with h5py.File("plain.h5") as one, h5py.File("smooth.h5") as other:
        stored = [name for name in one if isinstance(one[name], h5py.Dataset)]
        changed = {name for name in stored if one[name][()].tobytes() != other[name][()].tobytes()}
        assert changed == {"xyz", "xyz_covariance", "reprojection_px"}
        assert "smoothed" not in one.attrs
    apart = np.linalg.norm(smooth.project_own(smooth.in_cameras) - smooth.keypoints.xy, axis=-1)
    np.testing.assert_allclose(smooth.reprojection_px, apart, atol=0.01)
    np.testing.assert_array_equal(np.isnan(smooth.poses.xyz), np.isnan(plain.poses.xyz))
    assert (smooth.verdict, smooth.reasons) == (plain.verdict, plain.reasons)
    write_labels("again.h5", smooth)
    assert read_labels("again.h5").smoothed == smooth.smoothed


def test_it_is_the_smoother_of_convert_for_everyone_each_on_their_own_frames(here):
    write_crowd(crowd_scene(1, people=3, frames=90), 90)
    triangulate.run(TriangulateOptions(out=Path("plain.h5")))
    triangulate.run(TriangulateOptions(out=Path("smooth.h5"), smooth=True))
    assert people_in("smooth.h5") == people_in("plain.h5") == ("person1", "person2", "person3")
    for path, options in (("plain.h5", {"filter": read_filter("smooth")}), ("smooth.h5", {})):
        convert.run(ConvertOptions(inputs=(Path(path),), out=Path("out.npz"), fps=FPS, **options))
        for person in people_in(path):
            Path(f"out_{person}.npz").rename(f"{path}_{person}.npz")
    for person in people_in("smooth.h5"):
        one, other = np.load(f"plain.h5_{person}.npz"), np.load(f"smooth.h5_{person}.npz")
        np.testing.assert_allclose(other["xyz"], one["xyz"], rtol=1e-6)
        assert str(other["processing"]) == str(one["processing"])
        with open_labels(Path("smooth.h5"), person) as file:
            assert file.smoothed


def test_smoothed_labels_are_not_smoothed_again_and_that_is_said(recording, capsys):
    labelled(smooth=True)
    as_they_are = converted("labels.h5")
    capsys.readouterr()
    np.testing.assert_array_equal(converted("labels.h5", "smooth"), as_they_are)
    assert "labels.h5: is smoothed already, by `epitool triangulate --smooth`" in capsys.readouterr().err
    assert not np.array_equal(converted("labels.h5", "butterworth:6Hz"), as_they_are, equal_nan=True)
    assert str(np.load("out.npz")["processing"]).startswith("smoothed: least jerk")


def test_each_window_of_moving_cameras_has_a_world_and_is_smoothed_by_itself(recording):
    away = np.array([0.0, 5000.0, 0.0])
    cameras = tuple(replace(camera, t=camera.t - camera.R @ away) for camera in recording.rig.cameras)
    half = FRAMES // 2
    windows = [Window(0, half - 1, recording.rig), Window(half, FRAMES, replace(recording.rig, cameras=cameras))]
    write_windows(Path("cameras.toml"), windows)
    plain, smooth = (off(labelled(smooth=choice), recording) for choice in (False, True))
    for error in (plain, smooth):
        error[half:] -= away
    assert rms(smooth) < 0.5 * rms(plain)
    assert np.nanmedian(read_labels("labels.h5").reprojection_px[half:]) < 8  # of the own window's cameras


def test_the_page_says_that_joints_are_smoothed(recording):
    labelled(smooth=True)
    show.run(ShowOptions(file=Path("labels.h5"), out=Path("page.html")))
    assert "px, smoothed over time" in Path("page.html").read_text()


def test_without_a_frame_rate_one_line_says_what_is_assumed(recording, capsys, monkeypatch):
    said = "keypoints.h5: cannot read a frame rate (photos, or the video is gone); --smooth takes"
    labelled(smooth=True)
    assert capsys.readouterr().err.count(said) == 1
    labelled()
    assert said not in capsys.readouterr().err
    monkeypatch.setattr("epitool.stages.triangulate.smoothing.frame_rate", lambda image: 30.0)
    labelled(smooth=True)
    assert said not in capsys.readouterr().err


def test_few_joints_or_frames_at_a_time_and_jobs_change_no_byte(recording, monkeypatch):
    labelled(smooth=True)
    whole = Path("labels.h5").read_bytes()
    monkeypatch.setattr(joints_h5, "_PLACES", 5 * FRAMES)
    monkeypatch.setattr(joints_h5, "_FRAMES", 70)
    labelled(smooth=True, jobs=2)
    assert Path("labels.h5").read_bytes() == whole


def test_interrupted_at_the_end_it_leaves_nothing_half_written(recording, monkeypatch):
    labelled()
    before, there = Path("labels.h5").read_bytes(), set(Path().iterdir())

    def fail(writer: LabelsWriter, how: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LabelsWriter, "state_smoothed", fail)
    with pytest.raises(KeyboardInterrupt):
        labelled(smooth=True)
    assert Path("labels.h5").read_bytes() == before
    assert set(Path().iterdir()) == there
