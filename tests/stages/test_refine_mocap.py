"""Poses that a refinement unit learns from: which way is up, mirrors, bones, cameras, and files of motion capture."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from epitool.errors import GeometryError, InputError
from epitool.io.labels_h5 import write_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.metrics import nmpjpe
from epitool.nn import refiner_training
from epitool.nn.detector_errors import AS_SEEN, errors_of, looks_with_errors
from epitool.nn.looks import BODY, LIMBS, PELVIS, Looks, body_joints, looks_of
from epitool.nn.mocap import (
    Cameras,
    level_poses,
    median_lengths,
    mirrored,
    place_before_cameras,
    vertical_of,
    with_heads,
    with_lengths,
)
from epitool.nn.refiner import load_refiner
from epitool.nn.refiner_training import generic_wardrobe, reference_lengths, train_generic
from epitool.options import RefineOptions
from epitool.skeleton import skeleton
from epitool.stages import refine as stage
from epitool.stages.shared.peers import labelled_looks
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
J = len(H36M)
ROOT = LIMBS.tolist().index(PELVIS)
TILTED = Rotation.from_rotvec([0.8, 0.0, 0.3]).as_matrix()
QUICK = replace(
    refiner_training.GENERIC, width=128, steps=150, batch_size=64, learning_rate=8e-3, dropout=0.0, average=0.9
)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, one_thread):
    monkeypatch.setattr(refiner_training, "GENERIC", QUICK)


def motion(seeds, frames=300):
    """Level poses of several synthetic people, z up made y down, 10 frames a second."""
    xyz = np.concatenate([random_motion(frames, seed, frames_per_second=10).xyz for seed in seeds])
    return level_poses(xyz, H36M)


def bodies(seeds, frames=300):
    return body_joints(motion(seeds, frames), H36M)[0]


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


def test_vertical_is_from_legs_to_shoulders_and_none_where_nobody_is_whole():
    poses = motion([0], 60)
    np.testing.assert_allclose(vertical_of(poses @ TILTED.T, H36M), TILTED @ vertical_of(poses, H36M), atol=1e-12)
    assert np.linalg.norm(vertical_of(poses, H36M)) == pytest.approx(1)
    assert vertical_of(poses, H36M)[1] < -0.95
    assert np.isnan(vertical_of(np.full_like(poses, np.nan), H36M)).all()
    assert np.isnan(vertical_of(poses[:, :1], skeleton("h36m17").__class__("dot", ("pelvis",), (-1,)))).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_mirror_is_its_own_inverse_and_changes_the_handedness(seed):
    poses = np.random.default_rng(seed).normal(size=(2, J, 3))
    np.testing.assert_array_equal(mirrored(mirrored(poses, H36M), H36M), poses)
    np.testing.assert_array_equal(mirrored(poses, H36M)[:, 3] * [-1, 1, 1], poses[:, 6])


def test_poses_take_on_bones_of_other_lengths():
    poses = bodies([0], 30)
    factor = np.random.default_rng(0).uniform(0.7, 1.3, len(BODY))
    for side in ("hip", "shoulder"):  # whose middle pelvis and thorax are
        factor[BODY.index(f"right_{side}")] = factor[BODY.index(f"left_{side}")]
    own = lengths(poses)
    fitted = with_lengths(poses, own * factor)
    ends = np.array([child for _, child in BODY.bones])
    np.testing.assert_allclose(lengths(fitted)[:, ends], (own * factor)[:, ends], rtol=1e-6)
    np.testing.assert_allclose(with_lengths(fitted, own), poses, atol=1e-6)
    np.testing.assert_allclose(with_lengths(poses, np.full(own.shape, np.nan)), poses, atol=1e-6)
    np.testing.assert_allclose(median_lengths(poses)[ends], np.median(own, axis=0)[ends])


def lengths(poses):
    """Of every pose's bones, by the joint they end at."""
    out = np.full(poses.shape[:2], np.nan)
    for parent, child in BODY.bones:
        out[:, child] = np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1)
    return out


def test_cameras_see_a_turned_tilted_person_of_the_same_size_before_them():
    poses, cameras = bodies([0], 400), Cameras(fallen=0.0)
    seen = place_before_cameras(poses, cameras, np.random.default_rng(0))
    np.testing.assert_allclose(lengths(seen), lengths(poses))
    assert (seen[..., 2] > 0).all()
    shoulders = seen[:, BODY.index("left_shoulder")] - seen[:, BODY.index("right_shoulder")]
    heading = np.degrees(np.arctan2(shoulders[:, 2], shoulders[:, 0]))
    assert (np.histogram(heading, 8, (-180, 180))[0] > 20).all()
    down = np.radians(np.mean(cameras.pitch_deg))
    assert vertical_of(seen, BODY) @ [0.0, -np.cos(down), -np.sin(down)] > np.cos(np.radians(5))
    off = np.abs(0.5 * (seen[:, PELVIS, :2] + seen[:, BODY.index("thorax"), :2])) / seen[:, [PELVIS], 2]
    assert off.max() < 1.3 * cameras.aside


def errors_of_labels(truth):
    poses = body_joints(truth.in_cameras.reshape(-1, J, 3), H36M)[0]
    return errors_of(labelled_looks(truth), poses)


def test_unit_for_everybody_knows_people_that_it_has_not_seen(truth):
    errors = errors_of_labels(truth)
    unit = train_generic(generic_wardrobe(bodies(range(8))), errors, QUICK, "mocap")
    others = place_before_cameras(bodies([20, 21]), Cameras(), np.random.default_rng(1))
    none = replace(AS_SEEN, no_hint=1.0)
    answers = unit.answers(looks_with_errors(others, errors, none, np.random.default_rng(2)))
    true = (others - others[:, [PELVIS]])[:, LIMBS]
    flat = np.where([True, True, False], true, 0.0)  # the exact joints in the image, and no depth
    ours, image = (nmpjpe(poses, true, ROOT).mean() for poses in (answers[:, LIMBS], flat))
    assert ours < 0.8 * image


def test_training_on_motion_capture_is_reproducible(truth):
    errors, wardrobe = errors_of_labels(truth), generic_wardrobe(bodies([0], 100))
    options = replace(QUICK, steps=2)
    first, second, other = (
        train_generic(wardrobe, errors, replace(options, seed=seed), "mocap").weights for seed in (0, 0, 1)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


@pytest.fixture
def walkers():
    """Exact looks without hints at people in motion, and their poses, camera axes."""
    rng = np.random.default_rng(1)
    lengths = np.tile(reference_lengths(), (600, 1))
    poses = place_before_cameras(with_heads(with_lengths(bodies([20, 21]), lengths), rng), Cameras(fallen=0.0), rng)
    K = np.tile(np.eye(3), (len(poses), 1, 1))
    return looks_of(poses[..., :2] / poses[..., 2:], np.ones(poses.shape[:2]), np.empty(0), K, BODY), poses


def error(looks, poses):
    """NMPJPE over the limbs of the shipped unit's answers, in the poses' unit."""
    true = (poses - poses[:, [PELVIS]])[:, LIMBS]
    return nmpjpe(load_refiner().answers(looks)[:, LIMBS], true, ROOT).mean()


@pytest.mark.parametrize("scale", [0.9, 0.6, 0.4])
def test_shipped_unit_does_not_mind_on_which_scale_confidences_are(walkers, scale):
    looks, poses = walkers
    other = Looks(looks.rays, looks.confidence * scale, looks.hint)
    assert error(other, poses) < 1.05 * error(looks, poses)


@pytest.mark.parametrize("joints", [["neck_nose"], ["head_top"], ["neck_nose", "head_top"], ["left_wrist"]])
def test_shipped_unit_does_without_joints_that_a_detector_lacks(walkers, joints):
    looks, poses = walkers
    fewer = Looks(looks.rays.copy(), looks.confidence.copy(), looks.hint)
    for joint in map(BODY.index, joints):
        fewer.rays[:, joint], fewer.confidence[:, joint] = np.nan, 0.0
    assert error(fewer, poses) < 1.3 * error(looks, poses)


@pytest.fixture
def recording(here, truth):
    """Labels, and motion capture of others, in the working directory."""
    write_labels(here / "labels.h5", truth)
    write_mocap(here / "mocap.npz")
    return here


def write_mocap(path, **changes):
    xyz = np.concatenate([random_motion(150, seed, frames_per_second=10).xyz for seed in range(6)])
    content = {"xyz_mm": xyz, "joints": np.array(H36M.joints), "clip_index": np.repeat(np.arange(6), 150)} | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def test_command_trains_a_unit_for_everybody(recording, truth):
    write_labels(recording / "dim.h5", replace(truth, verdict="warn", reasons=("it was dark",)))
    pairs = [recording / "labels.h5", recording / "dim.h5"]
    summary = stage.run(RefineOptions(mocap=recording / "mocap.npz", pairs=pairs, steps=3))
    refiner = load_refiner(recording / "runs/default/refiner.pt")
    assert (refiner.recording_id, refiner.unit, refiner.options.steps) == ("", "arbitrary", 3)
    assert refiner.doubts == ("dim.h5: it was dark",)
    assert refiner.trained_on == "900 poses of mocap.npz, errors of 960 images of 2 recordings"
    assert (summary.values["poses"], summary.values["images"]) == (900, 960)


def refused(match, recording, error=InputError, **changes):
    write_mocap(recording / "bad.npz", **changes)
    with pytest.raises(error, match=match) as caught:
        stage.run(RefineOptions(mocap=recording / "bad.npz", steps=1))
    assert "\n" not in str(caught.value)
    assert "bad.npz" in str(caught.value)
    assert not (recording / "runs").exists()


def test_unfit_motion_capture_is_refused_in_one_line(recording):
    xyz = random_motion(150, 0).xyz
    some = {"clip_index": None, "joints": None}
    refused("is in unit arbitrary; motion capture in mm is needed", recording, xyz_mm=None, xyz=xyz, **some)
    refused("custom has no", recording, xyz_mm=xyz[:, :5], joints=np.array(list("abcde")), clip_index=None)
    refused("expected 150 integers", recording, xyz_mm=xyz, clip_index=np.zeros(3, int))
    refused("expected 150 integers", recording, xyz_mm=xyz, clip_index=np.zeros(150))
    refused("99 complete poses", recording, GeometryError, xyz_mm=xyz[:99], clip_index=None)
    refused("none of the axes", recording, xyz_mm=xyz @ TILTED.T, clip_index=None)
    with pytest.raises(InputError, match=r"none\.npz"):
        stage.run(RefineOptions(mocap=recording / "none.npz"))


def test_labels_without_a_whole_pose_do_not_tell_how_a_detector_errs(recording, truth):
    headless = truth.poses.xyz.copy()
    headless[:, H36M.index("head_top")] = np.nan
    write_labels(recording / "labels.h5", replace(truth, poses=replace(truth.poses, xyz=headless)))
    with pytest.raises(GeometryError, match=r"^labels\.h5: 0 images show somebody whose pose has all joints"):
        stage.run(RefineOptions(mocap=recording / "mocap.npz", steps=1))


def test_mocap_of_a_plain_array_is_one_clip(tmp_path):
    np.save(tmp_path / "poses.npy", random_motion(20, 0).xyz)
    arrays = read_pose_arrays(tmp_path / "poses.npy")
    assert arrays.poses.unit == "arbitrary"
    assert not arrays.clips.any()
    assert len(arrays.clips) == 20
