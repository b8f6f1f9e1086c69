"""Pages and pictures of files: what is in them, and that nothing else gets in."""

from __future__ import annotations

import base64
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_cli import epitool, failing

from epitool import images
from epitool.geometry.people.candidates import Candidates
from epitool.images import VideoReader
from epitool.io.cameras import write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import KeypointsFile, write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
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


def test_what_a_page_has_besides_its_data_is_light(labels):
    """And is written without indentation and comments, which are for whoever reads the package."""
    write_rig(Path("cameras.toml"), labels.rig)
    epitool("show", "cameras.toml")
    page = Path("cameras.html").read_text(encoding="utf-8")
    assert len(page) - len(json.dumps(scene("cameras.html"))) < 36_000
    assert not re.findall(r"^\s|// |/\*", page, flags=re.M)
    assert "innerHTML" not in page  # names are written as text


@pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs the page's script, is not installed")
def test_as_many_views_as_there_are_fit_into_their_place(here):
    """In windows of 1500 x 950 and 900 x 600: beside the person in space, and alone."""
    source = files("epitool.viz").joinpath("web", "layout.js").read_text(encoding="utf-8")
    fit = re.search(r"^function fit.*?^}", source, flags=re.M | re.S).group()
    cases = [
        (count, aspect, width, height)
        for count, least in ((1, 0), (4, 100), (5, 100), (8, 90))
        for aspect in (9 / 16, 1, 16 / 9)
        for width, height in ((825, 813), (495, 443), (1500, 850), (900, 500))
    ]
    Path("fit.js").write_text(
        "const GAP = 6, CAPTION = 22, LEAST = 48;\n"
        f"{fit}\nconsole.log(JSON.stringify({json.dumps(cases)}.map(c => fit(...c))))"
    )
    found = json.loads(subprocess.run(["node", "fit.js"], capture_output=True, text=True, check=True).stdout)
    for (count, aspect, width, height), cell in zip(cases, found, strict=True):
        rows = -(-count // cell["columns"])
        assert cell["columns"] * (cell["width"] + 6) + 6 <= width
        assert rows * (cell["height"] + 22 + 6) + 6 <= height
        assert cell["width"] / cell["height"] == pytest.approx(aspect, rel=0.02)
        assert count * cell["width"] * cell["height"] > 0.3 * width * height or count < 4


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
@pytest.mark.parametrize(
    ("window", "address"),
    [
        ((1500, 950), ""),
        ((900, 600), "#frame=10&view=cam2"),
        pytest.param((900, 600), "", marks=pytest.mark.thorough),
        pytest.param((1500, 950), "#frame=10&view=cam2", marks=pytest.mark.thorough),
    ],
)
def test_all_views_are_in_sight(labels, window, address):
    epitool("show", "labels.h5", "--frames", "4")
    asked = """<script>setTimeout(() => { document.title = JSON.stringify({
        main: document.querySelector("main").getBoundingClientRect(),
        views: panels.map(panel => panel.figure.getBoundingClientRect()), frame: scene.frames[state.frame],
    })}, 500)</script></html>"""
    page = Path("labels.html").read_text(encoding="utf-8")
    Path("asked.html").write_text(page.replace("</html>", asked), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
        "--virtual-time-budget=3000", f"--user-data-dir={Path('profile').resolve()}",
        f"--window-size={window[0]},{window[1]}", Path("asked.html").resolve().as_uri() + address,
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    answer = json.loads(html.unescape(re.findall("<title>(.*?)</title>", shown)[0]))
    main = answer["main"]
    assert len(answer["views"]) == 4
    for view in answer["views"]:
        assert main["left"] <= view["left"] < view["right"] <= main["right"]
        assert main["top"] <= view["top"] < view["bottom"] <= main["bottom"]
    widths = [view["width"] for view in answer["views"]]
    assert (widths[1] > 1.5 * widths[0]) == bool(address)
    assert answer["frame"] == (10 if address else 0)


def test_the_person_is_in_the_middle(labels):
    """In every take: cameras to one side of it do not draw the eye there."""
    epitool("show", "labels.h5", "--frames", "40")
    shown = scene("labels.html")
    xyz = unpacked(shown["xyz"], 40, 17, 3)
    low, high = np.percentile(xyz.reshape(-1, 3), [2, 98], axis=0)
    np.testing.assert_allclose(shown["middles"], [(low + high) / 2], rtol=1e-3, atol=1)
    assert 1000 < shown["person"][2] < 2500
    assert shown["gridSaid"] in ("grid: 50 cm", "grid: 1 m", "grid: 2 m")


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
    image = labels.keypoints.images[1, 0]
    named = {"path": image, "image": Path(image).name, "camera": Path(image).parent.name, "frame": 1}
    assert scene("pose.html")["names"][1] == named


def test_everyone_found_is_drawn_under_a_number_that_lasts(labels):
    """Two people in each image: one walks along beside the other, who is chosen."""
    mine = labels.keypoints
    other = mine.xy + 300.0
    other[9, 2] = np.nan  # out of sight once
    both = np.stack([mine.xy, other], axis=2).astype(np.float32)
    f, v, p = np.nonzero(np.isfinite(both[..., 0]).any(axis=-1))
    everyone = Candidates(both[f, v, p], np.ones((len(f), 17)), f, v)
    write_keypoints(Path("keypoints.h5"), mine)
    add_candidates(Path("keypoints.h5"), everyone)
    assert epitool("show", "keypoints.h5", "--frames", "14").returncode == 0
    shown = scene("keypoints.html")
    crowd = shown["crowd"]
    counts = np.ones((14, 4), int)
    counts[3, 2] = 0
    assert crowd["counts"] == counts.ravel().tolist()
    xy = np.frombuffer(base64.b64decode(crowd["xy"]), "<i2").reshape(-1, 17, 2)
    expected = other[::3].reshape(-1, 17, 2)[counts.ravel() > 0]
    seen = np.isfinite(expected)
    np.testing.assert_allclose(xy[seen], expected[seen], atol=0.51)
    assert (xy[~seen] == crowd["missing"]).all()
    chosen = np.array(crowd["chosen"]).reshape(14, 4)
    others = np.zeros((14, 4), int)
    others[counts > 0] = crowd["numbers"]
    for view in range(4):
        assert len({*chosen[:, view]}) == 1
        assert len({*others[:, view]} - {0}) == 1
    assert (chosen + others)[counts > 0].tolist() == [3] * 55  # 1 and 2
    assert "up to 2 people in an image" in shown["facts"]


def test_one_person_alone_is_no_crowd(labels):
    write_keypoints(Path("keypoints.h5"), labels.keypoints)
    epitool("show", "keypoints.h5", "--frames", "2")
    assert scene("keypoints.html")["crowd"] is None


def test_names_of_images_cannot_become_code(here, labels):
    name = "</script><script>alert(1)</script>.png"
    pose = np.zeros((1, 17, 3))
    poses = Predictions(
        (name,), np.ones((1, 4)), pose, pose[..., :2], np.ones((1, 17)), labels.poses.skeleton, "mm", {}
    )
    write_predictions(Path("pose.json"), poses)
    assert epitool("show", "pose.json").returncode == 0
    assert scene("pose.html")["names"][0]["path"] == name
    assert "<script>alert" not in Path("pose.html").read_text(encoding="utf-8")


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
        show.run(ShowOptions(file=Path("log.jsonl"), out=None))
    assert Path("log.png").exists() == bool(kept)
    assert not kept or Path("log.png").read_bytes() == kept
    assert not list(here.glob(".epitool-*"))


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("x.h5", "no", 3, "is no .h5 file of 2D joints"),
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
    assert "is shown as .html or .rrd or .mp4" in failing(2, "show", "labels.h5", "--out", "labels.png")
    assert "--frames 5: is of pages" in failing(2, "show", "labels.h5", "--out", "labels.mp4", "--frames", "5")
    assert "no such file" in failing(3, "show", "nothing.h5")
    assert "no such file; `epitool train` makes it" in failing(3, "show", "runs/default")
    Path("folder").mkdir()
    assert "folder: is no run's folder" in failing(3, "show", "folder")


def test_frames_that_are_not_shown_and_labels_of_nobody_are_said(labels):
    assert "10 frames, 30 images (--frames shows more)" in epitool("show", "labels.h5", "--frames", "10").stdout
    labels = read_labels(Path("labels.h5"))
    nobody = replace(labels.poses, xyz=np.full_like(labels.poses.xyz, np.nan))
    write_labels(Path("empty.h5"), replace(labels, poses=nobody))
    assert "empty.h5: the frames that are shown hold no pose" in epitool("show", "empty.h5").stderr


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
