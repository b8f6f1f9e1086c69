"""The command line as a shell sees it: exit status, one line on stderr, the summary alone on stdout."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from epitool.cli import app, spread_variadic
from epitool.io.cameras import read_rig, write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.predictions import write_predictions
from epitool.pose import Predictions

COMMANDS = [
    "detect2d", "calibrate", "triangulate", "train", "predict", "export",
    "refine", "pss-fit", "evaluate", "synth", "demo", "import", "convert", "show", "doctor",
]  # fmt: skip


def epitool(*arguments):
    """Runs the command in the current directory and in this process, which has imported and compiled everything."""
    result = CliRunner().invoke(app, spread_variadic(list(map(str, arguments))), prog_name="epitool")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr)


def in_shell(*arguments, **options):
    """Runs the command as a shell does, away from a terminal."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "epitool", *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False, timeout=300, **options,
    )  # fmt: skip


def failing(status, *arguments):
    """Stderr of a command that must fail with this status, one line, and print nothing on stdout."""
    result = epitool(*arguments)
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_help_names_every_command_and_the_exit_statuses():
    text = epitool("--help").stdout
    assert all(command in text for command in COMMANDS)
    assert "1 a process or cluster that was at work is lost" in " ".join(text.split())
    assert "130 interrupted" in " ".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    result = epitool(command, "--help")
    assert result.returncode == 0
    assert f"Example: epitool {command}" in result.stdout


def test_help_imports_nothing_heavy():
    """A law about imports rather than a time, which a busy machine would break."""
    code = "import sys, epitool.cli; print([m for m in ('torch', 'cv2', 'scipy', 'numpy', 'h5py') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "others"),
    [
        ("calibrate", ("torch", "sklearn", "matplotlib")),
        ("triangulate", ("torch", "sklearn", "matplotlib", "scipy.optimize", "scipy.interpolate")),
        ("evaluate", ("torch", "sklearn", "matplotlib", "numba", "cv2")),
    ],
)
def test_commands_start_without_what_others_need(command, others):
    code = f"import sys, epitool.cli, epitool.stages.{command}; print([m for m in {others} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_version_and_completion():
    assert epitool("--version").stdout.startswith("epitool ")
    shown = in_shell("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "complete" in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["calibrate", "--views"],
        ["calibrate", "--method", "magic"],
        ["calibrate", "--scale", "tall"],
        ["predict"],
        ["predict", "img.jpg", "--no-refiner", "--height", "1.8m"],
        ["predict", "img.jpg", "--height", "1.8m", "--root-depth", "2000"],
        ["predict", "cam1/0.png", "--boxes", "keypoints.h5", "--box", "image"],
        ["predict", "cam1/0.png", "--height", "tall"],
        ["refine", "--pairs", "a.h5", "b.h5"],
        ["refine", "--mocap", "mocap.npz", "--predictions", "pose.json"],
        ["refine", "--epochs", "3"],
        ["evaluate", "--pss", "many"],
        ["demo", "--synthetic", "--views", "a", "b"],
        ["demo", "--scale", "height=1.7m"],
        ["demo", "--views", "cam1", "cam2", "--scale", "tall"],
        ["calibrate", "--views", "cam1", "cam2", "--scale", "baseline:cam1,cam9=2m"],
        ["detect2d", "--views", "cam1", "--detector", "crystal-ball"],
    ],
)
def test_usage_errors_end_in_2(here, arguments):
    for view in ("cam1", "cam2"):
        Path(view).mkdir()
        cv2.imwrite(f"{view}/0.png", np.zeros((8, 8, 3), np.uint8))
    assert failing(2, *arguments)


@pytest.mark.parametrize("command", ["detect2d", "calibrate", "demo"])
def test_footage_without_its_option_names_the_option(here, command):
    assert "did you mean --views a.mp4 'b c.mp4'?" in " ".join(failing(2, command, "a.mp4", "b c.mp4").split())
    assert "did you mean" not in failing(2, "triangulate", "a.h5")


def test_the_wrong_order_of_commands_names_the_command_to_run_first(here):
    assert "epitool detect2d" in failing(3, "calibrate")
    assert "epitool detect2d" in failing(3, "triangulate")
    assert "epitool triangulate" in failing(3, "train", "--pairs", "labels.h5")
    assert "epitool train" in failing(3, "predict", "--no-refiner", "img.jpg")
    assert "epitool triangulate" in failing(3, "refine")
    assert "epitool triangulate" in failing(3, "pss-fit")
    assert "epitool triangulate" in failing(3, "evaluate", "--pss", "50,100")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 64], ids=["empty", "text", "torn"])
def test_damaged_inputs_end_in_3_and_write_nothing(here, content):
    for name in ("keypoints.h5", "labels.h5", "cameras.toml", "pose.json"):
        Path(name).write_bytes(content)
    before = {path: path.read_bytes() for path in here.rglob("*")}
    anew = (["calibrate", "--out", "new.toml"], ["triangulate", "--out", "new.h5"])
    for arguments in (*anew, ["train"], ["pss-fit"], ["evaluate"], ["refine"]):
        message = failing(3, *arguments)
        assert message.count("\n") == 1
    assert {path: path.read_bytes() for path in here.rglob("*")} == before


def test_a_checkpoint_that_is_none_ends_in_5(here):
    Path("model.pt").write_text("hello")
    Path("img.jpg").write_text("hello")
    assert "model.pt" in failing(5, "predict", "img.jpg", "--model", "model.pt")


def test_one_view_and_views_without_a_common_frame_end_in_4(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints.select_views(["cam1"]))
    assert "one view (cam1)" in failing(4, "calibrate")
    for name, first in (("a", 0), ("b", 50)):
        Path(name).mkdir()
        for i in range(3):
            cv2.imwrite(f"{name}/{first + i}.png", np.zeros((32, 32, 3), np.uint8))
    pytest.importorskip("mediapipe", reason="needs a detector: pip install 'epitool[mediapipe]'")
    assert "no frame number in common" in failing(4, "detect2d", "--views", "a", "b", "--out", "k.h5")
    assert "nobody was found in 3 images" in failing(4, "detect2d", "--views", "a", "--out", "k.h5")
    assert not Path("k.h5").exists()


def test_geometry_from_a_shell(here, truth, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    write_labels(Path("truth.h5"), truth)
    result = in_shell("calibrate", "--views", "cam1", "cam2", "--fov", "42.8", "--json")
    values = json.loads(result.stdout)
    assert values["unit"] == "arbitrary"
    assert "assuming that the longer image side spans 42.8 degrees" in result.stderr
    assert epitool("calibrate", "--fov", "42.8", "--scale", "height=1.75m", "--quiet").returncode == 0
    result = in_shell("triangulate", "--quiet")
    assert result.stdout.startswith("labels.h5: 120 of 120 frames")
    assert result.stderr == ""
    assert read_labels(Path("labels.h5")).rig.unit == "mm"
    result = epitool("evaluate", "--predictions", "labels.h5", "--truth", "truth.h5", "--pss", "5,10")
    assert "NMPJPE" in result.stdout
    assert json.loads(Path("metrics.json").read_text())["format"] == "epitool.metrics/1"


def test_extrinsics_given_are_used(here, truth, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    write_rig(Path("true.toml"), truth.rig)
    assert epitool("calibrate", "--extrinsics", "true.toml").returncode == 0
    for a, b in zip(read_rig(Path("cameras.toml")).cameras, truth.rig.cameras):
        np.testing.assert_allclose(a.P, b.P, rtol=1e-9)


def test_intrinsics_of_another_mode_are_refused_or_scaled(here, truth, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    write_rig(Path("true.toml"), truth.rig)
    half = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [1, 1, 1]])
    small = [
        replace(c, K=c.K * half - [[0, 0, 0.25], [0, 0, 0.25], [0, 0, 0]], image_size=(192, 192))
        for c in truth.rig.cameras
    ]
    write_rig(Path("half.toml"), replace(truth.rig, cameras=tuple(small)))
    result = epitool("calibrate", "--intrinsics", "half.toml")
    assert "scaled by 2" in result.stderr
    np.testing.assert_allclose(read_rig(Path("cameras.toml")).cameras[0].K, truth.rig.cameras[0].K, atol=1e-6)
    text = Path("true.toml").read_text()
    Path("wide.toml").write_text(text.replace("384,\n    384", "800,\n    384"))
    assert "the view has 384x384" in failing(3, "calibrate", "--intrinsics", "wide.toml")


def test_a_file_that_reads_others_through_links_is_refused(here, truth):
    write_labels(Path("labels.h5"), truth)
    with h5py.File("labels.h5", "r+") as file:
        del file["xyz"]
        file["xyz"] = h5py.ExternalLink("/etc/hostname", "/")
    assert failing(3, "pss-fit").count("\n") == 1


def test_ctrl_c_in_detect2d_keeps_what_is_done_and_the_next_run_goes_on(here):
    """A slow detector stands in, so that the signal comes in the middle of the work."""
    Path("cam").mkdir()
    for i in range(200):
        cv2.imwrite(f"cam/{i}.png", np.full((16, 16, 3), i, np.uint8))
    Path("slow.py").write_text(
        "import signal, sys, time, numpy as np\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "import epitool.stages.shared.detecting as stage\n"
        "from epitool.skeleton import skeleton\n"
        "class Slow:\n"
        "    name, skeleton = 'slow', skeleton('coco17')\n"
        "    def detect(self, image):\n"
        "        print('detected', flush=True)\n"
        "        time.sleep(0.02)\n"
        "        return np.full((17, 2), float(image[0, 0, 0])), np.ones(17)\n"
        "stage.open_detector = lambda name, device: Slow()\n"
        "from epitool.cli import main\n"
        "sys.argv = ['epitool', 'detect2d', '--views', 'cam', '--detector', 'mediapipe']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "slow.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(60):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run the same command again" in error
    assert not Path("keypoints.h5").exists()
    first = 60 + rest.count("detected")
    again = subprocess.run([sys.executable, "slow.py"], capture_output=True, text=True, env=environment, check=True)
    assert again.stdout.count("detected") <= 200 - first + 1
    with h5py.File("keypoints.h5") as file:
        np.testing.assert_array_equal(file["xy"][:, 0, 0, 0], np.arange(200))
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_out_never_replaces_an_input_or_a_foreign_file(here, truth, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    write_rig(Path("cameras.toml"), truth.rig)
    Path("holiday.mp4").write_bytes(b"footage")
    before = {path: path.read_bytes() for path in here.iterdir()}
    for out in ("keypoints.h5", "cameras.toml", "./keypoints.h5", "holiday.mp4"):
        assert "--out" in failing(2, "triangulate", "--out", out)
    assert {path: path.read_bytes() for path in here.iterdir()} == before


def test_a_view_in_which_nobody_is_seen_is_left_out_by_name_whatever_the_jobs(here, truth):
    confidence = truth.keypoints.confidence.copy()
    confidence[:, 2] = 0
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, confidence=confidence))
    for jobs in (1, -1):
        result = epitool("calibrate", "--fov", "42.8", "--jobs", jobs, "--json")
        assert "view cam3: is left out: it shows 0 joints that other views place" in " ".join(result.stderr.split())
        assert list(json.loads(result.stdout)["left_out"]) == ["cam3"]
    two = replace(truth.keypoints, confidence=confidence).select_views(["cam2", "cam3"])
    write_keypoints(Path("keypoints.h5"), two)
    assert "views cam2 and cam3: 0 joints seen in both" in failing(4, "calibrate")


def test_a_calibration_that_is_not_to_be_trusted_writes_nothing(here, truth):
    """Four frames of a person in four views, badly detected: status 4, the reasons, and no file."""
    rng = np.random.default_rng(0)
    few = truth.keypoints.select_frames(np.arange(4))
    write_keypoints(Path("keypoints.h5"), replace(few, xy=few.xy + rng.normal(0, 15, few.xy.shape)))
    assert "no cameras to be trusted" in failing(4, "calibrate", "--fov", "42.8")
    assert not Path("cameras.toml").exists()


@pytest.mark.parametrize("method", ["essential", "fundamental"])
def test_a_frozen_view_is_named(here, truth, method):
    xy = truth.keypoints.xy.copy()
    xy[:, 2] = xy[0, 2]
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, xy=xy))
    said = " ".join(epitool("calibrate", "--method", method, "--fov", "42.8").stderr.split())
    assert "view cam3" in said
    assert "its joints do not move while those of other views do; is its recording frozen?" in said


@pytest.mark.parametrize("command", ["calibrate", "triangulate"])
def test_keypoints_of_nobody_are_said_to_be_that(here, truth, command):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    write_rig(Path("cameras.toml"), truth.rig)
    lost = failing(4, command, "--min-confidence", "2", "--out", f"out.{'toml' if command == 'calibrate' else 'h5'}")
    assert "keypoints.h5: --min-confidence 2 leaves out all joints" in lost
    nobody = replace(truth.keypoints, xy=np.full_like(truth.keypoints.xy, np.nan))
    write_keypoints(Path("keypoints.h5"), nobody)
    lost = failing(4, command, "--out", f"out.{'toml' if command == 'calibrate' else 'h5'}")
    assert "keypoints.h5: nobody was found in any view" in lost


def test_a_view_of_nobody_is_named(here, truth):
    xy = truth.keypoints.xy.copy()
    xy[:, 3] = np.nan
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, xy=xy))
    write_rig(Path("cameras.toml"), truth.rig)
    assert "nobody was found in view cam4; the poses are" in " ".join(epitool("triangulate").stderr.split())
    xy[:, 2] = np.nan
    xy[5:, 1] = np.nan
    xy[:, 0, 2:] = np.nan
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, xy=xy))
    lost = failing(4, "calibrate", "--fov", "42.8", "--out", "out.toml")
    assert "views cam1 and cam3, cam1 and cam4, cam2 and cam3, ...: 0 joints seen in both" in lost


def test_a_view_given_twice_is_named(here, truth):
    xy = truth.keypoints.xy.copy()
    xy[:, 2] = xy[:, 0]
    write_keypoints(Path("keypoints.h5"), replace(truth.keypoints, xy=xy))
    assert "views cam1 and cam3 have the same joints in every image" in failing(3, "calibrate")


def test_the_method_without_a_verdict_says_so(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    said = epitool("calibrate", "--method", "fundamental", "--fov", "42.8").stdout
    assert said.endswith(", no verdict with --method fundamental\n")


def test_views_after_an_equals_sign(here, truth, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    result = epitool("calibrate", "--views=cam1", "cam2", "cam3", "--fov", "42.8", "--json")
    assert len(json.loads(result.stdout)["pairs"]) == 3


def test_a_full_output_is_said_in_one_line(here, truth):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    write_rig(Path("cameras.toml"), truth.rig)
    command = [sys.executable, "-m", "epitool", "convert", "cameras.toml", "--out", "Calib.toml"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 3
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr


def test_names_that_the_output_has_no_letters_for_are_spelled_out(here, truth):
    write_rig(Path("cameras.toml"), truth.rig)
    result = in_shell("convert", "cameras.toml", "--out", "Halle-Ж.toml", env={"PYTHONIOENCODING": "cp1252"})
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(r"Halle-\u0416.toml: 4 cameras")


@pytest.mark.parametrize("before", ["default_int_handler", "SIG_IGN"])
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(before):
    """The system ends the process then; a job in the background goes on ignoring it."""
    code = (
        f"import signal, sys, types; signal.signal(signal.SIGINT, signal.{before}); import epitool.__main__ as entry\n"
        "print_it = lambda: print(signal.getsignal(signal.SIGINT).name)\n"
        "sys.modules['epitool.cli'] = types.SimpleNamespace(main=print_it); entry.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ("SIG_IGN" if before == "SIG_IGN" else "SIG_DFL")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command",
    ["--help", "evaluate --help", "--version", "convert cameras.toml --out Calib.toml", "triangulate --out -"],
)
@pytest.mark.parametrize("stream", [">/dev/full", ">&-"])
def test_a_stdout_that_takes_nothing_is_said_in_one_line(here, truth, command, stream):
    write_rig(Path("cameras.toml"), truth.rig)
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    line = f"exec {sys.executable} -m epitool {command} {stream}"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stderr.count("error: ")) == (3, 1), result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: "), result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_stderr_that_takes_nothing_ends_no_work(here, truth):
    """As where remarks go into a file on a disk that is full."""
    write_labels(Path("labels.h5"), truth)
    for stream in ("2>/dev/full", "2>&-"):
        line = f"exec {sys.executable} -m epitool evaluate --predictions labels.h5 --pss 5 {stream}"
        result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=300)
        assert (result.returncode, "MPJPE" in result.stdout) == (0, True)
        line = f"exec {sys.executable} -m epitool show nothing.h5 {stream}"
        assert subprocess.run(["sh", "-c", line], check=False, timeout=300).returncode == 3


@pytest.mark.skipif(os.name == "nt", reason="shells there do not close streams")
def test_a_closed_stdin_holds_nothing(here, truth):
    write_labels(Path("labels.h5"), truth)
    command = f"exec {sys.executable} -m epitool evaluate --predictions - <&-"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stderr.count("\n")) == (3, 1)
    assert "-: is not JSON" in result.stderr


def test_run_names_stay_in_runs(here, truth):
    write_labels(Path("labels.h5"), truth)
    assert "--name" in failing(2, "train", "--name", "../evil")
    assert "--lr nan" in failing(2, "train", "--lr", "nan")


def test_what_is_no_regular_file_is_written_into_not_replaced(here, truth):
    """Or `--out /dev/null` would, for root, end the machine's /dev/null."""
    write_keypoints(here / "keypoints.h5", truth.keypoints.select_frames(np.arange(40)))
    os.mkfifo(here / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True)
    assert epitool("calibrate", "--fov", "43", "--out", "pipe").returncode == 0
    assert 'format = "epitool.cameras/1"' in reader.communicate()[0]
    assert (here / "pipe").is_fifo()


def test_a_dash_is_stdout_and_stdin(here, truth):
    write_keypoints(here / "keypoints.h5", truth.keypoints.select_frames(np.arange(40)))
    result = in_shell("calibrate", "--fov", "43", "--out", "-")
    assert result.stdout.startswith("[cam_0]")
    assert "verdict" in result.stderr or "cameras" in result.stderr
    assert not (here / "-").exists()
    assert "both are for stdout" in failing(2, "calibrate", "--out", "-", "--json")


def test_predictions_come_through_a_pipe(here, truth):
    write_labels(here / "labels.h5", truth)
    poses, names = truth.in_cameras[:, 0], tuple(truth.keypoints.images[:, 0].tolist())
    count = len(names)
    seen = Predictions(
        names, np.tile([0.0, 0, 9, 9], (count, 1)), poses - poses[:, :1], truth.keypoints.xy[:, 0],
        np.ones((count, 17)), truth.poses.skeleton, "mm", {},
    )  # fmt: skip
    write_predictions(here / "seen.json", seen)
    result = in_shell("evaluate", "--predictions", "-", "--pss", "5", input=(here / "seen.json").read_text())
    assert result.returncode == 0, result.stderr
    assert "PMPJPE" in result.stdout + result.stderr


def test_the_end_does_not_look_for_garbage():
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 0));"
        " sys.argv[1:] = ['--version']; from epitool.cli import main; main()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith("True\n")
