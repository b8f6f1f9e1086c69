"""The same seed gives the same bytes, whatever the number of threads; docs/conventions.md says where that ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_cli import epitool, in_shell
from tiers import thorough_but

from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels

COMMANDS = {
    "calibrate": ["calibrate", "--fov", "43", "--out", "made.toml"],
    "calibrate-unknown-lenses": ["calibrate", "--out", "made.toml"],
    "calibrate-paper": ["calibrate", "--fov", "43", "--method", "fundamental", "--out", "made.toml"],
    "triangulate": ["triangulate", "--out", "made.h5"],
    "triangulate-bones": ["triangulate", "--bones", "--out", "made.h5"],
    "triangulate-smooth": ["triangulate", "--smooth", "--out", "made.h5"],
    "triangulate-paper": ["triangulate", "--combine", "vector-median", "--out", "made.h5"],
    "pss-fit": ["pss-fit", "--k", "10", "--out", "made.npz"],
    "evaluate": ["evaluate", "--predictions", "labels.h5", "--pss", "10", "--out", "made.json"],
}


def taken(folder: Path) -> bytes:
    """What a command has made, which is not there afterwards."""
    (path,) = folder.glob("made.*")
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture(scope="module")
def recording(tmp_path_factory, truth, detected) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    write_keypoints(folder / "keypoints.h5", detected.select_frames(np.arange(60)))
    write_rig(folder / "cameras.toml", truth.rig)
    write_labels(folder / "labels.h5", truth)
    return folder


@pytest.mark.parametrize("name", thorough_but(COMMANDS, "calibrate", "triangulate", "pss-fit"))
def test_bytes_do_not_depend_on_threads_or_on_the_run(recording, monkeypatch, name):
    """In this process, and in another with more threads of BLAS and OpenMP, and of its own."""
    monkeypatch.chdir(recording)
    result = epitool(*COMMANDS[name], "--jobs", "1", "--quiet")
    assert result.returncode == 0, result.stderr
    first = taken(recording)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "4")
    result = in_shell(*COMMANDS[name], "--jobs", "3", "--quiet", env=threads)
    assert result.returncode == 0, result.stderr
    assert taken(recording) == first
