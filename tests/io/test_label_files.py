"""Keypoints read in parts, labels written in parts, and what labels say of their own certainty."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epitool.errors import InputError
from epitool.geometry.triangulation.labels import convert_labels, join_labels
from epitool.io.files import usable_image
from epitool.io.h5 import renamed
from epitool.io.keypoints_h5 import open_keypoints, read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels, writing_labels
from epitool.labels import Labels
from epitool.skeleton import skeleton

FIELDS = ("reprojection_px", "swapped", "covariance", "used")


def assert_same(a: Labels, b: Labels) -> None:
    np.testing.assert_array_equal(a.poses.xyz, b.poses.xyz)
    np.testing.assert_array_equal(a.keypoints.xy, b.keypoints.xy)
    np.testing.assert_array_equal(a.keypoints.images, b.keypoints.images)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


def test_keypoints_are_read_in_parts(here, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    whole = read_keypoints(Path("keypoints.h5"))
    with open_keypoints(Path("keypoints.h5")) as file:
        part = file.read(10, 50, 7)
        assert (len(file), file.views, file.skeleton) == (120, whole.views, whole.skeleton)
    expected = whole.select_frames(np.arange(10, 50, 7))
    for name in ("xy", "confidence", "frames", "images"):
        np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))


def test_damage_that_shows_late_is_said_and_a_callers_mistake_is_not_taken_for_damage(here, detected):
    write_keypoints(Path("keypoints.h5"), detected)
    with open_keypoints(Path("keypoints.h5")) as file, pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match=r"^mine$"), open_keypoints(Path("keypoints.h5")):
        raise ValueError("mine")
    with h5py.File("keypoints.h5", "r+") as file:
        frames = file["frames"][:-1]
        del file["frames"]
        file["frames"] = frames
    with pytest.raises(InputError, match="expected 119 frames"), open_keypoints(Path("keypoints.h5")):
        pass


def test_appended_labels_are_those_written_at_once(here, truth):
    parts = [part_of(truth, slice(0, 50)), part_of(truth, slice(50, 51)), part_of(truth, slice(51, 120))]
    with writing_labels(Path("parts.h5"), truth.poses.frames) as writer:
        for part in parts:
            writer.append(part)
    write_labels(Path("whole.h5"), truth)
    assert_same(read_labels(Path("parts.h5")), read_labels(Path("whole.h5")))
    assert_same(join_labels(parts), truth)
    with h5py.File("parts.h5") as file:
        assert file.attrs["recording_id"].decode() == truth.recording_id


def test_a_recording_is_told_by_its_frames_views_and_image_names_as_ever(truth):
    images = np.char.add("..\\footage/", truth.keypoints.images)
    labels = replace(truth, keypoints=replace(truth.keypoints, images=images))
    names = [f"{f:05d}.jpg" for f in range(120) for _ in range(4)]
    text = "\n".join([*map(str, range(120)), "cam1", "cam2", "cam3", "cam4", *names])
    assert labels.recording_id == truth.recording_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def part_of(labels: Labels, frames: slice) -> Labels:
    chosen = np.arange(len(labels.poses.frames))[frames]
    poses = replace(
        labels.poses,
        **{name: getattr(labels.poses, name)[chosen] for name in ("xyz", "confidence", "frames")},
    )
    rest = {name: getattr(labels, name)[chosen] for name in FIELDS}
    return replace(labels, poses=poses, keypoints=labels.keypoints.select_frames(chosen), **rest)


def test_a_file_that_lacks_frames_is_never_made(here, truth):
    with pytest.raises(ValueError, match="50 frames were appended, expected 120"):  # noqa: SIM117
        with writing_labels(Path("labels.h5"), truth.poses.frames) as writer:
            writer.append(part_of(truth, slice(0, 50)))
    assert list(here.iterdir()) == []


def test_labels_without_covariance_still_read(here, truth):
    covariance, used = np.ones((120, 17, 6)), np.ones((120, 4, 17), dtype=bool)
    write_labels(Path("labels.h5"), replace(truth, covariance=covariance, used=used))
    new = read_labels(Path("labels.h5"))
    assert new.used.all()
    assert (new.covariance == 1).all()
    with h5py.File("labels.h5", "r+") as file:
        del file["xyz_covariance"], file["used"]
    old = read_labels(Path("labels.h5"))
    assert np.isnan(old.covariance).all()
    np.testing.assert_array_equal(old.used, old.keypoints.seen & np.isfinite(old.poses.xyz[:, None, :, 0]))


def test_a_derived_joint_has_the_covariance_of_its_weights(truth):
    coco, rng = skeleton("coco17"), np.random.default_rng(0)
    covariance, used = rng.random((120, 17, 6)), rng.random((120, 4, 17)) < 0.5
    keypoints, poses = replace(truth.keypoints, skeleton=coco), replace(truth.poses, skeleton=coco)
    given = replace(truth, keypoints=keypoints, poses=poses, covariance=covariance, used=used)
    found = convert_labels(given, skeleton("h36m17"))
    hips = [coco.index("left_hip"), coco.index("right_hip")]
    np.testing.assert_allclose(found.covariance[:, 0], covariance[:, hips].sum(axis=1) / 4)
    np.testing.assert_array_equal(found.used[..., 0], used[..., hips].all(axis=-1))
    toes = convert_labels(given, skeleton("body25"))
    assert np.isnan(toes.covariance[:, toes.poses.skeleton.index("left_heel")]).all()


name = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=4)
file_name = name.filter(lambda text: text not in (".", ".."))


@given(st.lists(st.tuples(st.lists(name, max_size=3), file_name, st.sampled_from(["", "/"])), max_size=9))
def test_names_are_placed_as_if_one_by_one(parts):
    names = ["", *(root + "/".join([*folders, last]) for folders, last, root in parts)]
    for place in (lambda n: usable_image(n, Path("../a/k.h5")), lambda n: os.path.relpath(n) if n else ""):
        assert renamed(names, place) == [place(n) for n in names]


def test_a_joint_at_infinity_has_no_covariance_and_the_file_is_readable(truth, tmp_path):
    covariance = np.ones((*truth.poses.xyz.shape[:2], 6))
    covariance[3, 5], covariance[4, 5] = 1e300, 1e35
    write_labels(tmp_path / "labels.h5", replace(truth, covariance=covariance))
    found = read_labels(tmp_path / "labels.h5").covariance
    assert np.isnan(found[3:5, 5]).all()
    assert np.isfinite(found).sum() == covariance.size - 12
