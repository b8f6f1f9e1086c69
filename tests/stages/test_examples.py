"""The scripts in `examples/`: those for data sets that nobody may pass on are command lines that epitool takes, in
order; the others run on small footage.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import exact_labels

from epitool.images import read_images
from epitool.io.labels_h5 import write_labels
from epitool.io.sample import sample_recording
from epitool.options import ConvertOptions
from epitool.stages import convert

EXAMPLES = Path(__file__).parents[2] / "examples"
# Reads a command line as epitool would, notes it, and leaves the files that it would have made.
RECORDER = """#!{python}
import sys
from pathlib import Path
import typer
from epitool.cli import app, spread_variadic
group = typer.main.get_command(app)
name, *rest = spread_variadic(sys.argv[1:])
options = group.commands[name].make_context(name, list(rest)).params
with open("ran.txt", "a") as file:
    print(name, *rest, file=file)
absent = [word for word in rest if Path(word).suffix and not Path(word).exists() and word != str(options.get("out"))]
if absent:
    sys.exit(f"{{name}} reads {{absent}}, which nothing has made")
made = [Path(options["out"])] if options.get("out") else []
made += [Path("runs", options["name"], "model.pt")] if name == "train" else []
made += [Path("runs", options["name"], "refiner.pt")] if name == "refine" else []
for path in made:
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)
        for part in ("train.h5", "test.h5"):
            (path / part).touch()
"""


@pytest.mark.parametrize(
    ("script", "rows", "geometry"),
    [
        ("h36m", 12, "paper"),
        ("mpi_inf_3dhp", 4, "epitool"),
        pytest.param("h36m", 12, "epitool", marks=pytest.mark.thorough),
        pytest.param("mpi_inf_3dhp", 4, "paper", marks=pytest.mark.thorough),
    ],
)
def test_scripts_of_the_tables_are_command_lines_of_ours(here, script, rows, geometry):
    recorder = here / "bin" / "epitool"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)
    environment = {**os.environ, "PATH": f"{recorder.parent}:{os.environ['PATH']}", "GEOMETRY": geometry, "EPOCHS": "1"}
    command = ["bash", str(EXAMPLES / script / "tables.sh"), "/data/set", "/data/mpii"]
    for _ in range(2 if script == "mpi_inf_3dhp" else 1):  # what is there is not made again
        result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("== Table") == rows
    ran = (here / "ran.txt").read_text().splitlines()
    for line in ran:
        if not line.startswith("evaluate"):
            assert ran.count(line) == 1


def run_example(*command, cwd, **variables):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    result = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_labels_that_are_not_filtered_are_those_of_their_trc(here, truth):
    write_labels(Path("labels.h5"), truth)
    convert.run(ConvertOptions(inputs=[Path("labels.h5")], out=Path("walk.trc"), unit="m", names="pose2sim", fps=60))
    said = run_example(sys.executable, EXAMPLES / "compare_trc.py", "labels.h5", "walk.trc", cwd=here)
    assert "12 joints; apart: median 0.0 mm, 90%: 0.0" in said


@pytest.mark.thorough
def test_the_chain_ends_on_the_error_of_a_network(here):
    recording, views = sample_recording(), []
    for video in recording.views:
        views.append(str(here / video.name))
        frames = [image[..., ::-1] for _, image in read_images([f"{video}#{i}" for i in range(30)])]
        writer = cv2.VideoWriter(views[-1], cv2.VideoWriter_fourcc(*"mp4v"), 60, frames[0].shape[1::-1])
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
        writer.release()
    said = run_example(EXAMPLES / "chain.sh", *views, cwd=here, EPOCHS="1", INTRINSICS=str(recording.calibration))
    assert float(said.rpartition(":")[2]) > 0


@pytest.mark.thorough
def test_the_study_makes_its_tables(here):
    """With two of its five networks, which learn little."""
    code = """if True:
        import sys
        from functools import partial
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        import study
        study.NETWORKS = {name: study.NETWORKS[name] for name in ("FS", "SS")}
        study.RefineOptions = partial(study.RefineOptions, steps=5)
        Path("study").mkdir()
        study.run(study.Study(Path("study"), None, 7, frames=8, size=256, start_epochs=1, epochs=1, seeds=(0,)))
    """
    run_example(sys.executable, "-c", code, EXAMPLES / "study", cwd=here)
    table = (here / "study" / "results.md").read_text()
    assert [
        name for name in ("true 2D, epitool", "detected 2D, no R, paper", "SS + RU, epitool") if name not in table
    ] == []
    assert (here / "study" / "images.png").is_file()


def test_what_measures_the_shipped_unit_looks_as_predict_does(here, monkeypatch):
    """Two looks at a frame of a video and, by a detector that can, more at an image by itself."""
    spec = importlib.util.spec_from_file_location("measure", EXAMPLES / "shipped_unit/measure.py")
    measure = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "measure", measure)
    spec.loader.exec_module(measure)
    truth = exact_labels(frames=2)
    images = np.array([[f"{view}_{f}.png" for view in truth.rig.names] for f in range(2)])
    for name in images.ravel():
        cv2.imwrite(name, np.zeros((*truth.rig.cameras[0].image_size[::-1], 3), np.uint8))
    write_labels(Path("labels.h5"), replace(truth, keypoints=replace(truth.keypoints, images=images)))

    class Blind:
        name, skeleton = "blind", truth.keypoints.skeleton

        def detect(self, image):
            return np.zeros((0, 17, 2)), np.zeros((0, 17))

        def follow(self, image, before, alone, turned):
            return [self.detect(image)] * (1 + turned), []

    monkeypatch.setattr(measure, "open_detector", lambda name: Blind())
    found = measure.looked_at(Path("labels.h5"))
    assert len(found.looks) == 4
    assert not found.in_time
    assert found.truth.shape == (images.size, 16, 3)
