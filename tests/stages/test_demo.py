"""The whole chain as command lines: rendered footage, a very short training, and what is left on disk."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import pytest
import test_cli
from test_cli import in_shell

from epitool import synthetic
from epitool.console import say
from epitool.errors import InputError
from epitool.images import read_images
from epitool.io.sample import sample_recording
from epitool.options import DemoOptions
from epitool.stages import demo
from epitool.stages.shared.steps import Step, StepFailedError, command_line, run_step

FILES = [
    "keypoints.h5",
    "cameras.toml",
    "labels.h5",
    "truth.h5",
    "pss.npz",
    "runs/default/model.pt",
    "runs/default/refiner.pt",
    "pose.json",
    "pose_network.json",
    "metrics.json",
    "report.md",
    "labels.html",
]
FRAMES, SEED = 26, 33  # more poses than `pss-fit` has clusters; in more than ten frames the person stands upright
QUICK = {"train": ["--preset", "small", "--image-size", "64"], "refine": ["--steps", "5"]}
NAMED = [
    ["calibrate", "--views", "cam1", "cam2"],
    ["train", "--pairs", "labels.h5"],
    ["predict", "img.jpg", "--out", "pose.json"],
    ["evaluate", "--pss", "50,100"],
]


def epitool(*arguments, cwd):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        return test_cli.epitool(*arguments)


def step_in_process(arguments, folder):
    """A step, in place of `run_step`, which would import everything again for each."""
    say(f"$ {command_line(arguments)}")
    result = epitool(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return Step(command_line(arguments), result.stdout.strip("\n"), 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A demo on few frames that learns little, in this process."""
    work, lines = tmp_path_factory.mktemp("demo"), demo.command_lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "render_scene", functools.partial(synthetic.render_scene, frames=FRAMES))
        patch.setattr(demo, "command_lines", lambda *a: [[*line, *QUICK.get(line[0], [])] for line in lines(*a)])
        patch.setattr(demo, "run_step", step_in_process)
        result = epitool(
            "demo", "--synthetic", "--epochs", "2", "--seed", str(SEED), "--json", "--out", "out", cwd=work
        )
    assert result.returncode == 0, result.stderr
    (work / "out" / "summary.json").write_text(result.stdout)
    (work / "out" / "stderr.txt").write_text(result.stderr)
    return work / "out"


def test_every_file_of_the_chain_is_there(folder):
    assert [name for name in FILES if not (folder / name).is_file()] == []


def test_every_command_is_printed_before_it_runs(folder):
    said = (folder / "stderr.txt").read_text()
    order = [said.index(f"$ epitool {name}") for name in ("calibrate", "triangulate", "pss-fit", "train", "predict")]
    order += [said.index(f"$ epitool {name}") for name in ("refine", "evaluate")]
    assert order == sorted(order)


def test_stdout_is_the_summary_alone_and_measures_the_cameras(folder):
    values = json.loads((folder / "summary.json").read_text())
    consecutive = [pair["rotation_deg"] for pair in values["pairs"] if pair["consecutive"]]
    assert len(consecutive) == 3
    assert max(consecutive) < 5
    assert values["label_error_after_similarity_mm"]["median"] < 60


def test_the_report_names_pictures_that_are_there(folder):
    report = (folder / "report.md").read_text()
    pictures = [line.partition("](")[2].rstrip(")") for line in report.splitlines() if line.startswith("![")]
    assert len(pictures) >= 5
    for picture in pictures:
        assert cv2.imread(str(folder / picture)).std() > 0


def test_the_network_is_measured_beside_the_mean_pose(folder):
    rows = json.loads((folder / "metrics.json").read_text())["rows"]
    named = [row["name"] for row in rows]
    assert named[:4] == ["pose.json", "pose_network.json", "mean pose", "mean pose per view"]
    peers = ["shipped unit"] if importlib.util.find_spec("mediapipe") is None else ["detector's own 3D", "shipped unit"]
    assert named[4:] == peers
    assert {metric["name"] for metric in rows[0]["metrics"]} >= {"MPJPE", "NMPJPE", "PMPJPE", "PCK@150", "NPCK@150"}


def test_the_four_command_lines_that_were_ordered_work_as_written(folder, tmp_path):
    """In a folder with two views, labels and an image, all else by default; training is cut to what is there.

    The first two views of these tiny images make lenses that are wrong by half, which is refused; the other two work.
    """
    two = tmp_path / "two"
    two.mkdir()
    for place, name, view in (
        (two, "cam1", "cam3"),
        (two, "cam2", "cam4"),
        *((tmp_path, name, name) for name in ("cam1", "cam2", "cam3", "cam4", "runs")),
    ):
        (place / name).symlink_to(folder / view)
    image = read_images([str(folder / "cam1" / f"{FRAMES - 1:05d}.jpg")])
    cv2.imwrite(str(tmp_path / "img.jpg"), cv2.cvtColor(next(image)[1], cv2.COLOR_RGB2BGR))
    pytest.importorskip("mediapipe", reason="needs the detector: pip install 'epitool[mediapipe]' (Python up to 3.12)")
    calibrated = epitool(*NAMED[0], cwd=two)
    assert calibrated.returncode == 0, calibrated.stderr
    assert "is not there: detecting joints first" in calibrated.stderr
    (tmp_path / "labels.h5").symlink_to(folder / "labels.h5")
    for line in NAMED[2:]:
        result = epitool(*line, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "has no image of labels.h5: running a model instead" in result.stderr
    assert len(json.loads((tmp_path / "pose.json").read_text())["poses"]) == 1


def test_running_again_uses_what_is_there(folder):
    again = epitool("detect2d", "--views", "cam1", "cam2", "cam3", "cam4", cwd=folder)
    if again.returncode == 0:
        assert "is already of this footage" in again.stderr
    options = ["--epochs", "2", "--seed", str(SEED), *QUICK["train"]]
    trained = epitool("train", "--pairs", "labels.h5", *options, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    assert "going on with runs/default after epoch 2 of 2" in trained.stderr


def test_a_step_that_fails_stops_the_demo_with_its_status(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "b.mp4").write_text("no video")
    result = in_shell("demo", "--views", "a.mp4", "b.mp4", cwd=tmp_path)
    assert result.returncode == (3 if importlib.util.find_spec("mediapipe") else 2)  # of detect2d, without a detector
    assert "Traceback" not in result.stderr


def test_a_step_that_fails_names_the_folder_of_what_is_there(here, monkeypatch):
    def fails(*_):
        raise StepFailedError("`epitool refine` ended with status 4; see above", 4)

    monkeypatch.setattr(demo, "run_step", fails)
    monkeypatch.setattr(demo, "_rendered", lambda *_: demo.Footage("a title", ("cam1", "cam2")))
    with pytest.raises(StepFailedError, match="see above; epitool-demo has what the steps before it wrote") as failed:
        demo.run(DemoOptions(synthetic=True))
    assert failed.value.exit_status == 4


def test_commands_are_those_of_the_readme_and_quote_odd_names():
    footage = demo.Footage("t", ("a b.mp4", "c.mp4"))
    lines = demo.command_lines(footage, None, 0)
    assert [line[0] for line in lines] == [
        "detect2d", "calibrate", "triangulate", "pss-fit", "train", "predict", "refine", "predict", "evaluate",
        "show",
    ]  # fmt: skip


def test_the_sample_is_copied_only_when_it_differs(tmp_path, monkeypatch):
    recording = sample_recording()
    for _ in range(2):
        footage = demo._sample(tmp_path)
    assert footage.views == tuple(video.name for video in recording.views)
    assert footage.reference is not None
    monkeypatch.setattr(demo, "sample_recording", lambda: (_ for _ in ()).throw(InputError("no network")))
    with pytest.raises(InputError, match="no network; or use `epitool demo --synthetic`"):
        demo._sample(tmp_path)


def test_readme_commands_are_what_ci_runs():
    root = Path(__file__).parents[2]
    if not (root / ".ci/run").exists():
        pytest.skip("not in a checkout: installed packages have no README beside them")
    readme = (root / "README.md").read_text().splitlines()
    first = [readme[i + 1] for i, line in enumerate(readme) if line == "```sh"][:2]
    assert first[0].endswith("epitool demo")
    assert first[1].endswith("pytest -n 4")


def test_a_table_keeps_its_first_line_as_it_is(here, monkeypatch, capsys):
    program = Path("program")
    program.write_text("#!/bin/sh\nprintf '    MPJPE\\na.json 50\\n'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.resolve()))
    assert run_step(["evaluate"]).said == "    MPJPE\na.json 50"
    assert "\n    MPJPE\na.json 50" in capsys.readouterr().err
