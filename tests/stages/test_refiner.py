"""The refinement unit survives its file, learns from a recording's own labels, and says if that does not help."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_convert_everyone import write_everyone

from epitool.errors import CheckpointError, GeometryError, InputError, UsageError
from epitool.io.labels_h5 import write_labels
from epitool.io.predictions import read_predictions, write_predictions
from epitool.labels import Labels
from epitool.metrics import nmpjpe
from epitool.nn import refiner_training
from epitool.nn.detector_errors import errors_of
from epitool.nn.looks import BODY, FEATURES, LIMBS, PELVIS, body_joints
from epitool.nn.refiner import load_refiner
from epitool.nn.refiner_networks import ResidualNetwork
from epitool.nn.refiner_training import own_wardrobe, save_refiner, train_own
from epitool.options import PredictOptions, RefineOptions
from epitool.options.network import UnitOptions
from epitool.pose import Predictions
from epitool.skeleton import Skeleton, skeleton
from epitool.stages import predict
from epitool.stages import refine as stage
from epitool.stages.predict.answering import Answerer, held_out_error_text, who_answers
from epitool.stages.scoring.pairing import read_predicted
from epitool.stages.scoring.truth import read_truth
from epitool.stages.shared.peers import labelled_looks

H36M = skeleton("h36m17")
QUICK = UnitOptions(steps=3, batch_size=64)
SHIPPED = load_refiner()


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, one_thread):
    monkeypatch.setattr(refiner_training, "OWN", replace(refiner_training.OWN, batch_size=64))


def true_poses(labels: Labels):
    return body_joints(labels.in_cameras.reshape(-1, len(H36M), 3), H36M)[0]


def trained(labels: Labels, options=QUICK, hint="none"):
    looks, truth = labelled_looks(labels), true_poses(labels)
    level = truth - truth[:, [PELVIS]]
    return train_own(
        SHIPPED, own_wardrobe(level), errors_of(looks, truth), options, unit="mm", scale_source="known",
        focal_ratio=1.0, hint=hint, recording_id="r",
    )  # fmt: skip


def flattened(labels: Labels, **changes) -> Predictions:
    """What a network that sees half of the depth predicts in all images of the labels."""
    poses = labels.in_cameras.reshape(-1, len(H36M), 3)
    seen = (poses - poses[:, [H36M.root]]) * [1.0, 1.0, 0.5]
    seen[:, 1:] += np.random.default_rng(0).normal(0, 15, seen[:, 1:].shape)
    names, n = labels.keypoints.images.ravel().tolist(), len(seen)
    flat = np.zeros((n, len(H36M), 2))
    made = Predictions(tuple(names), np.ones((n, 4)), seen, flat, flat[..., 0] + 1, H36M, "mm", {})
    return replace(made, **changes)


def test_residual_network_has_two_blocks_of_two_layers():
    network = ResidualNetwork(512, 0.5)
    widths = [m.out_features for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert sorted(widths) == [3 * len(BODY)] + [512] * 5
    assert network.eval()(torch.zeros(7, FEATURES)).shape == (7, len(BODY), 3)


def test_training_is_reproducible_and_leaves_the_global_generator_alone(truth):
    torch.manual_seed(3)
    first = trained(truth)
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), drawn)
    second, other = trained(truth), trained(truth, replace(QUICK, seed=1))
    assert all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert not all(np.array_equal(first.weights[name], other.weights[name]) for name in first.weights)


def test_to_open_a_unit_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    load_refiner()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_refiner_survives_its_file(tmp_path, truth):
    refiner = replace(trained(truth), measured={"the shipped unit": (30.0, 20.0)}, answers_as="the shipped unit")
    save_refiner(tmp_path / "refiner.pt", refiner)
    again = load_refiner(tmp_path / "refiner.pt")
    looks = labelled_looks(truth)
    np.testing.assert_allclose(again.answers(looks), refiner.answers(looks), atol=5e-3)  # of about unit size
    plain = ("unit", "scale_source", "focal_ratio", "hint", "trained_on", "recording_id", "measured", "answers_as")
    for name in (*plain, "options"):
        assert getattr(again, name) == getattr(refiner, name)
    np.testing.assert_array_equal(again.lengths, refiner.lengths)
    save_refiner(tmp_path / "again.pt", again)
    twice = load_refiner(tmp_path / "again.pt")
    np.testing.assert_array_equal(twice.answers(looks), again.answers(looks))


def test_the_error_that_predict_states_is_that_of_the_unit_which_answers():
    """A hint by itself may be better than the unit; files of earlier versions do not tell which error is theirs."""
    measured = {"the shipped unit": (60.0, 45.0), "refined": (52.0, 40.0), "the network": (41.0, 33.0)}
    unit = replace(SHIPPED, measured=measured, answers_as="refined")
    said = [held_out_error_text(Answerer(None, None, u, None, "")) for u in (unit, replace(unit, answers_as=""))]
    assert said == ["NMPJPE on held-out frames of its recording 52 arbitrary", ""]


def test_a_unit_that_answers_nothing_has_no_error_to_state():
    unit = replace(SHIPPED, measured={"refined": (np.inf, np.inf)}, answers_as="refined")
    assert held_out_error_text(Answerer(None, None, unit, None, "")) == ""
    summary = stage._summary(Path("refiner.pt"), unit, "refined", "mm", 3)
    assert '"nmpjpe": null' in json.dumps(summary.values, allow_nan=False)  # what --json prints


@pytest.mark.parametrize(
    "damage",
    [
        {"lengths": torch.zeros(2)},
        {"joints": list(BODY.joints[::-1])},
        {"unit": "feet"},
        {"hint": "stars"},
        {"weights": {}},
        {"measured": {"the shipped unit": [1.0]}},
        {"answers_as": "the network"},
        {"options": {"loss": "squared"}},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_damaged_refiner_is_refused(tmp_path, damage):
    path = tmp_path / "refiner.pt"
    save_refiner(path, SHIPPED)
    content = torch.load(path, weights_only=True)
    torch.save(content | damage, path)
    with pytest.raises(CheckpointError, match=r"refiner\.pt") as caught:
        load_refiner(path)
    assert "\n" not in str(caught.value)


def test_refiner_that_is_cut_off_or_not_finite_is_refused(tmp_path):
    path = tmp_path / "refiner.pt"
    save_refiner(path, SHIPPED)
    content = torch.load(path, weights_only=True)
    bad = {name: tensor.clone() for name, tensor in content["weights"].items()}
    bad["residual.leave.bias"][0] = torch.nan
    torch.save(content | {"weights": bad}, path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_refiner(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError):
        load_refiner(path)


def test_refiner_of_an_earlier_version_is_refused_with_what_to_do(tmp_path):
    torch.save({"format": "epitool.refiner/1", "weights": {}}, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=r"epitool\.refiner/1.*epitool refine"):
        load_refiner(tmp_path / "old.pt")


def test_refine_command_chooses_the_hint_and_measures_with_and_without(here, truth):
    write_labels(Path("labels.h5"), truth)
    write_predictions(Path("pose.json"), flattened(truth))
    values = stage.run(RefineOptions(steps=60)).values
    refiner = load_refiner(Path("runs/default/refiner.pt"))
    measured = {name: errors["nmpjpe"] for name, errors in values["measured"].items()}
    assert list(measured) == ["the shipped unit", "refined, with the network's poses", "the network"]
    assert values["chosen"] == "refined, with the network's poses"
    assert measured[values["chosen"]] == min(measured.values())
    json.dumps(values, allow_nan=False)
    assert measured[values["chosen"]] < 0.7 * measured["the network"]
    assert (refiner.recording_id, refiner.hint, refiner.unit) == (truth.recording_id, "network", "mm")
    assert refiner.measured[values["chosen"]][0] == pytest.approx(measured[values["chosen"]])
    assert refiner.answers_as == values["chosen"]


def test_a_hint_that_is_exact_has_no_error_by_itself_wherever_in_the_image_the_person_is(here, truth):
    """Hints are in axes that look straight at the person, and so must be what they are measured against."""
    poses = truth.in_cameras.reshape(-1, len(H36M), 3)
    write_labels(Path("labels.h5"), truth)
    write_predictions(Path("pose.json"), flattened(truth, joints_3d=poses - poses[:, [H36M.root]]))
    measured = stage.run(RefineOptions(steps=1)).values["measured"]["the network"]
    assert measured["nmpjpe"] == pytest.approx(0.0, abs=0.1)


def test_labels_alone_teach_the_person_of_the_recording_and_their_doubts(here, truth, capsys):
    write_labels(Path("labels.h5"), replace(truth, verdict="warn", reasons=("a camera is uncertain",)))
    values = stage.run(RefineOptions(steps=20)).values
    assert values["chosen"] == "refined, with no hint"
    refiner, limbs = load_refiner(Path("runs/default/refiner.pt")), LIMBS
    assert refiner.doubts == ("a camera is uncertain",)
    capsys.readouterr()
    who_answers(PredictOptions(images=("a.jpg",)))
    said = " ".join(capsys.readouterr().err.split())
    assert "refiner.pt: was trained on labels that were found doubtful: a camera is uncertain" in said
    poses, true = refiner.answers(labelled_looks(truth)), true_poses(truth)
    root = int(np.flatnonzero(limbs == PELVIS)[0])
    ours, shipped = (
        nmpjpe(found[:, limbs], true[:, limbs], root).mean()
        for found in (poses, SHIPPED.answers(labelled_looks(truth)))
    )
    assert ours < shipped
    thigh = BODY.index("left_knee")
    femur = np.linalg.norm(true[:, thigh] - true[:, BODY.index("left_hip")], axis=-1)
    assert refiner.lengths[thigh] == pytest.approx(np.median(femur), rel=1e-3)


@pytest.mark.thorough  # the first tier has what trains in it, see above
def test_refine_command_is_reproducible(here, truth):
    write_labels(Path("labels.h5"), truth)
    files = [Path("one.pt"), Path("two.pt"), Path("other.pt")]
    for out, seed in zip(files, (0, 0, 1)):
        stage.run(RefineOptions(steps=40, seed=seed, out=out))
    first, second, other = (load_refiner(out).weights for out in files)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_refine_command_keeps_the_shipped_unit_and_warns_when_labels_do_not_help(here, truth, monkeypatch, capsys):
    def spoiled(start, *_):
        nothing = {name: np.zeros_like(tensor) for name, tensor in start.weights.items()}
        return replace(start, weights=nothing, recording_id="r")

    monkeypatch.setattr(stage, "_trained", spoiled)
    write_labels(Path("labels.h5"), replace(truth, verdict="warn", reasons=("a camera is uncertain",)))
    assert stage.run(RefineOptions()).values["chosen"] == "the shipped unit"
    assert "did not lower" in capsys.readouterr().err
    kept = load_refiner(Path("runs/default/refiner.pt"))
    assert (kept.recording_id, kept.doubts) == ("", ())  # it has learned nothing of them


def test_predictions_that_are_refined_or_of_other_images_are_refused(here, truth):
    write_labels(Path("labels.h5"), truth)
    write_predictions(Path("again.json"), flattened(truth, provenance={"refiner": "runs/default/refiner.pt"}))
    with pytest.raises(InputError, match="refined already"):
        stage.run(RefineOptions(predictions=Path("again.json")))
    other = flattened(truth)
    write_predictions(Path("other.json"), replace(other, images=tuple(f"else/{name}" for name in other.images)))
    with pytest.raises(InputError, match=r"other\.json: none of its 480 images is of labels\.h5"):
        stage.run(RefineOptions(predictions=Path("other.json")))
    assert not Path("runs").exists()


def test_predictions_that_nobody_named_are_used_only_where_they_fit(here, truth):
    write_labels(Path("labels.h5"), truth)
    write_predictions(Path("pose.json"), flattened(truth, provenance={"refiner": "shipped"}))
    assert "the network" not in stage.run(RefineOptions(steps=1)).values["measured"]
    other = flattened(truth)
    write_predictions(Path("pose.json"), replace(other, images=tuple(f"else/{name}" for name in other.images)))
    assert "the network" not in stage.run(RefineOptions(steps=1)).values["measured"]


def test_a_network_that_saw_too_little_of_the_validation_part_is_not_learned_from(here, truth, capsys):
    """It has learned the training part by heart: how it errs elsewhere is what is to be learned."""
    write_labels(Path("labels.h5"), truth)
    whole, count = flattened(truth), 4 * 84
    of_each = ("images", "boxes", "joints_3d", "joints_2d", "confidence", "facing")
    few = {name: getattr(whole, name)[:count] for name in of_each}
    write_predictions(Path("pose.json"), replace(whole, **few))
    values = stage.run(RefineOptions(steps=20, predictions=Path("pose.json"))).values
    assert values["chosen"] == "refined, with no hint"
    assert "the network is not tried as a hint: " in capsys.readouterr().err


def test_refine_command_needs_whole_frames_to_learn_from_and_to_choose_by(here, truth):
    xyz = truth.poses.xyz.copy()
    xyz[20:84, 3] = np.nan
    write_labels(Path("labels.h5"), replace(truth, poses=replace(truth.poses, xyz=xyz)))
    stage.run(RefineOptions(steps=1))
    xyz[:, 3] = np.nan
    xyz[:15] = truth.poses.xyz[:15]
    write_labels(Path("labels.h5"), replace(truth, poses=replace(truth.poses, xyz=xyz)))
    with pytest.raises(GeometryError, match=r"labels\.h5: 15 frames to learn from"):
        stage.run(RefineOptions(steps=1))
    xyz[:80] = truth.poses.xyz[:80]
    write_labels(Path("labels.h5"), replace(truth, poses=replace(truth.poses, xyz=xyz)))
    with pytest.raises(GeometryError, match=r"labels\.h5: 0 frames to choose by"):
        stage.run(RefineOptions(steps=1))


def test_labels_without_the_joints_of_the_unit_are_refused(here, truth):
    arms = [j for j, name in enumerate(H36M.joints) if name == "pelvis" or "arm" in name or "elbow" in name]
    body = Skeleton("arms", tuple(H36M.joints[j] for j in arms), (-1,) + (0,) * (len(arms) - 1))
    poses = replace(
        truth.poses, xyz=truth.poses.xyz[:, arms], confidence=truth.poses.confidence[:, arms], skeleton=body
    )
    keypoints = replace(
        truth.keypoints, xy=truth.keypoints.xy[:, :, arms], confidence=truth.keypoints.confidence[:, :, arms],
        skeleton=body,
    )  # fmt: skip
    labels = Labels(
        poses, keypoints, truth.rig, truth.reprojection_px[:, :, arms], truth.swapped
    )  # fmt: skip
    write_labels(Path("labels.h5"), labels)
    with pytest.raises(InputError, match=r"labels\.h5: arms has no .*left_knee"):
        stage.run(RefineOptions(steps=1))


def test_options_that_do_not_go_together_are_refused(here):
    with pytest.raises(UsageError, match="--pairs: 2 files"):
        stage.run(RefineOptions(pairs=[Path("a.h5"), Path("b.h5")]))
    with pytest.raises(UsageError, match="--predictions"):
        stage.run(RefineOptions(mocap=Path("mocap.npz"), predictions=Path("pose.json")))


def test_joints_without_images_are_answered_for_and_measured(here, truth, monkeypatch):
    """OpenPose's JSON alone is enough: the views' names and the frames' numbers stand for the images."""
    shift, frames = np.array([0.0, -900.0, 0.0]), np.arange(5, 125)
    beside = replace(truth.poses, xyz=truth.poses.xyz + shift, frames=frames)
    images = np.full(truth.keypoints.images.shape, "")
    nameless = replace(truth.keypoints, images=images, frames=frames)
    first = replace(truth, keypoints=nameless, poses=replace(truth.poses, frames=frames))
    second = replace(first, poses=beside, keypoints=replace(nameless, xy=truth.rig.project(beside.xyz)))
    write_everyone({"one": first, "two": second.between(20, 90)})
    predict.run(PredictOptions(images=("labels.h5",)))
    names = read_predictions(Path("pose.json")).images
    assert names[::4] == tuple(f"view:{truth.rig.names[0]}#{frame}" for frame in frames)
    found, _ = read_predicted(Path("pose.json"), read_truth(Path("labels.h5")), "all")
    np.testing.assert_array_equal(found.frames * 4 + found.views, np.arange(480))  # all of the first person
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")  # such names are no paths, which are relative to a file
    found, _ = read_predicted(here / "pose.json", read_truth(here / "labels.h5"), "all")
    assert len(found.frames) == 480
    monkeypatch.chdir(here)
    for looked_at in ({"overlay": Path("drawn")}, {"detector": "mediapipe"}, {"box": "image"}):
        with pytest.raises(InputError, match=r"labels\.h5: names no images.*--views"):
            predict.run(PredictOptions(images=("labels.h5",), **looked_at))
