"""3D out as biomechanists' tools want it: which axis is up, whose names, gaps and filters."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.geometry.body.angles import joint_angles
from epitool.io.cameras import read_rig, write_rig
from epitool.io.foreign.motion import Told, write_motion
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.predictions import write_predictions
from epitool.options.convert import Filter, read_filter
from epitool.pose import Poses, Predictions
from epitool.skeleton import skeleton
from epitool.stages.convert.over_time import Track, processed
from epitool.synthetic import labels_of
from epitool.synthetic.motion import random_motion

LYING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the world of a camera that is level: y down


@pytest.fixture(scope="module")
def truth():
    return exact_labels(60)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stored(labels, rig: Rig | None = None, xyz=None):
    poses = replace(labels.poses, xyz=labels.poses.xyz if xyz is None else xyz)
    write_labels(Path("labels.h5"), replace(labels, poses=poses, rig=rig or labels.rig))


def convert(out: str, *options: str):
    return epitool("convert", "labels.h5", "--fps", "60", "--out", out, *options)


def of_trc(path: str) -> tuple[list[str], np.ndarray]:
    lines = [line.split("\t") for line in Path(path).read_text().splitlines()]
    names = [name for name in lines[3][2:] if name]
    return names, np.array([line[2:] for line in lines[6:]], dtype=float).reshape(-1, len(names), 3)


def test_people_stand_along_y_in_trc_and_along_z_elsewhere(here, truth):
    stored(truth)
    for out, options, axis in (("a.trc", [], 1), ("b.trc", ["--up-axis", "z"], 2), ("c.npz", [], 2),
                               ("d.npz", ["--up-axis", "y"], 1)):  # fmt: skip
        result = convert(out, *options)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        xyz = of_trc(out)[1] if out.endswith(".trc") else np.load(out)["xyz"]
        body = skeleton("h36m17")
        upright = xyz[:, body.index("head_top")] - xyz[:, body.index("pelvis")]
        assert np.abs(upright.mean(axis=0)).argmax() == axis
        assert upright.mean(axis=0)[axis] > 0
        sides = np.cross(*(xyz[0, [1, 4, 8]] - xyz[0, 0])[1:])  # turned, not mirrored
        same = np.cross(*(truth.poses.xyz[0, [1, 4, 8]] - truth.poses.xyz[0, 0])[1:])
        np.testing.assert_allclose(sides, same[[1, 2, 0]] if axis == 1 else same, rtol=1e-2)


def test_where_nobody_knows_which_way_is_up_a_warning_says_so(here, truth):
    stored(truth, xyz=truth.poses.xyz @ LYING.T)
    result = convert("walk.trc")
    assert result.returncode == 0
    assert "does not say which way is up; `epitool calibrate --up people`" in result.stderr
    np.testing.assert_allclose(of_trc("walk.trc")[1], truth.poses.xyz @ LYING.T, rtol=1e-5, atol=1e-2)
    assert convert("walk.npz").stderr == ""
    refused = convert("other.trc", "--up-axis", "y")
    assert refused.returncode == 2
    assert "--up-axis y: labels.h5 does not say" in refused.stderr


def test_poses_of_a_camera_are_not_said_to_need_another_calibration(here):
    xyz = exact_labels(2).poses.xyz @ LYING.T
    provenance = {"model": "m", "boxes": "b", "depth": "d", "scale": "s", "recording_id": "r"}
    seen = Predictions(
        ("a.jpg", "b.jpg"), np.ones((2, 4)), xyz - xyz[:, :1], xyz[..., :2], np.ones((2, 17)), skeleton("h36m17"),
        "mm", provenance,
    )  # fmt: skip
    write_predictions(Path("pose.json"), seen)
    result = epitool("convert", "pose.json", "--fps", "30", "--out", "walk.trc")
    assert result.returncode == 0, result.stderr
    assert "as if the camera were level" in result.stderr
    assert "calibrate" not in result.stderr


def test_people_seen_by_one_camera_stand_on_their_feet(here):
    """A camera's y runs down: as it is, Blender would show its person head down."""
    down = np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]])  # of a camera that looks along -x of a world with z up
    xyz = exact_labels(2).poses.xyz
    relative = xyz - xyz[:, :1]
    provenance = {"model": "m", "boxes": "b", "depth": "d", "scale": "s", "recording_id": "r"}
    seen = Predictions(
        ("a.mp4#0", "a.mp4#1"), np.ones((2, 4)), relative @ down.T, xyz[..., :2], np.ones((2, 17)),
        skeleton("h36m17"), "mm", provenance,
    )  # fmt: skip
    write_predictions(Path("pose.json"), seen)
    for out, options, axes in (("a.trc", [], [1, 2, 0]), ("b.npz", ["--up-axis", "z"], [0, 1, 2]),
                               ("c.npz", ["--up-axis", "y"], [1, 2, 0])):  # fmt: skip
        result = epitool("convert", "pose.json", "--fps", "30", "--out", out, *options)
        assert result.returncode == 0, result.stderr
        turned = of_trc(out)[1] if out.endswith(".trc") else np.load(out)["xyz"]
        np.testing.assert_allclose(turned, relative[..., axes], rtol=1e-4, atol=0.1)
    result = epitool("convert", "pose.json", "--fps", "30", "--out", "as_it_is.npz")
    assert (result.returncode, result.stderr) == (0, "")
    np.testing.assert_allclose(np.load("as_it_is.npz")["xyz"], relative @ down.T, rtol=1e-4, atol=0.1)


def test_poses_of_a_video_have_its_times_where_its_beginning_shows_nobody(here):
    xyz = exact_labels(3).poses.xyz
    provenance = {"model": "m", "boxes": "b", "depth": "d", "scale": "s", "recording_id": "r"}
    for name, time in (("a.mp4#{}", 5 / 30), ("cam/{:05d}.jpg", 0.0)):  # a folder may begin at any number
        images = tuple(name.format(number) for number in (5, 6, 7))
        seen = Predictions(
            images, np.ones((3, 4)), xyz - xyz[:, :1], xyz[..., :2], np.ones((3, 17)), skeleton("h36m17"), "mm",
            provenance,
        )  # fmt: skip
        write_predictions(Path("pose.json"), seen)
        result = epitool("convert", "pose.json", "--fps", "30", "--out", "walk.trc")
        assert result.returncode == 0, result.stderr
        assert float(Path("walk.trc").read_text().splitlines()[6].split("\t")[1]) == pytest.approx(time, abs=1e-5)


def test_what_the_cameras_say_of_up_goes_on_to_the_labels(here, truth):
    """Someone who lies on the floor all the time: the people do not tell, the file does."""
    rig = replace(truth.rig, up="people")
    write_rig(Path("cameras.toml"), rig)
    assert read_rig("cameras.toml").up == "people"
    assert rig.scaled(2.0, "mm", "known").up == "people"
    stored(truth, rig, truth.poses.xyz @ LYING.T)
    assert read_labels("labels.h5").rig.up == "people"
    assert json.loads(convert("walk.trc", "--json").stdout)["up_axis"] == "y"


def test_up_of_c3d_is_said_as_its_readers_look_for_it(here, truth):
    ezc3d = pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    stored(truth)
    for axis, screen in (("y", "+Y"), ("z", "+Z")):
        assert convert(f"{axis}.c3d", "--up-axis", axis, "--filter", "butterworth:6Hz").returncode == 0
        parameters = ezc3d.c3d(f"{axis}.c3d")["parameters"]
        assert parameters["POINT"]["Y_SCREEN"]["value"] == [screen]
        assert "3 dB at 6 Hz" in parameters["PROCESSING"]["DONE"]["value"][0]


@pytest.mark.skipif(os.name == "nt", reason="shells there limit no files")
@pytest.mark.parametrize(("out", "blocks"), [("walk.c3d", 0), ("walk.c3d", 4), ("walk.trc", 4)])
def test_a_disk_that_is_full_leaves_no_part_of_a_file(here, truth, out, blocks):
    if out.endswith(".c3d"):
        pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    stored(truth)
    line = f"ulimit -f {blocks}; exec {sys.executable} -m epitool convert labels.h5 --fps 60 --out {out}"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 3, result.stderr
    assert f"cannot write {out}: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(Path().glob(f"*{Path(out).suffix}"))


def parameters_of_c3d(content: bytes) -> dict[str, dict[str, bytes]]:
    """Every group's parameters and their raw values, by the format's own rules: little-endian, chained by offsets."""
    at = 512 * (content[0] - 1)
    assert content[at + 3] == 84  # Intel's order of bytes
    at, names, found = at + 4, {}, {}
    while length := struct.unpack_from("<b", content, at)[0]:
        number = struct.unpack_from("<b", content, at + 1)[0]
        name = content[at + 2 : at + 2 + abs(length)].decode()
        start = at + 2 + abs(length)
        step = struct.unpack_from("<H", content, start)[0]
        if number < 0:
            names[-number] = name
        else:
            size, dimensions = abs(struct.unpack_from("<b", content, start + 2)[0]), content[start + 3]
            sizes = content[start + 4 : start + 4 + dimensions]
            values = start + 4 + dimensions
            found.setdefault(number, {})[name] = content[values : values + size * prod(sizes)]
        if not step:
            break
        at = start + step
    return {group: found.get(number, {}) for number, group in names.items()}


def test_c3d_holds_what_strict_readers_want(here, truth):
    """Header and parameters agree, the unit and an empty group of analog channels are there, missing is -1."""
    pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    xyz = truth.poses.xyz.copy()
    xyz[3, 5] = np.nan
    stored(truth, xyz=xyz)
    assert convert("walk.c3d", "--unit", "m").returncode == 0
    content = Path("walk.c3d").read_bytes()
    assert content[1] == 0x50
    points, analog, first, last, _, scale, start, _, rate = struct.unpack_from("<HHHHHfHHf", content, 2)
    assert (points, analog, first, last, rate) == (17, 0, 1, 60, 60.0)
    assert scale < 0  # places are floating-point numbers
    assert start >= content[0] + content[512 * (content[0] - 1) + 2]  # data come after all blocks of parameters
    assert struct.unpack_from("<H", content, 300) == (0,)  # events in the header
    groups = parameters_of_c3d(content)
    point = groups["POINT"]
    assert point["UNITS"].strip() == b"m"
    assert struct.unpack("<f", point["RATE"])[0] == rate
    assert struct.unpack("<f", point["SCALE"])[0] == scale
    assert [struct.unpack("<H", point[key])[0] for key in ("USED", "FRAMES", "DATA_START")] == [17, 60, start]
    width = len(point["LABELS"]) // 17
    labels = [point["LABELS"][width * n : width * (n + 1)].decode().strip() for n in range(17)]
    assert labels == list(truth.poses.skeleton.joints)
    assert struct.unpack("<H", groups["ANALOG"]["USED"])[0] == 0
    assert {"GEN_SCALE", "RATE"} <= groups["ANALOG"].keys()
    assert not {"TRIAL", "EVENT"} & groups.keys()  # which other readers would believe more than the header
    data = np.frombuffer(content, "<f4", 60 * 17 * 4, 512 * (start - 1)).reshape(60, 17, 4)
    missing = np.isnan(xyz[..., 0])
    np.testing.assert_array_equal(data[..., 3], np.where(missing, -1, 0))
    np.testing.assert_allclose(data[~missing, :3], xyz[~missing] / 1000, atol=1e-5)
    assert not data[missing, :3].any()


def test_c3d_says_each_step_of_the_processing_in_a_text_of_its_own(here, truth):
    """A text may have 255 bytes, because C3D counts them in one byte."""
    ezc3d = pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    done = "; ".join(["a" * 200, "b" * 200])
    write_motion(Path("walk.c3d"), truth.poses, 1.0, Told(60.0, "mm", done=done))
    assert ezc3d.c3d("walk.c3d")["parameters"]["PROCESSING"]["DONE"]["value"] == ["a" * 200, "b" * 200]
    with pytest.raises(InputError, match="there is no frame to write"):
        write_motion(Path("none.c3d"), truth.between(0, 0).poses, 1.0, Told(60.0, "mm"))


# As Pose2Sim's `IK_Setup_Pose2Sim_Halpe26.xml` names its tasks.
TASKS = {
    "Nose", "Head", "Neck", "Hip",
    *(side + name for side in "LR" for name in (
        "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "BigToe", "SmallToe", "Heel"
    )),
}  # fmt: skip


@pytest.mark.parametrize(("body", "lacking"), [
    ("halpe26", set()), ("body25b", set()), ("coco23", set()),
    ("blazepose33", {"LSmallToe", "RSmallToe"}),
    ("h36m17", {"Nose", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"}),
])  # fmt: skip
def test_names_of_pose2sim_are_those_of_its_model(body, lacking):
    from epitool.io.foreign.markers import pose2sim_markers

    joints = skeleton(body)
    xyz = np.random.default_rng(0).normal(size=(4, len(joints), 3))
    named = pose2sim_markers(Poses(xyz, np.ones(xyz.shape[:2]), np.arange(4), joints, "mm", "world"))
    markers = named.skeleton.joints
    assert set(markers) == TASKS - lacking
    np.testing.assert_array_equal(named.xyz[:, markers.index("LKnee")], xyz[:, joints.index("left_knee")])
    middle = (xyz[:, joints.index("left_hip")] + xyz[:, joints.index("right_hip")]) / 2
    if "pelvis" not in joints.joints:
        np.testing.assert_allclose(named.xyz[:, markers.index("Hip")], middle)


def test_a_file_says_what_was_done_to_it(here, truth):
    xyz = truth.poses.xyz.copy()
    xyz[20:23, 5], xyz[40:46, 5] = np.nan, np.nan
    stored(truth, xyz=xyz)
    result = convert("walk.trc", "--filter", "butterworth:6Hz", "--fill-gaps", "4")
    head = Path("walk.trc").read_text().splitlines()[0]
    for said in (result.stdout + result.stderr, head):
        assert "gaps of up to 4 frames filled by splines (3 places); Butterworth low-pass of order 4" in said
    names, found = of_trc("walk.trc")
    gone = np.isnan(found[:, names.index("left_knee"), 0])
    assert np.flatnonzero(gone).tolist() == [40, 41, 42, 43, 44, 45]
    assert convert("walk.trc", "--filter", "smooth").returncode == 0  # it is ours, and may be written again
    assert "smoothed" in Path("walk.trc").read_text().splitlines()[0]


@pytest.mark.parametrize("kind", ["butterworth:6Hz", "smooth"])
def test_a_filter_leaves_missing_what_is_missing(kind):
    labels = exact_labels(90)
    xyz = labels.poses.xyz.copy()
    xyz[30:38, 3] = np.nan
    track = Track(replace(labels.poses, xyz=xyz), labels.covariance, np.zeros(90, int), "", up=True)
    for longest, left in ((0, 8), (7, 8), (8, 0)):
        found, _ = processed(track, 1, 60.0, read_filter(kind), longest)
        assert np.isnan(found.xyz[..., 0]).sum() == left


@pytest.mark.parametrize("kind", [Filter(6.0), Filter()])
def test_other_takes_and_poses_after_a_long_pause_do_not_count(kind):
    labels = exact_labels(120)
    number, frames = (np.arange(120) >= 60).astype(int), np.arange(120) + 1000 * (np.arange(120) >= 60)
    for takes, numbers in ((number, np.arange(120)), (0 * number, frames)):
        found = []
        for shift in (0.0, 1e5):
            xyz = labels.poses.xyz + shift * number[:, None, None]
            poses = replace(labels.poses, xyz=xyz, frames=numbers)
            found.append(processed(Track(poses, labels.covariance, takes, "", up=True), 1, 60.0, kind, 5)[0].xyz)
        np.testing.assert_array_equal(found[0][:60], found[1][:60])


def test_rates_of_every_second_frame_are_halved_for_the_filter(here, truth):
    poses = replace(truth.poses, frames=2 * truth.poses.frames)
    keypoints = replace(truth.keypoints, frames=poses.frames)
    write_labels(Path("labels.h5"), replace(truth, poses=poses, keypoints=keypoints))
    assert "under half of the 30 frames a second" in convert("walk.trc", "--filter", "butterworth:20Hz").stderr
    assert convert("walk.trc", "--filter", "butterworth:14Hz").returncode == 0


@pytest.mark.parametrize("text", ["butterworth", "butterworth:0Hz", "butterworth:-6", "kalman", "butterworth:6kHz", ""])
def test_filters_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="expected butterworth:6Hz, or smooth"):
        read_filter(text)


@pytest.mark.parametrize("option", [["--up-axis", "y"], ["--names", "pose2sim"], ["--filter", "smooth"],
                                    ["--fill-gaps", "3"]])  # fmt: skip
def test_options_of_poses_are_refused_for_cameras(here, truth, option):
    write_rig(Path("rig.toml"), truth.rig)
    result = epitool("convert", "rig.toml", *option, "--out", "cameras.toml")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {option[0]}: rig.toml holds cameras")


def with_feet(frames: int) -> np.ndarray:
    """A person who walks, in coco23's joints `(F, 23, 3)`: what the made-up body lacks lies about where it should."""
    motion, body = random_motion(frames, 0), skeleton("coco23")
    xyz = np.repeat(motion.joint("neck_nose")[:, None], len(body), axis=1)  # the face
    xyz += np.random.default_rng(0).normal(0, 40, (len(body), 3))
    for j, joint in enumerate(body.joints):
        side, _, part = joint.partition("_")
        if joint in skeleton("h36m17").joints:
            xyz[:, j] = motion.joint(joint)
        elif part.endswith("toe"):
            xyz[:, j] = motion.toes[:, ("left", "right").index(side)] + (30 if part == "small_toe" else 0)
        elif part == "heel":
            xyz[:, j] = motion.joint(f"{side}_ankle") - [0, 0, 60]
    return xyz


def test_feet_that_the_detector_found_are_in_the_file_though_labels_have_none(here):
    xyz, body, rig = with_feet(30), skeleton("coco23"), exact_labels(1).rig
    write_keypoints(Path("keypoints.h5"), labels_of(xyz, rig, body=body).keypoints)
    write_rig(Path("cameras.toml"), replace(rig, up="people"))
    result = epitool("triangulate", "--out", "labels.h5")
    assert result.returncode == 0, result.stderr
    assert read_labels("labels.h5").poses.skeleton.name == "h36m17"
    assert convert("walk.trc", "--up-axis", "z").returncode == 0
    names, found = of_trc("walk.trc")
    assert {"pelvis", "left_heel", "right_big_toe", "nose"} <= set(names)
    np.testing.assert_allclose(found[:, names.index("left_heel")], xyz[:, body.index("left_heel")], atol=0.5)
    assert convert("markers.trc", "--names", "pose2sim").returncode == 0
    assert set(of_trc("markers.trc")[0]) == TASKS


def test_angles_go_to_opensims_storage(here, truth):
    xyz = truth.poses.xyz.copy()
    xyz[3, 5] = np.nan
    stored(truth, xyz=xyz)
    for out in ("angles.mot", "angles.sto", "angles.mot"):  # the last replaces the first
        result = convert(out, "--filter", "smooth")
        assert result.returncode == 0, result.stderr
        head, _, body = Path(out).read_text().partition("endheader\n")
        names, *rows = [line.split("\t") for line in body.splitlines()]
        assert {"nRows=60", f"nColumns={len(names)}", "inDegrees=yes"} <= set(head.splitlines())
        assert "smoothed" in head
        assert (names[0], rows[3][0], rows[3][names.index("left_knee_flexion")]) == ("time", "0.050000", "NaN")
        values = np.array(rows, dtype=float)[:, 1:]
        expected = np.stack(list(joint_angles(replace(truth.poses, xyz=xyz)).values()), axis=1)
        assert np.nanmedian(np.abs(values - expected)) < 3  # degrees: five frames a second, said to be sixty


def test_angles_go_to_a_table_and_a_diagram(here, truth):
    xyz = truth.poses.xyz.copy()
    xyz[3, 5] = np.nan
    stored(truth, xyz=xyz)
    for out in ("walk.angles.csv", "angles.csv", "angles.csv", "angles.png", "angles.png"):  # replaced, being ours
        result = convert(out)
        assert result.returncode == 0, result.stderr
        assert "joint angles in degrees" in result.stdout
    names, *rows = [line.split(",") for line in Path("angles.csv").read_text().splitlines()]
    expected = joint_angles(replace(truth.poses, xyz=xyz))
    assert names == ["frame", "time", *expected]
    assert (rows[3][:2], rows[3][names.index("left_knee_flexion")]) == (["3", "0.050000"], "")
    values = np.array([[float(cell or "nan") for cell in row] for row in rows])[:, 2:]
    np.testing.assert_allclose(values, np.stack(list(expected.values()), axis=1), atol=1e-4)
    height, width, _ = cv2.imread("angles.png").shape
    assert width > height > 500


@pytest.mark.parametrize("option", [["--names", "pose2sim"], ["--up-axis", "y"], ["--unit", "m"]])
def test_what_is_of_places_is_refused_for_angles(here, truth, option):
    stored(truth)
    result = convert("angles.mot", *option)
    assert result.returncode == 2
    assert "holds angles" in result.stderr
    assert not Path("angles.mot").exists()


def test_angles_of_no_person_are_refused(here):
    from epitool.skeleton import Skeleton

    fish = Poses(np.zeros((3, 1, 3)), np.ones((3, 1)), np.arange(3), Skeleton("fish", ("fin",), (-1,)), "mm", "world")
    with pytest.raises(InputError, match="angles are of people"):
        write_motion(Path("angles.mot"), fish, 1.0, Told(60.0, "mm"))
