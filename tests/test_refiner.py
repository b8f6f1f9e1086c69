"""The refinement unit changes nothing before it has learned, learns what is systematic, and says if it fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epitool.camera import Camera, Rig
from epitool.errors import CheckpointError, GeometryError, InputError
from epitool.io.labels import write_labels
from epitool.io.predictions import read_predictions, write_predictions
from epitool.labels import Labels
from epitool.nn.refiner import (
    RefinementNetwork,
    load_refiner,
    refine,
    save_refiner,
)
from epitool.nn.refiner_training import checked, fixed_pairs, train_refiner
from epitool.options import RefineOptions
from epitool.pose import Keypoints, Poses, Predictions
from epitool.skeleton import Skeleton, skeleton
from epitool.stages import refine as refine_stage

H36M = skeleton("h36m17")
QUICK = RefineOptions(width=128, epochs=40)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def poses_of(count, seed=0):
    """Root-relative poses that vary in four ways, mm."""
    modes = np.random.default_rng(7).normal(0, 120, (4, len(H36M), 3))
    xyz = np.einsum("nk,kjd->njd", np.random.default_rng(seed).normal(size=(count, 4)), modes)
    return xyz - xyz[:, [H36M.root]]


def distorted(truth, seed=0, noise=15.0):
    """Flattened along the depth, and noisy."""
    out = truth * [1.0, 1.0, 0.6] + np.random.default_rng(seed).normal(0, noise, truth.shape)
    return out - out[:, [H36M.root]]


def trained(noise=15.0, options=QUICK):
    truth, other = poses_of(300), poses_of(60, seed=1)
    validation = (distorted(other, 3, noise), other)
    draw = fixed_pairs(distorted(truth, 2, noise), truth)
    return train_refiner(draw, validation, H36M, options, unit="mm", recording_id="r")


def predictions_of(joints_3d, images=None):
    n = len(joints_3d)
    names = images or tuple(f"{i}.png" for i in range(n))
    flat = np.zeros((n, len(H36M), 2))
    return Predictions(names, np.ones((n, 4)), joints_3d, flat, flat[..., 0] + 1, H36M, "mm", {})


def test_untrained_unit_changes_nothing():
    network = RefinementNetwork(17, 64, 0.5).eval()
    pose = torch.randn(5, 48)
    for answer in network(pose):
        assert torch.equal(answer, pose)


def test_unit_has_two_stages_of_four_layers():
    network = RefinementNetwork(17, 1024, 0.5)
    widths = [m.out_features for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert sorted(widths) == [48, 48] + [1024] * 8


def test_unit_undoes_a_systematic_error():
    refiner = trained()
    before, after = refiner.val_error
    assert after < 0.7 * before
    truth = poses_of(50, seed=9)
    seen = distorted(truth, 9)
    refined = refine(predictions_of(seen), refiner).joints_3d
    assert np.abs(refined - truth).mean() < 0.7 * np.abs(seen - truth).mean()
    np.testing.assert_array_equal(refined[:, H36M.root], 0)


def test_training_is_reproducible_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    first = trained(options=replace(QUICK, epochs=3))
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), drawn)
    second = trained(options=replace(QUICK, epochs=3))
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_missing_joints_stay_missing_and_harm_no_other():
    seen = distorted(poses_of(4))
    seen[1, 5] = np.nan
    refined = refine(predictions_of(seen), trained()).joints_3d
    assert np.argwhere(np.isnan(refined).any(axis=-1)).tolist() == [[1, 5]]


def test_refiner_survives_its_file(tmp_path):
    refiner, poses = trained(options=replace(QUICK, epochs=3)), predictions_of(distorted(poses_of(4)))
    save_refiner(tmp_path / "refiner.pt", refiner)
    again = load_refiner(tmp_path / "refiner.pt")
    np.testing.assert_array_equal(refine(poses, again).joints_3d, refine(poses, refiner).joints_3d)
    assert again.val_error == refiner.val_error


def test_damaged_refiner_is_refused(tmp_path):
    path = tmp_path / "refiner.pt"
    save_refiner(path, trained(options=replace(QUICK, epochs=1)))
    content = torch.load(path, weights_only=True)
    torch.save(content | {"mean": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError):
        load_refiner(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError):
        load_refiner(path)


def test_poses_in_another_unit_or_of_other_joints_are_refused():
    refiner, poses = trained(options=replace(QUICK, epochs=1)), predictions_of(distorted(poses_of(4)))
    with pytest.raises(InputError, match="arbitrary"):
        refine(replace(poses, unit="arbitrary"), refiner)
    backwards = Skeleton("backwards", H36M.joints[::-1], (-1,) * len(H36M))
    with pytest.raises(InputError, match="backwards"):
        refine(replace(poses, skeleton=backwards), refiner)


def test_strength_is_the_share_of_the_correction_that_suits_other_poses():
    refiner, truth = trained(options=replace(QUICK, epochs=10)), poses_of(100, seed=5)
    seen = distorted(truth, 5)
    correction = refiner.refined(seen) - seen
    half = checked(refiner, (seen, seen + 0.5 * correction), (seen, truth))
    assert half.strength == pytest.approx(0.5)
    np.testing.assert_allclose(half.refined(seen), seen + 0.5 * correction, atol=1e-9)
    none = checked(refiner, (seen, seen - correction), (seen, truth))
    assert none.strength == 0
    assert none.val_error[0] == none.val_error[1]
    np.testing.assert_array_equal(none.refined(seen), seen)


def test_refiner_of_an_earlier_version_is_read(tmp_path):
    refiner = trained(options=replace(QUICK, epochs=1))
    save_refiner(tmp_path / "refiner.pt", refiner)
    content = torch.load(tmp_path / "refiner.pt", weights_only=True)
    torch.save({key: content[key] for key in content if key not in ("strength", "trained_on")}, tmp_path / "old.pt")
    seen = distorted(poses_of(4))
    np.testing.assert_array_equal(load_refiner(tmp_path / "old.pt").refined(seen), refiner.refined(seen))


def recording(folder: Path, count: int) -> tuple[Labels, Predictions]:
    """Labels of one camera, and predictions of all its images."""
    truth = poses_of(count) + np.array([0.0, 0.0, 4000.0])
    camera = Camera("a", [[900, 0, 320], [0, 900, 240], [0, 0, 1]], [], np.eye(3), np.zeros(3), (640, 480))
    rig, frames = Rig((camera,), "mm", "known"), np.arange(count)
    images = np.array([[str(folder / f"{i}.png")] for i in range(count)])
    confidence = np.ones((count, 1, len(H36M)))
    keypoints = Keypoints(rig.project(truth), confidence, frames, ("a",), images, np.array([[640, 480]]), H36M)
    poses = Poses(truth, confidence[:, 0], frames, H36M, "mm", "world")
    labels = Labels(poses, keypoints, rig, np.zeros_like(confidence), np.zeros((count, 1), bool))
    return labels, predictions_of(distorted(poses_of(count)), tuple(images[:, 0].tolist()))


def test_refine_command_measures_with_and_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels, predictions = recording(tmp_path, 200)
    write_labels(Path("labels.h5"), labels)
    write_predictions(Path("pose.json"), predictions)
    summary = refine_stage.run(epochs=10)
    assert summary.values["val_mpjpe_refined"] < summary.values["val_mpjpe"]
    assert load_refiner(Path("runs/default/refiner.pt")).recording_id == labels.recording_id
    refined = refine(read_predictions(Path("pose.json")), load_refiner(Path("runs/default/refiner.pt")))
    write_predictions(Path("again.json"), replace(refined, provenance={"refiner": "runs/default/refiner.pt"}))
    with pytest.raises(InputError, match="refined already"):
        refine_stage.run(predictions=Path("again.json"))


def test_refine_command_warns_when_it_does_not_help(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels, predictions = recording(tmp_path, 120)
    exact = labels.poses.xyz - labels.poses.xyz[:, [H36M.root]]
    write_labels(Path("labels.h5"), labels)
    write_predictions(Path("pose.json"), replace(predictions, joints_3d=exact))
    refine_stage.run(epochs=2)
    assert "did not lower" in capsys.readouterr().err


def test_refine_command_needs_predictions_of_both_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels, predictions = recording(tmp_path, 120)
    write_labels(Path("labels.h5"), labels)
    few = predictions_of(np.array(predictions.joints_3d[:80]), predictions.images[:80])
    write_predictions(Path("pose.json"), few)
    with pytest.raises(GeometryError, match="val part"):
        refine_stage.run()
