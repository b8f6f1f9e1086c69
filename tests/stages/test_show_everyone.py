"""`show` and `pss-fit` of several people's labels: everyone is there, in their own frames, and damage is said."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import cv2
import h5py
import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool, failing
from test_convert_everyone import write_everyone
from test_show import scene, unpacked

from epitool.io.labels_h5 import LabelsFile, write_labels
from epitool.labels import Labels
from epitool.stages import pss_fit, refine
from epitool.stages.show import scenes
from epitool.stages.show.labelled import open_everyone
from epitool.viz.colors import PEOPLE_COLORS

FRAMES = 12
SPANS = {"person1": (0, 12), "person2": (3, 9), "person3": (8, 12)}


@pytest.fixture(scope="module")
def truth() -> dict[str, Labels]:
    """Three people beside each other; the second and third in some of the frames."""
    found = {}
    for seed, (name, (start, stop)) in enumerate(SPANS.items()):
        labels = exact_labels(FRAMES, seed)
        moved = labels.poses.xyz + np.array([400.0, -600.0, 0.0]) * (seed - 1)
        xy = labels.rig.project(moved)
        labels = replace(
            labels, poses=replace(labels.poses, xyz=moved), keypoints=replace(labels.keypoints, xy=xy)
        )  # fmt: skip
        found[name] = labels.between(start, stop)
    return found


@pytest.fixture
def everyone(here, truth) -> dict[str, Labels]:
    write_everyone(truth, verdict="warn")
    return truth


@pytest.fixture
def filmed(everyone) -> dict[str, Labels]:
    for name in everyone["person1"].keypoints.images.ravel().tolist():
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, np.full((384, 384, 3), 90, np.uint8))
    return everyone


def test_a_page_has_everyone_in_their_own_frames_and_colours(everyone):
    assert epitool("show", "labels.h5").returncode == 0
    shown = scene("labels.html")
    assert [person["name"] for person in shown["people"]] == list(SPANS)
    assert [person["color"] for person in shown["people"]] == [f"rgb{color}" for color in PEOPLE_COLORS[:3]]
    for person, (name, (start, stop)) in zip([shown, *shown["people"][1:]], SPANS.items(), strict=True):
        xyz = unpacked(person["xyz"], FRAMES, 17, 3)
        xy, own = (unpacked(person[key], FRAMES, 4, 17, 2) for key in ("xy", "own"))
        inside = np.isin(np.arange(FRAMES), np.arange(start, stop))
        assert (np.isfinite(xyz).all(axis=(1, 2)) == inside).all()
        np.testing.assert_allclose(xy[inside], everyone[name].keypoints.xy, atol=0.02)
        assert np.nanmax(np.abs(own - xy)) < 0.02
        assert np.isfinite(own[inside]).mean() > 0.9
        assert not np.isfinite(own[~inside]).any()
    assert "3 people, median reprojection error of person1 0.0 px" in shown["facts"]
    assert "0.0 px, person2: warn (made up.), person3: warn (made up.)" in shown["facts"]


def test_a_doubt_of_several_people_is_stated_once(truth):
    reasons = {"person1": ["unsure cameras."], "person2": ["unsure cameras."], "person3": ["unsure cameras.", "bones."]}
    judged = [SimpleNamespace(person=name, verdict="warn", reasons=why) for name, why in reasons.items()]
    said = scenes._judged(replace(truth["person1"], verdict="warn", reasons=("unsure cameras.",)), judged)
    assert said.endswith("verdict: warn (unsure cameras.), person2: warn, person3: warn (bones.)")


def test_everyone_is_within_what_is_looked_at(everyone):
    epitool("show", "labels.h5")
    shown = scene("labels.html")
    xyz = np.concatenate([unpacked(person["xyz"], FRAMES, 17, 3) for person in [shown, *shown["people"][1:]]], axis=1)
    low, high = np.nanpercentile(xyz.reshape(-1, 3), [2, 98], axis=0)
    np.testing.assert_allclose(shown["middles"], [(low + high) / 2], rtol=1e-3, atol=1)
    within = np.median(np.nanmax(xyz, axis=1) - np.nanmin(xyz, axis=1), axis=0)
    np.testing.assert_allclose(shown["person"], within, rtol=1e-3)


def test_one_person_has_no_name_and_the_colours_of_the_sides(here, truth):
    write_labels(Path("labels.h5"), truth["person1"])
    epitool("show", "labels.h5")
    assert "people" not in scene("labels.html")
    assert "people" not in scene("labels.html")["facts"]


def keep(file: h5py.File, frames: list[int]) -> None:
    """Keep these of the second person's frames, by their indices."""
    group = file["people/person2"]
    for name in [name for name in group if isinstance(group[name], h5py.Dataset)]:
        values, kind = group[name][:][np.array(frames, dtype=int)], group[name].dtype
        del group[name]
        group.create_dataset(name, data=values, dtype=kind)


def test_people_are_read_in_the_frames_asked_for_and_no_others(everyone, truth, monkeypatch):
    """Though one of them has labels of only some frames in between."""
    spans, read = [], LabelsFile.read

    def spied(self, start=0, stop=None, step=1):
        spans.append(len(range(start, len(self) if stop is None else stop, step)))
        return read(self, start, stop, step)

    with h5py.File("labels.h5", "r+") as file:
        keep(file, [0, 1, 4, 5])
    monkeypatch.setattr(LabelsFile, "read", spied)
    with open_everyone(Path("labels.h5")) as people:
        labels, (_, second, third) = people.read(step=2)
        _, (*_, later) = people.read(8, 11)
    assert labels.poses.frames.tolist() == [0, 2, 4, 6, 8, 10]
    expected = np.full((6, 17, 3), np.nan)
    expected[[2, 4]] = truth["person2"].poses.xyz[[1, 5]]  # frames 4 and 8
    np.testing.assert_allclose(second.xyz, expected, atol=1e-3)
    np.testing.assert_allclose(third.xyz[4:], truth["person3"].poses.xyz[::2], atol=1e-3)
    np.testing.assert_allclose(later.xyz, truth["person3"].poses.xyz[:3], atol=1e-3)
    assert sum(spans) == 6 + 2 + 2 + 3 + 1 + 3


def colors_in(image: np.ndarray) -> list[bool]:
    """Which people's colours are in an image in BGR, but for its legend."""
    image = image[: 2 * 384 + 4, :, ::-1].astype(int)
    return [bool((np.abs(image - color).max(axis=-1) < 40).sum() > 100) for color in PEOPLE_COLORS[:3]]


def test_a_film_has_everyone_where_they_are_and_one_legend(filmed, monkeypatch):
    monkeypatch.setattr(importlib.import_module("epitool.stages.show.film"), "_PART", 5)
    assert epitool("show", "labels.h5", "--out", "overlay.mp4").returncode == 0
    video = cv2.VideoCapture("overlay.mp4")
    sheets = [image for ok, image in iter(video.read, (False, None)) if ok]
    assert len(sheets) == FRAMES
    assert {sheet.shape[1] for sheet in sheets} == {2 * 384 + 4}
    for f in (0, 4, 8, 11):
        assert colors_in(sheets[f]) == [start <= f < stop for start, stop in SPANS.values()]
    names = [sheet[2 * 384 + 8 :] for sheet in (sheets[0], sheets[-1])]
    assert (names[0].max(axis=-1) > 60).any()
    assert np.abs(names[0].astype(int) - names[1]).mean() < 2  # the same in every frame


def emptied(file: h5py.File) -> None:
    keep(file, [])


def without_poses(file: h5py.File) -> None:
    del file["people/person2/xyz"]


def shorter(file: h5py.File) -> None:
    values = file["people/person2/xyz"][:-1]
    del file["people/person2/xyz"]
    file["people/person2/xyz"] = values


def wild(file: h5py.File) -> None:
    file["people/person2/xyz"][1] = 1e30


def misnamed(file: h5py.File) -> None:
    file["people"].create_group("anna")


def elsewhere(file: h5py.File) -> None:
    file["people/person2/frames"][...] += 1000


DAMAGE = {
    emptied: "person2 is in no frame", without_poses: "lacks dataset 'people/person2/xyz'",
    shorter: "xyz is not of 6 frames", wild: "labels of person2 ('xyz' holds numbers that are of no",
    misnamed: "'anna', which is no further person's name",
}  # fmt: skip


def refused(command: str, damage: Callable[[h5py.File], None]) -> str:
    """What a command says of a damaged file, before it writes anything."""
    with h5py.File("labels.h5", "r+") as file:
        damage(file)
    said = failing(3, *command.split())
    assert re.fullmatch("(warning: .*\n)?error: labels.h5.*\n", said)
    assert {path.suffix for path in Path().iterdir() if path.is_file()} == {".h5"}
    return said


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", ["show labels.h5", "show labels.h5 --out overlay.mp4", "pss-fit --k 2"])
def test_damaged_people_are_said_in_one_line_and_nothing_is_written(filmed, damage, command):
    assert DAMAGE[damage] in refused(command, damage)


@pytest.mark.parametrize("command", ["show labels.h5", "show labels.h5 --out overlay.mp4"])
def test_who_is_in_frames_of_another_recording_is_not_shown(filmed, command):
    assert "person2 has frames that person1 lacks" in refused(command, elsewhere)


def test_clusters_are_of_everyones_poses(everyone):
    reference = pss_fit._reference(Path("labels.h5"), "all")
    expected = np.concatenate([labels.in_cameras.reshape(-1, 17, 3) for labels in everyone.values()])
    np.testing.assert_allclose(reference.xyz, expected, atol=0.1)
    assert "split all, of 3 people, in the axes of 4 cameras" in reference.words


def test_clusters_of_somebody_not_to_be_trusted_are_refused(here, truth):
    write_everyone(truth, verdict="fail")
    assert "labels of person2 and person3 were found not to be trusted" in failing(4, "pss-fit", "--k", "2")


def test_refine_learns_from_everyone_who_is_in_an_image_of_a_part(everyone):
    labels = refine.inputs.read_everyone(Path("labels.h5"))
    seen = refine.inputs.select_seen(labels, Path("labels.h5"))
    assert sorted(set(seen.people.tolist())) == list(range(len(everyone)))
    alone = refine.inputs.select_seen(labels[:1], Path("labels.h5"))
    np.testing.assert_array_equal(seen.truth[seen.people == 0], alone.truth)
    for person, one in enumerate(everyone.values()):
        there = seen.at(seen.people == person)
        assert set(labels[0].poses.frames[there.frames].tolist()) <= set(one.poses.frames.tolist())
        assert set(there.images.tolist()) <= set(one.keypoints.images.ravel().tolist())
    poses = refine.inputs.own_poses(labels, seen)
    assert len(poses) == sum(len(np.unique(seen.frames[seen.people == person])) for person in range(len(labels)))


def test_refine_learns_the_usual_stature_from_labels_that_state_no_unit(everyone):
    """Cameras of another program may be in metres; answers are said to have a stature of 1700."""
    found = []
    for scale in (0.001, 2.0):
        parts = [
            replace(
                one,
                rig=one.rig.scaled(scale, "arbitrary", "none"),
                poses=replace(one.poses, xyz=scale * one.poses.xyz, unit="arbitrary"),
            )
            for one in everyone.values()
        ]
        seen = refine.inputs.select_seen(parts, Path("labels.h5"))
        found.append((seen.truth, refine.inputs.own_poses(parts, seen)))
    for metres, double in zip(*found, strict=True):
        np.testing.assert_allclose(metres, double, rtol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_a_recording_for_rerun_has_everyone_in_a_place_of_their_own(here, truth, monkeypatch, several):
    """With a stand-in for Rerun, which need not be installed."""
    rerun = MagicMock()
    stream = rerun.RecordingStream.return_value
    stream.save.side_effect = lambda path: Path(path).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rerun", rerun)
    write_everyone(truth if several else {"person1": truth["person1"]})
    assert epitool("show", "labels.h5", "--out", "labels.rrd").returncode == 0
    places = {call.args[0] for call in stream.log.call_args_list}
    people = SPANS if several else ["person"]
    assert {place for place in places if place.count("/") == 2 and place.endswith("joints")} == {
        f"world/{person}/joints" for person in people
    }
    views = [f"cam2/{person}/detected" for person in people] if several else ["cam2/detected"]
    assert {f"world/{view}/bones" for view in views} <= places
    colors = {tuple(color) for call in rerun.Points3D.call_args_list for color in call.kwargs["colors"]}
    assert colors == set(PEOPLE_COLORS[:3])  # of three people, or of the sides of one


@pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs the page's script, is not installed")
def test_names_of_people_in_one_place_do_not_cover_each_other(here):
    source = files("epitool.viz").joinpath("web", "scene.js").read_text(encoding="utf-8")
    function = re.search(r"^function placeOf.*?^}", source, flags=re.M | re.S).group()
    Path("places.js").write_text(
        f"{function}\nconst written = [], rows = [0, 1, 2, 3, 4, 5].map(row => [10, 20 + 16 * row]);\n"
        "for (const wide of [40, 60, 40, 50, 40, 40]) placeOf(rows, wide, written);\n"
        "console.log(JSON.stringify(written))"
    )
    written = json.loads(subprocess.run(["node", "places.js"], capture_output=True, text=True, check=True).stdout)
    assert sorted(y for _, y, _ in written) == [20 + 16 * row for row in range(6)]
