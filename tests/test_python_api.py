"""The package as a library: its few names, and the documentation's examples, run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import epitool
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.synthetic import noisy_keypoints

DOCS = Path(__file__).parent.parent / "docs"


def examples(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)


def test_every_name_is_there():
    for name in dir(epitool):
        assert getattr(epitool, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        epitool.nothing  # noqa: B018


def test_import_brings_in_nothing_heavy():
    code = "import epitool, sys; print([m for m in ('numpy', 'torch', 'cv2', 'scipy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_examples_of_the_documentation_run(here, truth, capsys):
    rig = replace(truth.rig, cameras=tuple(replace(c, R=np.eye(3), t=np.zeros(3)) for c in truth.rig.cameras))
    write_keypoints(Path("keypoints.h5"), noisy_keypoints(truth, sigma_px=1.0, outliers=0.02, swap_share=0.0, seed=0))
    write_rig(Path("lenses.toml"), rig)
    write_labels(Path("truth.h5"), truth)
    blocks = examples("python.md")
    assert len(blocks) == 3
    for block in blocks:
        exec(block, {})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("pass")
    assert said[1] == "(120, 17, 3) (120, 17, 6)"
    assert all(float(error) < 40 for error in said[2].split())
    assert said[3].startswith("mm ")


def test_every_page_with_examples_has_a_test_that_runs_them():
    assert {page.name for page in DOCS.glob("*.md") if examples(page.name)} == {
        "python.md",
        "metrics.md",
        "detectors.md",
    }


def test_the_example_of_metrics_runs():
    (block,) = examples("metrics.md")
    exec(block, {})


def test_the_example_of_detectors_runs_and_blazepose_says_nothing_of_its_own(here):
    """Its networks' threads speak past Python, as they start and when they first look into a crop."""
    pytest.importorskip("mediapipe")
    writer = cv2.VideoWriter("cam1.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64))
    for _ in range(3):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    (block,) = examples("detectors.md")
    look = (
        "from mediapipe.framework.formats.rect_pb2 import NormalizedRect\n"
        "detector._seen_and_hidden(image, NormalizedRect(x_center=0.5, y_center=0.5, width=0.5, height=0.5))"
    )
    done = subprocess.run([sys.executable, "-c", block + look], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 0
    assert done.stderr == ""
