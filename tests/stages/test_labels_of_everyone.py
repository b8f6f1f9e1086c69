"""`triangulate --people`: all labels are near the truth, one person's are as ever, and who is left out is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from crowds import Scene, crowd_scene

from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.people.candidates import Candidates, follow_person, with_choice
from epitool.geometry.triangulation import labels as labelling
from epitool.io.cameras import write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import people_in, read_labels
from epitool.labels import Labels
from epitool.options import EvaluateOptions, TriangulateOptions
from epitool.pose import Keypoints, square_boxes
from epitool.stages import evaluate, triangulate
from epitool.stages.scoring.everyone import same_people
from epitool.stages.triangulate import checks

FRAMES, NEAR_MM = 90, 25.0


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Three people, of whom two come and go."""
    return crowd_scene(1, people=3, frames=FRAMES)


@pytest.fixture
def crowd(here, scene) -> Scene:
    write(scene)
    return scene


def write(scene: Scene, frames: int = FRAMES, own_3d: np.ndarray | None = None) -> None:
    """`keypoints.h5` of everyone in the first frames, and `cameras.toml`."""
    crowd = scene.crowd.select_frames(np.arange(frames))
    candidates, empty = crowd.candidates, crowd.empty
    shape = (frames, len(empty.views), len(empty.skeleton))
    nobody = Keypoints(
        np.full((*shape, 2), np.nan), np.zeros(shape), np.arange(frames), empty.views, np.full(shape[:2], ""),
        empty.image_size, empty.skeleton,
    )  # fmt: skip
    write_keypoints(
        Path("keypoints.h5"), with_choice(nobody, candidates, follow_person(candidates, *shape[:2], empty.skeleton))
    )
    add_candidates(Path("keypoints.h5"), candidates, own_3d)
    write_rig(Path("cameras.toml"), scene.rig)


def labelled(**options: object) -> dict[str, Labels]:
    """Labels of everyone."""
    triangulate.run(TriangulateOptions(**options))
    return {name: read_labels("labels.h5", name) for name in people_in("labels.h5")}


def errors_mm(labels: Labels, scene: Scene) -> tuple[int, np.ndarray]:
    """Whose labels they are, and how far the frames' median joints are from the truth."""
    truth = scene.xyz[:, labels.poses.frames]
    apart = np.linalg.norm(labels.poses.xyz - truth, axis=-1)
    apart = np.nanmedian(np.where(np.isfinite(apart), apart, np.inf), axis=-1)  # (N, F)
    solved = labelling.frames_solved(labels)
    person = int(np.median(apart[:, solved], axis=1).argmin())
    return person, apart[person, solved]


def test_everyone_is_labelled_by_one_name_on_their_own_frames(crowd, capsys):
    people = labelled()
    assert list(people) == ["person1", "person2", "person3"]
    who = {}
    for name, labels in people.items():
        who[name], apart = errors_mm(labels, crowd)
        assert np.median(apart) < NEAR_MM
        assert (apart < 200).mean() > 0.97  # no switch of identity
        there = np.flatnonzero(np.isfinite(crowd.xyz[who[name], :, 0, 0]))
        assert labels.poses.frames[-1] - labels.poses.frames[0] >= 0.8 * (there[-1] - there[0])
        assert len(apart) > 0.8 * np.isfinite(crowd.xyz[who[name], labels.poses.frames, 0, 0]).sum()
        assert labels.verdict in ("pass", "warn")
    assert sorted(who.values()) == [0, 1, 2]
    assert people["person1"].poses.frames.tolist() == list(range(FRAMES))
    assert any(len(labels.poses.frames) < FRAMES for labels in people.values())
    assert "several people: 3 get labels" in capsys.readouterr().err


@pytest.mark.parametrize("views", [range(5), (0, 2, 3, 4)])
def test_everyone_keeps_what_the_detector_takes_their_joints_in_space_to_be(here, scene, views):
    candidates, rig = scene.crowd.candidates, scene.rig
    own = np.random.default_rng(0).integers(-900, 900, (*candidates.confidence.shape, 3)).astype(np.float16)
    write(scene, own_3d=own)
    write_rig(Path("cameras.toml"), replace(rig, cameras=tuple(rig.cameras[v] for v in views)))
    people = labelled()
    assert len(people) > 1
    for labels in people.values():
        keypoints = labels.keypoints
        assert keypoints.views == tuple(rig.names[v] for v in views)
        f, v = np.nonzero(keypoints.seen.all(axis=-1) & ~labels.swapped)
        assert len(f) > 10
        shown = candidates.table(FRAMES, len(rig))[keypoints.frames[f], np.array(views)[v]]
        mine = (candidates.xy[shown] == keypoints.xy[f, v][:, None]).all(axis=(-1, -2)) & (shown >= 0)
        assert (mine.sum(axis=1) == 1).all()
        np.testing.assert_array_equal(keypoints.detected_xyz[f, v], own[shown[mine]])


def test_joints_in_space_that_do_not_fit_the_candidates_are_refused(here, scene):
    write(scene, own_3d=np.zeros((5, 17, 3), np.float16))
    with pytest.raises(InputError, match=r"'detected_xyz' of shape \(5, 17, 3\) for \d+ candidates.*epitool detect2d"):
        labelled()


def test_frames_of_everyone_are_of_the_same_part(crowd):
    people = labelled()
    first = people["person1"]
    part_of = {f: part for part in ("train", "val", "test") for f in first.poses.frames[first.parts[part]].tolist()}
    for labels in people.values():
        for part in ("train", "val", "test"):
            assert {part_of[f] for f in labels.poses.frames[labels.parts[part]].tolist()} <= {part}


def test_one_person_is_as_ever_and_a_number_takes_those_seen_most(crowd):
    everyone = labelled()
    with h5py.File("labels.h5") as file:
        everything = {name: file[name][()] for name in file if isinstance(file[name], h5py.Dataset)}
    two = labelled(people="2")
    assert list(two) == ["person1", "person2"]
    np.testing.assert_array_equal(two["person2"].poses.xyz, everyone["person2"].poses.xyz)
    assert list(labelled(people="one")) == list(labelled(people="1", out=Path("labels.h5"))) == ["person1"]
    with h5py.File("labels.h5") as file:
        assert "people" not in file
        assert "person" not in file.attrs
        for name, values in everything.items():
            np.testing.assert_array_equal(file[name][()], values)


@pytest.mark.parametrize("people", ["0", "-1", "two", "", "1.5"])
def test_other_words_than_all_one_or_a_number_are_refused(people):
    with pytest.raises(UsageError, match="expected all, one, or a number of people"):
        TriangulateOptions(people=people)


def test_chunks_and_jobs_change_no_byte(crowd, monkeypatch):
    written = []
    for size, jobs in ((labelling._CHUNK_KEYPOINTS, 1), (2000, 1), (2000, 3)):
        monkeypatch.setattr(labelling, "_CHUNK_KEYPOINTS", size)
        labelled(jobs=jobs)
        written.append(Path("labels.h5").read_bytes())
    assert written[0] == written[1] == written[2]


def test_who_is_seen_too_shortly_is_left_out_and_the_file_is_as_of_one_person(here, scene, capsys):
    write(scene, frames=20)
    labelled()
    assert people_in("labels.h5") == ("person1",)
    everyone = Path("labels.h5").read_bytes()
    assert "others, on whom views agree in fewer than 25 frames, get no labels: " in capsys.readouterr().err
    labelled(people="one")
    assert Path("labels.h5").read_bytes() == everyone
    assert "get no labels" not in capsys.readouterr().err


def test_people_who_never_share_two_views_get_no_labels(here, scene):
    candidates = scene.crowd.candidates
    apart = scene.who % len(scene.rig) == candidates.view_index
    alone = Candidates(*(values[apart] for values in vars(candidates).values()))
    write(replace(scene, crowd=replace(scene.crowd, candidates=alone)))
    with pytest.raises(GeometryError, match="no two views agree on anybody"):
        labelled()


def test_a_further_person_whose_labels_fail_is_left_out_by_name_of_their_frames(crowd, capsys, monkeypatch):
    judged = checks.Tally.doubts

    def doubts(tally: checks.Tally) -> list[tuple[str, str]]:
        return judged(tally) if tally.frames == FRAMES else [("fail", "made up")]

    monkeypatch.setattr(checks.Tally, "doubts", doubts)
    people = labelled()
    full = [name for name, labels in people.items() if len(labels.poses.frames) == FRAMES]
    assert list(people) == full
    said = capsys.readouterr().err
    assert "gets no labels: they are not to be trusted: made up" in said.replace("\n", " ")


def test_a_first_person_whose_labels_fail_leaves_no_file(crowd, monkeypatch):
    monkeypatch.setattr(checks.Tally, "doubts", lambda tally: [("fail", "made up")])
    with pytest.raises(GeometryError, match="nothing is written: made up"):
        labelled()
    assert not Path("labels.h5").exists()


def test_the_summary_names_everyone(crowd):
    summary = triangulate.run(TriangulateOptions())
    assert "labels.h5: person1 in " in summary.text
    for name in ("person2", "person3"):
        found = next(person for person in summary.values["people"] if person["person"] == name)
        assert f"; {name} in {found['solved']} of {found['frames']} frames, verdict: {found['verdict']}" in summary.text
    assert summary.values["solved"] == summary.values["people"][0]["solved"]


def test_everyone_is_measured_against_the_same_person(crowd):
    labelled()
    document = evaluate_all(by=("person",))
    parts = document["rows"][0]["by_person"]["MPJPE"]
    assert list(parts) == ["person1", "person2", "person3"]
    assert all(part["value"] == pytest.approx(0, abs=1e-6) for part in parts.values())


def test_people_whose_boxes_say_otherwise_are_paired_by_their_joints():
    front = np.array([[0.0, 0], [0, 100], [50, 0], [50, 100], [0, 50]])
    behind = front + np.array([30, 0])
    front[4, 0], behind[4, 0] = 80, -60  # an arm of each reaches over to the other side, and is not seen
    truth = np.stack([behind, front])
    seen = np.stack([front, behind])
    seen[:, 4] = np.nan
    middles = [boxes[:, 0] + boxes[:, 2] / 2 for boxes in (square_boxes(seen), square_boxes(truth))]
    apart = abs(middles[0][:, None] - middles[1])
    assert apart[0, 0] + apart[1, 1] < apart[0, 1] + apart[1, 0], "the middles of boxes would confuse them"
    ours, theirs = same_people(["image"] * 2, seen, ["image"] * 2, truth)
    assert list(zip(ours.tolist(), theirs.tolist())) == [(0, 1), (1, 0)]


def test_whoever_is_far_from_everyone_in_the_image_is_nobody():
    person = np.array([[0.0, 0], [0, 100], [50, 0]])
    far, unseen = person + 300, np.full((3, 2), np.nan)
    ours, theirs = same_people("aab", np.stack([far, unseen, unseen]), "aab", np.stack([person, person, person]))
    assert (ours.tolist(), theirs.tolist()) == ([2], [2]), "one of each in an image is the same person"


def test_one_person_is_not_divided(here):
    write(crowd_scene(1, people=1, frames=30), 30)
    labelled()
    with pytest.raises(InputError, match="does not hold several people"):
        evaluate_all(by=("person",))


def evaluate_all(**options: object) -> dict:
    """The document of `evaluate` of labels against themselves."""
    labels = Path("labels.h5")
    evaluate.run(EvaluateOptions(predictions=(labels,), truth=labels, split="all", pss=(), **options))
    return json.loads(Path("metrics.json").read_text())
