"""Pages and pictures of files: what is in them, and that nothing else gets in."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_cli import epitool, failing

from epitool import images
from epitool.images import VideoReader
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import KeypointsFile, write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.io.predictions import write_predictions
from epitool.labels import Take
from epitool.options import ShowOptions
from epitool.pose import Keypoints, Predictions
from epitool.stages import show
from epitool.stages.show.film import film
from epitool.viz.page import LONGEST_SIDE


def scene(path: str) -> dict:
    page = Path(path).read_text()
    (data,) = re.findall(r'<script id="scene" type="application/json">(.*?)</script>', page, flags=re.S)
    return json.loads(data)


def unpacked(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


@pytest.fixture
def labels(here, truth):
    """40 frames of four views whose images are there, but for the last view's."""
    found = truth.between(0, 40)
    for name in found.keypoints.images[:, :3].ravel().tolist():
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, np.full((1000, 500, 3), 90, np.uint8))
    images = found.keypoints.images.copy()
    images[:, 3] = ""
    found = replace(found, keypoints=replace(found.keypoints, images=images, image_size=np.tile([500, 1000], (4, 1))))
    write_labels(Path("labels.h5"), found)
    return found


def test_a_recording_for_rerun_has_every_frame(labels):
    pytest.importorskip("rerun", reason="the extra [rerun] wants numpy 2, mediapipe numpy 1")
    assert epitool("show", "labels.h5", "--out", "labels.rrd", "--frames", "5").returncode == 0
    command = [sys.executable, "-m", "rerun", "rrd", "stats", "labels.rrd"]
    stats = subprocess.run(command, capture_output=True, text=True).stdout
    assert "/world/person/joints" in stats
    assert "num_rows_max = 5" in stats


def test_without_rerun_the_extra_is_named(labels, monkeypatch):
    if importlib.util.find_spec("rerun"):
        pytest.skip("the extra [rerun] is installed")
    assert "epitool[rerun]" in failing(2, "show", "labels.h5", "--out", "labels.rrd")


def test_page_of_labels_has_poses_cameras_and_images(labels):
    result = epitool("show", "labels.h5", "--frames", "14", "--json")
    assert json.loads(result.stdout) == {"out": "labels.html", "frames": 14, "images": 42}
    shown = scene("labels.html")
    assert (shown["frames"][0], shown["frames"][-1], len(shown["frames"])) == (0, 39, 14)
    camera = labels.rig.cameras[2]
    assert (shown["takes"][0][2]["K"], len(shown["takes"][0][2]["d"])) == (camera.K.tolist(), 8)  # for epipolar lines
    xyz = unpacked(shown["xyz"], 14, 17, 3)
    exact = labels.poses.xyz[shown["frames"]]
    np.testing.assert_allclose(  # turned as a whole
        np.linalg.norm(np.diff(xyz, axis=1), axis=-1), np.linalg.norm(np.diff(exact, axis=1), axis=-1), rtol=1e-4
    )
    head, feet = (labels.poses.skeleton.index(joint) for joint in ("head_top", "left_ankle"))
    assert np.median(xyz[:, head, 2] - xyz[:, feet, 2]) > 1000  # and upright
    own = unpacked(shown["own"], 14, 4, 17, 2)
    np.testing.assert_allclose(own, labels.rig.project(exact), atol=1e-2)
    assert [camera["name"] for camera in shown["takes"][0]] == list(labels.rig.names)
    assert shown["views"][3]["images"] == [None] * 14
    jpeg = base64.b64decode(shown["views"][0]["images"][0].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (LONGEST_SIDE, LONGEST_SIDE // 2, 3)
    assert shown["views"][0]["sizes"][0] == [500, 1000]


def test_page_needs_nothing_from_elsewhere(labels):
    epitool("show", "labels.h5", "--frames", "2")
    page = Path("labels.html").read_text()
    assert not re.findall(r"""(?:src|href)=|url\(|https?://|import\s""", page)


def test_names_cannot_become_code(labels):
    name = "</script><script>alert(1)</script>"
    rig = replace(labels.rig, cameras=(replace(labels.rig.cameras[0], name=name), *labels.rig.cameras[1:]))
    keypoints = replace(labels.keypoints, views=rig.names)
    write_labels(Path("odd.h5"), replace(labels, rig=rig, keypoints=keypoints))
    epitool("show", "odd.h5", "--frames", "2")
    assert scene("odd.html")["views"][0]["name"] == name
    assert "<script>alert" not in Path("odd.html").read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="node, which checks the page's script, is not installed")
def test_script_is_valid(labels):
    epitool("show", "labels.h5", "--frames", "2")
    Path("page.js").write_text(re.findall(r"<script>(.*?)</script>", Path("labels.html").read_text(), flags=re.S)[0])
    checked = subprocess.run(["node", "--check", "page.js"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_images_that_are_gone_are_said_and_left_out(labels):
    for image in Path("cam1").iterdir():
        image.unlink()
    result = epitool("show", "labels.h5", "--frames", "3")
    assert result.returncode == 0
    assert "images are left out" in result.stderr
    assert scene("labels.html")["views"][0]["sizes"][0] == labels.keypoints.image_size[0].tolist()


def test_each_take_has_its_cameras(labels):
    moved = replace(labels.rig, cameras=tuple(replace(c, t=c.t + 500) for c in labels.rig.cameras))
    keypoints = replace(labels.keypoints, take_of=np.repeat([0, 1], 20))
    takes = (Take("a", labels.rig), Take("b", moved))
    write_labels(Path("two.h5"), replace(labels, keypoints=keypoints, takes=takes))
    epitool("show", "two.h5", "--frames", "4")
    shown = scene("two.html")
    assert shown["take"] == [0, 0, 1, 1]
    assert shown["takes"][0][0]["center"] != shown["takes"][1][0]["center"]


def test_other_files_are_shown_too(labels):
    write_keypoints(Path("keypoints.h5"), labels.keypoints)
    write_rig(Path("cameras.toml"), labels.rig)
    poses = labels.in_cameras[:3, 0]
    write_predictions(
        Path("pose.json"),
        Predictions(
            tuple(labels.keypoints.images[:3, 0]), np.tile([0.0, 0, 9, 9], (3, 1)), poses - poses[:, :1],
            labels.keypoints.xy[:3, 0], np.ones((3, 17)), labels.poses.skeleton, "mm", {},
        ),
    )  # fmt: skip
    for name in ("keypoints.h5", "cameras.toml", "pose.json"):
        assert epitool("show", name).returncode == 0
    assert scene("keypoints.html")["xyz"] is None
    assert (scene("cameras.html")["frames"], len(scene("cameras.html")["takes"][0])) == ([], 4)
    pose = unpacked(scene("pose.html")["xyz"], 3, 17, 3)
    assert pose[0, 10, 2] > pose[0, 3, 2]  # the crown over the feet


def test_clusters_and_learning_curves_are_pictures(labels):
    epitool("pss-fit", "--k", "5")
    assert epitool("show", "pss.npz").returncode == 0
    run = Path("runs/a")
    run.mkdir(parents=True)
    entry = {"train_loss": 0.1, "val_2d_percent": 5.0, "val_nmpjpe": 100.0, "learning_rate": 1e-3, "seconds": 1.0}
    lines = [json.dumps({"epoch": n, **entry}) for n in (1, 2)]
    (run / "log.jsonl").write_text("\n".join(lines))
    assert epitool("show", "runs/a").returncode == 0
    refused = epitool("show", "runs/a", "--out", "new/folder/curve.png")
    assert (refused.returncode, Path("new").exists()) == (2, False)
    assert "there is no folder new/folder" in refused.stderr
    assert epitool("show", "runs/a", "--out", "curve.png").returncode == 0
    for path in ("pss.png", "runs/a/log.png", "curve.png"):
        assert cv2.imread(path) is not None


def test_the_curve_of_a_run_without_depth_is_of_its_2d_error(here):
    run = Path("runs/flat")
    run.mkdir(parents=True)
    lines = [json.dumps({"epoch": n, "train_loss": 0.1, "val_2d_percent": 5.0 / n}) for n in (1, 2)]
    (run / "log.jsonl").write_text("\n".join(lines))
    result = epitool("show", "runs/flat")
    assert result.returncode == 0, result.stderr
    assert cv2.imread("runs/flat/log.png") is not None


@pytest.mark.parametrize(
    ("stated", "said"),
    [('{"unit": "mm"}', "mm"), ('{"unit": "arbitrary"}', "arbitrary units"), ("[", "")],
)
def test_the_curve_states_the_unit_of_the_run(here, stated, said):
    Path("options.json").write_text(stated)
    assert show._unit(Path("log.jsonl")) == said


@pytest.mark.parametrize("kept", [b"", b"a picture"])
def test_a_picture_that_fails_midway_leaves_what_was_there(here, monkeypatch, kept):
    def half(self, path, **_):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    Path("log.jsonl").write_text('{"epoch": 1, "train_loss": 0.1, "val_nmpjpe": 9.0}')
    if kept:
        Path("log.png").write_bytes(kept)
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(KeyboardInterrupt):
        show.run(ShowOptions(file=Path("log.jsonl"), out=None, frames=1))
    assert Path("log.png").exists() == bool(kept)
    assert not kept or Path("log.png").read_bytes() == kept
    assert not list(here.glob(".epitool-*"))


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("x.h5", "no", 3, "cannot be read"),
        ("x.txt", "no", 3, "cannot be read as cameras"),
        ("x.bin", "no", 3, "is none of keypoints.h5"),
        ("log.jsonl", "{", 3, "is no log of a run"),
        ("log.jsonl", "[1]\n", 3, "is no log of a run"),
        ("log.jsonl", '{"epoch": 1, "train_loss": 0.1}', 3, "is no log of a run"),
        ("log.jsonl", '{"epoch": 1, "val_nmpjpe": 9}', 3, "is no log of a run"),
        ("x.json", "{}", 3, "states no epitool format"),
    ],
)
def test_what_cannot_be_shown_is_said(here, name, content, status, said):
    Path(name).write_text(content)
    assert said in failing(status, "show", name)
    assert [path.name for path in here.iterdir()] == [name]


def test_a_page_is_no_picture(labels):
    assert "is shown as .html" in failing(2, "show", "labels.h5", "--out", "labels.png")
    assert "no such file" in failing(3, "show", "nothing.h5")


def test_video_has_every_frame_and_the_pose_in_it(labels):
    result = epitool("show", "labels.h5", "--out", "overlay.mp4", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"out": "overlay.mp4", "frames": 40, "fps": 30.0}
    video = cv2.VideoCapture("overlay.mp4")
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 40
    _, image = video.read()
    assert image.shape == (2 * 640 + 4, 2 * 320 + 4, 3)
    assert (image[700:900, 340:600] < 20).all()  # the last view has no images
    blue = (image[..., 0] > 120) & (image[..., 2] < 80)
    assert blue[:640, :320].any()  # the left side of the body, in the first view


def test_video_of_images_that_are_gone_leaves_nothing(labels):
    next(Path("cam2").iterdir()).unlink()
    failing(3, "show", "labels.h5", "--out", "overlay.mp4")
    assert not Path("overlay.mp4").exists()


def test_video_has_every_frame_though_the_first_has_no_image(labels):
    """A blank of another size than the images would make OpenCV leave out all frames but the first."""
    images = labels.keypoints.images.copy()
    images[0, 0] = images[1] = ""
    write_labels(Path("late.h5"), replace(labels, keypoints=replace(labels.keypoints, images=images)))
    result = epitool("show", "late.h5", "--out", "overlay.mp4", "--json")
    assert json.loads(result.stdout)["frames"] == 40
    video = cv2.VideoCapture("overlay.mp4")
    shown = [image for ok, image in iter(video.read, (False, None)) if ok]
    assert {image.shape for image in shown} == {(2 * 640 + 4, 2 * 320 + 4, 3)}
    assert len(shown) == 40
    assert (shown[0][100:140, 10:40] < 20).all()
    assert (shown[0][100:140, 340:370] > 60).all()


def test_video_of_images_that_differ_has_square_tiles(labels):
    for name in labels.keypoints.images[5:, 0]:
        cv2.imwrite(name, np.full((300, 600, 3), 90, np.uint8))
    listed = replace(labels.keypoints, image_size=np.zeros((4, 2), int))
    write_keypoints(Path("keypoints.h5"), listed)
    assert epitool("show", "keypoints.h5", "--out", "overlay.mp4").returncode == 0
    video = cv2.VideoCapture("overlay.mp4")
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 40
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 2 * 640 + 4


def test_video_of_an_image_of_another_size_is_refused(labels):
    cv2.imwrite(str(labels.keypoints.images[7, 1]), np.zeros((300, 600, 3), np.uint8))
    assert "00007.jpg: is 600x300, its view is 500x1000" in failing(3, "show", "labels.h5", "--out", "overlay.mp4")
    assert not Path("overlay.mp4").exists()


def test_video_of_no_images_is_refused(labels):
    nameless = replace(labels.keypoints, images=np.full((40, 4), ""))
    write_keypoints(Path("keypoints.h5"), nameless)
    assert "names no images" in failing(3, "show", "keypoints.h5", "--out", "overlay.mp4")


def test_video_is_made_a_part_at_a_time(labels, monkeypatch):
    """Videos are read on from where the last part ended, and no more than a part of the frames is in memory."""
    count, read = 300, KeypointsFile.read
    writer = cv2.VideoWriter("a.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (64, 48))
    for f in range(count):
        writer.write(np.full((48, 64, 3), 10 + 20 * (f % 10), np.uint8))
    writer.release()
    spans, opened = [], []
    listed = Keypoints(
        np.full((count, 1, 17, 2), 20.0), np.ones((count, 1, 17)), np.arange(count), ("a",),
        np.array([[f"a.mp4#{f}"] for f in range(count)]), np.array([[64, 48]]), labels.poses.skeleton,
    )  # fmt: skip
    write_keypoints(Path("keypoints.h5"), listed)

    def spied(self, start=0, stop=None, step=1):
        spans.append(stop - start)
        return read(self, start, stop, step)

    class Reader(VideoReader):
        def __init__(self, path):
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(KeypointsFile, "read", spied)
    monkeypatch.setattr(images, "VideoReader", Reader)
    said = film(Path("keypoints.h5"), Path("overlay.mp4"))
    assert said.values == {"out": "overlay.mp4", "frames": count, "fps": 25.0}
    assert max(spans) < count
    assert opened == [Path("a.mp4")]
    shown = cv2.VideoCapture("overlay.mp4")
    levels = np.array([image[40, 60].mean() for ok, image in iter(shown.read, (False, None)) if ok])
    np.testing.assert_allclose(levels, 10 + 20 * (np.arange(count) % 10), atol=12)
