"""Cameras that are given: one that does not fit the joints is named and left out, and labels get a verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import exact_labels
from scipy.spatial.transform import Rotation
from test_cli import epitool
from test_people import H36M, RIG, mixed_up, seen, standing, walker

from epitool.camera import Camera, Rig
from epitool.geometry.people.candidates import follow_person, with_choice
from epitool.io.cameras import read_rig, write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.stages.shared.camera_checks import facing_back, inverted
from epitool.synthetic import noisy_keypoints

TRUTH = exact_labels(100, 2)
SMALL, LARGE = (80.0, 1.5), (600.0, 8.0)  # mm and degrees by which a camera was moved since it was calibrated
MOVED = [
    (3, "cam1", LARGE),
    pytest.param(4, "cam2", LARGE, marks=pytest.mark.thorough),
    pytest.param(4, "cam4", LARGE, marks=pytest.mark.thorough),
    (4, "cam2", SMALL),
]


def moved(rig: Rig, name: str, by: tuple[float, float]) -> Rig:
    """What a file says that is older than the footage."""
    way, degrees = by
    turn = Rotation.from_rotvec([0, np.radians(degrees), 0]).as_matrix()
    cameras = []
    for camera in rig.cameras:
        if camera.name == name:
            R = turn @ camera.R
            camera = replace(camera, R=R, t=-R @ (camera.center + way * np.array([0.6, 0.8, 0.0])))
        cameras.append(camera)
    return replace(rig, cameras=tuple(cameras))


def recording(rig: Rig, views: int = 4, sigma_px: float = 0.5) -> None:
    """`keypoints.h5` of some views, and `cameras.toml` with these cameras."""
    names = TRUTH.rig.names[:views]
    joints = noisy_keypoints(TRUTH, sigma_px=sigma_px, outliers=0.03, swap_share=0.0, seed=0)
    write_keypoints(Path("keypoints.h5"), joints.select_views(names))
    write_rig(Path("cameras.toml"), rig.select([name for name in names if name in rig.names]))


def error_mm() -> float:
    labels = read_labels(Path("labels.h5"))
    return float(np.nanmedian(np.linalg.norm(labels.poses.xyz - TRUTH.poses.xyz, axis=-1)))


def said_in_file() -> tuple[str, list[str]]:
    with h5py.File("labels.h5") as file:
        return file.attrs["verdict"].decode(), [reason.decode() for reason in file.attrs["reasons"]]


def test_a_view_that_shows_nobody_says_nothing_against_its_camera(here):
    recording(TRUTH.rig)
    joints = read_keypoints(Path("keypoints.h5"))
    empty = np.arange(4)[:, None] == 1
    write_keypoints(
        Path("keypoints.h5"),
        replace(
            joints,
            xy=np.where(empty[..., None], np.nan, joints.xy),
            confidence=np.where(empty, 0.0, joints.confidence),
        ),
    )
    result = epitool("triangulate")
    assert result.returncode == 0, result.stderr
    assert "verdict: pass" in result.stdout


@pytest.mark.parametrize("views", [2, 3, 4])
def test_cameras_that_fit_pass_without_a_word(here, views):
    recording(TRUTH.rig, views)
    result = epitool("triangulate")
    assert (result.returncode, result.stderr) == (0, "")
    assert "verdict: pass" in result.stdout
    assert said_in_file() == ("pass", [])


@pytest.mark.parametrize(("views", "name", "by"), MOVED)
def test_a_camera_moved_since_is_named_and_no_label_rests_on_it(here, views, name, by):
    recording(moved(TRUTH.rig, name, by), views)
    result = epitool("triangulate")
    assert result.returncode == 0, result.stderr
    assert f"view {name}: is left out" in result.stderr
    assert "was it moved since" in result.stderr
    assert f"turned by {by[1]:.0f}" in result.stderr.replace("1.5", "2")
    assert "exchanged" not in result.stderr
    assert name not in read_labels(Path("labels.h5")).rig.names
    assert said_in_file()[0] == "warn"
    assert error_mm() < 25


def test_of_three_cameras_one_moved_a_little_is_named(here):
    recording(moved(TRUTH.rig, "cam1", SMALL), 3)
    result = epitool("triangulate")
    assert "view cam1" in result.stderr
    assert "turned by 1.5 degrees" in result.stderr
    assert "verdict: warn" in result.stdout


@pytest.mark.parametrize("by", [SMALL, LARGE])
def test_of_two_cameras_none_can_be_named_but_they_are_not_trusted(here, by):
    recording(moved(TRUTH.rig, "cam2", by), 2)
    result = epitool("triangulate")
    assert "was one moved since they were calibrated" in result.stderr
    off = float(re.search(r"joints may be off by ([\d.e+]+) mm", result.stderr)[1])
    if result.returncode:
        assert (result.returncode, Path("labels.h5").exists()) == (4, False)
    else:
        assert "verdict: warn" in result.stdout
        assert 0.8 < off / error_mm() < 1.5


def test_places_that_are_given_are_judged_by_calibrate_too(here):
    recording(moved(TRUTH.rig, "cam3", LARGE))
    result = epitool("calibrate", "--extrinsics", "cameras.toml", "--out", "out.toml")
    assert result.returncode == 0, result.stderr
    assert "view cam3: is left out" in result.stderr
    assert "pairs" not in result.stderr
    assert "verdict: warn" in result.stdout
    assert read_rig(Path("out.toml")).names == ("cam1", "cam2", "cam4")


def test_places_that_are_right_pass(here):
    recording(TRUTH.rig)
    result = epitool("calibrate", "--extrinsics", "cameras.toml", "--out", "out.toml")
    assert (result.returncode, result.stderr) == (0, "")
    assert "verdict: pass" in result.stdout


def test_a_view_without_a_camera_is_said_to_be_left_out(here):
    recording(TRUTH.rig.select(["cam1", "cam2", "cam4"]))
    result = epitool("triangulate")
    assert result.returncode == 0
    assert "view cam3: is left out: the camera file has none of that name" in result.stderr
    assert read_labels(Path("labels.h5")).rig.names == ("cam1", "cam2", "cam4")


def test_now_one_person_now_the_other_in_each_view_is_no_pass(here):
    """As of a detector that finds one an image."""
    recording(TRUTH.rig)
    one = noisy_keypoints(TRUTH, sigma_px=1.0, outliers=0.02, swap_share=0.0, seed=0)
    second = exact_labels(100, 7).poses.xyz + np.array([900.0, -700.0, 0.0])
    other = (np.random.default_rng(0).random((100, 4)) < 0.1).cumsum(axis=0) % 2 == 1
    xy = np.where(other[..., None, None], RIG.project(second), one.xy)
    inside = ((xy >= 0) & (xy <= 383)).all(axis=-1)
    write_keypoints(Path("keypoints.h5"), replace(one, xy=xy, confidence=inside.astype(float)))
    result = epitool("triangulate")
    assert "verdict: pass" not in result.stdout
    assert "two people mixed" in result.stderr


def test_with_two_people_a_camera_moved_since_is_left_out_and_they_are_not_mixed(here):
    people = [seen(walker(1), 1), seen(standing(101, (-1300, 1200)), 51)]
    candidates, _ = mixed_up(people)
    frames = len(people[0].xy)
    write_keypoints(
        Path("keypoints.h5"), with_choice(people[0], candidates, follow_person(candidates, frames, 4, H36M))
    )
    add_candidates(Path("keypoints.h5"), candidates)
    write_rig(Path("cameras.toml"), moved(RIG, "cam2", LARGE))
    result = epitool("triangulate")
    assert result.returncode == 0, result.stderr
    assert "view cam2: is left out" in result.stderr
    labels = read_labels(Path("labels.h5"))
    assert labels.rig.names == ("cam1", "cam3", "cam4")
    assert np.nanmedian(np.linalg.norm(labels.poses.xyz - walker(1), axis=-1)) < 30


def other_lenses(rig: Rig, factor: float) -> Rig:
    scale = np.diag([factor, factor, 1.0])
    kept = [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    return replace(rig, cameras=tuple(replace(c, K=np.where(kept, c.K, scale @ c.K)) for c in rig.cameras))


@pytest.mark.parametrize("views", [3, 4])
def test_lenses_of_another_mode_are_told_from_the_joints(here, views):
    recording(other_lenses(TRUTH.rig, 1.3), views)
    result = epitool("triangulate")
    assert result.returncode == 4
    assert "if all focal lengths are 0.77 of what the file states" in " ".join(result.stderr.split())
    assert not Path("labels.h5").exists()


def test_cropped_images_of_the_same_shape_are_not_taken_for_smaller_ones(here):
    """The file's lenses are scaled to the images' size, which is right of smaller images alone."""
    recording(TRUTH.rig)
    joints = read_keypoints(Path("keypoints.h5"))
    side = 3 * joints.image_size[0] // 4
    xy = joints.xy - joints.image_size[:, None] / 8
    xy[((xy < 0) | (xy >= side)).any(axis=-1)] = np.nan
    write_keypoints(Path("keypoints.h5"), replace(joints, xy=xy, image_size=np.tile(side, (4, 1))))
    result = epitool("triangulate")
    assert result.returncode == 4
    said = " ".join(result.stderr.split())
    assert "its intrinsics are scaled by 0.75" in said
    assert "all focal lengths are 1.33 of what the file states; are the images a part of those" in said


def each(rig: Rig, change: Callable[[Camera], Camera]) -> Rig:
    return replace(rig, cameras=tuple(map(change, rig.cameras)))


def in_metres(rig: Rig, name: str) -> Rig:
    """What a file says with one camera in metres beside others in mm."""
    return each(rig, lambda camera: replace(camera, t=camera.t / 1000) if camera.name == name else camera)


def named_in_order(rig: Rig, *names: str) -> Rig:
    """What a file says that gives cameras these names, one after the other."""
    cameras = rig.cameras[: len(names)]
    return replace(rig, cameras=tuple(replace(camera, name=name) for camera, name in zip(cameras, names, strict=True)))


def half_as_large(camera: Camera) -> Camera:
    return replace(camera, K=np.diag([0.5, 0.5, 1.0]) @ camera.K)


@pytest.mark.parametrize(
    ("views", "stated", "said"),
    [
        (2, each(TRUTH.rig, lambda c: replace(c, t=c.center)), "if t is the camera's centre; needed are"),
        (3, each(TRUTH.rig, lambda c: replace(c, t=c.center)), "if t is the camera's centre; needed are"),
        (4, each(TRUTH.rig, lambda c: replace(c, R=c.R.T)), "if R is camera to world; needed are"),
        (2, inverted(TRUTH.rig), "if they are camera to world; needed are"),
        (2, facing_back(TRUTH.rig), "if their axes are y up and z backward, as OpenGL's and Blender's; needed are"),
        (2, in_metres(TRUTH.rig, "cam2"), "if t of cam1 is multiplied by 0.001: is it in another unit"),
        (2, named_in_order(TRUTH.rig, "cam2", "cam1"), "cam2 of the file is that of view cam1, cam1 of the file is"),
        (3, named_in_order(TRUTH.rig, "cam2", "cam3", "cam1"), "cam2 of the file is that of view cam1, cam3 of the"),
        (4, named_in_order(TRUTH.rig, "cam2", "cam1", "cam3", "cam4"), "cam2 of the file is that of view cam1"),
        (2, each(TRUTH.rig, half_as_large), "if K is multiplied by 2: is it for images of another size?"),
    ],
)
def test_what_a_file_means_is_told_where_joints_fit_that(here, views, stated, said):
    recording(stated, views)
    result = epitool("triangulate")
    found = " ".join(result.stderr.split())
    assert result.returncode == 4
    assert found.startswith("error: cameras.toml: does not fit the joints, and nothing is written: joints would fit")
    assert said in found
    assert not Path("labels.h5").exists()


def test_places_that_mean_something_else_are_refused_by_calibrate_too(here):
    recording(each(TRUTH.rig, lambda camera: replace(camera, t=camera.center)))
    result = epitool("calibrate", "--extrinsics", "cameras.toml", "--out", "out.toml")
    assert result.returncode == 4
    assert "if t is the camera's centre" in result.stderr


def test_of_three_cameras_one_in_another_unit_is_left_out_for_that(here):
    recording(in_metres(TRUTH.rig, "cam2"), 3)
    result = epitool("triangulate")
    assert result.returncode == 0, result.stderr
    assert "view cam2: is left out" in result.stderr
    assert "they would if its t were multiplied by 1000" in result.stderr
    assert read_labels(Path("labels.h5")).rig.names == ("cam1", "cam3")


@pytest.mark.parametrize("straight", [False, True])
def test_images_that_were_undistorted_are_told_from_those_that_were_not(here, straight):
    rig = each(TRUTH.rig, lambda camera: replace(camera, distortion=np.array([-0.3, 0.1, 0, 0, 0])))
    recording(rig, 2)
    joints = noisy_keypoints(
        replace(TRUTH, keypoints=replace(TRUTH.keypoints, xy=rig.project(TRUTH.poses.xyz))),
        sigma_px=0.5, outliers=0.0, swap_share=0.0,
    )  # fmt: skip
    joints = replace(joints, xy=rig.undistort(joints.xy)) if straight else joints
    write_keypoints(Path("keypoints.h5"), joints.select_views(["cam1", "cam2"]))
    result = epitool("triangulate")
    assert ("were the images undistorted already?" in result.stderr) == straight
    assert f"verdict: {'warn' if straight else 'pass'}" in result.stdout
