"""Rendered people: the joints are exact, the images show them, and runs go on where they stopped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from epitool.camera import Rig
from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.cameras import read_rig, write_rig
from epitool.io.labels_h5 import read_labels
from epitool.options import SynthOptions
from epitool.options.synth import Layout
from epitool.skeleton import skeleton
from epitool.stages import synth
from epitool.synthetic.backdrop import camera_rays
from epitool.synthetic.clothes import dressed
from epitool.synthetic.mesh import cuboid, draw_mesh, vertex_normals
from epitool.synthetic.motion import random_motion
from epitool.synthetic.puppet import Puppet
from epitool.synthetic.rigs import camera_looking_at, studio_rig

pytest.importorskip("anny", reason="Anny is not installed: pip install 'epitool[synth]'")
H36M = skeleton("h36m17")
UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="session")
def maker():
    from epitool.synthetic.anny_body import BodyMaker

    return BodyMaker()


@pytest.fixture(scope="session")
def body(maker):
    return maker.body(3)


@pytest.fixture
def made(maker, tmp_path, monkeypatch):
    """The command, with the model that is loaded already."""
    monkeypatch.setattr(synth, "BodyMaker", lambda: maker)
    return lambda **options: synth.run(
        SynthOptions(**{"out": tmp_path / "s", "frames": 3, "cameras": 2, "size": 128, **options})
    )


def posed(puppet, joints):
    R, heads = puppet.posed(joints)
    skin = puppet.skin(R, heads)
    return skin, puppet.joints(skin, heads, puppet.body.h36m17)


def test_people_differ_and_are_people(maker):
    heights = [np.ptp(maker.body(seed).vertices[:, 2]) for seed in range(6)]
    assert 1400 < min(heights) < max(heights) < 2100
    assert np.ptp(heights) > 80
    np.testing.assert_array_equal(maker.body(1).vertices, maker.body(1).vertices)


def test_left_is_left_and_up_is_up(body):
    assert body.joint("left_hip")[0] > body.joint("right_hip")[0]
    assert body.joint("neck_nose")[1] < body.joint("head_top")[1]
    heights = [body.joint(name)[2] for name in ("left_ankle", "left_knee", "pelvis", "spine", "thorax", "head_top")]
    assert heights == sorted(heights)
    np.testing.assert_allclose(body.weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(body.h36m17.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(body.coco17.sum(axis=1), 1, atol=1e-3)


def test_rest_pose_of_the_body_itself_leaves_it_at_rest(body):
    puppet = Puppet(body)
    skin, joints = posed(puppet, np.array([body.joint(name) for name in H36M.joints]))
    moved = skin - skin.mean(axis=0) - (body.vertices - body.vertices.mean(axis=0))
    assert np.abs(moved).max() < 0.1
    assert skin[:, 2].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(joints[H36M.root, :2], 0, atol=1e-6)


def test_limbs_point_where_the_motion_points_and_keep_their_lengths(body):
    puppet, motion = Puppet(body), random_motion(40, 1)
    limbs = [(H36M.index(f"{side}_{a}"), H36M.index(f"{side}_{b}")) for side in ("left", "right") for a, b in
             (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))]  # fmt: skip
    lengths = []
    for joints in motion.xyz:
        _, ours = posed(puppet, joints)
        for a, b in limbs:
            mine, wanted = ours[b] - ours[a], joints[b] - joints[a]
            np.testing.assert_allclose(mine / np.linalg.norm(mine), wanted / np.linalg.norm(wanted), atol=1e-5)
            lengths.append(np.linalg.norm(mine))
    lengths = np.array(lengths).reshape(-1, len(limbs))
    np.testing.assert_allclose(lengths, np.tile(lengths[0], (len(lengths), 1)), rtol=1e-5)


def test_turned_motion_turns_the_whole_body(body):
    puppet, joints = Puppet(body), random_motion(3, 2).xyz[1]
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    one, _ = posed(puppet, joints)
    other, _ = posed(puppet, joints @ turn.T)
    np.testing.assert_allclose(other, one @ turn.T, atol=0.05)


def test_clothes_cover_both_sides_alike_and_differ_between_people(body):
    colors = [dressed(body, seed) for seed in range(5)]
    names = np.array(body.bones)[body.weights.argmax(axis=1)]
    for color in colors:
        left, right = (color[np.char.startswith(names, "foot") & np.char.endswith(names, side)] for side in ("L", "R"))
        np.testing.assert_allclose(left.mean(axis=0), right.mean(axis=0), atol=2)
    assert np.abs(colors[0] - colors[1]).mean() > 10


def test_box_is_as_far_as_rays_meet_it():
    camera = camera_looking_at("a", np.array([0.0, -4000, 1000]), np.array([0.0, 0, 500]), 300.0, (200, 160))
    vertices, triangles = cuboid(np.array([-400.0, -300, 0]), np.array([500.0, 300, 900]))
    image, depth = np.zeros((160, 200, 3), np.uint8), np.full((160, 200), np.inf, np.float32)
    draw_mesh(image, depth, camera, vertices, triangles, np.full((24, 3), 200, np.float32), UP)
    rays = camera_rays(camera).astype(float) @ camera.R
    low, high = np.array([-400.0, -300, 0]), np.array([500.0, 300, 900])
    with np.errstate(divide="ignore"):
        near, far = np.sort([(low - camera.center) / rays, (high - camera.center) / rays], axis=0)
    enter, leave = near.max(axis=-1), far.min(axis=-1)
    hit = (enter < leave) & (enter > 0)
    drawn = np.isfinite(depth)
    assert (drawn != hit).mean() < 0.005  # pixel centres on an edge
    both = drawn & hit
    np.testing.assert_allclose(depth[both], enter[both], rtol=1e-4)
    top = both & (np.abs((camera.center + enter[..., None] * rays)[..., 2] - 900) < 1e-6)
    assert set(image[top][:, 0]) == {200}  # lit from above, and the sides in the dark
    assert set(image[both & ~top][:, 0]) == {100}


def test_normals_of_a_box_point_outwards():
    vertices, triangles = cuboid(np.full(3, -1.0), np.ones(3))
    normals = vertex_normals(vertices, triangles)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert ((normals * vertices).sum(axis=1) > 0.9).all()


@pytest.mark.parametrize("layout", get_args(Layout))
def test_cameras_of_a_layout_look_at_the_person(layout):
    rig = studio_rig(layout, 5, 256, 7)
    xy = rig.project(np.array([[0.0, 0, 950]]))[..., 0, :]
    assert np.abs(xy - 127.5).max() < 60
    assert len({tuple(camera.t) for camera in rig.cameras}) == 5


def test_truth_is_what_the_images_show(made, tmp_path):
    made(frames=2, size=256)
    labels = read_labels(tmp_path / "s" / "truth.h5")
    coco = read_labels(tmp_path / "s" / "truth_coco17.h5")
    assert (labels.poses.skeleton.name, coco.poses.skeleton.name) == ("h36m17", "coco17")
    assert read_rig(tmp_path / "s" / "cameras.toml").names == ("cam1", "cam2")
    wrists = [(body.skeleton.index("left_wrist"), body.xyz) for body in (labels.poses, coco.poses)]
    apart = np.linalg.norm(wrists[0][1][:, wrists[0][0]] - wrists[1][1][:, wrists[1][0]], axis=-1)
    assert apart.max() < 60
    first, second = (cv2.imread(labels.keypoints.images[f, 0]).astype(int) for f in range(2))
    changed = np.argwhere(np.abs(first - second).max(axis=-1) > 60)[:, ::-1]
    joints = labels.keypoints.xy[:, 0].reshape(-1, 2)
    assert (changed.min(axis=0) > joints.min(axis=0) - 25).all()
    assert (changed.max(axis=0) < joints.max(axis=0) + 25).all()


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_run_goes_on_to_the_same_bytes_whatever_the_jobs(made, tmp_path):
    made(jobs=1)
    whole = {name: data for name, data in content(tmp_path / "s").items() if name.suffix == ".jpg"}
    for name in list(whole)[::2]:
        (tmp_path / "s" / name).unlink()
    (tmp_path / "s" / "truth.h5").unlink()
    truth = read_labels(tmp_path / "s" / "truth_coco17.h5").poses.xyz
    made(jobs=2)
    again = {name: data for name, data in content(tmp_path / "s").items() if name.suffix == ".jpg"}
    assert again == whole
    assert len(whole) == 6
    np.testing.assert_array_equal(read_labels(tmp_path / "s" / "truth_coco17.h5").poses.xyz, truth)
    with pytest.raises(UsageError, match="made with other options"):
        made(seed=1)


def test_motion_capture_of_any_axes_is_played_upright(made, tmp_path):
    motion = random_motion(30, 4).xyz
    lying = np.stack([motion[..., 1], -motion[..., 2], -motion[..., 0]], axis=-1)  # y down
    np.savez(tmp_path / "m.npz", xyz_mm=lying - lying[:, :1])
    made(motion=tmp_path / "m.npz", frames=40)  # of which there are 30
    poses = read_labels(tmp_path / "s" / "truth.h5").poses.xyz
    assert len(poses) == 30
    shin = H36M.index("left_knee"), H36M.index("left_ankle")
    for ours, theirs in zip(poses, motion):
        mine, wanted = ours[shin[1]] - ours[shin[0]], theirs[shin[1]] - theirs[shin[0]]
        turned = [np.linalg.norm(v[:2]) / np.linalg.norm(v) for v in (mine, wanted)]
        assert turned[0] == pytest.approx(turned[1], abs=1e-4)
        assert np.sign(mine[2]) == np.sign(wanted[2])


def test_clips_face_different_ways(made, tmp_path):
    """Else a camera would see people from one side only, and the mean pose of its view would be a good guess."""
    pose = random_motion(1, 4).xyz
    np.savez(tmp_path / "m.npz", xyz_mm=np.repeat(pose, 8, axis=0), clip_index=np.arange(8) // 2)
    made(motion=tmp_path / "m.npz", frames=8)
    poses = read_labels(tmp_path / "s" / "truth.h5").poses.xyz
    across = poses[:, H36M.index("left_hip"), :2] - poses[:, H36M.index("right_hip"), :2]
    angles = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    np.testing.assert_allclose(angles[::2], angles[1::2], atol=1e-6)
    assert np.ptp(angles) > 45


def test_what_does_not_fit_is_said(made, tmp_path, monkeypatch):
    away = studio_rig("ring", 2, 128, 0)
    aside = Rig(
        tuple(camera_looking_at(c.name, c.center, 3 * c.center, 300.0, (128, 128)) for c in away.cameras), "mm", "x"
    )
    write_rig(tmp_path / "away.toml", aside)
    with pytest.raises(GeometryError, match=r"cam1 has 0% of the joints in its image"):
        made(rig=tmp_path / "away.toml")
    write_rig(tmp_path / "units.toml", Rig(away.cameras, "arbitrary", "none"))
    with pytest.raises(InputError, match="is in unit arbitrary"):
        made(rig=tmp_path / "units.toml", out=tmp_path / "b")
    np.savez(tmp_path / "five.npz", xyz_mm=np.ones((9, 5, 3)), joints=np.array(list("abcde")))
    with pytest.raises(InputError, match="a motion needs those of h36m17"):
        made(motion=tmp_path / "five.npz", out=tmp_path / "b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    for options, message in (
        ({"out": tmp_path / "full"}, "is not empty"),
        ({"layout": "star"}, "is none of ring, arc, random"),
        ({"size": 10}, "--size 10: expected 64 or more"),
        ({"frames": 0}, "--frames 0: expected 1 or more"),
    ):
        with pytest.raises(UsageError, match=message):
            made(**{"out": tmp_path / "b", **options})
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(UsageError, match=r"pip install 'epitool\[synth\]'"):
        synth.run(SynthOptions(out=tmp_path / "c", frames=1))


def test_a_detector_trained_on_photographs_finds_these_people(made, tmp_path):
    pytest.importorskip("mediapipe", reason="BlazePose is not installed: pip install 'epitool[mediapipe]'")
    from epitool.detectors import open_detector
    from epitool.detectors.finding import people_found
    from epitool.images import read_image
    from epitool.skeleton import convert_joints

    made(frames=8, cameras=3, size=512, seed=2)
    labels, detector = read_labels(tmp_path / "s" / "truth_coco17.h5"), open_detector("mediapipe")
    errors = []
    for f, row in enumerate(labels.keypoints.images.tolist()):
        for v, name in enumerate(row):
            xy, confidence, _ = people_found(detector, read_image(Path(name)))
            coco, _ = convert_joints(xy, confidence, detector.skeleton, skeleton("coco17"))
            errors += [np.linalg.norm(one - labels.keypoints.xy[f, v], axis=-1) for one in coco]
    assert np.isfinite(errors).sum() > 0.95 * 8 * 3 * 17
    assert np.nanmedian(errors) <= 6


def test_command_prints_its_summary_alone(tmp_path):
    """What the libraries below have to say is kept from stdout."""
    result = subprocess.run(
        [sys.executable, "-m", "epitool", "synth", "--frames", "1", "--cameras", "1", "--size", "64", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 1
    assert result.stderr.splitlines() == ["loading the body model; for the first time this takes a minute or two"]
