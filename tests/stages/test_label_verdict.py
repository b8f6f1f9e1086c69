"""What was thought of labels when they were made is said by every command that goes on from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from epitool.cli import app, spread_variadic
from epitool.errors import InputError
from epitool.io.cameras import write_rig
from epitool.io.h5 import texts
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.nn import inference
from epitool.nn.recording import Recording
from epitool.stages.predict import answering

REASON = "view cam4: is left out: 90% of its keypoints do not fit"
COMMANDS = {
    "train": ("train", "--pairs", "labels.h5", "--epochs", "1"),
    "refine": ("refine", "--pairs", "labels.h5", "--out", "run.pt", "--steps", "1"),
    "pss-fit": ("pss-fit", "--poses", "labels.h5", "--k", "3", "--out", "pss.npz"),
    "evaluate": ("evaluate", "--truth", "labels.h5", "--predictions", "labels.h5", "--pss", "3"),
    "convert": ("convert", "labels.h5", "--fps", "30", "--out", "poses.csv"),
}


def epitool(*arguments):
    result = CliRunner().invoke(app, spread_variadic(list(map(str, arguments))))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.stderr.split())


@pytest.fixture
def judged(here, truth):
    def judged_labels(verdict):
        write_labels(Path("labels.h5"), replace(truth, verdict=verdict, reasons=(REASON,)))

    return judged_labels


@pytest.mark.parametrize("command", COMMANDS)
def test_labels_not_to_be_trusted_are_refused(judged, command):
    judged("fail")
    status, said = epitool(*COMMANDS[command])
    assert (status, said.count("error:")) == (4, 1)
    assert f"labels.h5: these labels were found not to be trusted (verdict: fail) when they were made: {REASON}" in said
    assert {path.name for path in Path().iterdir()} == {"labels.h5"}


@pytest.mark.parametrize("command", COMMANDS)
def test_doubtful_labels_are_warned_of(judged, command):
    judged("warn")
    _, said = epitool(*COMMANDS[command])  # labels without images are not trained on, which is said after this
    assert f"labels.h5: these labels were found doubtful (verdict: warn) when they were made: {REASON}" in said


def test_of_several_reasons_the_first_is_said_and_where_the_others_are(here, truth):
    write_labels(Path("labels.h5"), replace(truth, verdict="warn", reasons=(f"{REASON}.", "bones", "jumps")))
    _, said = epitool(*COMMANDS["convert"])
    assert said.count("warning:") == 1
    assert f"when they were made: {REASON}. 2 more reasons: `epitool show labels.h5`" in said


@pytest.mark.parametrize("level", ["pass", ""])
def test_of_other_labels_nothing_is_said(judged, level):
    judged(level)
    status, said = epitool(*COMMANDS["convert"])
    assert (status, "when they were made" in said) == (0, False)


def test_the_verdict_is_in_metrics_and_in_what_is_shown(judged):
    judged("warn")
    assert epitool(*COMMANDS["evaluate"])[0] == 0
    assert json.loads(Path("metrics.json").read_text())["truth"]["verdict"] == "warn"
    assert epitool("show", "labels.h5", "--out", "page.html")[0] == 0
    assert f"verdict: warn ({REASON}.)" in Path("page.html").read_text(encoding="utf-8")


def test_a_verdict_is_kept_as_it_was_and_an_unknown_one_is_refused(judged):
    judged("warn")
    read = read_labels("labels.h5")
    assert (read.verdict, read.reasons) == ("warn", (REASON,))
    write_labels("again.h5", read)
    assert read_labels("again.h5").reasons == (REASON,)
    with h5py.File("labels.h5", "r+") as file:
        file.attrs["verdict"] = texts("perhaps")
    with pytest.raises(InputError, match="verdict 'perhaps' is none of pass, warn, fail"):
        read_labels("labels.h5")


def test_labels_of_nobodys_judgement_state_none(here, truth):
    write_labels("labels.h5", truth)
    with h5py.File("labels.h5") as file:
        assert "verdict" not in file.attrs
    assert (read_labels("labels.h5").verdict, np.size(read_labels("labels.h5").reasons)) == ("", 0)


def test_a_network_of_doubtful_labels_is_warned_of_where_it_predicts(here, truth, monkeypatch, capsys):
    labels = replace(truth, verdict="warn", reasons=(REASON,))
    assert Recording.of(labels).doubts == (REASON,)
    assert Recording.of(replace(labels, verdict="pass")).doubts == ()
    supervision = SimpleNamespace(supervision="3d")
    card = SimpleNamespace(options=supervision, doubts=(REASON,), val_error=0.0, mean_pose_error=1.0)
    monkeypatch.setattr(inference, "open_engine", lambda *_: SimpleNamespace(card=card))
    answering._open_engine(Path("model.pt"), "cpu", False)
    said = " ".join(capsys.readouterr().err.split())
    assert f"model.pt: was trained on labels that were found doubtful: {REASON}" in said


@pytest.mark.parametrize(("views", "frames", "doubted"), [(2, 60, True), (2, 29, False), (3, 60, False)])
def test_a_view_that_ends_early_is_doubted_where_no_third_one_can_tell(here, truth, views, frames, doubted):
    """A camera of half the rate, with the other's frame numbers, gives joints a metre off with small residuals."""
    rig = replace(truth.rig, cameras=truth.rig.cameras[:views])
    keypoints = truth.keypoints.select_views(rig.names).select_frames(np.arange(60))
    confidence = keypoints.confidence.copy()
    confidence[30:frames, 1] = 0
    write_rig(Path("cameras.toml"), rig)
    write_keypoints(Path("keypoints.h5"), replace(keypoints, confidence=confidence))
    status, said = epitool("triangulate")
    assert status == 0
    assert ("cam2 shows nobody after frame" in said) == doubted
