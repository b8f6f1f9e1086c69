"""What a command reads from a pipe, and what it may write over."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import h5py
import numpy as np
import pytest
import typer
from in_process import epitool, refused
from typer.testing import CliRunner

from epitool import console
from epitool.cli import expand_patterns, spread_variadic
from epitool.cli.outputs import check_outputs
from epitool.cli.running import failing_in_one_line, leave_at_once, run
from epitool.cli.stdin import standard_input
from epitool.console import Summary, fail, printable_lines, say, set_quiet, show_table
from epitool.errors import GeometryError, InputError, UsageError
from epitool.files import STDIO
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.io.predictions import write_predictions
from epitool.options import COMMANDS, DoctorOptions, PredictOptions, PssFitOptions
from epitool.options.flag import Flag, Input, Options, Output
from epitool.pose import Predictions
from epitool.stages import pss_fit
from epitool.stages.predict import image_names
from epitool.viz.overlay import write_video


def seen(truth, folder=""):
    count, poses = 6, truth.in_cameras[:6, 0]
    names = tuple(f"{folder}{name}" for name in truth.keypoints.images[:6, 0].tolist())
    boxes, confidence = np.tile([0.0, 0, 9, 9], (count, 1)), np.ones((count, 17))
    xy = truth.keypoints.xy[:6, 0]
    return Predictions(names, boxes, poses - poses[:, :1], xy, confidence, truth.poses.skeleton, "mm", {"a": "b"})


@dataclass(frozen=True, kw_only=True)
class Files(Options):
    """Options of a command that there is not: what they are is marked on them, whatever they are called."""

    images: Annotated[tuple[str, ...], Flag("Read.", role=Input("names"))] = ()
    pairs: Annotated[Path | None, Flag("Read.", role=Input())] = None
    out: Annotated[Path | None, Flag("Written.", role=Output(stdout=True))] = None
    table: Annotated[Path | None, Flag("Written.", role=Output())] = None
    overlay: Annotated[Path | None, Flag("Written.", role=Output(folder=True))] = None
    folder: Annotated[Path | None, Flag("Written.", role=Output(folder=True, shared=True))] = None
    pictures: Annotated[Path | None, Flag("Written.", role=Output(folder=True))] = None


# Standard input


@pytest.mark.parametrize("content", [b"a.jpg\nb c.jpg\n", b"a.jpg\r\n\r\nb c.jpg", b"a.jpg\0b c.jpg\0"])
def test_names_on_stdin_are_lines_or_have_nul_between_them(content):
    def stage(options):
        return Summary("|".join(options.images))

    def named():
        run(stage, PredictOptions(images=("first.jpg", "-")))

    small = typer.Typer()
    small.command()(named)
    assert CliRunner().invoke(small, input=content).stdout.strip() == "first.jpg|a.jpg|b c.jpg"


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "names no image"), (b"\n\n", "names no image"), (b"\xff.jpg\n", "not UTF-8")]
)
def test_nothing_or_no_unicode_on_stdin_is_one_line(here, monkeypatch, content, message):
    from epitool.nn import inference

    def open_nothing(*_):
        class Card:
            convention, doubts, val_error, mean_pose_error = None, (), 0.0, 1.0

        return type("Engine", (), {"card": Card})

    monkeypatch.setattr(inference, "open_engine", open_nothing)
    monkeypatch.setattr(inference, "check_depth", lambda *_: None)
    assert message in refused(3, "predict", "-", "--model", "m.pt", input=content)


def test_a_pose_json_comes_through_a_pipe_with_its_images(here, truth):
    write_predictions(Path("pose.json"), seen(truth))
    piped = Path("pose.json").read_bytes()
    result = epitool("convert", "-", "--fps", 30, "--out", "walk.trc", input=piped)
    assert result.exit_code == 0, result.output
    assert Path("walk.trc").read_text().startswith("PathFileType")
    for name in seen(truth).images[:1]:
        Path(name).parent.mkdir()
        cv2.imwrite(name, np.zeros((8, 8, 3), np.uint8))
    result = epitool("show", "-", "--out", "page.html", "--frames", 1, input=piped)
    assert result.exit_code == 0, result.output
    assert "1 image" in result.stdout
    assert "give --out FILE" in refused(2, "show", "-", input=piped)
    assert "-: is not JSON" in refused(3, "convert", "-", "--out", "b.trc", input=b"nonsense")
    assert "error: -: cannot read a frame rate" in refused(2, "convert", "-", "--out", "b.trc", input=piped)
    result = epitool("pss-fit", "--poses", "-", "--split", "all", "--k", 2, input=piped)
    assert result.exit_code == 0, result.output


def test_a_frame_is_a_number_in_plain_digits(here):
    Path("clip.mp4").write_bytes(b"film")
    assert image_names(["clip.mp4#12"]) == ["clip.mp4#12"]
    for name in ("clip.mp4#²", "gone.mp4#3"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            image_names([name])


def test_other_options_are_left_as_they_are():
    given = Files(images=("labels.h5",), pairs=STDIO)
    with standard_input(given) as options:
        assert options == given


@pytest.mark.parametrize(
    "arguments",
    [["convert", "labels.h5", "--out", "-"], ["show", "labels.h5", "--out", "-"], ["export", "m.pt", "--out", "-"],
     ["pss-fit", "--stability", "--out", "-"], ["demo", "--out", "-"], ["synth", "--out", "-"]],
)  # fmt: skip
def test_what_cannot_go_to_stdout_is_said(here, arguments):
    assert "--out -: this command cannot write to stdout" in refused(2, *arguments)
    assert list(here.iterdir()) == []


# What may be written over

FOREIGN = {
    "Calib.toml": '[cam]\nname = "a"\n', "pyproject.toml": 'epitool = "epitool.cli:main"',
    "other.json": '{"poses": []}', "paper.tex": "\\documentclass{article}",
    "notes.md": "# Notes", "sheet.csv": "a,b\n", "pose.csv": "fnum\n1.0,0.0,0\n",
    "page.html": "<title>Mine</title>", "model.onnx": "onnx",
    "weights.pt": "weights", "walk.trc": "PathFileType", "film.mp4": "film", "picture.png": "\x89PNG",
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("option", ["out", "table"])
def test_what_epitool_has_not_made_is_not_replaced(here, name, option):
    Path(name).write_text(FOREIGN[name])
    with pytest.raises(UsageError, match=f"--{option} {name}: exists and was not made by epitool"):
        check_outputs(Files(**{option: Path(name)}), [])
    with pytest.raises(UsageError, match=f"{name}: exists"):
        check_outputs(Files(), [Path(name)])
    Path(name).write_text("")
    check_outputs(Files(**{option: Path(name)}), [])


def test_arrays_of_others_are_not_replaced(here):
    np.savez("poses.npz", xyz_mm=np.zeros((2, 17, 3)))
    with h5py.File("theirs.h5", "w") as file:
        file["x"] = np.zeros(3)
    for name in ("poses.npz", "theirs.h5"):
        with pytest.raises(UsageError, match="not made by epitool"):
            check_outputs(Files(out=Path(name)), [])


def test_what_epitool_has_made_is_replaced(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    write_labels(Path("labels.h5"), truth)
    write_rig(Path("cameras.toml"), truth.rig)
    write_predictions(Path("pose.json"), seen(truth))
    pss_fit.run(PssFitOptions(poses=Path("pose.json"), k=(2,), out=Path("pss.npz"), seed=0, split="all"))
    for name in ("labels.h5", "pss.npz"):
        assert epitool("show", name).exit_code == 0
    table = ["evaluate", "--predictions", "pose.json", "--pss", "2", "--table"]
    for name in ("t.csv", "t.md", "t.tex"):
        for _ in range(2):
            assert epitool(*table, name).exit_code == 0
    for _ in range(2):
        assert epitool("convert", "pose.json", "--out", "walk.csv", "--fps", 30).exit_code == 0
    write_video(Path("overlay.mp4"), [np.zeros((32, 32, 3), np.uint8)] * 3, 30.0)
    made = sorted(path.name for path in here.iterdir())
    assert made == [
        "cameras.toml", "keypoints.h5", "labels.h5", "labels.html", "metrics.json", "overlay.mp4", "pose.json",
        "pss.npz", "pss.png", "t.csv", "t.md", "t.tex", "walk.csv",
    ]  # fmt: skip
    check_outputs(Files(), [Path(name) for name in made])
    whole = Path("keypoints.h5").read_bytes()
    Path("keypoints.h5").write_bytes(whole[: len(whole) // 2])  # damaged, and to be made anew
    check_outputs(Files(out=Path("keypoints.h5")), [])


def test_files_whose_names_follow_from_others_are_kept_too(here, truth):
    write_rig(Path("cameras.toml"), truth.rig)
    write_labels(Path("labels.h5"), truth)
    Path("easymocap").mkdir()
    theirs = ["lens_a.yml", "easymocap/intri.yml", "labels.html", "pss-stability.json", "mpii/train.h5"]
    for name in theirs:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")
    for command in (
        ["convert", "cameras.toml", "--out", "lens.yml"],
        ["convert", "cameras.toml", "--out", "easymocap"],
        ["show", "labels.h5"],
        ["pss-fit", "--stability", "--runs", "2", "--k", "2"],
        ["import", "mpii", "."],
    ):
        assert "exists and was not made by epitool" in refused(2, *command)
    assert [Path(name).read_text() for name in theirs] == ["{}"] * len(theirs)
    for ours in ("other.yml", "other.xml", "other.yaml", "folder", "other.qca.txt") * 2:
        assert epitool("convert", "cameras.toml", "--out", ours).exit_code == 0


@pytest.mark.parametrize(
    ("command", "suffix"),
    [("detect2d", ".h5"), ("calibrate", ".toml"), ("triangulate", ".h5"), ("predict", ".json"), ("evaluate", ".json"),
     ("pss-fit", ".npz"), ("refine", ".pt")],
)  # fmt: skip
def test_a_name_says_what_is_in_the_file(here, command, suffix):
    arguments = ["a.jpg"] if command == "predict" else []
    said = refused(2, command, *arguments, "--out", "walk.csv")
    assert f"--out walk.csv: what is written is {suffix}; name the file so" in said
    said = refused(2, command, *arguments, "--out", f"nonexist/out{suffix}")
    assert f"--out nonexist/out{suffix}: there is no folder nonexist" in said
    assert not Path("nonexist").exists()
    Path(f"folder{suffix}").mkdir()
    Path("folder").mkdir()
    for folder in (f"folder{suffix}", "folder"):
        assert f"--out {folder}: is a folder" in refused(2, command, *arguments, "--out", folder)


@pytest.mark.parametrize(
    "command",
    ["detect2d --views a b", "calibrate", "triangulate", "predict a.jpg", "evaluate", "pss-fit", "refine", "train",
     "show labels.h5", "convert labels.h5 --out walk.trc", "mocap a b", "import mpii .", "demo", "synth --out there/s",
     "export m.pt", "evaluate --out - --table t.csv", "predict a.jpg --out - --overlay there"],
)  # fmt: skip
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(here, monkeypatch, command):
    """Whoever is root may write everywhere, so that the system's answer is replaced."""
    Path("there").mkdir()
    monkeypatch.setattr("epitool.cli.outputs.os.access", lambda place, _: Path(place) not in (here, here / "there"))
    assert f"Permission denied in {here}" in refused(3, *command.split())


@pytest.mark.parametrize(
    "command",
    [
        "show {}",
        "predict {}",
        "detect2d --views {}",
        "triangulate --cameras {}",
        "convert {} --out a",
    ],
)
def test_a_file_that_must_not_be_read_is_said(here, monkeypatch, command):
    Path("mine").write_text("secret")
    monkeypatch.setattr("os.access", lambda place, _: Path(place) != Path("mine"))
    assert "mine: permission denied" in refused(3, *command.format("mine").split()).lower()


@pytest.mark.parametrize("command", ["demo", "synth", "import mpii ."])
def test_a_file_where_a_folder_is_written_is_refused(here, truth, command):
    write_rig(Path("cameras.toml"), truth.rig)
    said = refused(2, *command.split(), "--out", "cameras.toml")
    assert "--out cameras.toml: is a file, a folder is written; name another" in said
    assert "cameras.toml is a file, no folder" in refused(2, *command.split(), "--out", "cameras.toml/below")


def test_ours_of_another_kind_is_not_replaced(here, truth):
    write_keypoints(Path("k.h5"), truth.keypoints)
    write_labels(Path("l.h5"), truth)
    write_predictions(Path("pose.json"), seen(truth))
    for command, kept, kinds in (
        (["triangulate"], "k.h5", "holds keypoints, not labels"),
        (["detect2d", "--views", "cam1"], "l.h5", "holds labels, not keypoints"),
        (["evaluate", "--predictions", "other.json"], "pose.json", "holds poses, not metrics"),
    ):
        before = Path(kept).read_bytes()
        assert f"--out {kept}: exists and {kinds}" in refused(2, *command, "--out", kept)
        assert Path(kept).read_bytes() == before
    assert epitool("convert", "l.h5", "--fps", 30, "--out", "walk.csv").exit_code == 0
    before = Path("walk.csv").read_bytes()
    refused(2, "calibrate", "--keypoints", "k.h5", "--out", "walk.csv")
    assert Path("walk.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "command"),
    [("k.h5", "epitool detect2d` or `epitool triangulate"), ("p.json", "epitool predict"), ("c.toml", "epitool cali"),
     ("pss.npz", "epitool pss-fit")],
)  # fmt: skip
def test_show_names_the_command_that_makes_a_missing_file(here, name, command):
    assert f"no such file; `{command}" in refused(3, "show", name)


@pytest.mark.parametrize("option", ["out", "table", "overlay", "pictures"])
def test_no_output_is_an_input(here, option):
    Path("labels.h5").write_text("epitool.labels/1")
    os.link("labels.h5", "same.h5")
    for name in ("labels.h5", "./labels.h5", "same.h5"):
        with pytest.raises(UsageError, match=r"is an input of this command|is a file, a folder is written"):
            check_outputs(Files(**{option: Path(name)}, pairs=Path("labels.h5")), [])
        with pytest.raises(UsageError, match=r"is an input of this command|is a file, a folder is written"):
            check_outputs(Files(**{option: Path("a")}, images=("b", "labels.h5")), [Path(name)])
    check_outputs(Files(out=STDIO, pairs=STDIO), [])
    check_outputs(Files(folder=here, pairs=here), [])


# What is said


def test_tables_and_summaries_cannot_command_the_terminal(capsys):
    set_quiet(False)
    show_table("Title", ["view\x1b[2J"], [["cam\x1b[2J\n1 :car: [red]"]])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert r"cam\x1b[2J\n1 :car: [red]" in said
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_a_table_fits_80_columns_and_cuts_no_word(capsys, monkeypatch):
    monkeypatch.setattr(console._stderr, "_width", 80)
    set_quiet(False)
    titles = ["views", "joints in common", "that fit", "error px", "parallax deg", "frames swapped"]
    numbers = ["3300", "69%", "4.4", "46", "0"]
    show_table("Title", titles, [["cam01 - cam02", *numbers], ["walk_Miqus_7_35441 - walk_Miqus_7_35442", *numbers]])
    show_table("Title", titles, [["cam01 - cam02", *numbers]])
    said = capsys.readouterr().err
    assert said.count("Title\n") == 2
    assert max(map(len, said.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in said
    assert "cam01 - cam02" in said.rpartition("Title")[2]


def test_remarks_keep_their_lines_and_errors_are_one(capsys):
    set_quiet(False)
    say("| a |\n| b\x07 |")
    fail("one\ntwo")
    assert capsys.readouterr().err == "| a |\n| b\\x07 |\nerror: one\\ntwo\n"


def test_a_summary_is_printed_before_the_failure_that_it_ends_in(capsys):
    def stage(_):
        return Summary("cam\x1b1\nnext", {"works": False}, GeometryError("does not work: network"))

    for as_json, printed in ((False, "cam\\x1b1\nnext\n"), (True, '{"works": false}\n')):
        with pytest.raises(typer.Exit) as left, failing_in_one_line():
            run(stage, DoctorOptions(), as_json)
        assert left.value.exit_code == 4
        said = capsys.readouterr()
        assert (said.out, said.err) == (printed, "error: does not work: network\n")
    assert json.loads(printed) == {"works": False}


# Arguments


def test_predictions_are_several_only_where_several_are_measured():
    assert spread_variadic(["evaluate", "--predictions", "a", "b"]).count("--predictions") == 2
    assert spread_variadic(["evaluate", "--predictions", "a", "-"])[-2:] == ["--predictions", "-"]
    for command in ("refine", "pss-fit"):
        assert spread_variadic([command, "--predictions", "a", "b"]) == [command, "--predictions", "a", "b"]
        assert "unexpected extra b.json" in refused(2, command, "--predictions", "a.json", "b.json").lower()


def test_patterns_are_expanded_where_the_shell_leaves_it(here):
    for name in ("cam2", "cam1", "odd[1]"):
        Path(name).mkdir()
    given = ["calibrate", "--views", "cam*", "odd[1]", "none*", "--scale", "height=1.7m"]
    assert expand_patterns(given) == [*given[:2], "cam1", "cam2", *given[3:]]


def test_help_keeps_what_stands_in_brackets_and_the_width_of_the_terminal():
    for name in COMMANDS:
        said = epitool(name, "--help", env={"COLUMNS": "80", "TERM": "dumb"}).stdout
        assert f"Example: epitool {name}" in said
        assert "extra ." not in said
        assert "(extra )" not in said
        assert "…" not in said


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("a\nb"), 3),
        (MemoryError(), 1),
        (cv2.error("OpenCV: error: (-4:Insufficient memory) Failed to allocate 9 bytes\nin function 'f'"), 1),
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), 1),
    ],
)
def test_errors_inside_of_a_stage_are_lines(here, capsys, error, status):
    def stage(_):
        raise error

    with pytest.raises(typer.Exit) as left, failing_in_one_line():
        run(stage, DoctorOptions())
    assert left.value.exit_code == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("variable", "said"), [("OTHER", "error: interrupted"), ("EPITOOL_STEP", "")])
def test_that_a_chain_was_interrupted_is_said_once(monkeypatch, capsys, variable, said):
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("epitool.cli.running.os._exit", lambda status: None)
    leave_at_once(signal.SIGINT)
    assert capsys.readouterr().err[: len("error: interrupted")] == said
