"""What was thought of cameras when they were computed is part of every verdict that rests on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_label_verdict import epitool

from epitool.camera import Window
from epitool.errors import GeometryError
from epitool.io.cameras import read_windows, tomllib, write_rig, write_windows
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.stages.shared.camera_verdict import heed_cameras, read_inherited
from epitool.synthetic import noisy_keypoints

REASON = "camera cam2: rotation uncertain by 1.7 degrees"


def judged(verdict: str) -> dict:
    return {"verdict": verdict, "reasons": [REASON]}


@pytest.fixture
def recorded(here, truth):
    keypoints = noisy_keypoints(truth, sigma_px=0.3, outliers=0.0, swap_share=0.0)
    write_keypoints("keypoints.h5", keypoints)
    return truth


def triangulated(*options):
    command = ("triangulate", "--keypoints", "keypoints.h5", "--cameras", "cameras.toml", "--out", "labels.h5")
    return epitool(*command, *options)


@pytest.mark.parametrize(("verdict", "of_labels"), [("warn", "warn"), ("pass", "pass"), ("good", "pass")])
def test_labels_have_the_verdict_of_their_cameras(recorded, verdict, of_labels):
    write_rig("cameras.toml", recorded.rig, judged(verdict))
    status, said = triangulated()
    labels = read_labels("labels.h5")
    assert (status, labels.verdict) == (0, of_labels)
    inherited_reasons = (f"the cameras: {REASON}",) if of_labels == "warn" else ()
    assert labels.reasons == inherited_reasons
    assert (f"warning: the cameras: {REASON}" in said) == (of_labels == "warn")


def test_no_label_rests_on_cameras_that_were_found_wrong(recorded):
    write_rig("cameras.toml", recorded.rig, judged("fail"))
    status, said = triangulated()
    assert (status, Path("labels.h5").exists()) == (4, False)
    assert f"the cameras: {REASON}" in said


@pytest.mark.parametrize("combine", ["robust", "vector-median"])
def test_no_label_rests_on_moving_cameras_that_are_far_from_the_joints(recorded, combine):
    turns = [cv2.Rodrigues(np.radians(turn))[0] for turn in ([0, 14.0, 0], [14.0, 0, 0], [0, 0, 14.0], [-14.0, 0, 0])]
    turned = [replace(camera, R=turn @ camera.R) for camera, turn in zip(recorded.rig.cameras, turns, strict=True)]
    rig, stated = replace(recorded.rig, cameras=tuple(turned)), judged("pass")
    write_windows(Path("cameras.toml"), [Window(0, 59, rig, stated), Window(60, 119, rig, stated)])
    status, said = triangulated("--combine", combine)
    assert (status, Path("labels.h5").exists()) == (4, False)
    assert "of the person's size in the images" in said


def test_cameras_taken_from_labels_have_the_verdict_of_these(recorded):
    write_labels("first.h5", replace(recorded, verdict="warn", reasons=(REASON,)))
    triangulated("--cameras", "first.h5")
    assert read_labels("labels.h5").reasons == (f"the cameras: first.h5: {REASON}",)


def test_doubts_about_several_cameras_are_inherited_as_one(truth):
    means = (
        "Even with uncertain cameras the shape of the poses is nearly right; the positions and directions of the"
        " cameras are uncertain by the stated amounts; more movement helps"
    )
    reasons = [REASON, "camera cam4: rotation uncertain by 1.2 degrees", means, "noise"]
    (first, second) = read_inherited([Window(0, 9, truth.rig, {"verdict": "warn", "reasons": reasons})], "the cameras")
    assert first == (
        "warn",
        "the cameras: 2 cameras are doubtful, most of all cam2: rotation uncertain by 1.7 degrees; their file has the"
        " others",
    )
    assert second == ("warn", "the cameras: noise")


def test_windows_of_moving_cameras_are_counted(recorded):
    half = len(recorded.poses.frames) // 2
    windows = [
        Window(0, half - 1, recorded.rig, judged("pass")),
        Window(half, 2 * half, recorded.rig, judged("warn")),
    ]
    write_windows(Path("cameras.toml"), windows)
    assert triangulated()[0] == 0
    labels = read_labels("labels.h5")
    first = f"1 of 2 windows of frames have the verdict warn, first frames {half} to {2 * half}: {REASON}"
    assert (labels.verdict, labels.reasons[0]) == ("warn", f"the cameras: {first}")


def test_cameras_at_given_places_have_the_verdict_of_the_file_that_gives_these(recorded):
    write_rig("given.toml", recorded.rig, judged("warn"))
    command = ("calibrate", "--keypoints", "keypoints.h5", "--extrinsics", "given.toml", "--out", "new.toml")
    status, said = epitool(*command)
    (window,) = read_windows(Path("new.toml"))
    assert (status, window.verdict, window.reasons) == (0, "warn", (f"the cameras of given.toml: {REASON}",))
    assert "verdict: warn" in said or f"warning: the cameras of given.toml: {REASON}" in said
    write_rig("given.toml", recorded.rig, judged("fail"))
    assert epitool("calibrate", "--keypoints", "keypoints.h5", "--extrinsics", "given.toml", "--out", "x.toml")[0] == 4


def test_lenses_that_were_uncertain_leave_cameras_uncertain(recorded):
    deviations = {name: {"focal_share": 0.08 if name == "cam3" else 0.01} for name in recorded.rig.names}
    write_rig("lenses.toml", recorded.rig, {**judged("warn"), "standard_deviations": deviations})
    epitool("calibrate", "--keypoints", "keypoints.h5", "--intrinsics", "lenses.toml", "--out", "new.toml")
    (window,) = read_windows(Path("new.toml"))
    assert window.verdict == "warn"
    assert window.reasons == ("the lenses of lenses.toml: the focal length of cam3 was uncertain by 8%",)


def test_a_verdict_survives_the_conversion_of_cameras_and_is_shown(recorded):
    write_rig("cameras.toml", recorded.rig, judged("warn"))
    for out in ("again.toml", "cameras.qca.txt"):
        _, said = epitool("convert", "cameras.toml", "--out", out)
        assert f"cameras.toml: these cameras were found doubtful when they were made: {REASON}" in said
    assert tomllib.loads(Path("again.toml").read_text())["metadata"]["reasons"] == [REASON]
    assert epitool("show", "again.toml", "--out", "page.html")[0] == 0
    assert f"verdict: warn ({REASON}.)" in Path("page.html").read_text(encoding="utf-8")


def test_files_of_other_programs_state_no_verdict(recorded):
    write_rig("cameras.toml", recorded.rig)
    assert read_inherited(read_windows(Path("cameras.toml"))) == []
    epitool("convert", "cameras.toml", "--out", "cameras.qca.txt")
    heed_cameras(Path("cameras.qca.txt"))
    heed_cameras(Path())  # a folder
    write_rig("cameras.toml", recorded.rig, {"verdict": 3, "reasons": "no list", "standard_deviations": {}})
    assert read_inherited(read_windows(Path("cameras.toml"))) == []


def test_a_verdict_without_reasons_is_heard(recorded):
    write_rig("cameras.toml", recorded.rig, {"verdict": "fail"})
    with pytest.raises(GeometryError, match="no reason is stated"):
        heed_cameras(Path("cameras.toml"))


def test_the_summary_for_programs_has_the_same_verdict(recorded):
    write_rig("given.toml", recorded.rig, judged("warn"))
    from typer.testing import CliRunner

    from epitool.cli import app, spread_variadic

    arguments = ["calibrate", "--keypoints", "keypoints.h5", "--extrinsics", "given.toml", "--out", "n.toml", "--json"]
    assert json.loads(CliRunner().invoke(app, spread_variadic(arguments)).stdout)["verdict"] == "warn"
