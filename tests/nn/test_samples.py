"""What training learns is collected a part at a time, and is the same whatever the parts."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from epitool.camera import Rig
from epitool.errors import GeometryError, InputError
from epitool.io.labels_h5 import open_labels, write_labels
from epitool.labels import Labels, labels_of, split_frames
from epitool.metrics import nmpjpe
from epitool.nn import recording as module
from epitool.nn.crops import volume_to_pose
from epitool.nn.recording import Recording
from epitool.nn.samples import collect_samples, image_chunks, open_samples
from epitool.pose import square_boxes
from epitool.synthetic.motion import random_motion
from epitool.synthetic.rigs import walking_room

FRAMES = 60


@pytest.fixture(scope="module")
def labels() -> Labels:
    rig = walking_room()
    images = np.array([[f"cam{v}/{f:04d}.jpg" for v in range(len(rig))] for f in range(FRAMES)])
    return labels_of(random_motion(FRAMES, seed=1).xyz, rig, images)


def without(labels: Labels, **places) -> Labels:
    """Labels whose joints are missing at places of the poses."""
    xyz = np.array(labels.poses.xyz)
    xyz[places["at"]] = np.nan
    return replace(labels, poses=replace(labels.poses, xyz=xyz))


def test_parts_do_not_change_what_is_learned(labels, tmp_path, monkeypatch):
    whole = collect_samples(Recording.of(labels), tmp_path / "whole", "self")
    monkeypatch.setattr(module, "_CHUNK_FRAMES", 7)
    parts = collect_samples(Recording.of(labels), tmp_path / "parts", "self")
    assert whole.digest == parts.digest
    np.testing.assert_array_equal(whole.bone_lengths, parts.bone_lengths)
    assert whole.recording_id == parts.recording_id == labels.recording_id


def test_file_read_in_parts_is_learned_as_labels_in_memory(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_FRAMES", 7)
    write_labels(tmp_path / "labels.h5", labels)
    with open_labels(tmp_path / "labels.h5") as file:
        keypoints = file.keypoints
        recording = Recording(keypoints.frames, keypoints.views, keypoints.skeleton, file.rigs, None, file.read)
        stored = collect_samples(recording, tmp_path / "stored", "self")
    memory = collect_samples(Recording.of(labels), tmp_path / "memory", "self")
    np.testing.assert_allclose(stored.volume, memory.volume, atol=1e-4)
    assert stored.recording_id == memory.recording_id


@pytest.mark.parametrize("lens", [(), (-0.2, 0.24, -0.001, -0.003, -0.002)], ids=["pinhole", "Human3.6M's lens"])
def test_targets_stand_for_the_poses_they_come_from(lens, labels, tmp_path):
    rig = replace(labels.rig, cameras=tuple(replace(camera, distortion=lens) for camera in labels.rig.cameras))
    labels = labels_of(labels.poses.xyz, rig, labels.keypoints.images)
    samples = collect_samples(Recording.of(labels), tmp_path, "self")
    K = np.stack([camera.K for camera in labels.rig.cameras])[samples.views]
    depth = labels.in_cameras[samples.frames, samples.views, labels.poses.skeleton.root, 2]
    lengths, skeleton = samples.bone_lengths, labels.poses.skeleton
    known = {"root_depth": depth, "lenses": samples.lenses}
    poses, _ = volume_to_pose(samples.volume, samples.boxes, K, lengths, skeleton, **known)
    np.testing.assert_allclose(poses, samples.pose, atol=0.1)
    # As `validate` has it: the size of the person follows from the bones.
    boxes, K, lenses = samples.boxes, samples.K.astype(float), samples.lenses
    poses, _ = volume_to_pose(samples.volume, boxes, K, lengths, skeleton, lenses=lenses)
    assert nmpjpe(poses, samples.pose.astype(float), skeleton.root).max() < 0.1


def test_full_supervision_looks_at_boxes_around_the_poses(labels, tmp_path):
    hidden = replace(labels, keypoints=replace(labels.keypoints, xy=labels.keypoints.xy + 40.0))
    full = collect_samples(Recording.of(hidden), tmp_path / "full", "full")
    boxes = square_boxes(labels.rig.project(labels.poses.xyz))[full.frames, full.views]
    np.testing.assert_allclose(full.boxes, boxes)


def test_flat_supervision_learns_the_keypoints_alone(labels, tmp_path):
    keypoints = labels.keypoints

    def read(start, stop):
        return keypoints.select_frames(np.arange(start, stop))

    for recording in (
        Recording(keypoints.frames, keypoints.views, keypoints.skeleton, (), None, read),
        Recording.of(without(labels, at=slice(None))),
    ):
        samples = collect_samples(recording, tmp_path, "2d")
        assert len(samples.frames) == FRAMES * 4
        assert (samples.weight[..., 2] == 0).all()
        xy = (samples.volume[..., :2] + 0.5) * samples.boxes[:, None, 2:] + samples.boxes[:, None, :2]
        seen = samples.weight[..., 0] > 0
        np.testing.assert_allclose(xy[seen], keypoints.xy[samples.frames, samples.views][seen], atol=1e-3)
    with pytest.raises(InputError, match="--supervision"):
        collect_samples(
            Recording(keypoints.frames, keypoints.views, keypoints.skeleton, (), None, read), tmp_path, "self"
        )


def test_frames_without_root_or_joints_are_left_out(labels, tmp_path):
    root = labels.poses.skeleton.root
    samples = collect_samples(Recording.of(without(labels, at=(5, root))), tmp_path, "self")
    assert 5 not in samples.frames
    samples = collect_samples(Recording.of(without(labels, at=(7, slice(3, None)))), tmp_path, "self")
    assert (samples.weight[samples.frames == 7][:, 3:] == 0).all()


@pytest.mark.parametrize("part", ["train", "val"])
def test_part_with_too_few_poses_is_named(labels, tmp_path, part):
    empty = without(labels, at=split_frames(FRAMES)[part])
    with pytest.raises(GeometryError, match=f"only 0 images of the {part} part"):
        collect_samples(Recording.of(empty), tmp_path, "self")


def test_parts_are_disjoint_in_time(labels, tmp_path):
    samples = collect_samples(Recording.of(labels), tmp_path, "self")
    parts = split_frames(FRAMES)
    for name in ("train", "val", "test"):
        assert set(samples.frames[samples.part(name)]) == set(parts[name].tolist())


def test_images_are_named_in_the_order_of_the_samples(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_FRAMES", 7)
    gaps = without(labels, at=slice(10, 20))
    recording = Recording.of(gaps)
    samples = collect_samples(recording, tmp_path, "self")
    chunks = list(image_chunks(recording, samples))
    names = [name for part, _, _ in chunks for name in part]
    assert names == gaps.keypoints.images[samples.frames, samples.views].tolist()
    np.testing.assert_array_equal(np.concatenate([boxes for _, boxes, _ in chunks]), samples.boxes)


COLUMNS = ("frames", "views", "boxes", "volume", "weight", "pose", "K", "lenses")


def two_people(labels: Labels) -> tuple[Labels, Recording]:
    """A second person, whose frames are 20 to 54 of the first one's, and the recording of both."""
    rig, images = labels.rig, labels.keypoints.images
    other = labels_of(random_motion(FRAMES, seed=2).xyz + np.array([600.0, 0, 0]), rig, images).between(20, 55)
    return other, replace(Recording.of(labels), person="person1", others=(Recording.of(other),))


@pytest.mark.parametrize("chunk", [7, 2048])
@pytest.mark.parametrize("supervision", ["self", "full", "2d"])
def test_everyone_is_learned_as_if_alone(labels, tmp_path, monkeypatch, supervision, chunk):
    monkeypatch.setattr(module, "_CHUNK_FRAMES", chunk)
    other, recording = two_people(labels)
    both = collect_samples(recording, tmp_path / "both", supervision)
    for number, (own, start) in enumerate([(labels, 0), (other, 20)]):
        alone = collect_samples(Recording.of(own), tmp_path / str(number), supervision)
        theirs = both.people == number
        assert theirs.sum() == len(alone.frames) > 0
        for name in COLUMNS:
            expected = getattr(alone, name) + (start if name == "frames" else 0)
            assert getattr(both, name)[theirs].tobytes() == expected.tobytes(), name
    assert both.recording_id == labels.recording_id


def test_people_in_the_same_image_are_in_the_same_part(labels, tmp_path):
    _, recording = two_people(labels)
    samples, parts = collect_samples(recording, tmp_path, "self"), split_frames(FRAMES)
    assert (np.diff(samples.frames) >= 0).all()
    for name in ("train", "val", "test"):
        part = samples.part(name)
        assert set(samples.frames[part]) == set(parts[name].tolist())
        assert set(samples.people[part]) == {0, 1}
    names = [name for chunk, _, _ in image_chunks(recording, samples) for name in chunk]
    assert names == labels.keypoints.images[samples.frames, samples.views].tolist()


def test_samples_are_found_again_in_their_folder(labels, tmp_path):
    first = collect_samples(Recording.of(labels), tmp_path, "self")
    again = open_samples(tmp_path, labels.poses.skeleton)
    assert again.digest == first.digest
    np.testing.assert_array_equal(again.weight, first.weight)


def test_damage_inside_a_file_is_found_where_it_is_read(labels, tmp_path):
    write_labels(tmp_path / "labels.h5", labels)
    with h5py.File(tmp_path / "labels.h5", "r+") as file:
        shape = file["reprojection_px"].shape
        del file["reprojection_px"]
        file["reprojection_px"] = np.zeros((shape[0], 1, 1))
    with open_labels(tmp_path / "labels.h5") as file, pytest.raises(InputError, match=r"labels\.h5"):
        file.read(0, 10)


def test_rig_of_other_views_is_refused(labels):
    with pytest.raises(ValueError, match="other views"):
        replace(labels, rig=Rig(labels.rig.cameras[:2], "mm", "made up"))
