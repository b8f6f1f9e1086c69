"""`convert` of everyone's labels: a file a person, each on its own frames with the recording's times, or one CSV."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels

from epitool.cli.outputs import check_outputs
from epitool.errors import GeometryError, UsageError
from epitool.io.labels_h5 import write_labels, writing_labels
from epitool.labels import Labels
from epitool.options import ConvertOptions
from epitool.stages import convert

SPANS = {"person1": (0, 40), "person2": (10, 30), "person3": (25, 40)}
FPS, STEP, FIRST = 50.0, 2, 100


@pytest.fixture(scope="module")
def truth() -> dict[str, Labels]:
    """Three people in every other frame from 100 on; the second and third on some of them."""
    found = {}
    for seed, (name, (start, stop)) in enumerate(SPANS.items()):
        labels = exact_labels(40, seed)
        frames = FIRST + STEP * np.arange(40)
        poses, keypoints = replace(labels.poses, frames=frames), replace(labels.keypoints, frames=frames)
        found[name] = replace(labels, poses=poses, keypoints=keypoints).between(start, stop)
    return found


def write_everyone(people: dict[str, Labels], verdict: str = "pass") -> None:
    first, *others = people.values()
    with writing_labels(Path("labels.h5"), first.poses.frames) as writer:
        writer.append(first)
        for labels in others:
            own = writer.another(labels.poses.frames)
            own.append(labels)
            own.judge(verdict, ["made up"])


@pytest.fixture
def everyone(here, truth) -> dict[str, Labels]:
    write_everyone(truth)
    return truth


def converted(out: str):
    return convert.run(ConvertOptions(inputs=(Path("labels.h5"),), out=Path(out), fps=FPS))


def times_of(labels: Labels) -> np.ndarray:
    return (labels.poses.frames - FIRST) / FPS


def test_everyone_gets_a_trc_with_the_recordings_times(everyone):
    summary = converted("walk.trc")
    assert summary.values["files"] == [f"walk_{name}.trc" for name in SPANS]
    assert summary.values["people"] == {name: stop - start for name, (start, stop) in SPANS.items()}
    for name, labels in everyone.items():
        lines = Path(f"walk_{name}.trc").read_text().splitlines()
        rows = np.array([line.split("\t") for line in lines[6:]], dtype=float)
        np.testing.assert_allclose(rows[:, 1], times_of(labels), atol=1e-6)
        np.testing.assert_array_equal(rows[:, 0], SPANS[name][0] + np.arange(len(rows)) + 1)
        np.testing.assert_allclose(rows[:, 2:].reshape(len(rows), -1, 3), labels.poses.xyz[..., [1, 2, 0]], rtol=1e-4)
    assert not Path("walk.trc").exists()


def test_everyone_gets_angles_arrays_and_c3d_on_their_frames(everyone):
    ezc3d = pytest.importorskip("ezc3d")
    for suffix in (".mot", ".npz", ".c3d"):
        converted(f"walk{suffix}")
    for name, labels in everyone.items():
        start, count = SPANS[name][0], len(labels.poses.frames)
        rows = Path(f"walk_{name}.mot").read_text().partition("endheader\n")[2].splitlines()[1:]
        np.testing.assert_allclose([float(row.split("\t")[0]) for row in rows], times_of(labels), atol=1e-6)
        with np.load(f"walk_{name}.npz") as stored:
            np.testing.assert_array_equal(stored["frames"], labels.poses.frames)
        points = ezc3d.c3d(f"walk_{name}.c3d")["header"]["points"]
        assert (points["first_frame"], points["last_frame"]) == (start, start + count - 1)


def test_one_csv_holds_everyone_with_a_column_of_names_and_that_of_one_person_has_none(everyone):
    assert converted("all.csv").values["files"] == ["all.csv"]
    with Path("all.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name, labels in everyone.items():
        own = [row for row in rows if row["person"] == name]
        assert [int(row["fnum"]) for row in own] == labels.poses.frames.tolist()
        root = [[float(row[f"pelvis_{axis}"]) for axis in "xyz"] for row in own]
        np.testing.assert_allclose(root, labels.poses.xyz[:, 0], rtol=1e-4)
    write_labels(Path("labels.h5"), everyone["person1"])
    converted("one.csv")
    alone = Path("one.csv").read_text().splitlines()
    assert alone[0].startswith("pelvis_x,")
    assert [line.partition(",")[2] for line in Path("all.csv").read_text().splitlines()[1:41]] == alone[1:]


def test_files_of_everyone_are_protected_as_the_one_that_is_named(everyone):
    Path("walk_person2.trc").write_text("PathFileType\t4\t(X/Y/Z)\tmine\n")
    options = ConvertOptions(inputs=(Path("labels.h5"),), out=Path("walk.trc"), fps=FPS)
    with pytest.raises(UsageError, match=r"walk_person2\.trc: exists and was not made by epitool"):
        check_outputs(options, convert.also_writes(options))
    assert Path("all.csv") in convert.also_writes(replace(options, out=Path("all.csv")))


def test_doubts_are_said_of_whom_they_are(here, truth, capsys):
    write_everyone(truth, "warn")
    converted("walk.trc")
    said = " ".join(capsys.readouterr().err.split())
    assert "the labels of person2 and person3 were found doubtful (verdict: warn)" in said
    assert said.count("warning:") == 1
    write_everyone(truth, "fail")
    with pytest.raises(GeometryError, match="the labels of person2 and person3 were found not to be trusted"):
        converted("fail.trc")
    assert not list(Path().glob("fail*"))


def test_everyone_gets_a_table_and_a_diagram_of_angles(everyone):
    """The table's ending is that of angles, not that of places, in each person's name too."""
    assert converted("walk.angles.csv").values["files"] == [f"walk_{name}.angles.csv" for name in SPANS]
    assert converted("angles.png").values["files"] == [f"angles_{name}.png" for name in SPANS]
    for name, labels in everyone.items():
        head, *rows = csv.reader(Path(f"walk_{name}.angles.csv").read_text().splitlines())
        assert head[:3] == ["frame", "time", "trunk_rotation"]
        assert [int(row[0]) for row in rows] == labels.poses.frames.tolist()
        np.testing.assert_allclose([float(row[1]) for row in rows], times_of(labels), atol=1e-6)
        assert Path(f"angles_{name}.png").stat().st_size > 10_000
