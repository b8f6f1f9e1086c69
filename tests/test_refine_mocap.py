"""A refinement unit learns from motion capture with errors like the network's: the noise, the cameras, the parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError, InputError
from epitool.io.labels import write_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import write_predictions
from epitool.labels import Labels
from epitool.metrics import mpjpe
from epitool.nn.crops import median_bone_lengths
from epitool.nn.mocap import (
    Mocap,
    level_poses,
    mirrored,
    room_verticals,
    vertical_of,
    with_bone_lengths,
)
from epitool.nn.pose_noise import ErrorModel, estimate_errors, shrunk_covariance
from epitool.nn.refiner import load_refiner
from epitool.nn.refiner_training import noisy_mocap, train_refiner
from epitool.options import RefineOptions
from epitool.pose import Keypoints, Poses, Predictions
from epitool.skeleton import skeleton
from epitool.stages import refine as stage
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
J = len(H36M)
TILTED = Rotation.from_rotvec([0.8, 0.0, 0.3]).as_matrix()
QUICK = RefineOptions(width=128, dropout=0.0, batch_size=250, learning_rate=3e-3, epochs=10)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def errors_along_limbs(scale=60.0, freedom=np.inf):
    """A joint inherits most of its parent's error; depth is twice as uncertain."""
    chain = np.zeros((J, J))
    for j, parent in enumerate(H36M.parents):
        if parent >= 0:
            chain[j] = 0.8 * chain[parent]
            chain[j, j] = 1.0
    covariance = scale**2 / 3 * np.kron(chain @ chain.T, np.diag([1.0, 1.0, 4.0]))
    return ErrorModel(np.ones(3), np.zeros((J, 3)), covariance, freedom)


def motion(seeds, frames=300):
    """Level poses of several synthetic people, z up made y down, 10 frames a second."""
    xyz = np.concatenate([random_motion(frames, seed, frames_per_second=10).xyz for seed in seeds])
    return level_poses(xyz, H36M)


def test_noise_has_the_covariance_that_was_given():
    rng = np.random.default_rng(0)
    for freedom in (np.inf, 6.0):
        given_model = errors_along_limbs(freedom=freedom)
        drawn = given_model.predicted(np.zeros((60_000, J, 3)), rng)
        found = drawn.reshape(len(drawn), -1).T @ drawn.reshape(len(drawn), -1) / len(drawn)
        assert np.abs(found - given_model.covariance).max() < 0.05 * given_model.covariance.max()
        assert not drawn[:, H36M.root].any()


def test_estimated_errors_are_those_that_were_made():
    rng, truth = (
        np.random.default_rng(1),
        Mocap(motion([0, 1, 2]), H36M, room_verticals()).seen(np.random.default_rng(2)),
    )
    truth = np.tile(truth, (5, 1, 1))
    offset = np.zeros((J, 3))
    offset[1:] = [5.0, -10.0, 20.0]
    made = replace(errors_along_limbs(freedom=7.0), gain=np.array([1.0, 0.9, 0.6]), offset=offset)
    found = estimate_errors(made.predicted(truth, rng), truth, H36M)
    np.testing.assert_allclose(found.gain, made.gain, atol=0.02)
    np.testing.assert_allclose(found.offset, made.offset, atol=6)
    assert np.linalg.norm(found.covariance - made.covariance) < 0.1 * np.linalg.norm(made.covariance)
    assert 5 < found.freedom < 11
    gaussian = replace(made, freedom=np.inf)
    assert estimate_errors(gaussian.predicted(truth, rng), truth, H36M).freedom > 25


def test_few_predictions_give_a_covariance_nearer_than_the_plain_one():
    made, rng = errors_along_limbs(), np.random.default_rng(3)
    few = made.predicted(np.zeros((20, J, 3)), rng).reshape(20, -1)
    shrunk = shrunk_covariance(few, np.ones(few.shape, bool))
    plain = few.T @ few / len(few)
    assert np.linalg.norm(shrunk - made.covariance) < np.linalg.norm(plain - made.covariance)
    np.testing.assert_allclose(np.diag(shrunk), np.diag(plain))


def test_missing_joints_do_not_spoil_the_estimate():
    made, rng, truth = errors_along_limbs(), np.random.default_rng(4), motion([0, 1, 2, 3])
    predicted = made.predicted(truth, rng)
    predicted[rng.random(predicted.shape[:2]) < 0.2] = np.nan
    found = estimate_errors(predicted, truth, H36M)
    assert np.isfinite(found.covariance).all()
    assert np.isfinite(found.offset).all()
    assert np.linalg.norm(found.covariance - made.covariance) < 0.25 * np.linalg.norm(made.covariance)


def test_errors_of_perfect_predictions_are_none():
    truth = motion([0])
    found = estimate_errors(truth, truth, H36M)
    np.testing.assert_allclose(found.predicted(truth, np.random.default_rng(0)), truth, atol=1e-6)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_poses_with_any_axis_up_become_level(axis, sign):
    level = motion([0], 60)
    turn = np.linalg.qr(np.column_stack([sign * np.eye(3)[axis], np.roll(np.eye(3)[axis], 1), np.ones(3)]))[0]
    turn = turn * np.sign(turn[axis, 0] * sign)
    turn[:, 2] *= np.linalg.det(turn)
    axes = np.column_stack([turn[:, 1], -turn[:, 0], turn[:, 2]])
    axes[:, 2] *= np.linalg.det(axes)
    again = level_poses(level @ axes.T, H36M)
    np.testing.assert_allclose(again[..., 1], level[..., 1], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(again, axis=-1), np.linalg.norm(level, axis=-1), atol=1e-9)


def test_poses_without_an_upright_axis_are_refused():
    tilted = motion([0], 60) @ TILTED
    with pytest.raises(InputError, match="none of the axes"):
        level_poses(tilted, H36M)


def test_cameras_see_a_turned_tilted_person_of_another_size():
    poses = motion([0], 400)
    seen = Mocap(poses, H36M, room_verticals()).seen(np.random.default_rng(0))
    size = np.linalg.norm(seen, axis=-1).sum(axis=1) / np.linalg.norm(poses, axis=-1).sum(axis=1)
    assert 0.9 <= size.min() < 0.92
    assert 1.08 < size.max() <= 1.1
    np.testing.assert_allclose(
        np.linalg.norm(seen[:, 3] - seen[:, 16], axis=-1), size * np.linalg.norm(poses[:, 3] - poses[:, 16], axis=-1)
    )
    shoulders = seen[:, 11] - seen[:, 14]
    heading = np.degrees(np.arctan2(shoulders[:, 2], shoulders[:, 0]))
    assert (np.histogram(heading, 8, (-180, 180))[0] > 20).all()
    mean = room_verticals().mean(axis=0)
    assert vertical_of(seen, H36M) @ mean / np.linalg.norm(mean) > np.cos(np.radians(5))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_mirror_is_its_own_inverse_and_changes_the_handedness(seed):
    poses = np.random.default_rng(seed).normal(size=(2, J, 3))
    np.testing.assert_array_equal(mirrored(mirrored(poses, H36M), H36M), poses)
    np.testing.assert_array_equal(mirrored(poses, H36M)[:, 3] * [-1, 1, 1], poses[:, 6])


def test_poses_take_on_the_bones_of_the_recording():
    poses = motion([0], 30)
    wanted = median_bone_lengths(poses, H36M) * np.random.default_rng(0).uniform(0.7, 1.3, len(H36M.bones))
    fitted = with_bone_lengths(poses, wanted, H36M)
    np.testing.assert_allclose(median_bone_lengths(fitted, H36M), wanted)
    np.testing.assert_allclose(with_bone_lengths(fitted, median_bone_lengths(poses, H36M), H36M), poses, atol=1e-9)
    np.testing.assert_allclose(with_bone_lengths(poses, np.full(len(H36M.bones), np.nan), H36M), poses, atol=1e-9)


def test_unit_trained_on_motion_capture_lowers_the_error_of_people_not_seen():
    errors = errors_along_limbs(scale=40, freedom=6.0)
    train, choice, test = (Mocap(motion(seeds), H36M, room_verticals()) for seeds in (range(8), [8], [9, 10]))
    held_out, other = (noisy_mocap(part, errors)(np.random.default_rng(9)) for part in (choice, test))
    unit = train_refiner(
        noisy_mocap(train, errors, 5000), held_out, H36M, QUICK, unit="mm", recording_id="", trained_on="mocap"
    )
    before, after = (mpjpe(pose, other[1], H36M.root).mean() for pose in (other[0], unit.refined(other[0])))
    assert after < 0.8 * before
    linear = affine_denoiser(noisy_mocap(train, errors, 20_000)(np.random.default_rng(0)), other[0])
    assert after < mpjpe(linear, other[1], H36M.root).mean()


def affine_denoiser(pairs, poses):
    """The best affine map from predictions to truths, applied."""
    columns = [np.column_stack([pose.reshape(len(pose), -1), np.ones(len(pose))]) for pose in (pairs[0], poses)]
    matrix = np.linalg.lstsq(columns[0], pairs[1].reshape(len(pairs[1]), -1), rcond=None)[0]
    return (columns[1] @ matrix).reshape(poses.shape)


def test_training_on_motion_capture_is_reproducible():
    draw, held_out = noisy_mocap(Mocap(motion([0], 100), H36M, room_verticals()), errors_along_limbs()), motion([1], 50)
    options = replace(QUICK, epochs=2)
    first, second = (
        train_refiner(draw, (held_out, held_out + 1.0), H36M, options, unit="mm", recording_id="") for _ in range(2)
    )
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_clips_are_not_shared_by_the_parts():
    clips = np.repeat(np.arange(20), 7)
    kept = stage.held_out_clips(clips, seed=1)
    assert set(clips[kept]).isdisjoint(clips[~kept])
    assert len(set(clips[kept])) == 3
    np.testing.assert_array_equal(np.flatnonzero(stage.held_out_clips(np.zeros(100, int), 0)), np.arange(85, 100))


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """Labels, predictions with errors along limbs, and motion capture of others, in the working directory."""
    monkeypatch.chdir(tmp_path)
    truth = motion([20], 400) + np.array([0.0, 0.0, 4000.0])
    count, frames = len(truth), np.arange(len(truth))
    camera = Camera("a", [[900, 0, 320], [0, 900, 240], [0, 0, 1]], [], np.eye(3), np.zeros(3), (640, 480))
    rig, confidence = Rig((camera,), "mm", "known"), np.ones((count, 1, J))
    images = np.array([[str(tmp_path / f"{i}.png")] for i in range(count)])
    keypoints = Keypoints(rig.project(truth), confidence, frames, ("a",), images, np.array([[640, 480]]), H36M)
    poses = Poses(truth, confidence[:, 0], frames, H36M, "mm", "world")
    write_labels(
        tmp_path / "labels.h5", Labels(poses, keypoints, rig, np.zeros_like(confidence), np.zeros((count, 1), bool))
    )
    root_relative = truth - truth[:, [0]]
    made = errors_along_limbs(scale=40).predicted(root_relative, np.random.default_rng(0))
    flat = np.zeros((count, J, 2))
    predictions = Predictions(
        tuple(images[:, 0].tolist()), np.ones((count, 4)), made, flat, flat[..., 0] + 1, H36M, "mm", {}
    )
    write_predictions(tmp_path / "pose.json", predictions)
    write_mocap(tmp_path / "mocap.npz")
    return tmp_path


def write_mocap(path, **changes):
    xyz = np.concatenate([random_motion(150, seed, frames_per_second=10).xyz for seed in range(6)])
    content = {"xyz_mm": xyz, "joints": np.array(H36M.joints), "clip_index": np.repeat(np.arange(6), 150)} | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def test_command_learns_without_truth_for_the_training_frames(recording, monkeypatch):
    monkeypatch.setattr(stage, "MOCAP_OPTIONS", QUICK)
    summary = stage.run(mocap=recording / "mocap.npz", epochs=6)
    assert summary.values["val_mpjpe_refined"] < 0.9 * summary.values["val_mpjpe"]
    refiner = load_refiner(recording / "runs/default/refiner.pt")
    assert refiner.trained_on == "mocap"
    assert 0 < refiner.strength <= 1


def refused(match, recording, error=InputError, **changes):
    write_mocap(recording / "bad.npz", **changes)
    with pytest.raises(error, match=match) as caught:
        stage.run(mocap=recording / "bad.npz", epochs=1)
    assert "\n" not in str(caught.value)
    assert "bad.npz" in str(caught.value)


def test_unfit_motion_capture_is_refused_in_one_line(recording):
    xyz = random_motion(150, 0).xyz
    some = {"clip_index": None, "joints": None}
    refused("in arbitrary, the labels in mm", recording, xyz_mm=None, xyz=xyz, **some)
    refused("custom has no", recording, xyz_mm=xyz[:, :5], joints=np.array(list("abcde")), clip_index=None)
    refused("expected 150 integers", recording, xyz_mm=xyz, clip_index=np.zeros(3, int))
    refused("expected 150 integers", recording, xyz_mm=xyz, clip_index=np.zeros(150))
    refused("99 complete poses", recording, GeometryError, xyz_mm=xyz[:99], clip_index=None)
    refused("none of the axes", recording, xyz_mm=xyz @ TILTED.T, clip_index=None)
    with pytest.raises(InputError, match=r"none\.npz"):
        stage.run(mocap=recording / "none.npz")


def test_mocap_needs_predictions_of_both_halves_of_the_validation_part(recording):
    import json

    content = json.loads((recording / "pose.json").read_text())
    content["poses"] = content["poses"][:310]
    (recording / "pose.json").write_text(json.dumps(content))
    with pytest.raises(GeometryError, match="later half of the val part"):
        stage.run(mocap=recording / "mocap.npz", epochs=1)


def test_mocap_of_a_plain_array_is_one_clip(tmp_path):
    np.save(tmp_path / "poses.npy", random_motion(20, 0).xyz)
    arrays = read_pose_arrays(tmp_path / "poses.npy")
    assert arrays.poses.unit == "arbitrary"
    assert not arrays.clips.any()
    assert len(arrays.clips) == 20
