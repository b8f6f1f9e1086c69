"""Every documented command line is run, on rendered people in small; those that are not are listed, with the reason."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from documented import Line, documented_lines
from typer.testing import CliRunner

from epitool.cli import app, expand_patterns, spread_variadic
from epitool.io.cameras import read_rig, write_rig
from epitool.io.foreign.cameras import write_foreign_rig
from epitool.io.keypoints_h5 import read_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.nn.refiner import SHIPPED
from epitool.skeleton import skeleton
from epitool.synthetic import render_scene

pytestmark = pytest.mark.thorough

FRAMES = 40
NOT_RUN = {  # beginnings of lines, and why
    "demo": "the demo is run by .ci/run, and with --synthetic by test_demo.py",
    "import": "needs data sets that nobody may pass on; test_datasets.py imports small ones that are made up",
    "predict 0": "needs a camera; test_live.py has a stream in its place",
    "predict rtsp:": "needs a camera in the network; test_live.py has a server of its own",
    "predict /dev/stdin": "needs ffmpeg and footage without an end; test_live.py writes into a pipe",
    "detect2d --images h36m/": "needs Human3.6M",
    "triangulate --keypoints detected.h5 --cameras h36m/": "needs Human3.6M",
    "calibrate --keypoints detected.h5 --intrinsics h36m/": "needs Human3.6M",
    "predict h36m/": "needs Human3.6M",
}
SHORTER = {  # words that make a command quick; the last of two values counts
    "train": ("--epochs", "1", "--preset", "small", "--image-size", "64"),
    "refine": ("--steps", "5"),
    "synth": ("--frames", "3", "--size", "128"),
}
ANEW = {"detect2d": "keypoints.h5", "synth": "synth"}  # outputs that these would go on with, but for other options
PLACED = {"VIDEO": "cam1.mp4", "FILE": "cameras.toml", "FOLDER": "session", "MODEL": "runs/default/model.pt"}
NEEDS = {"export": "onnx", "synth": "anny", ".rrd": "rerun", ".c3d": "ezc3d"}
CHAIN = [
    "detect2d --views cam1.mp4 cam2.mp4 cam3.mp4 cam4.mp4", "calibrate --scale height=1.75m", "triangulate",
    "refine", "train --pairs labels.h5", "predict img.jpg --out pose.json", "pss-fit",
    "convert cameras.toml --out Calib.qca.txt", "convert cameras.toml --unit m --out Calib_scene.toml",
    "convert cameras.toml --out lens.yml",
    "convert labels.h5 --out mocap.npz", "convert labels.h5 --out noisy.npz",
    "predict labels.h5 --no-refiner --out seen.json",
]  # fmt: skip


def epitool(words, **given):
    words = expand_patterns([PLACED.get(word, word) for word in words])
    return CliRunner().invoke(app, spread_variadic([*words, *SHORTER.get(words[0], ())]), **given)


def write_openpose(keypoints, folder: str, view: int) -> None:
    """A view's joints as OpenPose writes them, in the order of COCO."""
    order = [keypoints.skeleton.joints.index(name) for name in skeleton("coco17").joints]
    Path(folder).mkdir(parents=True)
    for f in range(len(keypoints.frames)):
        rows = np.column_stack([keypoints.xy[f, view, order], keypoints.confidence[f, view, order]])
        people = [{"pose_keypoints_2d": np.nan_to_num(rows).ravel().tolist()}] if np.isfinite(rows).any() else []
        (Path(folder) / f"{f:06d}_keypoints.json").write_text(json.dumps({"people": people}))


def make_footage() -> None:
    """Folders of images, the same as videos under the names that the docs give them, two trials, and single images."""
    truth = render_scene(Path(), frames=FRAMES)
    for number in range(1, 5):
        images = [cv2.imread(str(path)) for path in sorted(Path(f"cam{number}").iterdir())]
        name, (height, width) = f"cam{number}.mp4", images[0].shape[:2]
        writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"mp4v"), 60, (width, height))
        for image in images:
            writer.write(image)
        writer.release()
        for other in (f"cam0{number}.mp4", f"session/walk1/{name}", f"session/walk2/{name}"):
            Path(other).parent.mkdir(parents=True, exist_ok=True)
            os.link(name, other)
    for name in ("img.jpg", "holiday.jpg", "one.jpg", "shots/a.png"):
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, images[-1])
    for name in truth.rig.names:
        shutil.copytree(name, f"synth/{name}")
    write_labels(Path("synth/truth.h5"), truth)
    write_rig(Path("true.toml"), truth.rig)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder in which the chain has run, on footage under all the names that the docs use."""
    pytest.importorskip("mediapipe", reason="needs the detector: pip install 'epitool[mediapipe]'")
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_footage()
        for line in CHAIN:
            result = epitool(line.split())
            assert result.exit_code == 0, f"{line}: {result.output}"
        write_foreign_rig(Path("easymocap_folder"), read_rig("cameras.toml").select(("cam1", "cam2")), 1.0)
        keypoints = read_keypoints(Path("keypoints.h5"))
        for view in range(4):
            write_openpose(keypoints, f"cam{view + 1}_json", view)
        Path("runs/NAME").symlink_to("default")
        shutil.copy(SHIPPED, "shipped_refiner.pt")
        for name in ("shipped.json", "refined.json"):
            shutil.copy("seen.json", name)
    return folder


def make_pose_folder(words) -> None:
    """The folder `pose` with the views that a line names in it, or as many as it names footage, or all."""
    Path("pose").mkdir()
    named = [Path(word).name for word in words if word.startswith("pose/")]
    count = sum(word.endswith(".mp4") for word in words) or 4
    for name in named or [f"cam{n + 1}_json" for n in range(count)]:
        Path("pose", name).symlink_to(Path(name.replace("cam0", "cam")).resolve())


def make_ready(words) -> None:
    """What a command finds where it is called first, one name of each video, and the cameras of `synth --rig`."""
    path = Path(ANEW.get(words[0], "nothing"))
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if "cam*.mp4" in words:
        for second_name in Path().glob("cam0*.mp4"):
            second_name.unlink()
    if words[0] == "synth":
        Path("true.toml").replace("cameras.toml")


def reason_not_to_run(line: Line) -> str | None:
    return next((reason for start, reason in NOT_RUN.items() if str(line).startswith(start)), None)


def lines_to_run() -> list[Line]:
    """Documented lines without those listed, and without bare mentions of commands that need words."""
    needy = {"convert", "show", "import", "export", "synth", "mocap", "predict", "evaluate"}
    lines = {line.words: line for line in documented_lines() if line.words and "--help" not in line.words}
    return [
        line
        for words, line in lines.items()
        if reason_not_to_run(line) is None and not (len(words) == 1 and words[0] in needy)
    ]


def test_reasons_not_to_run_are_of_lines_that_are_documented():
    lines = [str(line) for line in documented_lines()]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []


@pytest.mark.parametrize("line", lines_to_run(), ids=str)
def test_documented_commands_run(line, prepared, tmp_path, monkeypatch):
    for part, module in NEEDS.items():
        if any(word == part or word.endswith(part) for word in line.words) and not importlib.util.find_spec(module):
            pytest.skip(f"needs {module}")
    work = tmp_path / "work"
    shutil.copytree(prepared, work, copy_function=os.link, symlinks=True)  # outputs are renamed into place
    monkeypatch.chdir(work)
    make_pose_folder(line.words)
    make_ready(line.words)
    given = {"input": "img.jpg\n"} if line.words[1:2] == ("-",) else {}
    if line.words == ("evaluate", "--predictions", "-"):
        given = {"input": Path("seen.json").read_bytes()}
    result = epitool(line.words, **given)
    assert result.exit_code == 0, result.output
