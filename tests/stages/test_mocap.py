"""Footage to files for other programs in one command: its steps run in this process, on joints that are known."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import exact_labels
from test_images import write_video
from typer.testing import CliRunner

from epitool.cli import app, spread_variadic
from epitool.cli.running import failing_in_one_line
from epitool.console import AS_STEP
from epitool.errors import GeometryError, InputError, UsageError, VerticalError
from epitool.geometry.calibration.compare import compare_rigs
from epitool.io.cameras import read_rig, read_windows, write_rig
from epitool.io.candidates_h5 import add_candidates, read_candidates
from epitool.io.keypoints_h5 import read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.io.sample import sample_recording
from epitool.options import MocapOptions
from epitool.stages import mocap
from epitool.stages.mocap import trust
from epitool.stages.mocap.pooling import write_pooled
from epitool.stages.mocap.trials import Trial, trials_of
from epitool.stages.shared import steps
from epitool.stages.shared.footage import open_views, source_of
from epitool.stages.shared.steps import Step, StepFailedError, command_line, run_step
from epitool.synthetic import noisy_keypoints

DETECTOR = "keypointrcnn"  # needs no extra, and is not asked
FRAMES = 60


def in_process(arguments, folder=None, as_json=False):
    """A step, in place of `run_step`."""
    print("$", command_line(arguments))
    result = CliRunner().invoke(app, spread_variadic([*arguments, "--json"]), env={AS_STEP: "1"})
    print("\n".join(line for line in result.stderr.splitlines() if line.startswith("warning:")))
    if result.exit_code:
        print(result.stderr)
        vertical = result.exit_code == VerticalError.status_of_step
        raise StepFailedError(result.stderr, GeometryError.exit_status if vertical else result.exit_code, vertical)
    return Step(command_line(arguments), result.stdout, 0.0)


@pytest.fixture(autouse=True)
def _in_process(monkeypatch):
    monkeypatch.setattr(mocap, "run_step", in_process)


@pytest.fixture(scope="module")
def truth():
    return exact_labels(3 * FRAMES)


@pytest.fixture(scope="module")
def footage(truth, tmp_path_factory):
    """Three trials of four tiny videos each, whose joints a detector is said to have found."""
    joints = noisy_keypoints(truth, sigma_px=1.0, outliers=0.02, swap_share=0.0, seed=0)
    folder = tmp_path_factory.mktemp("session")
    for n in range(3):
        trial = folder / f"walk{n + 1}"
        trial.mkdir()
        for name in truth.rig.names:
            write_video(trial / f"{name}.avi", FRAMES)
        views = [trial / f"{name}.avi" for name in truth.rig.names]
        part = joints.select_frames(np.arange(n * FRAMES, (n + 1) * FRAMES))
        images = np.array([[f"{view}#{f}" for view in views] for f in range(FRAMES)])
        found = replace(part, frames=np.arange(FRAMES), images=images)
        (trial / "joints-steps").mkdir()
        source = source_of(open_views(views), DETECTOR)
        write_keypoints(trial / "joints-steps" / "keypoints.h5", found, source)
    return folder


@pytest.fixture
def session(footage, tmp_path, monkeypatch):
    shutil.copytree(footage, tmp_path / "session")
    monkeypatch.chdir(tmp_path)
    return Path("session")


def one(folder, **options):
    views = tuple(sorted(folder.glob("*.avi")))
    return mocap.run(MocapOptions(views=views, out=(folder / "joints.trc",), detector=DETECTOR, **options))


def turned_by(found: Path, truth):
    return max(pair.rotation_deg for pair in compare_rigs(read_rig(found), truth.rig))


def test_one_recording_becomes_a_file_that_opensim_reads_upright(session, truth, capsys):
    summary = one(session / "walk1", scale="height=1.75m")
    trc = (session / "walk1/joints.trc").read_text().split("\n")
    assert "y up" in trc[0]
    assert trc[2].split("\t")[2:5] == [str(FRAMES), "17", "m"]
    rows = np.array([line.split("\t")[2:] for line in trc[6:-1]], dtype=float).reshape(FRAMES, 17, 3)
    exact = truth.poses.xyz[:FRAMES] / 1000
    tall, truly = (z[:, 10] - z[:, [3, 6]].min(axis=1) for z in (rows[..., 1], exact[..., 2]))
    np.testing.assert_allclose(tall, truly, atol=0.1)  # metres, from the lower ankle to the head along y
    assert (session / "walk1/joints.html").stat().st_size > 1000
    assert turned_by(session / "walk1/joints-steps/cameras.toml", truth) < 3
    said = capsys.readouterr()
    order = [
        said.out.index(f"$ epitool {name}") for name in ("detect2d", "calibrate", "triangulate", "show", "convert")
    ]
    assert order == sorted(order)
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["Joints", "Cameras", "Poses"]
    warned = [line for line in said.out.splitlines() if line.startswith("warning:")]
    assert warned  # so short a walk leaves the cameras uncertain, which the step that finds them says, and it alone
    assert not [line for line in warned if "the cameras:" in line or "when they were made" in line]
    assert "epitool convert" in summary.text
    (cameras,) = read_windows(session / "walk1/joints-steps/cameras.toml")
    assert summary.values["recordings"][0]["verdict"] == cameras.verdict  # poses are as good as their cameras
    assert all(
        reason.startswith("the cameras: ") for reason in read_labels(session / "walk1/joints-steps/labels.h5").reasons
    )
    assert summary.failure is None


def test_doubts_of_given_cameras_are_said_once_for_all_trials(session, truth, capsys):
    write_rig(session / "known.toml", truth.rig, {"verdict": "warn", "reasons": ["it was dark"]})
    mocap.run(
        MocapOptions(trials=session, cameras=session / "known.toml", out=(Path("joints.csv"),), detector=DETECTOR)
    )
    said = capsys.readouterr()
    assert (said.out + said.err).count("it was dark") == 1
    assert read_labels(session / "walk2/joints-steps/labels.h5").reasons == ("the cameras: it was dark",)


def test_trials_share_cameras_and_one_that_fails_leaves_the_others_their_files(session, truth):
    bad = session / "walk3/joints-steps/keypoints.h5"
    found, source = read_keypoints(bad), source_of(open_views(sorted((session / "walk3").glob("*.avi"))), DETECTOR)
    noise = np.random.default_rng(0).uniform(0, 40, found.xy.shape)
    (session / "notes").mkdir()  # no trial
    write_keypoints(bad, replace(found, xy=noise), source)
    outs = (Path("joints.trc"), Path("joints.csv"))
    options = MocapOptions(trials=session, scale="height=1.75m", out=outs, detector=DETECTOR)
    known = session / "known.toml"
    write_rig(known, truth.rig)
    summary = mocap.run(replace(options, scale=None, cameras=known))
    for name in ("walk1", "walk2"):
        assert (session / name / "joints.trc").exists()
        assert (session / name / "joints.csv").exists()
        assert (session / name / "joints.html").exists()
    assert not (session / "walk3/joints.trc").exists()
    assert summary.failure.exit_status == GeometryError.exit_status
    assert "walk3" in str(summary.failure)
    shutil.rmtree(session / "walk3")
    summary = mocap.run(options)
    assert summary.failure is None
    assert turned_by(session / "joints-steps/cameras.toml", truth) < 3
    assert {each["name"] for each in summary.values["recordings"]} == {"walk1", "walk2"}
    assert mocap.also_writes(options) == [
        session / name / f"joints{suffix}" for name in ("walk1", "walk2") for suffix in (".html", ".trc", ".csv")
    ]


def test_a_session_of_pose2sim_has_videos_in_a_folder_of_each_trial(here):
    for folder in ("calibration/intrinsics", "calibration", "T1/videos", "T1/pose", "T2/videos"):
        Path("session", folder).mkdir(parents=True, exist_ok=True)
        Path("session", folder, "cam1.mp4").touch()
    trials = trials_of(MocapOptions(trials=Path("session"), out=(Path("walk.trc"),)))
    assert [(trial.name, [str(view) for view in trial.views]) for trial in trials] == [
        (name, [f"session/{name}/videos/cam1.mp4"]) for name in ("T1", "T2")
    ]
    assert trials[0].outs == (Path("session/T1/walk.trc"),)


@pytest.mark.thorough
def test_trials_out_of_sync_have_offsets_of_their_own(session, truth):
    known = session / "known.toml"
    write_rig(known, truth.rig)
    mocap.run(MocapOptions(trials=session, cameras=known, sync=True, out=(Path("joints.trc"),), detector=DETECTOR))
    for name in ("walk1", "walk2", "walk3"):
        own = read_rig(session / name / "joints-steps/cameras.toml")
        assert max(abs(camera.time_offset) for camera in own.cameras) < 0.5
        assert max(pair.rotation_deg for pair in compare_rigs(own, truth.rig)) < 0.01  # kept as known


def test_a_step_that_fails_names_itself_and_the_command_by_hand(session):
    views = tuple(sorted((session / "walk1").glob("*.avi")))
    out = session / "walk1/joints.trc"
    with pytest.raises(StepFailedError, match=r"stopped at the 2D joints.*by hand: epitool detect2d --views") as raised:
        mocap.run(MocapOptions(views=views, out=(out,), detector="mediapipe", scale="height=1.75m"))
    assert raised.value.exit_status == UsageError.exit_status  # joints of another detector are there
    assert not (session / "walk1/joints.trc").exists()


def test_cameras_are_found_again_only_where_people_do_not_tell_the_vertical(session, capsys):
    """The path of a person on one spot, and of one who is hardly seen, whose cameras nothing makes better."""
    keypoints = session / "walk1/joints-steps/keypoints.h5"
    found = read_keypoints(keypoints)
    legs = [found.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    xy = found.xy.copy()
    xy[:, :, legs] = np.nan  # behind a table: no ankle stands on a floor
    views = [Path(str(name).partition("#")[0]) for name in found.images[0]]
    source = source_of(open_views(views), DETECTOR)
    write_keypoints(keypoints, replace(found, xy=xy, confidence=np.where(np.isnan(xy[..., 0]), 0, 1)), source)
    one(session / "walk1", scale="baseline:cam1,cam2=3m")
    said = capsys.readouterr()
    assert said.out.count("$ epitool calibrate") == 2
    assert "The people do not tell which way is up" in said.err
    few = found.select_frames(np.arange(2))
    write_keypoints(keypoints, few, source)
    with pytest.raises(StepFailedError, match="stopped at the cameras"):
        one(session / "walk1")
    assert capsys.readouterr().out.count("$ epitool calibrate") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": ()}, "either the views"),
        ({"trials": Path("t")}, "either the views"),
        ({"out": (Path("cam3.mp4"),)}, "name the views first"),
        ({"out": (Path("a.trc"), Path("b.trc"))}, "one name"),
        ({"cameras": Path("c.toml"), "scale": "height=1m"}, "--cameras states"),
        ({"views": (), "trials": Path("t"), "out": (Path("a/b.trc"),)}, "without a folder"),
    ],
)
def test_options_that_do_not_go_together(changes, said):
    with pytest.raises(UsageError, match=said):
        MocapOptions(**{"views": (Path("a.mp4"), Path("b.mp4")), "out": (Path("walk.trc"),), **changes})


def test_what_cannot_work_is_said_before_anything_is_detected(session, truth):
    walk, views = session / "walk1", tuple(sorted((session / "walk1").glob("*.avi")))

    def refused(error, said, **changes):
        with pytest.raises(error, match=said):
            mocap.run(MocapOptions(**{"views": views, "out": (walk / "joints.trc",), "detector": DETECTOR, **changes}))

    refused(UsageError, "poses are written as", out=(Path("walk.fbx"),))
    refused(UsageError, "no 2D detector|no detector is named", detector="nobody")
    refused(UsageError, "is one view", views=views[:1])
    refused(InputError, "--cameras none.toml: no such file", cameras=Path("none.toml"))
    names = ("a", "b", "c", "d")
    write_rig(
        walk / "others.toml",
        replace(truth.rig, cameras=tuple(map(lambda c, name: replace(c, name=name), truth.rig.cameras, names))),
    )
    for option in ("cameras", "intrinsics"):
        refused(InputError, "others.toml: .*This renames its cameras, a, b, c, d", **{option: walk / "others.toml"})
    refused(UsageError, "--scale baseline:a,b=2000mm: the views are", scale="baseline:a,b=2m")
    refused(InputError, "no such file or folder", views=(Path("none.mp4"), *views))
    refused(UsageError, "no folder in it holds videos.*epitool mocap", views=(), trials=walk, out=(Path("a.trc"),))
    shutil.copy(views[0], session / "walk2" / "further.avi")
    refused(InputError, "walk1 has views .*, and walk2 has", views=(), trials=session, out=(Path("a.trc"),))


def test_joints_of_trials_are_pooled_with_everyone_in_them(session, tmp_path):
    paths = [session / name / "joints-steps/keypoints.h5" for name in ("walk1", "walk2")]
    first = read_keypoints(paths[0])
    frame, view = np.nonzero(first.seen.any(axis=-1))
    own = mocap.pooling.Candidates(first.xy[frame, view], first.confidence[frame, view], frame, view)
    twice = replace(own, **{name: np.concatenate([getattr(own, name)] * 2) for name in vars(own)})
    add_candidates(paths[0], twice)
    write_pooled(paths, tmp_path / "pooled.h5")
    pooled = read_keypoints(tmp_path / "pooled.h5")
    assert len(pooled.frames) == 2 * FRAMES
    np.testing.assert_array_equal(pooled.xy[:FRAMES], first.xy)
    np.testing.assert_array_equal(pooled.xy[FRAMES:], read_keypoints(paths[1]).xy)
    people = read_candidates(tmp_path / "pooled.h5", (2 * FRAMES, 4, 17))
    table = people.table(2 * FRAMES, 4)
    assert ((table >= 0).sum(axis=-1)[:FRAMES] == 2).all()
    assert ((table >= 0).sum(axis=-1)[FRAMES:] == 1).all()


def test_trials_of_other_image_sizes_are_not_pooled(session, tmp_path):
    """Trials may name their views in another order."""
    first = read_keypoints(session / "walk1/joints-steps/keypoints.h5")
    turned, smaller = first.select_views(first.views[::-1]), np.array([2, 1, 1, 1])[:, None]
    first = replace(first, image_size=first.image_size * smaller)
    for name, keypoints in {
        "first.h5": first, "alike.h5": first.select_views(first.views[::-1]), "other.h5": turned
    }.items():  # fmt: skip
        write_keypoints(tmp_path / name, keypoints)
    write_pooled([tmp_path / "first.h5", tmp_path / "alike.h5"], tmp_path / "pooled.h5")
    with pytest.raises(InputError, match=r"other\.h5: images of .* px in .*first\.h5"):
        write_pooled([tmp_path / "first.h5", tmp_path / "other.h5"], tmp_path / "never.h5")
    assert not (tmp_path / "never.h5").exists()


def test_steps_are_judged_in_words():
    seen = {"frames": 10, "views": {"a": 10, "b": 4}, "images": {"a": 10, "b": 10}}
    assert "doubtful" in trust.judge_joints(seen, Path("k.h5"))
    assert "40% of those of b" in trust.judge_joints(seen, Path("k.h5"))
    seen["images"]["b"] = 4  # a video that ends early shows the person in all of its images
    assert trust.judge_joints(seen, Path("k.h5")) == "Joints: good, a person is found in 100% of the images. Going on."
    warned = {"verdict": "warn", "median_reprojection_px": 2.0, "left_out": {"c": "why"}, "unit": "arbitrary"}
    said = trust.judge_cameras(warned, False)
    assert all(word in said for word in ("with care", "without c", "--scale", "--intrinsics"))
    assert "--intrinsics" not in trust.judge_cameras(warned, True)
    poses = {"verdict": "warn", "solved": 1, "frames": 2, "median_reprojection_px": 2.0}
    assert "with care" in trust.judge_poses(poses, Path("p.html"))


class Ended:
    """A process that ended, or that is interrupted and saves what it has."""

    status, interrupted, patient, signals = 0, False, True, ()

    def __init__(self, *_, **__):
        type(self).signals = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    returncode = property(lambda self: self.status)

    def communicate(self):
        if self.interrupted:
            raise KeyboardInterrupt
        return json.dumps({"out": "x"}), None

    def wait(self, timeout=None):
        if timeout and not self.patient:
            raise subprocess.TimeoutExpired("x", timeout)

    def send_signal(self, number):
        type(self).signals = (*self.signals, number)


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"status": 130}, KeyboardInterrupt), ({"interrupted": True}, KeyboardInterrupt),
        ({"interrupted": True, "patient": False}, KeyboardInterrupt), ({"status": 4}, StepFailedError),
        ({"status": -9}, StepFailedError), ({"status": VerticalError.status_of_step}, StepFailedError),
    ],
)  # fmt: skip
def test_a_step_that_is_interrupted_may_save_what_it_has_and_one_that_fails_passes_its_status_on(
    monkeypatch, changes, raised
):
    kind = type("Other", (Ended,), changes)
    monkeypatch.setattr(steps.subprocess, "Popen", kind)
    with pytest.raises(raised) as caught:
        run_step(["triangulate"])
    if raised is StepFailedError:
        assert caught.value.exit_status == (4 if changes["status"] > 0 else 1)
        assert caught.value.vertical == (changes["status"] == VerticalError.status_of_step)
    assert kind.signals == ((signal.SIGINT,) if not kind.patient else ())  # a terminal interrupts both


def test_paths_of_a_trial():
    trial = Trial("walk1", (), (Path("s/walk1/poses.trc"), Path("s/walk1/poses.c3d")))
    assert trial.labels.as_posix() == "s/walk1/poses-steps/labels.h5"
    assert trial.page.as_posix() == "s/walk1/poses.html"


@pytest.mark.parametrize("vertical", [False, True])
def test_cameras_are_calibrated_once_more_only_without_a_vertical(session, monkeypatch, vertical):
    typed = []

    def failing(arguments, folder=None, as_json=False):
        if arguments[0] == "calibrate":
            typed.append(arguments)
            raise StepFailedError("failed", GeometryError.exit_status, vertical)
        return in_process(arguments, folder, as_json)

    monkeypatch.setattr(mocap, "run_step", failing)
    with pytest.raises(StepFailedError, match="stopped at the cameras") as caught:
        one(session / "walk1")
    assert caught.value.exit_status == GeometryError.exit_status
    assert ["--up" in arguments for arguments in typed] == [True, False][: 1 + vertical]


@pytest.mark.parametrize("step", [False, True])
def test_a_step_tells_the_command_that_runs_it_of_a_missing_vertical(step, monkeypatch):
    if step:
        monkeypatch.setenv(AS_STEP, "1")
    with pytest.raises(typer.Exit) as left, failing_in_one_line():
        raise VerticalError("no person stands upright")
    assert left.value.exit_code == (VerticalError.status_of_step if step else GeometryError.exit_status)


@pytest.mark.thorough
def test_the_sample_recording_becomes_a_trc(tmp_path, monkeypatch):
    pytest.importorskip("mediapipe")
    monkeypatch.setattr(mocap, "run_step", run_step)
    recording = sample_recording()
    options = MocapOptions(views=recording.views, scale="height=1.78m", out=(tmp_path / "walk.trc",))
    summary = mocap.run(options)
    assert summary.values["recordings"][0]["frames"] == 100
    assert (tmp_path / "walk.trc").read_text().count("\n") == 106
    before = (tmp_path / "walk-steps/keypoints.h5").stat().st_mtime_ns
    mocap.run(options)
    assert (tmp_path / "walk-steps/keypoints.h5").stat().st_mtime_ns == before
