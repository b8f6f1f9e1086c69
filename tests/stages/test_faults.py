"""Runs that are killed, interrupted, doubled, or out of disk: the next run goes on, and ends in the same bytes.

`EPITOOL_FAULTS=20 pytest -m '' tests/stages/test_faults.py` kills every command at twenty moments instead of one.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from test_checkpoint import TINY, some_card
from test_cli import epitool
from tiers import thorough_but

from epitool.errors import UsageError
from epitool.files import alone_at, remove_stale, writing
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.predictions import write_predictions
from epitool.nn.checkpoint import Model, save_model
from epitool.nn.network import build_network
from epitool.pose import Predictions
from epitool.synthetic import noisy_keypoints, render_scene

MOMENTS = int(os.environ.get("EPITOOL_FAULTS", "1"))
SMALL = ["--preset", "small", "--image-size", "64", "--epochs", "2", "--precision", "32"]
GOING_ON = ("detect2d", "train")  # which do not begin again
COMMANDS = {
    "detect2d": ["detect2d", "--views", "cam1", "cam2", "--detector", "model.pt", "--out", "found.h5"],
    "calibrate": ["calibrate", "--fov", "43", "--out", "found.toml"],
    "triangulate": ["triangulate", "--out", "found.h5"],
    "refine": ["refine", "--pairs", "labels.h5", "--steps", "3", "--name", "found"],
    "train": ["train", "--pairs", "scene.h5", *SMALL, "--name", "found"],
}


def start(folder: Path, arguments: list[str], **options) -> subprocess.Popen:
    """A command in a folder, as from a shell; Ctrl-C reaches it even where this process ignores it."""
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from epitool.cli import main; main()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder, env=environment, stdout=-1, stderr=-1, text=True, **options,
    )  # fmt: skip


def ended(folder: Path, arguments: list[str]) -> SimpleNamespace:
    """What a command says in the end that is run in this process, where nothing is to happen to the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return epitool(*arguments)


def finish(folder: Path, arguments: list[str]) -> None:
    result = ended(folder, arguments)
    assert result.returncode == 0, result.stderr


def found(folder: Path) -> dict[str, object]:
    """What a command has made: bytes, but for training, whose archives and times differ: weights."""
    out: dict[str, object] = {path.name: path.read_bytes() for path in folder.glob("found*") if path.is_file()}
    for path in folder.glob("runs/found/[!.]*.pt"):
        content = torch.load(path, weights_only=True)
        out[path.name] = dict(content["weights"]) if "weights" in content else content
    return out


def same(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    return one == other


@pytest.fixture(scope="module")
def sound(tmp_path_factory, truth) -> Path:
    """A folder in which every command works."""
    folder = tmp_path_factory.mktemp("sound")
    write_keypoints(folder / "keypoints.h5", noisy_keypoints(truth, sigma_px=1.0, outliers=0.0, swap_share=0.0, seed=0))
    write_labels(folder / "labels.h5", truth)
    write_rig(folder / "cameras.toml", truth.rig)
    scene = render_scene(folder / "scene", frames=6, seed=3)
    relative = np.array([[os.path.relpath(name, folder) for name in row] for row in scene.keypoints.images.tolist()])
    here = Path.cwd()
    os.chdir(folder)
    write_labels(folder / "scene.h5", replace(scene, keypoints=replace(scene.keypoints, images=relative)))
    os.chdir(here)
    weights = build_network(17, TINY).state_dict()
    last = list(weights)[-2]
    weights[last] = torch.randn(weights[last].shape, generator=torch.Generator().manual_seed(0))  # joints stand apart
    save_model(folder / "model.pt", Model(weights, some_card(sharpness=1e-9)))
    for view in ("cam1", "cam2"):
        (folder / view).mkdir()
        for i in range(60):
            image = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / view / f"{i}.png"), image)
    poses, names = truth.in_cameras[:, 0], tuple(truth.keypoints.images[:, 0].tolist())
    relative_poses = poses - poses[:, :1] + np.random.default_rng(0).normal(0, 20, poses.shape)
    boxes, xy = np.tile([0.0, 0, 99, 99], (len(poses), 1)), truth.keypoints.xy[:, 0]
    os.chdir(folder)
    write_labels(Path("labels.h5"), truth)
    write_predictions(
        Path("pose.json"),
        Predictions(names, boxes, relative_poses, xy, np.ones(xy.shape[:2]), truth.poses.skeleton, "mm", {}),
    )
    os.chdir(here)
    return folder


@pytest.fixture(scope="module")
def undisturbed(sound, tmp_path_factory) -> Callable[[str], tuple[float, dict[str, object]]]:
    """How long a command takes, and what it makes."""

    @cache
    def run(name: str) -> tuple[float, dict[str, object]]:
        folder = tmp_path_factory.mktemp(name) / "work"
        shutil.copytree(sound, folder)
        begin = time.monotonic()
        process = start(folder, COMMANDS[name])
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        seconds, made = time.monotonic() - begin, found(folder)
        assert made
        return seconds, made

    return run


def leftovers(folder: Path) -> list[str]:
    """Hidden files that a run has left."""
    return sorted(path.name for path in folder.rglob(".*"))


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("name", thorough_but(COMMANDS, "triangulate"))
def test_after_a_kill_the_next_run_ends_in_the_same_bytes(sound, undisturbed, tmp_path, name, moment):
    seconds, expected = undisturbed(name)
    shutil.copytree(sound, tmp_path / "work")
    rng = np.random.default_rng([moment, *name.encode()])
    for share in rng.uniform(0.2, 1.0, 2 if name in GOING_ON else 1):  # the run that goes on is killed too
        process = start(tmp_path / "work", COMMANDS[name])
        time.sleep(seconds * share)
        process.kill()
        process.communicate()
    finish(tmp_path / "work", COMMANDS[name])
    assert same(found(tmp_path / "work"), expected)


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("name", thorough_but(COMMANDS, "triangulate"))
def test_ctrl_c_at_any_moment_is_one_line_and_leaves_nothing_half_done(sound, undisturbed, tmp_path, name, moment):
    seconds, expected = undisturbed(name)
    shutil.copytree(sound, tmp_path / "work")
    share = np.random.default_rng([moment, 1, *name.encode()]).uniform(0.3, 1.0)
    process = start(tmp_path / "work", COMMANDS[name])
    time.sleep(seconds * share)
    process.send_signal(signal.SIGINT)
    if moment % 2 == 0:  # and once more
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode in (0, 130), said
    if process.returncode == 130:
        assert said.strip().splitlines()[-1].startswith("error: interrupted"), said
    assert not [file for file in leftovers(tmp_path / "work") if not file.startswith(".found.h5.parts")]
    finish(tmp_path / "work", COMMANDS[name])
    assert same(found(tmp_path / "work"), expected)
    assert not leftovers(tmp_path / "work")


def test_sigterm_ends_as_ctrl_c_does_with_nothing_half_written(tmp_path):
    """As `timeout` and batch systems send it: in a status of its own."""
    code = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from epitool.cli.running import failing_in_one_line, handle_interrupts, interrupt, leave_at_once\n"
        "from epitool.files import writing\n"
        "handle_interrupts(leave_at_once, [signal.SIG_DFL])\n"
        "handle_interrupts(interrupt, [leave_at_once])\n"
        "with failing_in_one_line(), writing(Path('labels.h5')) as half:\n"
        "    half.write_text('half')\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(10)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (143, "error: terminated; run the same command again\n")
    assert list(tmp_path.iterdir()) == []


def told_of_ctrl_c(setup, act):
    """What a program prints that is interrupted while it acts, and would go on for ten seconds, on both streams."""
    code = (
        f"import os, signal, time\nfrom epitool.cli.running import interrupt\n{setup}"
        "signal.signal(signal.SIGINT, interrupt)\n"
        f"try:\n    {act}; time.sleep(10); print('lost')\n"
        "except KeyboardInterrupt:\n    print('heard')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return result.stdout, result.stderr


def test_ctrl_c_while_an_object_is_freed_is_not_lost():
    """What is raised in `__del__` is swallowed by the interpreter; the handler then waits for another moment."""
    setup = (
        "class Freed:\n"
        "    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n        time.sleep(0.1)\n"
        "        print('freed', flush=True)\n"
    )
    assert told_of_ctrl_c(setup, "thing = Freed(); del thing") == ("freed\nheard\n", "")


def test_ctrl_c_inside_of_compiled_code_is_not_lost():
    """Numba's boxing goes on where the Python that it calls has failed, and ends in a SystemError."""
    setup = (
        "import numpy as np\n"
        "from numba import njit\n"
        "from numba.core import serialize\n"
        "class Memo(dict):\n"
        "    def __getitem__(self, key):\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().__getitem__(key)\n"
        "two = njit(lambda x: (np.ones(3) * x, np.ones((2, 2))))\n"
        "serialize._unpickled_memo = Memo()\n"
    )
    assert told_of_ctrl_c(setup, "two(1.0)") == ("heard\n", "")


def test_ctrl_c_inside_of_the_compiler_is_not_lost():
    """LLVM calls Python with the code that it has compiled, or wants to load, and nobody above hears an error."""
    setup = (
        "from llvmlite.binding import executionengine\n"
        "from numba import njit\n"
        "read = executionengine.string_at\n"
        "def slowly(*place):\n    os.kill(os.getpid(), signal.SIGINT)\n    return read(*place)\n"
        "executionengine.string_at = slowly\n"
    )
    assert told_of_ctrl_c(setup, "njit(lambda x: 2 * x)(1.0)") == ("heard\n", "")


@pytest.mark.parametrize("name", thorough_but(GOING_ON, "detect2d"))
def test_a_second_run_at_the_same_work_is_refused_and_the_first_not_disturbed(sound, undisturbed, tmp_path, name):
    shutil.copytree(sound, tmp_path / "work")
    with alone_at(tmp_path / "work" / {"detect2d": ".found.h5.parts", "train": "runs/found"}[name]):
        result = ended(tmp_path / "work", COMMANDS[name])
        assert (result.returncode, result.stdout) == (2, "")
        assert "another run is at work there" in result.stderr
    finish(tmp_path / "work", COMMANDS[name])
    assert same(found(tmp_path / "work"), undisturbed(name)[1])


def test_the_lock_of_a_killed_run_does_not_stay(tmp_path):
    code = "import sys, time; from pathlib import Path; from epitool.files import alone_at\n"
    code += "with alone_at(Path('work')):\n    print('locked', flush=True)\n    time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=-1, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(UsageError, match="another run"), alone_at(tmp_path / "work"):
        pass
    process.kill()
    process.communicate()
    with alone_at(tmp_path / "work"):
        pass
    assert leftovers(tmp_path) == []


def test_what_a_killed_run_was_writing_goes_after_a_day(tmp_path):
    for age, name in ((100_000, ".epitool-old.h5"), (100, ".epitool-new.h5"), (100_000, "mine.h5")):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".epitool-new.h5", "mine.h5"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, where it can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("to mount a file system takes an administrator")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", thorough_but(["detect2d", "triangulate", "refine", "train"], "detect2d", "refine"))
def test_a_full_disk_is_one_line_and_leaves_nothing(sound, small_disk, tmp_path, name):
    shutil.copytree(sound, tmp_path / "work")
    arguments = list(COMMANDS[name])
    if "--out" in arguments:
        arguments[-1] = f"disk/{arguments[-1]}"
    else:
        (small_disk / "runs").mkdir()
        (tmp_path / "work" / "runs").symlink_to(small_disk / "runs")
    (tmp_path / "work" / "disk").symlink_to(small_disk)
    (small_disk / "filling").write_bytes(bytes(270_000))
    result = ended(tmp_path / "work", arguments)
    assert result.returncode == 3, result.stderr
    assert "No space left on device" in result.stderr
    assert result.stdout == ""
    assert not [file for file in small_disk.rglob("*") if file.name.startswith(("found.", ".epitool-"))]
    (small_disk / "filling").unlink()
    subprocess.run(["mount", "-o", "remount,size=1g", str(small_disk)], check=True)
    finish(tmp_path / "work", arguments)


def drop_rights() -> None:
    """Takes from a process of root that it may write where nobody may."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


@pytest.mark.skipif(sys.platform != "linux", reason="rights are dropped by a call of Linux")
@pytest.mark.parametrize("name", thorough_but(COMMANDS, "triangulate", "train"))
def test_a_folder_that_cannot_be_written_to_is_one_line(sound, tmp_path, name):
    work = tmp_path / "work"
    shutil.copytree(sound, work)
    work.chmod(0o555)
    process = start(work, COMMANDS[name], preexec_fn=drop_rights)
    out, said = process.communicate(timeout=120)
    work.chmod(0o755)
    assert process.returncode == 3, said
    assert "Permission denied" in said
    assert "Traceback" not in said
    assert out == ""
    assert not leftovers(work)


def test_what_fails_in_the_middle_leaves_the_file_that_was_there(tmp_path):
    (tmp_path / "labels.h5").write_bytes(b"before")

    def fail() -> None:
        with writing(tmp_path / "labels.h5") as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "labels.h5").read_bytes() == b"before"
    assert leftovers(tmp_path) == []


def test_a_killed_process_of_two_ends_the_other_in_one_line(sound, tmp_path):
    """Of distributed training: the one that is left must neither wait for ever nor end in a traceback."""
    shutil.copytree(sound, tmp_path / "work")
    arguments = [*COMMANDS["train"][:-1], "two", "--devices", "2", "--epochs", "200"]
    process = subprocess.Popen(  # not by `python -c`: the other process is started with the same words
        [sys.executable, "-m", "epitool", *arguments], cwd=tmp_path / "work", stdout=-1, stderr=-1, text=True
    )
    assert any("epoch 1/" in line for line in process.stderr)
    log, until = tmp_path / "work/runs/two/log.jsonl", time.monotonic() + 30
    while not log.exists() and time.monotonic() < until:  # written after the line is
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert children
    os.kill(int(children[0]), signal.SIGKILL)
    _, said = process.communicate(timeout=90)
    assert process.returncode not in (0, None)
    assert "Traceback" not in said, said
    assert json.loads(log.read_text().splitlines()[0])["epoch"] == 1
    assert read_labels(tmp_path / "work" / "scene.h5")
