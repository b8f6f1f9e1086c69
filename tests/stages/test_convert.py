"""Files of other programs: read, written, and read again by those who read them."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import exact_labels, fetched
from test_cli import epitool, failing

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.io.cameras import read_rig, write_rig
from epitool.io.candidates_h5 import has_candidates
from epitool.io.foreign.cameras.easymocap import read_easymocap
from epitool.io.foreign.joints import read_views
from epitool.io.foreign.joints.orders import body_by_anatomy
from epitool.io.foreign.joints.seen_view import frame_number
from epitool.io.foreign.motion import Told, write_motion
from epitool.io.keypoints_h5 import read_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.pose import Poses
from epitool.skeleton import Skeleton, skeleton
from epitool.stages.shared.camera_checks import inverted, parallax_deg

F = 6


@pytest.fixture
def joints() -> np.ndarray:
    """Two people, x, y and confidence `(F, 2, 17, 3)`; the first person's left wrist is never seen."""
    rows = np.random.default_rng(0).uniform([5, 5, 0.4], [600, 400, 0.9], (F, 2, 17, 3))
    rows[:, 0, 9] = 0
    return rows


def check(joints: np.ndarray, people: int, first: int = 0) -> None:
    (view,) = read_views(Path(next(iter(Path("in").iterdir()))), skeleton("coco17"))
    assert sorted(view.people) == list(range(first, first + F))
    for frame, expected in enumerate(joints[:, :people]):
        xy, confidence = view.people[frame + first]
        seen = expected[..., 2] > 0
        np.testing.assert_allclose(xy[seen], expected[..., :2][seen], atol=1e-6)
        np.testing.assert_allclose(confidence, expected[..., 2], atol=1e-6)
        assert np.isnan(xy[~seen]).all()


def write(name: str, content: object) -> Path:
    path = Path("in") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_openpose_folders_become_keypoints_with_candidates(here, joints):
    for view in ("cam1", "cam2"):
        for f in range(F):
            people = [{"pose_keypoints_2d": np.pad(person, ((0, 8), (0, 0))).ravel().tolist()} for person in joints[f]]
            write(f"pose/{view}_json/{view}_{f:012d}_keypoints.json", {"version": 1.3, "people": people})
    result = epitool("convert", "in/pose", "--skeleton", "body25", "--size", "640x480", "--out", "k.h5", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["views"] == ["cam1", "cam2"]
    keypoints = read_keypoints(Path("k.h5"))
    assert (keypoints.skeleton.name, keypoints.image_size.tolist()) == ("body25", [[640, 480]] * 2)
    assert has_candidates(Path("k.h5"))
    assert (keypoints.images == "").all()


def test_each_programs_file_gives_the_same_people(here, joints):
    rows = [
        {"image_id": f"{f}.jpg", "category_id": 1, "keypoints": person.ravel().tolist(), "score": 2.0}
        for f in range(F)
        for person in joints[f]
    ]
    write("alphapose-results.json", rows)
    check(joints, 2)
    Path("in/alphapose-results.json").unlink()
    info = [
        {
            "frame_id": f + 1,
            "instances": [
                {"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist(), "bbox_score": 0.9}
                for p in joints[f]
            ],
        }
        for f in range(F)
    ]
    names = {str(j): name for j, name in enumerate(skeleton("coco17").joints)}
    write("cam1.json", {"meta_info": {"keypoint_id2name": names}, "instance_info": info})
    check(joints, 2)


def test_coco_annotations_have_sizes_and_names(here, joints):
    images = [{"id": 70 + f, "file_name": f"images/{f:05d}.png", "width": 640, "height": 480} for f in range(F)]
    people = [
        {"image_id": 70 + f, "keypoints": np.column_stack([p[:, :2], 2.0 * (p[:, 2] > 0)]).ravel().tolist()}
        for f in range(F)
        for p in joints[f]
    ]
    names = [name.replace("_", " ") for name in skeleton("coco17").joints]  # another spelling
    path = write("cam1.json", {"images": images, "annotations": people, "categories": [{"keypoints": names}]})
    (view,) = read_views(path)
    assert (view.size, view.skeleton.name) == ((640, 480), "coco17")
    np.testing.assert_allclose(view.people[3][0][1], joints[3, 1, :, :2])


@pytest.mark.parametrize("individuals", [1, 2])
def test_deeplabcut(here, joints, individuals):
    parts = skeleton("coco17").joints
    columns = [(f"m{p}", part, what) for p in range(individuals) for part in parts for what in ("x", "y", "likelihood")]
    lines = [["scorer", *["DLC"] * len(columns)]]
    lines += [["individuals", *(c[0] for c in columns)]] if individuals > 1 else []
    lines += [["bodyparts", *(c[1] for c in columns)], ["coords", *(c[2] for c in columns)]]
    lines += [[f, *("" if x == 0 else x for x in joints[f, :individuals].ravel())] for f in range(F)]
    write("cam1DLC.csv", "\n".join(",".join(map(str, line)) for line in lines))
    check(joints, individuals)


def test_sleaps_analysis_export(here, joints):
    Path("in").mkdir()
    with h5py.File("in/cam1.analysis.h5", "w") as file:
        gone = np.where(joints[..., 2:] > 0, joints, np.nan)
        file["tracks"] = gone[..., :2].transpose(1, 3, 2, 0)
        file["point_scores"] = gone[..., 2].transpose(1, 2, 0)
        file["node_names"] = np.array([name.encode() for name in skeleton("coco17").joints])
    check(joints, 2)


def test_footage_gives_names_and_sizes(here, joints):
    for f in range(F):
        write(f"cam1_json/a{f}.json", {"people": [{"pose_keypoints_2d": joints[f, 0].ravel().tolist()}]})
        write(f"cam2_json/b{f}.json", {"people": []})
        for view in ("left", "right"):
            Path(view).mkdir(exist_ok=True)
            cv2.imwrite(f"{view}/{f}.png", np.zeros((480, 640, 3), np.uint8))
    command = ["convert", "in/cam1_json", "in/cam2_json", "--skeleton", "coco17", "--views", "left", "right", "--out"]
    result = epitool(*command, "k.h5")
    assert result.returncode == 0, result.stderr
    keypoints = read_keypoints(Path("k.h5"))
    assert keypoints.views == ("left", "right")
    assert keypoints.images[2].tolist() == ["left/2.png", "right/2.png"]
    Path("right/3.png").unlink()
    assert "right: has frames" in failing(3, *command, "k2.h5")


@pytest.mark.parametrize(
    ("files", "arguments", "status", "said"),
    [
        ({"cam.json": "{"}, [], 3, "cannot be read as a file of 2D joints"),
        ({"cam.json": "{}"}, [], 3, "neither AlphaPose's"),
        ({"cam.json": '[{"image_id": "a.jpg", "keypoints": [1, 2, 1]}]'}, [], 3, "has no frame number"),
        ({"cam.json": '[{"image_id": 1, "keypoints": [1, 2, 1]}]'}, [], 3, "1 joints without names"),
        ({"cam_json/1.json": '{"people": [{"pose_keypoints_2d": [1, 2]}]}'}, [], 3, "different numbers of joints"),
        ({"cam_json/a1.json": '{"people": []}', "cam_json/b1.json": "{}"}, [], 3, "has the frame number of a1.json"),
        ({"cam_json/none.txt": ""}, [], 3, "holds no .json"),
        ({"cam.csv": "a,b\n1,2\n"}, [], 3, "DeepLabCut's rows"),
        ({"cam.h5": "x"}, [], 3, "cannot be read"),
        ({"cam.bin": "x"}, [], 3, "no known file of 2D joints"),
        ({"cam_json/1.json": '{"people": []}'}, [], 2, "--size WxH"),
        ({"cam_json/1.json": '{"people": []}'}, ["--size", "64x48"], 4, "nobody is in any frame"),
        ({"cam_json/1.json": '{"people": []}'}, ["--size", "64"], 2, "expected as 1920x1080"),
    ],
)
def test_bad_files_are_one_line(here, files, arguments, status, said):
    for name, content in files.items():
        write(name, content)
    first = Path("in") / next(iter(files)).partition("/")[0]
    assert said in failing(status, "convert", first, "--out", "k.h5", *arguments)
    assert not Path("k.h5").exists()


def test_joints_far_outside_of_the_images_are_refused(here, joints):
    write("cam_json/0.json", {"people": [{"pose_keypoints_2d": joints[0, 1].ravel().tolist()}]})
    assert "lie far outside" in failing(
        3, "convert", "in/cam_json", "--skeleton", "coco17", "--size", "64x48", "--out", "k.h5"
    )


@pytest.mark.parametrize("name", ["h36m17", "body25", "body25b", "mpii16"])
def test_order_of_unnamed_joints_is_told_by_anatomy(name):
    """Whatever the order, it is the one by which bones are short."""
    tree, rng = skeleton(name), np.random.default_rng(0)
    xy = np.zeros((20, len(tree), 2))
    for _ in tree.joints:
        for child, parent in enumerate(tree.parents):
            if parent >= 0:
                xy[:, child] = xy[:, parent] + np.array([np.sin(child * 7.0), np.cos(child * 7.0)]) * 30
    xy += rng.normal(0, 2, xy.shape)
    assert body_by_anatomy(len(tree), {0: (xy, np.ones(xy.shape[:2]))}).name == name


def test_orders_that_fit_nobody_are_asked_for(here, joints):
    write("cam_json/0.json", {"people": [{"pose_keypoints_2d": joints[0, 1].ravel().tolist()}]})
    options = ["convert", "in/cam_json", "--size", "640x480", "--out", "k.h5"]
    assert "--skeleton says the order" in failing(3, *options)
    assert "17 joints, but body25 has 25" in failing(3, *options, "--skeleton", "body25")


def test_frame_numbers():
    assert [frame_number(name) for name in ("a_0007_keypoints.json", "cam01.0012.json", "x/12/5.jpg")] == [7, 12, 5]


# Cameras


@pytest.fixture
def rig(truth) -> Rig:
    cameras = [replace(c, distortion=[-0.1, 0.05, 0.001, -0.002, 0.01]) for c in truth.rig.cameras]
    return Rig(tuple(cameras), "mm", "test")


@pytest.mark.parametrize(("out", "unit"), [("a.qca.txt", "mm"), ("folder", "arbitrary"), ("m.toml", "arbitrary")])
def test_cameras_go_out_and_come_back(here, rig, out, unit):
    write_rig(Path("cameras.toml"), rig)
    metres = ["--unit", "m"] if out == "m.toml" else []
    assert epitool("convert", "cameras.toml", *metres, "--out", out).returncode == 0
    found = read_easymocap(Path(out)) if out == "folder" else read_rig(Path(out))
    assert found.unit == unit
    size = 0.001 if metres else 1
    for a, b in zip(found.cameras, rig.cameras, strict=True):
        assert a.name == b.name
        np.testing.assert_allclose(a.K, b.K, atol=1e-6)
        np.testing.assert_allclose(a.distortion[:5], b.distortion, atol=1e-9)
        np.testing.assert_allclose(a.R, b.R, atol=1e-7)
        np.testing.assert_allclose(a.t, b.t * size, atol=1e-4)
    back = ["--unit", "m" if metres else "mm"] if unit == "arbitrary" else []
    assert epitool("convert", out, *back, "--out", "back.toml").returncode == 0
    again = read_rig(Path("back.toml"))
    assert again.unit == "mm"
    np.testing.assert_allclose(again.cameras[1].t, rig.cameras[1].t, atol=1e-3)


def test_opencv_has_a_file_for_each_camera(here, rig):
    write_rig(Path("cameras.toml"), rig)
    epitool("convert", "cameras.toml", "--out", "lens.yml")
    for camera in rig.cameras:
        (found,) = read_rig(Path(f"lens_{camera.name}.yml")).cameras
        np.testing.assert_allclose(found.K, camera.K)
        assert found.image_size == camera.image_size


def test_cameras_are_called_as_their_views(here, rig):
    write_rig(Path("cameras.toml"), rig)
    epitool("convert", "cameras.toml", "--views", "a.mp4", "b.mp4", "c.mp4", "d.mp4", "--out", "named.toml")
    assert read_rig(Path("named.toml")).names == ("a", "b", "c", "d")
    assert "has 4 cameras" in failing(2, "convert", "cameras.toml", "--views", "a.mp4", "--out", "x.toml")


def test_a_rig_of_inverses_is_noticed_and_turned(here, rig):
    assert 60 < parallax_deg(rig) < 120
    write_rig(Path("wrong.toml"), inverted(rig))
    tables = Path("wrong.toml").read_text().partition("[metadata]")[0]
    Path("wrong.toml").write_text(tables)  # as other programs write them
    assert "--inverse" in epitool("convert", "wrong.toml", "--unit", "mm", "--out", "same.toml").stderr
    assert epitool("convert", "wrong.toml", "--unit", "mm", "--inverse", "--out", "right.toml").stderr == ""
    np.testing.assert_allclose(read_rig(Path("right.toml")).cameras[2].t, rig.cameras[2].t, atol=1e-6)


# Poses


@pytest.fixture
def labels(here, truth):
    xyz = truth.poses.xyz.copy()
    xyz[2, 5] = np.nan
    found = replace(truth, poses=replace(truth.poses, xyz=xyz)).between(0, 20)
    write_labels(Path("labels.h5"), found)
    return read_labels(Path("labels.h5"))


Y_UP = [1, 2, 0]  # z up, as people stand, to y up


def test_trc(labels):
    assert epitool("convert", "labels.h5", "--fps", "50", "--unit", "m", "--out", "walk.trc").returncode == 0
    lines = [line.split("\t") for line in Path("walk.trc").read_text().splitlines()]
    head = dict(zip(lines[1], lines[2], strict=True))
    assert (head["DataRate"], head["Units"], head["NumMarkers"], head["NumFrames"]) == ("50", "m", "17", "20")
    assert [name for name in lines[3][2:] if name] == list(labels.poses.skeleton.joints)
    row = lines[6 + 3]
    assert (row[0], row[1]) == ("4", "0.060000")
    found = np.array(row[2:], dtype=float).reshape(17, 3)
    np.testing.assert_allclose(found, labels.poses.xyz[3][:, Y_UP] / 1000, atol=1e-5)
    assert lines[6 + 2][2 + 15 : 2 + 18] == ["NaN", "NaN", "NaN"]
    assert all(len(line) == 2 + 51 for line in lines[6:])


def opensim(path: str) -> tuple[dict[str, str], np.ndarray]:
    """Head and positions of a TRC as strict as OpenSim 4.6: empty cells at the end of a row do not count."""
    lines = Path(path).read_text().split("\n")
    kind, keys, values, names, axes, *body = [line.rstrip("\t").split("\t") for line in lines]
    head = dict(zip(keys, values, strict=True))
    count = int(head["NumMarkers"])
    assert kind[0] == "PathFileType"
    assert len([name for name in names if name]) == count + 2
    assert [axis for axis in axes if axis] == [f"{axis}{n}" for n in range(1, count + 1) for axis in "XYZ"]
    table = [line for line in body if any(line)]
    assert len(table) == int(head["NumFrames"])
    for line in table:
        assert len(line) == 2 + 3 * count, f"Expected = {2 + 3 * count}. Received = {len(line)}"
    return head, np.array([[float(x or "nan") for x in line[2:]] for line in table]).reshape(len(table), count, 3)


@pytest.mark.parametrize("gone", ["none", "first", "last", "first and last", "all of a frame", "one for ever"])
def test_trc_is_read_by_a_strict_reader_wherever_joints_are_missing(here, truth, gone):
    xyz = truth.poses.xyz[:20].copy()
    where = {
        "first": (3, 0), "last": (3, -1), "first and last": (slice(2, 5), [0, -1]), "all of a frame": 7,
        "one for ever": (slice(None), -1),
    }  # fmt: skip
    if gone in where:
        xyz[where[gone]] = np.nan
    write_labels(Path("labels.h5"), replace(truth.between(0, 20), poses=replace(truth.between(0, 20).poses, xyz=xyz)))
    epitool("convert", "labels.h5", "--fps", "59.94005994", "--out", "walk.trc")
    head, found = opensim("walk.trc")
    np.testing.assert_allclose(found, xyz[..., Y_UP], rtol=1e-5, atol=1e-2)
    assert float(head["DataRate"]) == pytest.approx(59.94005994, abs=1e-7)


def test_the_strict_reader_is_strict(labels):
    epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.trc")
    lines = Path("walk.trc").read_text().split("\n")
    lines[8] = "\t".join([*lines[8].split("\t")[:-3], "", "", ""])
    Path("walk.trc").write_text("\n".join(lines))
    with pytest.raises(AssertionError, match=r"Expected = 53\. Received = 50"):
        opensim("walk.trc")


@pytest.mark.parametrize(("unit", "each"), [("mm", 1), ("cm", 10), ("m", 1000)])
def test_units_of_poses(labels, unit, each):
    assert epitool("convert", "labels.h5", "--fps", "50", "--unit", unit, "--out", "walk.npz").returncode == 0
    arrays = np.load("walk.npz")
    np.testing.assert_allclose(arrays["xyz"] * each, labels.poses.xyz, rtol=1e-5)
    assert arrays["unit"] == unit


def test_c3d_is_read_by_its_library(labels):
    ezc3d = pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    assert epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.c3d").returncode == 0
    file = ezc3d.c3d("walk.c3d")
    assert file["parameters"]["POINT"]["LABELS"]["value"] == list(labels.poses.skeleton.joints)
    assert file["header"]["points"]["frame_rate"] == 50
    points = file["data"]["points"][:3].transpose(2, 1, 0)
    np.testing.assert_allclose(points, labels.poses.xyz, atol=1e-2, equal_nan=True)


def test_what_is_missing_in_c3d_is_marked_as_such(labels):
    ezc3d = pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    assert epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.c3d").returncode == 0
    gone = np.isnan(labels.poses.xyz[..., 0]).T
    assert gone.any()
    np.testing.assert_array_equal(ezc3d.c3d("walk.c3d")["data"]["meta_points"]["residuals"][0], np.where(gone, -1, 0))
    content = Path("walk.c3d").read_bytes()
    start = (int.from_bytes(content[16:18], "little") - 1) * 512  # where the header says that points begin
    stored = np.frombuffer(content[start:], "<f4", count=gone.size * 4).reshape(*gone.T.shape, 4)
    np.testing.assert_array_equal(stored[..., 3], np.where(gone.T, -1, 0))
    assert np.isfinite(stored).all()


@pytest.mark.parametrize(("count", "fits"), [(65_535, True), (65_536, False)])
def test_more_frames_than_c3d_counts_are_refused(here, count, fits):
    ezc3d = pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    body = Skeleton("one", ("nose",), (-1,))
    poses = Poses(np.ones((count, 1, 3)), np.ones((count, 1)), np.arange(count), body, "mm", "world")
    if fits:
        write_motion(Path("walk.c3d"), poses, 1, Told(60, "mm"))
        assert ezc3d.c3d("walk.c3d")["data"]["points"].shape[2] == count
        return
    with pytest.raises(InputError, match=r"C3D holds 65535 frames, these are 65536; write \.trc or \.csv"):
        write_motion(Path("walk.c3d"), poses, 1, Told(60, "mm"))
    assert not Path("walk.c3d").exists()


@pytest.mark.parametrize(("name", "said"), [("walk.trc", 1), ("walk.c3d", 1), ("walk.csv", 0), ("walk.npz", 0)])
def test_lengths_without_a_unit_are_warned_of_where_programs_want_one(here, truth, name, said):
    if name.endswith(".c3d"):
        pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    short = truth.between(0, 9)
    rig, poses = replace(short.rig, unit="arbitrary"), replace(short.poses, unit="arbitrary")
    write_labels(Path("labels.h5"), replace(short, rig=rig, poses=poses))
    result = epitool("convert", "labels.h5", "--fps", "50", "--out", name)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("lengths are in no unit, for labels.h5 has no scale") == said


@pytest.mark.parametrize("unit", ["mm", "cm", "m"])
def test_poses_of_any_unit_come_back_in_mm(labels, unit):
    epitool("convert", "labels.h5", "--fps", "50", "--unit", unit, "--out", "walk.npz")
    found = read_pose_arrays(Path("walk.npz")).poses
    assert found.unit == "mm"
    np.testing.assert_allclose(found.xyz, labels.poses.xyz, atol=1e-2)
    result = epitool("evaluate", "--truth", "walk.npz", "--predictions", "walk.npz", "--out", "m.json", "--quiet")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("file", "options", "flag"),
    [
        ("labels.h5", ["--skeleton", "body25"], "--skeleton"), ("labels.h5", ["--size", "64x48"], "--size"),
        ("labels.h5", ["--views", "a"], "--views"), ("labels.h5", ["--inverse"], "--inverse"),
        ("rig.toml", ["--skeleton", "body25"], "--skeleton"), ("rig.toml", ["--fps", "50"], "--fps"),
        ("in/cam", ["--fps", "50"], "--fps"), ("in/cam", ["--unit", "m"], "--unit"),
        ("in/cam", ["--inverse"], "--inverse"),
    ],
)  # fmt: skip
def test_options_that_do_not_apply_are_refused(labels, file, options, flag):
    write_rig(Path("rig.toml"), labels.rig)
    write("cam/1.json", {"people": []})
    said = failing(2, "convert", file, *options, "--out", "walk.trc")
    assert said.startswith(f"error: {flag}: {file} holds ")
    assert not Path("walk.trc").exists()


def test_csv_has_the_columns_of_anipose(labels):
    epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.csv")
    with Path("walk.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[4]["left_knee_y"]) == pytest.approx(labels.poses.xyz[4, 5, 1], abs=1e-2)
    assert (rows[2]["left_knee_x"], rows[4]["fnum"]) == ("", "4")
    assert {"pelvis_error", "pelvis_ncams", "pelvis_score"} <= rows[0].keys()
    assert [rows[0][name] for name in ("M_00", "M_01", "M_22", "center_0")] == ["1", "0", "1", "0"]


def test_npz_is_read_as_poses(labels):
    epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.npz")
    found = read_pose_arrays(Path("walk.npz")).poses
    assert (found.unit, found.skeleton.name) == ("mm", "h36m17")
    np.testing.assert_allclose(found.xyz, labels.poses.xyz, atol=1e-2)


@pytest.mark.parametrize("name", ["walk.trc", "walk.c3d", "walk.npz"])
def test_a_script_that_runs_again_writes_its_files_again(labels, name):
    if name.endswith(".c3d"):
        pytest.importorskip("ezc3d", reason="the extra [c3d] is not installed")
    for fps in ("50", "25"):
        assert epitool("convert", "labels.h5", "--fps", fps, "--out", name).returncode == 0


def test_what_is_missing_for_poses_is_said(labels):
    assert "Add --fps 60" in failing(2, "convert", "labels.h5", "--out", "walk.trc")
    assert "written as .trc" in failing(2, "convert", "labels.h5", "--fps", "50", "--out", "walk.xyz")
    assert "no such file" in failing(3, "convert", "nothing.h5", "--out", "walk.trc")


# Real files


@pytest.fixture(scope="module")
def openpose() -> Path:
    """OpenPose's joints of the sample recording, and Qualisys's cameras, from an earlier wheel of Pose2Sim's."""

    def unpack(archive: Path, folder: Path) -> None:
        with zipfile.ZipFile(archive) as packed:
            wanted = [name for name in packed.namelist() if "/S01_Demo_SingleTrial/" in name and "_img/" not in name]
            packed.extractall(folder, wanted)

    return fetched("pose2sim==0.8.4", unpack) / "Pose2Sim" / "S01_Demo_SingleTrial"


def test_real_openpose_and_qualisys_files_go_to_labels_and_on(here, openpose):
    for command in (
        ["convert", openpose / "pose", "--size", "1088x1920", "--out", "keypoints.h5"],
        ["convert", openpose / "calibration" / "Calib.qca.txt", "--out", "shipped.toml"],
        ["triangulate", "--cameras", "shipped.toml", "--out", "shipped.h5"],
        ["calibrate", "--intrinsics", "shipped.toml", "--scale", "height=1.78m"],
        ["triangulate"],
        ["convert", "labels.h5", "--fps", "60", "--unit", "m", "--out", "walk.trc"],
    ):
        result = epitool(*command)
        assert result.returncode == 0, result.stderr
    keypoints = read_keypoints(Path("keypoints.h5"))
    assert (keypoints.views, len(keypoints.frames)) == (("cam01", "cam02", "cam03", "cam04"), 100)
    assert keypoints.skeleton.name == "body25b"  # which no file says
    assert body_by_anatomy(17, {0: (keypoints.xy[:, 0, :17], np.ones((100, 17)))}).name == "coco17"
    own, shipped = (read_labels(Path(name)) for name in ("labels.h5", "shipped.h5"))
    assert np.nanmedian(own.reprojection_px) < 8 < np.nanmedian(shipped.reprojection_px)
    thigh = [own.poses.skeleton.index(joint) for joint in ("left_hip", "left_knee")]
    length = np.nanmedian(np.linalg.norm(np.diff(own.poses.xyz[:, thigh], axis=1), axis=-1))
    assert length == pytest.approx(410, abs=30)  # of a stature taken as 1.78 m


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ([0, 1, 19], r"3 of 20 frames, at which .* stops; give its set-up the time_range 0\.040 0\.360"),
        ([0, 7], r"2 of 20 frames, .*; --fill-gaps closes short gaps; .* between 0\.020 and 0\.380 s"),
        ([], None),
    ],
)
def test_frames_without_a_joint_stop_opensim_and_are_warned_of(here, gone, words):
    labels = exact_labels(20)
    xyz = labels.poses.xyz.copy()
    xyz[gone] = np.nan
    xyz[5, 3] = np.nan  # one marker that is missing does no harm
    write_labels(Path("labels.h5"), replace(labels, poses=replace(labels.poses, xyz=xyz)))
    result = epitool("convert", "labels.h5", "--fps", "50", "--out", "walk.trc")
    assert result.returncode == 0
    assert ("no joint is known" in result.stderr) == bool(words)
    assert words is None or re.search(words, result.stderr)


@pytest.mark.parametrize("name", ["cam1.mp4", "photo.JPG"])
def test_footage_is_sent_to_the_commands_that_read_it(here, name):
    Path(name).write_bytes(b"footage")
    convert, show = epitool("convert", name, "--out", "walk.trc"), epitool("show", name)
    assert (convert.returncode, show.returncode) == (3, 3)
    assert f"{name}: is footage" in convert.stderr
    assert "epitool mocap" in convert.stderr
    assert "epitool detect2d" in show.stderr
