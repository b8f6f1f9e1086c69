"""Files of another kind in place of those that a command reads, and options that do not fit: one line, and no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from in_process import epitool, refused

from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels


@pytest.fixture
def made(here, truth):
    """Files of a recording without images."""
    write_labels(Path("labels.h5"), truth)
    write_rig(Path("cameras.toml"), truth.rig)
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    Path("img.jpg").touch()
    Path("folder").mkdir()
    return {path.name for path in here.iterdir()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mocap --views img.jpg", "mocap has no --views"),
        ("mocap img.jpg --names pose2sim", "mocap has no --names, which is an option of"),
        ("convert labels.h5 --out a.trc --smooth", "option of `epitool triangulate` and `epitool predict`"),
        ("mocap img.jpg --nonsense", "No such option"),
    ],
)
def test_an_option_of_another_command_is_said_to_be_one(made, line, said):
    assert said in refused(2, *line.split())


@pytest.mark.parametrize(
    ("status", "line", "said"),
    [
        (2, "convert cameras.toml --out a.csv", "cameras are written as .toml, .qca.txt"),
        (2, "triangulate --skeleton no", "no skeleton is named 'no'"),
        (2, "train --lr 0", "learning rate 0 must be above 0"),
        *(
            (2, f"{name} --device tpu", "--device tpu: expected auto, cpu, cuda or cuda:N")
            for name in ("calibrate", "detect2d", "evaluate", "predict img.jpg", "train")
        ),
        (2, "calibrate --detector foo", "no detector is named 'foo'"),
        (2, "calibrate --fov 60 --intrinsics cameras.toml --out b.toml", "--fov is for lenses that are not known"),
        (2, "mocap img.jpg img.jpg --out a.trc --scale x", "expected height=1.78m"),
        (2, "mocap img.jpg img.jpg --out a.trc --scale height=178", "the length has no unit; expected height=1.78m"),
        (2, "mocap img.jpg img.jpg --out a.trc --scale 1.78m", "does not say what is so long; expected height=1.78m"),
        (3, "mocap img.jpg img.jpg --out a.trc --cameras folder", "--cameras folder: is a folder"),
        (3, "demo --views nothing.mp4 folder --out new/demo", "view nothing.mp4: no such file or folder"),
        (3, "train --pairs keypoints.h5", "keypoints.h5: these are 2D joints, and no poses to learn"),
        (3, "train --occluders nowhere", "--occluders nowhere: no such folder"),
        (3, "train --initial nowhere.pt", "--initial nowhere.pt: no such file; give a checkpoint, or imagenet"),
        pytest.param(3, "train", "No such file", marks=pytest.mark.thorough),
    ],
)
def test_what_is_refused_leaves_nothing(made, status, line, said):
    text = refused(status, *line.split())
    assert said in text
    assert text.count("error:") == 1
    assert {path.name for path in Path().iterdir()} == made


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate --predictions keypoints.h5", "holds 2D joints, not labels with 3D joints or predicted poses;"
         " `epitool predict` makes"),
        ("evaluate --predictions pss.npz", "holds clusters of poses, not labels with 3D joints or predicted poses"),
        ("evaluate --predictions gone.json", "gone.json: no such file; `epitool predict` makes it"),
        ("evaluate --predictions gone.h5", "gone.h5: no such file; `epitool triangulate` makes it"),
        ("pss-fit --stability --predictions keypoints.h5", "holds 2D joints, not labels with 3D joints or predicted"),
        ("evaluate --truth pss.npz", "holds clusters of poses, not an array of poses; `epitool convert` or"),
        ("synth --motion labels.h5", "holds labels with 3D joints, not an array of poses"),
        ("refine --mocap gone.npz", "gone.npz: no such file; `epitool convert` or `epitool import cmu` makes it"),
        ("refine --pairs poses.npz", "holds an array of poses, not labels with 3D joints"),
        ("triangulate --keypoints walk.trc --out l.h5", "walk.trc: is no .h5 file of 2D joints or labels"),
        ("convert metrics.json --out a.trc", "holds what `epitool evaluate` measured, which `epitool convert` does"),
        ("convert poses.npz --out a.trc", "holds an array of poses, which `epitool convert` does not read"),
        ("convert walk.trc --out a.npz", "walk.trc: no known file of 2D joints; known are"),
        ("show live.jsonl", "holds poses of a stream, not the log of a run; `epitool train` makes"),
        ("show poses.npz --out a.html", "holds an array of poses, not clusters of poses; `epitool pss-fit` makes"),
        ("show metrics.json --out b.mp4", "holds what `epitool evaluate` measured, not predicted poses"),
        ("import cmu labels.h5", "labels.h5: is a file, a folder is expected; name the one that cmu was unpacked in"),
        ("mocap --trials labels.h5", "--trials labels.h5: is a file, a folder is expected"),
        ("train --occluders labels.h5", "--occluders labels.h5: is a file, a folder is expected"),
        ("train --initial films", "--initial films: is a folder, a file is expected; give a checkpoint, or imagenet"),
        ("train --config labels.h5", "--config labels.h5: cannot be read as TOML (no text in UTF-8 or UTF-16)"),
        ("show metrics.json", "holds what `epitool evaluate` measured, not predicted poses; `epitool predict` makes"),
        ("evaluate --truth cameras.toml", "holds cameras, not labels with 3D joints; `epitool triangulate` makes"),
        ("evaluate --pss-file cameras.toml", "holds cameras, not clusters of poses; `epitool pss-fit` makes"),
        ("triangulate --cameras keypoints.h5 --out l.h5", "holds 2D joints, not cameras or labels"),
        ("calibrate --keypoints a.mp4 --out c.toml", "is a video, not 2D joints or labels with 3D joints; `epitool"
         " detect2d --views a.mp4 ...` makes"),
        ("predict metrics.json", "holds what `epitool evaluate` measured, and no image or video"),
        ("convert keypoints.h5 --out a.trc", "holds 2D joints; `epitool calibrate` and `epitool triangulate` make"),
        ("convert torn.h5 --out a.trc", "torn.h5: cannot be read as labels (truncated file"),
        ("convert gone.h5 --out a.trc", "gone.h5: no such file or folder; `epitool detect2d` or `epitool triangulate`"),
        ("import h36m nowhere", "nowhere: no such folder; name the one that h36m was unpacked in"),
        ("convert films --out a.trc", "films: is footage"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_called_what_it_is(made, line, said):
    Path("metrics.json").write_text('{"format": "epitool.metrics/1"}')
    Path("live.jsonl").write_text('{"format": "epitool.live-poses/1"}')
    Path("walk.trc").write_text("PathFileType 4")
    np.savez("pss.npz", format="epitool.pss/1")
    np.savez("poses.npz", format="epitool.poses/1")
    Path("a.mp4").write_bytes(b"footage")
    Path("films").mkdir()
    Path("films/a.mp4").touch()
    Path("torn.h5").write_bytes(Path("labels.h5").read_bytes()[:30_000])
    assert said in refused(3, *line.split())


def test_detectors_and_devices_that_nothing_uses_are_said(made, truth):
    Path("cameras.toml").unlink()
    said = epitool("calibrate", "--detector", "rtmpose").stderr
    assert "keypoints.h5 is there and kept as it is; `epitool detect2d --overwrite` detects anew" in " ".join(
        said.split()
    )
    said = epitool("predict", "keypoints.h5", "--device", "cuda").stderr
    assert "--device cuda: nothing that answers here uses it" in " ".join(said.split())


def test_no_command_is_said_to_make_a_file_of_another_program(made):
    assert refused(3, "show", "gone.trc") == "error: gone.trc: no such file"


def test_one_view_is_refused_before_joints_are_looked_for(made):
    said = refused(4, "calibrate", "--views", "cam1.mp4", "--keypoints", "new.h5")
    assert "--views: one view (cam1); cameras are found from two or more" in said
    assert not Path("new.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["triangulate", "--keypoints", "--out", "o.h5"], "--keypoints needs a value, and --out follows it"),
        (["calibrate", "--views", "--out", "o.toml"], "--views needs a value, and --out follows it"),
        (["evaluate", "--by", "--quiet"], "--by needs a value, and --quiet follows it"),
        (["calibrate", "--scale", "", "--out", "o.toml"], "--scale '' is empty; is a variable of the shell not set?"),
        (["triangulate", "--keypoints=", "--out", "o.h5"], "--keypoints '' is empty; is a variable of the shell"),
        (["triangulate", "--out", ""], "--out '' is empty"),
        (["calibrate", "--views", "cam1", ""], "--views '' is empty"),
        (["predict", "img.jpg", ""], "│ '' is empty"),
    ],
)
def test_an_option_without_value_is_named(made, arguments, said):
    assert said in refused(2, *arguments)


def test_a_list_may_be_empty(made):
    assert "is empty" not in epitool("evaluate", "--pss", "", "--by=", "--out", "m.json").stderr


@pytest.mark.parametrize(
    "line",
    ["triangulate --out loop.h5", "evaluate --out loop.json", "predict keypoints.h5 --overlay loop --out o.json"],
)
def test_a_link_to_itself_is_no_place_to_write_to(made, line):
    for name in ("loop.h5", "loop.json", "loop"):
        Path(name).symlink_to(name)
    assert "it is a link that leads back to itself; name another place" in refused(3, *line.split())
    assert not Path("o.json").exists()


@pytest.mark.parametrize("option", ["--root-depth 1e99", "--box 0,0,1e99,10"])
def test_distances_of_no_person_are_refused(made, option):
    assert "expected" in refused(2, "predict", "img.jpg", *option.split())
