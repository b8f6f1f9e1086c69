"""Cameras that move: windows with cameras of their own, from file to file, and labels in every camera's axes."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool, failing

from epitool.camera import Rig, Window
from epitool.errors import InputError
from epitool.geometry.calibration.compare import compare_rigs
from epitool.io.cameras import read_rig, read_windows, write_rig, write_windows
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.pose import join_keypoints
from epitool.synthetic import noisy_keypoints

LENGTH = 50


def elsewhere(rig: Rig, seed: int) -> Rig:
    """The rig after somebody moved every camera."""
    rng = np.random.default_rng(seed)
    moved = []
    for camera in rig.cameras:
        R = cv2.Rodrigues(rng.normal(0, 0.06, 3))[0] @ camera.R
        moved.append(replace(camera, R=R, t=camera.t + rng.normal(0, 250, 3)))
    return replace(rig, cameras=tuple(moved))


@pytest.fixture(scope="module")
def scene():
    """150 frames, in each 50 of which the cameras stand elsewhere; and the three rigs."""
    start = exact_labels(frames=3 * LENGTH)
    rigs = [elsewhere(start.rig, seed) for seed in range(3)]
    whole = [exact_labels(frames=3 * LENGTH, rig=rig) for rig in rigs]
    frames = np.arange(3 * LENGTH)
    noisy = [noisy_keypoints(w, sigma_px=0.7, outliers=0.03, swap_share=0.0, seed=i) for i, w in enumerate(whole)]
    parts = [n.select_frames(frames[i * LENGTH : (i + 1) * LENGTH]) for i, n in enumerate(noisy)]
    return join_keypoints(parts), rigs, whole[0]


def test_each_window_gets_its_cameras_and_every_label_its_place(here, scene):
    keypoints, rigs, truth = scene
    write_keypoints(Path("keypoints.h5"), keypoints)
    write_rig(Path("lenses.toml"), rigs[0])
    options = ["--intrinsics", "lenses.toml", "--moving", LENGTH, "--scale", "height=1.75m", "--json"]
    result = epitool("calibrate", *options)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert [window["first_frame"] for window in said["windows"]] == [0, 50, 100]
    for window, rig in zip(read_windows(Path("cameras.toml")), rigs, strict=True):
        for pair in compare_rigs(window.rig, rig):
            assert pair.rotation_deg < 1
            assert pair.direction_deg < 1
    assert epitool("triangulate").returncode == 0
    labels = read_labels(Path("labels.h5"))
    assert [take.name for take in labels.takes] == ["frames 0-49", "frames 50-99", "frames 100-149"]
    assert labels.keypoints.take_of.tolist() == np.repeat([0, 1, 2], LENGTH).tolist()
    for i, rig in enumerate(rigs):
        part = slice(i * LENGTH, (i + 1) * LENGTH)
        true = rig.to_cameras(truth.poses.xyz)[part]
        error = np.linalg.norm(
            (labels.in_cameras[part] - labels.in_cameras[part][:, :, :1]) - (true - true[:, :, :1]), axis=-1
        )
        assert np.nanmedian(error) < 40


def test_cameras_that_stand_are_warned_of_where_they_move(here, scene):
    write_keypoints(Path("keypoints.h5"), scene[0])
    write_rig(Path("lenses.toml"), scene[1][0])
    said = epitool("calibrate", "--intrinsics", "lenses.toml")
    assert "verdict: warn" in said.stdout
    assert "of its keypoints do not fit the other views" in said.stderr


def test_frames_between_windows_have_no_labels(here, scene):
    keypoints, rigs, _ = scene
    write_keypoints(Path("keypoints.h5"), keypoints)
    write_windows(Path("cameras.toml"), [Window(0, 49, rigs[0]), Window(100, 149, rigs[2])])
    assert epitool("triangulate").returncode == 0
    solved = np.isfinite(read_labels(Path("labels.h5")).poses.xyz[..., 0]).any(axis=1)
    assert solved.nonzero()[0].tolist() == [*range(50), *range(100, 150)]


def test_windows_are_read_as_they_were_written(tmp_path, scene):
    rigs = scene[1]
    path = tmp_path / "cameras.toml"
    write_windows(path, [Window(0, 9, rigs[0], {"verdict": "pass"}), Window(10, 19, rigs[1])])
    first, second = read_windows(path)
    assert (first.first, first.last, second.first, second.last) == (0, 9, 10, 19)
    assert first.statistics["verdict"] == "pass"
    for a, b in zip(second.rig.cameras, rigs[1].cameras, strict=True):
        np.testing.assert_allclose(a.P, b.P)
    with pytest.raises(InputError, match="holds cameras that move"):
        read_rig(path)


def test_what_is_said_of_cameras_that_stand_is_read_with_them(tmp_path, truth):
    write_rig(tmp_path / "cameras.toml", truth.rig, {"up": "people"})
    assert read_windows(tmp_path / "cameras.toml")[0].statistics["up"] == "people"


def test_cameras_that_stand_are_one_window_for_ever(tmp_path, truth):
    write_rig(tmp_path / "cameras.toml", truth.rig)
    (window,) = read_windows(tmp_path / "cameras.toml")
    assert window.first < 0 < 10**9 < window.last


@pytest.mark.parametrize(
    "options",
    [["--moving", "5"], ["--moving", "50", "--up", "people"], ["--moving", "50", "--scale", "baseline:a,b=1m"]],
)
def test_what_has_no_meaning_for_cameras_that_move(here, options):
    assert "--moving" in failing(2, "calibrate", *options)
