"""Cameras of other programs: what is read of them, what is said of them, and where that is heard."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomli_w
from test_cli import epitool, failing

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.io.camera_numbers import checked_camera
from epitool.io.cameras import read_rig, tomllib, write_rig
from epitool.io.foreign.cameras import write_foreign_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.stages.convert.cameras import read_rigs
from epitool.stages.shared.camera_checks import check_unit, fit_sizes, inverted, parallax_deg

FIVE = [-0.1, 0.05, 0.001, -0.002, 0.01]


@pytest.fixture
def rig(truth) -> Rig:
    return Rig(tuple(replace(c, distortion=FIVE) for c in truth.rig.cameras), "mm", "test")


def same(found: Rig, expected: Rig) -> None:
    assert found.names == expected.names
    for a, b in zip(found.cameras, expected.cameras, strict=True):
        assert a.image_size == b.image_size
        for name in ("K", "distortion", "R", "t"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-6, err_msg=f"{a.name} {name}")


def foreign_toml(path: Path, rig: Rig) -> Path:
    """A file as Anipose writes them: it states neither a format nor a unit."""
    write_rig(path, rig)
    tables = {name: table for name, table in tomllib.loads(path.read_text()).items() if name != "metadata"}
    path.write_text(tomli_w.dumps(tables))
    return path


# What is read


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
def test_opencv_files_come_back_as_one_rig(here, rig, suffix):
    write_rig(Path("rig.toml"), rig)
    assert epitool("convert", "rig.toml", "--out", f"lens{suffix}").returncode == 0
    files = [f"lens_{name}{suffix}" for name in rig.names]
    same(read_rigs([Path(file) for file in files]), rig)
    result = epitool("convert", *files, "--unit", "mm", "--out", "cameras.toml")
    assert (result.returncode, result.stderr) == (0, "")
    same(read_rig(Path("cameras.toml")), rig)


def test_opencv_files_are_called_by_their_names(here, rig):
    paths = write_foreign_rig(Path("lens.yml"), rig, 1.0)
    for path in paths:
        path.write_text(re.sub("camera_name.*\n", "", path.read_text()))
    assert read_rigs(paths).names == rig.names  # without lens_, which all begin with


def test_files_that_are_no_rig_together_are_refused(here, rig):
    paths = write_foreign_rig(Path("lens.yml"), rig, 1.0)
    write_rig(Path("rig.toml"), rig)
    assert "holds 4 cameras" in failing(3, "convert", paths[0], "rig.toml", "--out", "x.toml")
    assert "of the name cam1 too" in failing(3, "convert", paths[0], paths[0], "--out", "x.toml")
    text = paths[1].read_text()
    paths[1].write_text(text[: text.index("translation_vector")])
    assert "a place is both" in failing(3, "convert", *paths, "--out", "x.toml")


def test_lenses_without_places_are_said_to_be_just_that(here, rig):
    paths = write_foreign_rig(Path("lens.yml"), rig, 1.0)
    for path in paths:
        path.write_text(path.read_text().partition("rotation_matrix")[0])
    result = epitool("convert", *paths, "--out", "x.toml")
    assert result.returncode == 0
    assert "no places are stated of cameras cam1, cam2, cam3, cam4" in result.stderr


def test_a_window_of_qualisys_shifts_the_principal_point(here, rig):
    (path,) = write_foreign_rig(Path("a.qca.txt"), rig, 1.0)
    text = path.read_text()
    window = 'left="0" top="0" right="383" bottom="383"'
    assert window in text
    path.write_text(text.replace(window, 'left="40" top="10" right="423" bottom="393"'))
    for found, camera in zip(read_rig(path).cameras, rig.cameras, strict=True):
        np.testing.assert_allclose(found.K[:2, 2], camera.K[:2, 2] - [40, 10], atol=1e-9)
        assert found.image_size == camera.image_size


@pytest.mark.parametrize("r11", ["3.5", "nan"])
def test_a_qualisys_camera_that_is_turned_by_no_rotation_is_refused(here, rig, r11):
    (path,) = write_foreign_rig(Path("a.qca.txt"), rig, 1.0)
    text, count = re.subn(r'r11="[^"]*"', f'r11="{r11}"', path.read_text())
    assert count == len(rig)
    path.write_text(text)
    with pytest.raises(InputError, match=r"R is no rotation|its transform is not finite"):
        read_rig(path)


def test_easymocap_is_checked_when_it_is_read(here, rig):
    write_foreign_rig(Path("folder"), rig, 1.0)
    intri = Path("folder/intri.yml")
    text = intri.read_text()
    written = next(n for n in ("-0.10000000000000001", "-1.0000000000000001e-01") if n in text)  # OpenCV 5, 4.9
    intri.write_text(text.replace(written, ".Nan"))
    assert "not finite" in failing(3, "convert", "folder", "--out", "x.toml")


@pytest.mark.parametrize("decimals", [4, 5, 6])
def test_a_rotation_that_was_rounded_is_read(rig, decimals):
    for c in rig.cameras:
        found = checked_camera(c.name, c.K, c.distortion, c.R.round(decimals), c.t, c.image_size)
        np.testing.assert_allclose(found.R @ found.R.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(found.R, c.R, atol=2 * 10.0**-decimals)


@pytest.mark.parametrize("R", [np.eye(3) * 1.01, np.diag([1.0, 1, -1]), np.eye(2)])
def test_what_is_no_rotation_is_refused(R):
    with pytest.raises(ValueError, match="R is no rotation"):
        checked_camera("a", np.eye(3), [], R, [0, 0, 0], (64, 48))


# What is said: in convert, in triangulate, and in calibrate


@pytest.mark.parametrize(
    ("apart", "said"),
    [
        (4.0, "probably in metres"), (45.0, "probably in metres"), (120.0, "probably in cm, or in mm"),
        (700.0, "in mm or in cm"), (5000.0, "probably in mm"),
    ],
)  # fmt: skip
def test_a_unit_that_is_not_stated_is_guessed_aloud(here, rig, apart, said):
    centers = np.stack([c.center for c in rig.cameras])
    now = float(np.median(np.linalg.norm(centers - np.roll(centers, 1, axis=0), axis=1)))
    foreign_toml(Path("a.toml"), rig.scaled(apart / now, "arbitrary", "none"))
    warning = epitool("convert", "a.toml", "--out", "b.toml", "--quiet").stderr
    assert warning.startswith("warning:")
    assert said in warning


def test_wherever_cameras_are_read_their_axes_and_unit_are_looked_at(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    assert 60 < parallax_deg(truth.rig) < 120
    metres = truth.rig.scaled(0.001, "arbitrary", "none")
    foreign_toml(Path("metres.toml"), metres)
    foreign_toml(Path("wrong.toml"), inverted(metres))
    write_rig(Path("ours.toml"), truth.rig.scaled(0.97, "arbitrary", "none"))
    for *command, out in (["triangulate", "--cameras", "x.h5"], ["calibrate", "--extrinsics", "x.toml"]):
        said = epitool(*command, "metres.toml", "--out", out).stderr
        assert said.count("in metres") + said.count("look like metres") == said.count("no unit") == 1
        assert "--inverse" not in said
        assert epitool(*command, "wrong.toml", "--out", out).stderr.count("--inverse") == 1
        said = epitool(*command, "ours.toml", "--out", out).stderr
        assert "unit" not in said
        assert "--inverse" not in said


@pytest.mark.parametrize(("scale", "said"), [(0.001, "look like metres"), (0.1, "look like cm"), (1.0, "")])
def test_people_tell_the_unit_of_a_file_that_lost_it(here, truth, scale, said):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    write_rig(Path("cameras.toml"), truth.rig.scaled(scale, "arbitrary", "none"))
    result = epitool("triangulate")
    assert result.returncode == 0
    assert (said in result.stderr) if said else (result.stderr == "")


@pytest.mark.parametrize(("baseline", "said"), [(1.0, 0), (1.3, 1)])
def test_cameras_found_without_scale_have_no_unit_that_got_lost(here, truth, capsys, baseline, said):
    """Where these are a metre apart, people are two of their baselines tall; those are no metres."""
    apart = np.linalg.norm(truth.rig.cameras[0].center - truth.rig.cameras[1].center)
    write_rig(Path("cameras.toml"), truth.rig.scaled(baseline / apart, "arbitrary", "none"))
    people = replace(truth.poses, xyz=truth.poses.xyz / 1000)
    check_unit(Path("cameras.toml"), read_rig("cameras.toml"), people)
    assert capsys.readouterr().err.count("look like metres") == said


def test_cameras_in_a_folder_are_read_by_every_command(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    write_rig(Path("cameras.toml"), truth.rig)
    assert epitool("convert", "cameras.toml", "--out", "folder").returncode == 0
    assert epitool("triangulate", "--cameras", "folder").returncode == 0
    np.testing.assert_allclose(read_labels(Path("labels.h5")).poses.xyz, truth.poses.xyz, atol=0.01)
    assert epitool("calibrate", "--extrinsics", "folder", "--out", "again.toml").returncode == 0
    Path("empty").mkdir()
    assert "folder without cameras of a known format" in failing(3, "triangulate", "--cameras", "empty")


def test_keypoints_of_half_the_size_are_triangulated_as_such(here, truth):
    half = replace(truth.keypoints, xy=(truth.keypoints.xy + 0.5) / 2 - 0.5, image_size=truth.keypoints.image_size // 2)
    write_keypoints(Path("keypoints.h5"), half)
    write_rig(Path("cameras.toml"), truth.rig)
    result = epitool("triangulate")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("for 384x384 images, the view has 192x192; its intrinsics are scaled by 0.5") == 4
    labels = read_labels(Path("labels.h5"))
    assert np.nanmedian(labels.reprojection_px) < 0.01
    assert labels.rig.cameras[0].image_size == (192, 192)


def test_keypoints_of_another_shape_are_refused(here, truth):
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, image_size=np.tile([512, 384], (4, 1))))
    write_rig(Path("cameras.toml"), truth.rig)
    assert "is for 384x384 images, the view has 512x384; give the cameras of" in failing(3, "triangulate")


def test_images_of_no_one_size_are_taken_as_they_are(truth):
    assert fit_sizes(truth.rig.cameras, [(0, 0)] * 4, Path("x"))[0] is truth.rig.cameras[0]


def test_a_size_that_is_said_once_is_said_once(truth, capsys):
    camera = Camera("a", np.eye(3), [], cv2.Rodrigues(np.ones(3))[0], [0, 0, 0], (64, 48))
    fit_sizes([camera] * 3, [(128, 96)] * 3, Path("x"))
    assert capsys.readouterr().err.count("scaled by 2") == 1
