"""Cameras as other programs write them: each file gives the cameras it was made of, or says why not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomli_w
import yaml
from test_cli import epitool, failing
from test_convert_cameras import same

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.io.cameras import read_rig
from epitool.io.foreign.cameras import FORMATS, foreign_files, write_foreign_rig
from epitool.io.foreign.cameras.easymocap import read_easymocap
from epitool.io.foreign.cameras.format import CameraFile
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.stages.convert.cameras import read_rigs
from epitool.stages.shared.camera_names import read_intrinsics

FIVE = [-0.1, 0.05, 0.001, -0.002, 0.01]


@pytest.fixture
def rig(truth) -> Rig:
    """Four cameras in no unit; distortion of four numbers is all that every format has."""
    four = (replace(c, distortion=FIVE[:4]) for c in truth.rig.cameras)
    return Rig(tuple(four), "arbitrary", "none")


def named(rig: Rig, *names: str) -> Rig:
    return replace(rig, cameras=tuple(replace(c, name=n) for c, n in zip(rig.cameras, names, strict=False)))


def of_first(rig: Rig, count: int = 4) -> Rig:
    """The cameras in the axes of the first one."""
    first = rig.cameras[0]
    moved = [replace(c, R=c.R @ first.R.T, t=c.t - c.R @ first.R.T @ first.t) for c in rig.cameras[:count]]
    return replace(rig, cameras=tuple(moved))


# caliscope


def tables(rig: Rig, matrix: bool = False) -> list[dict]:
    vector = lambda R: (R if matrix else cv2.Rodrigues(np.array(R))[0].ravel()).tolist()  # noqa: E731
    return [
        {
            "size": list(c.image_size), "matrix": c.K.tolist(), "distortions": c.distortion.tolist(),
            "rotation": vector(c.R), "translation": c.t.tolist(), "error": 0.3, "rotation_count": 0,
        }
        for c in rig.cameras
    ]  # fmt: skip


def write_toml(name: str, content: dict) -> Path:
    Path(name).write_text(tomli_w.dumps(content))
    return Path(name)


@pytest.mark.parametrize("matrix", [False, True])
def test_caliscopes_own_files_are_read(here, rig, matrix):
    new = {str(n): {"cam_id": n, **table} for n, table in enumerate(tables(rig, matrix))}
    found = read_rig(write_toml("camera_array.toml", {"cameras": new}))
    same(found, named(rig, "cam_0", "cam_1", "cam_2", "cam_3"))
    old = {f"cam_{n}": {"port": n, "ignore": False, **table} for n, table in enumerate(tables(rig, matrix))}
    stereo = {"stereo_0_1": {"rotation": np.eye(3).tolist(), "translation": [[0.5], [0.1], [0.2]], "RMSE": 1.0}}
    found = read_rig(write_toml("config.toml", {"CreationDate": "2023", **old, **stereo}))
    same(found, named(rig, "port_0", "port_1", "port_2", "port_3"))


def test_what_caliscope_ignores_or_could_not_place_is_left_out_aloud(here, rig, capfd):
    content = {str(n): {"cam_id": n, **table} for n, table in enumerate(tables(rig))}
    content["1"] |= {"ignore": True, "rotation": [0.0] * 3, "translation": [0.0] * 3}
    content["2"].pop("rotation")
    content["2"]["translation"] = "null"
    path = write_toml("camera_array.toml", {"cameras": content})
    assert read_rig(path).names == ("cam_0", "cam_3")
    said = capfd.readouterr().err
    assert "camera cam_1 is left out, for the file states ignore = true of it" in said
    assert "camera cam_2 is left out, for the file states no rotation and no translation of it" in said
    lenses = read_intrinsics(path, ["cam_0", "cam_1", "cam_2", "cam_3"])  # these are good all the same
    assert [lens.K.tolist() for lens in lenses] == [c.K.tolist() for c in rig.cameras]
    content["3"].pop("matrix")
    assert read_rig(write_toml("camera_array.toml", {"cameras": content})).names == ("cam_0",)
    assert "camera cam_3 is left out, for the file states no matrix of it" in capfd.readouterr().err


def test_a_camera_that_was_mounted_turned_is_said(here, rig, capfd):
    content = {f"cam_{n}": table for n, table in enumerate(tables(rig))}
    content["cam_2"]["rotation_count"] = 2
    read_rig(write_toml("a.toml", content))
    assert capfd.readouterr().err.count("rotation_count = 2: it was mounted turned") == 1


def test_a_toml_with_a_mark_at_its_start_is_read(here, rig):
    text = tomli_w.dumps({f"cam_{n}": table for n, table in enumerate(tables(rig))})
    for encoding in ("utf-8-sig", "utf-16"):
        Path("a.toml").write_bytes(text.encode(encoding))
        assert len(read_rig(Path("a.toml"))) == 4


# EasyMocap


@pytest.fixture
def easymocap(here, rig) -> Path:
    write_foreign_rig(Path("folder"), rig, 1.0)
    return Path("folder")


@pytest.mark.parametrize("only", ["R", "Rot"])
def test_easymocaps_rotations_are_vectors_or_matrices(easymocap, rig, only):
    other = {"R": "Rot", "Rot": "R"}[only]
    text = (easymocap / "extri.yml").read_text()
    (easymocap / "extri.yml").write_text(text.replace(f"\n{other}_", f"\nunused_{other}_"))
    same(read_easymocap(easymocap), _five(rig))


def test_easymocaps_distortion_may_be_called_d_or_be_missing(easymocap, rig, capfd):
    intri = easymocap / "intri.yml"
    text = intri.read_text()
    intri.write_text(text.replace("\ndist_", "\nD_"))
    same(read_easymocap(easymocap), _five(rig))
    assert capfd.readouterr().err == ""
    intri.write_text(text.replace("\ndist_", "\nunused_"))
    bare = replace(rig, cameras=tuple(replace(c, distortion=[]) for c in rig.cameras))
    same(read_easymocap(easymocap), bare)
    assert "states no lens distortion; none is taken: cam1, cam2, cam3, cam4" in capfd.readouterr().err


def test_what_easymocaps_files_lack_is_named(easymocap):
    extri = easymocap / "extri.yml"
    extri.write_text(extri.read_text().replace("\nT_cam2", "\nunused"))
    assert "camera cam2 has no T_ in extri.yml" in failing(3, "convert", easymocap, "--out", "x.toml")
    (easymocap / "intri.yml").write_text("%YAML:1.0\n---\nM1: 3\n")
    assert "intri.yml holds no K_ of any camera, but M1" in failing(3, "convert", easymocap, "--out", "x.toml")


def _five(rig: Rig) -> Rig:
    return replace(rig, cameras=tuple(replace(c, distortion=np.append(c.distortion, 0)) for c in rig.cameras))


# A size that the file does not state


def test_a_size_that_is_not_stated_is_given_or_guessed_aloud(easymocap, rig, capfd):
    same(read_easymocap(easymocap), _five(rig))
    assert capfd.readouterr().err == ""
    intri = easymocap / "intri.yml"
    intri.write_text(re.sub("(?m)^[HW]_.*\n", "", intri.read_text()))
    same(read_easymocap(easymocap), _five(rig))  # the principal point is in the middle
    assert "states no image size; twice the principal point is taken" in capfd.readouterr().err
    assert epitool("convert", easymocap, "--unit", "mm", "--size", "400x384", "--out", "x.toml").stderr == ""
    assert read_rig(Path("x.toml")).cameras[0].image_size == (400, 384)
    said = failing(3, "convert", "x.toml", "--size", "640x480", "--out", "y.toml")
    assert "camera cam1 is for 400x384 images, --size says 640x480" in said


def test_an_opencv_file_without_a_size_is_given_one_too(here, rig, capfd):
    (path, *_) = write_foreign_rig(Path("lens.yml"), rig, 1.0)
    path.write_text(path.read_text().replace("image_width", "width"))
    assert read_rig(path).cameras[0].image_size == rig.cameras[0].image_size
    assert "states no image size" in capfd.readouterr().err
    assert read_rig(path, (64, 48)).cameras[0].image_size == (64, 48)
    path.write_text(path.read_text().replace("\nwidth: 384", "\nimage_width: 0"))
    with pytest.raises(InputError, match="is for images of 0x384 pixels"):
        read_rig(path)


def test_the_size_may_be_a_matrix_as_pythons_opencv_stores_what_calibrate_camera_took(here, rig):
    storage = cv2.FileStorage("lens.yml", cv2.FILE_STORAGE_WRITE)
    storage.write("camera_matrix", rig.cameras[0].K)
    storage.write("image_size", np.array(rig.cameras[0].image_size))
    storage.release()
    assert read_rig(Path("lens.yml")).cameras[0].image_size == rig.cameras[0].image_size


# YAML of others


def ros(camera: Camera, **more: object) -> dict:
    matrix = lambda values, rows: {"rows": rows, "cols": values.size // rows, "data": values.ravel().tolist()}  # noqa: E731
    return {
        "image_width": camera.image_size[0], "image_height": camera.image_size[1], "camera_name": camera.name,
        "camera_matrix": matrix(camera.K, 3), "distortion_model": "plumb_bob",
        "distortion_coefficients": matrix(camera.distortion, 1), "rectification_matrix": matrix(np.eye(3), 3), **more,
    }  # fmt: skip


@pytest.mark.parametrize("flow", [None, False, True])
def test_ros_lenses_are_read(here, rig, flow):
    for camera in rig.cameras:
        Path(f"{camera.name}.yaml").write_text(yaml.safe_dump(ros(camera), default_flow_style=flow))
    found = read_rigs([Path(f"{name}.yaml") for name in rig.names])
    same(found, replace(rig, cameras=tuple(replace(c, R=np.eye(3), t=np.zeros(3)) for c in rig.cameras)))
    (lens,) = read_intrinsics(Path("cam2.yaml"), ["any"])
    assert lens.name == "any"
    np.testing.assert_allclose(lens.K, rig.cameras[1].K)


def test_lenses_that_ros_calls_alike_are_called_as_their_files(here, rig):
    for name in ("left", "right"):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(ros(rig.cameras[0], camera_name="head_camera")))
    assert read_rigs([Path("left.yaml"), Path("right.yaml")]).names == ("left", "right")


def test_kalibrs_chain_is_read(here, rig):
    expected, chain = named(of_first(rig), "cam0", "cam1", "cam2", "cam3"), {}
    for n, camera in enumerate(expected.cameras):
        before, pose = expected.cameras[max(n - 1, 0)], np.eye(4)
        pose[:3, :3] = camera.R @ before.R.T
        pose[:3, 3] = camera.t - pose[:3, :3] @ before.t
        K = camera.K
        chain[camera.name] = {
            "camera_model": "pinhole", "intrinsics": [float(K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2))],
            "distortion_model": "radtan", "distortion_coeffs": camera.distortion.tolist(),
            "resolution": list(camera.image_size), "rostopic": "/cam/image_raw",
            **({"T_cn_cnm1": pose.tolist()} if n else {}),
        }  # fmt: skip
    Path("camchain.yaml").write_text(yaml.safe_dump(chain))
    same(read_rig(Path("camchain.yaml")), expected)
    del chain["cam2"]["T_cn_cnm1"]
    Path("camchain.yaml").write_text(yaml.safe_dump(chain))
    with pytest.raises(InputError, match="camera cam2 lacks T_cn_cnm1"):
        read_rig(Path("camchain.yaml"))


@pytest.mark.parametrize("names", [("M", "D"), ("K", "D"), ("cameraMatrix", "distCoeffs")])
@pytest.mark.parametrize("files", [1, 2])
def test_opencvs_stereo_pair_is_read(here, rig, names, files, capfd):
    pair = of_first(rig, 2)
    paths = ["stereo.yml"] * 2 if files == 1 else ["intrinsics.yml", "extrinsics.yml"]
    lenses = cv2.FileStorage(paths[0], cv2.FILE_STORAGE_WRITE)
    places = lenses if files == 1 else cv2.FileStorage(paths[1], cv2.FILE_STORAGE_WRITE)
    for n, camera in enumerate(pair.cameras, 1):
        lenses.write(f"{names[0]}{n}", np.array(camera.K))
        lenses.write(f"{names[1]}{n}", np.array(camera.distortion)[None])
    places.write("R", np.array(pair.cameras[1].R))
    places.write("T", np.array(pair.cameras[1].t)[:, None])
    lenses.release()
    places.release()
    same(read_rig(Path(paths[0])), pair)
    assert "states no image size" in capfd.readouterr().err


def test_mccalibs_poses_are_from_camera_to_world(here, rig):
    storage = cv2.FileStorage("mccalib.yml", cv2.FILE_STORAGE_WRITE)
    storage.write("nb_camera", len(rig))
    for n, camera in enumerate(rig.cameras):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.R.T, camera.center
        storage.startWriteStruct(f"camera_{n}", cv2.FileNode_MAP)
        storage.write("camera_matrix", np.array(camera.K))
        storage.write("distortion_vector", np.array(camera.distortion)[None])
        storage.write("distortion_type", 0)
        for side, length in zip(("img_width", "img_height"), camera.image_size, strict=True):
            storage.write(side, length)
        storage.write("camera_pose_matrix", pose)
        storage.endWriteStruct()
    storage.release()
    same(read_rig(Path("mccalib.yml")), named(rig, "camera_0", "camera_1", "camera_2", "camera_3"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"board_width": 9, "square_size": 25}, "holds no camera matrix, but board_width, square_size"),
        ("just words", "no YAML of named values"),
        ("a: [1, 2", "no YAML: "),
        ("a: b: c", "no YAML: "),
        ("%YAML:1.0\n---\na: [1, 2", "no YAML or XML of OpenCV: "),
        ("<?xml version='1.0'?>\n<opencv_storage>\n<a>", "no YAML or XML of OpenCV: "),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [1, 2]}}, "a matrix has 2 numbers, expected 9"),
        ({"camera_matrix": [[1, 2], [3, "x"]]}, "its matrix is no list of numbers"),
        ({"camera_matrix": [[1, 2], [3, 4]]}, "its matrix has 4 numbers, expected 9"),
        ({"camera_matrix": np.eye(3).tolist(), "distortion_model": "equidistant"}, "a lens of the kind 'equidistant'"),
        ({"camera_matrix": np.eye(3).tolist(), "fisheye_model": 1}, "is a fisheye, which is not supported"),
        ({"cam0": {"intrinsics": [1, 2]}}, "camera cam0: intrinsics has 2 numbers, expected 4"),
        ({"cam0": {"intrinsics": [1, 2, 3, float("nan")]}}, "camera cam0: intrinsics is not finite"),
        ({"M1": np.eye(3).tolist()}, "holds a matrix of the first camera only"),
    ],
)
def test_what_is_refused_says_what_was_found(here, content, said):
    Path("lens.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    if "opencv_storage" in str(content):
        Path("lens.yaml").rename("lens.xml")
    message = failing(3, "convert", next(iter(Path().glob("lens.*"))), "--out", "x.toml")
    assert said in message
    assert "OpenCV, ROS, Kalibr" in message
    assert "exception" not in message


# Which view a camera is of


@pytest.mark.parametrize(
    ("cameras", "views", "matched"),
    [
        (["port_0", "port_1"], ["cam_0", "cam_1"], True),
        (["port_0", "port_1"], ["cam_1", "cam_2"], False),  # counted from another number: which is which?
        (["port_0", "port_1", "port_2"], ["cam_0", "cam_1"], False),
        (["01", "02"], ["Cam1", "Cam2"], True),
        (["cam10", "cam11"], ["cam0", "cam1"], False),
        (["cam1DLC_resnet50_el", "cam2DLC_resnet50_el"], ["cam1", "cam2"], True),
        (["cam1", "cam2"], ["cam2", "cam3"], False),
        (["left", "right"], ["view_right", "view_left"], True),
        (["a"], ["b"], False),
    ],
)
def test_cameras_serve_views_that_differ_as_they_do(cameras, views, matched):
    made = [Camera(name, np.eye(3), [], np.eye(3), [0, 0, 0], (64, 64)) for name in cameras]
    found = Rig(tuple(made), "mm", "none").named_as(views).names
    assert (set(found) == set(views)) == matched
    if not matched:
        assert found == tuple(cameras)


def test_cameras_of_caliscope_triangulate_footage_of_other_names(here, truth):
    cameras = {str(n): {"cam_id": n, **table} for n, table in enumerate(tables(truth.rig))}
    write_toml("camera_array.toml", {"cameras": cameras})
    views = tuple(f"port_{n}" for n in range(4))
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, views=views))
    result = epitool("triangulate", "--cameras", "camera_array.toml", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["frames"] == len(truth.poses.frames)
    found = read_labels(Path("labels.h5")).poses.xyz
    assert np.nanmedian(np.linalg.norm(found - truth.poses.xyz, axis=-1)) < 0.1


# The table


@pytest.mark.parametrize("name", ["a.qca.txt", "a.yml", "a.yaml", "a.xml", "a"])
def test_what_a_format_writes_fits_that_format_alone(here, rig, name):
    writes = next(one for one in FORMATS if name.endswith(one.endings))
    files = write_foreign_rig(here / name, rig, 1.0)
    assert set(files) <= {here / name, *foreign_files(here / name)}  # which is what is guarded against being lost
    for path in {file.parent if name == "a" else file for file in files}:
        fit = [one for one in FORMATS if path.is_dir() != bool(one.suffixes) and one.fits(CameraFile(path))]
        assert fit == [writes]
        assert path.is_dir() or path.suffix in writes.suffixes


def test_lenses_of_other_names_come_with_the_command_that_renames_them(here, rig):
    path = write_toml("lens.toml", {n: {"name": n, **t} for n, t in zip("abcd", tables(rig))})
    with pytest.raises(InputError) as raised:
        read_intrinsics(path, ["left", "right", "front", "back"])
    command = str(raised.value).partition("in their order: epitool ")[2]
    assert command == "convert lens.toml --views left right front back --out renamed.toml"
    assert epitool(*command.split()).returncode == 0
    assert [c.name for c in read_intrinsics(Path("renamed.toml"), ["front", "left"])] == ["front", "left"]
    with pytest.raises(InputError, match="It has 4 cameras and there are 2 views"):
        read_intrinsics(path, ["left", "right"])
