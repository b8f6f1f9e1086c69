"""Cameras of Vicon, BioCV and OpenCap: known points in the world give known pixels; what might harm is refused."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_cli import epitool

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.io.cameras import read_rig
from epitool.stages.convert.cameras import read_rigs

FIVE = (-0.1, 0.05, 0.001, -0.002, 0.01)
POINTS = np.random.default_rng(0).uniform([-900, -900, 0], [900, 900, 1800], (200, 3))


@pytest.fixture
def rig(truth) -> Rig:
    return replace(truth.rig, cameras=tuple(replace(c, distortion=FIVE) for c in truth.rig.cameras))


# Vicon


def xcp(rig: Rig, radial: str = "", more: str = "", kind: str = "VideoInputDevice:Vue", frames: int = 1) -> str:
    """A file as Vicon's programs write it, of cameras without lenses of their own."""
    cameras = []
    for camera in rig.cameras:
        numbers = {
            "FOCAL_LENGTH": [camera.K[0, 0]], "PRINCIPAL_POINT": camera.K[:2, 2], "POSITION": camera.center,
            "ORIENTATION": Rotation.from_matrix(camera.R).as_quat(),
        }  # fmt: skip
        stated = " ".join(f'{key}="{" ".join(map(repr, map(float, values)))}"' for key, values in numbers.items())
        key = "".join(f'<KeyFrame {stated} FRAME="{n}" {radial}/>' for n in range(frames))
        width, height = camera.image_size
        cameras.append(
            f'<Camera DEVICEID="{camera.name}" TYPE="{kind}" SENSOR_SIZE="{width} {height}" SKEW="0"'
            f' PIXEL_ASPECT_RATIO="1"><KeyFrames>{key}</KeyFrames></Camera>'
        )
    return f'<?xml version="1.0" encoding="UTF-8"?><Cameras VERSION="1.2">{"".join(cameras)}{more}</Cameras>'


def seen_by_vicon(camera, k) -> np.ndarray:
    """Pixels of POINTS: those that Vicon's formula, from pixels as filmed to ideal ones, takes to the projections."""
    in_camera = POINTS @ camera.R.T + camera.t
    ideal = in_camera[:, :2] / in_camera[:, 2:] * camera.K[0, 0]
    wanted = filmed = np.linalg.norm(ideal, axis=1)
    for _ in range(50):  # fixed point of r = wanted / (1 + k1 r^2 + ...)
        filmed = wanted / (1 + sum(a * filmed ** (2 * n + 2) for n, a in enumerate(k)))
    return camera.K[:2, 2] + ideal * (filmed / wanted)[:, None]


@pytest.mark.parametrize(
    ("attribute", "k"),
    [
        ("", (0, 0, 0)),
        ('VICON_RADIAL="3e-07 2e-13"', (3e-7, 2e-13, 0)),
        ('VICON_RADIAL2="Vicon3Parameter 191.5 191.5 -2e-07 1e-13 1e-19"', (-2e-7, 1e-13, 1e-19)),
    ],
)
def test_a_vicon_camera_sees_points_where_vicons_formula_says(here, truth, attribute, k):
    Path("lab.xcp").write_text(xcp(truth.rig, attribute))
    found = read_rig(Path("lab.xcp"))
    assert (found.names, found.unit) == (truth.rig.names, "mm")
    for camera, true in zip(found.cameras, truth.rig.cameras, strict=True):
        np.testing.assert_allclose(true.K[:2, 2], 191.5)
        pixels = seen_by_vicon(true, k)
        inside = ((pixels >= 0) & (pixels <= 383)).all(axis=1)
        assert inside.sum() > 50
        np.testing.assert_allclose(camera.project(POINTS)[inside], pixels[inside], atol=0.01)


def test_of_a_vicon_file_cameras_for_video_are_read_and_those_for_markers_are_not(here, truth, capsys):
    marker = xcp(truth.rig, kind="DxCore160").partition("<Camera ")[2].partition("</Cameras>")[0]
    marker = "<Camera " + marker.replace('DEVICEID="', 'DEVICEID="9')
    none = '<Camera DEVICEID="77" TYPE="VideoInputDevice:Vue" SENSOR_SIZE="10 10"><KeyFrames/></Camera>'
    Path("lab.xcp").write_text(xcp(truth.rig, more=marker + none))
    assert read_rig(Path("lab.xcp")).names == truth.rig.names
    said = " ".join(capsys.readouterr().err.split())
    assert "5 of 9 cameras are for video" in said
    assert "camera 77 is left out, for the file states no calibration of it" in said
    Path("lab.xcp").write_text(xcp(truth.rig, kind="DxCore160"))
    assert read_rig(Path("lab.xcp")).names == truth.rig.names


def test_a_vicon_camera_that_moves_or_has_a_strange_lens_is_refused(here, truth):
    path = Path("lab.xcp")
    text = xcp(truth.rig, frames=2)
    path.write_text(text)
    assert len(read_rig(path)) == 4  # two key frames that say the same
    first = text.index('POSITION="')
    path.write_text(text[:first] + text[first:].replace('POSITION="', 'POSITION="1', 1))
    with pytest.raises(InputError, match="camera cam1 moves: it has 2 key frames"):
        read_rig(path)
    path.write_text(xcp(truth.rig, 'VICON_RADIAL2="ViconFisheye 1 2 3 4 5"'))
    with pytest.raises(InputError, match="lens of the kind 'ViconFisheye'"):
        read_rig(path)
    path.write_text(xcp(truth.rig, 'VICON_RADIAL="-1e-3 0"'))
    with pytest.raises(InputError, match="maps several pixels of the image to one"):
        read_rig(path)
    path.write_text(xcp(truth.rig).replace("FOCAL_LENGTH", "FOCUS"))
    with pytest.raises(InputError, match="camera cam1 lacks FOCAL_LENGTH"):
        read_rig(path)
    path.write_text("<Cameras/>")
    with pytest.raises(InputError, match="holds no calibrated camera"):
        read_rig(path)


def test_a_lens_off_the_principal_point_or_that_opencv_lacks_is_warned_of(here, truth, capsys):
    Path("lab.xcp").write_text(xcp(truth.rig, 'VICON_RADIAL2="Vicon3Parameter 180 191.5 -1e-06 -1e-11 0"'))
    read_rig(Path("lab.xcp"))
    assert "its lens is centred off the principal point" in " ".join(capsys.readouterr().err.split())


# BioCV


def calib(camera) -> str:
    rows = lambda matrix: "\n".join(" ".join(map(repr, row)) for row in matrix.tolist())  # noqa: E731
    pose = np.vstack([np.column_stack([camera.R, camera.t]), [0, 0, 0, 1]])
    size = "\n".join(map(str, camera.image_size))
    return f"{size}\n{rows(camera.K)}\n\n{rows(pose)}\n\n{' '.join(map(repr, FIVE))}\n"


def test_cameras_of_biocv_are_one_file_each(here, rig):
    paths = [Path(f"0{n}.mp4.calib") for n in range(4)]
    for path, camera in zip(paths, rig.cameras, strict=True):
        path.write_text(calib(camera))
    found = read_rigs(paths)
    assert (found.names, found.unit) == (("00", "01", "02", "03"), "mm")
    for camera, true in zip(found.cameras, rig.cameras, strict=True):
        np.testing.assert_allclose(camera.project(POINTS), true.project(POINTS), atol=1e-6)
    paths[0].write_text(calib(rig.cameras[0]).partition("\n")[2])
    with pytest.raises(InputError, match="no camera of BioCV: its lines should hold width, height"):
        read_rig(paths[0])


# OpenCap


def opencap(camera, **more) -> dict:
    return {
        "distortion": np.array([FIVE]), "intrinsicMat": np.array(camera.K),
        "imageSize": np.array([[720.0], [1280.0]]), "rotation": np.array(camera.R),
        "translation": np.array(camera.t)[:, None], "rotation_EulerAngles": np.zeros((3, 1)),
        "reprojError": np.float64(0.3), **more,
    }  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_cameras_of_opencap_are_read_without_running_what_they_ask_for(here, rig, protocol):
    K = [[1000.0, 0, 639.5], [0, 1000, 359.5], [0, 0, 1]]
    for n, camera in enumerate(rig.cameras):
        camera = replace(camera, K=K, image_size=(1280, 720))
        path = Path(f"Cam{n}/cameraIntrinsicsExtrinsics.pickle")
        path.parent.mkdir()
        path.write_bytes(pickle.dumps(opencap(camera), protocol))
        found = read_rig(path).cameras[0]
        assert (found.name, found.image_size) == (f"Cam{n}", (1280, 720))
        np.testing.assert_allclose(found.project(POINTS), camera.project(POINTS), atol=1e-6)
    result = epitool("convert", *sorted(Path().glob("Cam*/*.pickle")), "--out", "cameras.toml")
    assert result.returncode == 0
    assert read_rig(Path("cameras.toml")).names == ("Cam0", "Cam1", "Cam2", "Cam3")


def test_the_same_values_as_json_are_read(here, rig):
    camera = replace(rig.cameras[0], name="Cam0")
    Path("Cam0.json").write_text(json.dumps(opencap(camera, imageSize=[384, 384]), default=np.ndarray.tolist))
    found = read_rig(Path("Cam0.json"))
    assert (found.names, found.unit) == (("Cam0",), "mm")
    np.testing.assert_allclose(found.cameras[0].project(POINTS), camera.project(POINTS), atol=1e-6)
    Path("lens.json").write_text(json.dumps({"intrinsicMat": camera.K.tolist()}))
    result = epitool("convert", "lens.json", "--out", "lens.toml")
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(read_rig(Path("lens.toml")).cameras[0].K, camera.K)
    Path("lens.json").write_text(json.dumps({"intrinsicMat": [1, 2]}))
    assert "lens.json" in epitool("convert", "lens.json", "--out", "lens.toml").stderr


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_something_is_refused_and_does_not(here, rig):
    Path("a.pickle").write_bytes(pickle.dumps(opencap(rig.cameras[0], harmful=Harmful())))
    with pytest.raises(InputError, match=r"mkdir, which OpenCap's cameras do not need .* store K"):
        read_rig(Path("a.pickle"))
    assert not Path("harm").exists()
    for content, said in [({"a": 1}, "lacks intrinsicMat, and holds a"), ([1], "and holds list")]:
        Path("a.pickle").write_bytes(pickle.dumps(content))
        with pytest.raises(InputError, match=said):
            read_rig(Path("a.pickle"))
    whole = pickle.dumps(opencap(rig.cameras[0]))
    for part in (b"text", whole[: len(whole) // 2]):
        Path("a.pickle").write_bytes(part)
        with pytest.raises(InputError, match="no pickle of arrays"):
            read_rig(Path("a.pickle"))
