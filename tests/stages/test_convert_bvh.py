"""BVH for Blender: a reader with forward kinematics of its own finds the joints again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from test_cli import epitool

from epitool.geometry.body.rotations import bone_motion
from epitool.io.foreign.motion import Told, write_motion
from epitool.io.labels_h5 import write_labels
from epitool.pose import Poses
from epitool.skeleton import skeleton

ENDS = {  # the joint at which a bone starts
    "LeftUpLeg": "left_hip", "LeftLeg": "left_knee", "LeftFoot": "left_ankle", "RightUpLeg": "right_hip",
    "RightLeg": "right_knee", "RightFoot": "right_ankle", "Spine1": "spine", "Neck": "thorax", "Head": "neck_nose",
    "LeftArm": "left_shoulder", "LeftForeArm": "left_elbow", "LeftHand": "left_wrist", "RightArm": "right_shoulder",
    "RightForeArm": "right_elbow", "RightHand": "right_wrist", "Hips": "pelvis",
}  # fmt: skip
TIP = {"Head": "head_top", "LeftForeArm": "left_wrist", "RightForeArm": "right_wrist", "LeftLeg": "left_ankle",
       "RightLeg": "right_ankle"}  # fmt: skip


def turn(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Rotation about x, y or z, `(F, 3, 3)`, written from the definition."""
    c, s, out = np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), np.zeros((len(degrees), 3, 3))
    i, j, k = {"X": (0, 1, 2), "Y": (1, 2, 0), "Z": (2, 0, 1)}[axis]
    out[:, i, i], out[:, j, j], out[:, k, k], out[:, j, k], out[:, k, j] = 1, c, c, -s, s
    return out


def read_bvh(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
    """Places of bones' starts (and `NAME end` of their tips) by frame, the parents' names, and the frame time."""
    hierarchy, _, motion = path.read_text().partition("MOTION")
    lines = motion.split("\n")
    rows = np.array([line.split() for line in lines[3:] if line], dtype=float)
    assert lines[1] == f"Frames: {len(rows)}"
    words, places, turns, parents, stack, column = hierarchy.split()[1:], {}, {}, {}, [], 0
    i = 0
    while i < len(words):
        if words[i] in ("ROOT", "JOINT", "End"):
            name = words[i + 1] if words[i] != "End" else f"{stack[-1]} end"
            i += 2
        elif words[i] == "{":
            parents[name] = stack[-1] if stack else ""
            stack.append(name)
            i += 1
        elif words[i] == "OFFSET":
            offset = np.array(words[i + 1 : i + 4], dtype=float)
            above = parents[name]
            places[name] = places[above] + turns[above] @ offset if above else np.tile(offset, (len(rows), 1))
            i += 4
        elif words[i] == "CHANNELS":
            own = turns[parents[name]] if parents[name] else np.tile(np.eye(3), (len(rows), 1, 1))
            for channel in words[i + 2 : i + 2 + int(words[i + 1])]:
                if channel.endswith("position"):
                    places[name][:, "XYZ".index(channel[0])] += rows[:, column]
                else:
                    own = own @ turn(channel[0], rows[:, column])
                column += 1
            turns[name] = own
            i += 2 + int(words[i + 1])
        else:
            assert words[i] == "}"
            stack.pop()
            i += 1
    assert column == rows.shape[1]
    return places, parents, float(re.search(r"Frame Time: (\S+)", motion)[1])


def told(**given) -> Told:
    return Told(**{"fps": 60, "unit": "mm", "up": "z", **given})


def written(poses: Poses, **given):
    write_motion(Path("walk.bvh"), poses, 1.0, told(**given))
    return read_bvh(Path("walk.bvh"))


def deviations(poses: Poses) -> np.ndarray:
    """The most that bones of one length can be off in each frame: the sum of what all lengths differ from theirs."""
    ends, starts = (
        poses.xyz[:, [c for _, c in poses.skeleton.bones]],
        poses.xyz[:, [p for p, _ in poses.skeleton.bones]],
    )
    lengths = np.linalg.norm(ends - starts, axis=-1)
    return np.abs(lengths - np.median(lengths, axis=0)).sum(axis=-1)


def distances(poses: Poses, places, scale: float = 1.0) -> dict[str, np.ndarray]:
    of = {**ENDS, **{f"{bone} end": joint for bone, joint in TIP.items() if f"{bone} end" in places}}
    at = {joint: poses.xyz[:, j] for j, joint in enumerate(poses.skeleton.joints)}
    return {
        joint: np.linalg.norm(places[bone] - at[joint] * scale, axis=-1)
        for bone, joint in of.items()
        if bone in places and joint in at
    }


@pytest.fixture(scope="module")
def truth():
    return exact_labels(60)


def test_bones_of_constant_length_give_the_joints_back(here, truth):
    places, _, seconds = written(truth.poses)
    off = distances(truth.poses, places)
    assert set(off) == set(skeleton("h36m17").joints)
    bound = deviations(truth.poses)
    assert max((one - bound).max() for one in off.values()) < 0.05, {k: v.max() for k, v in off.items()}
    assert seconds == pytest.approx(1 / 60, abs=1e-8)


def test_joints_come_back_to_within_what_the_lengths_of_bones_vary(here, truth):
    rng = np.random.default_rng(0)
    noisy = replace(truth.poses, xyz=truth.poses.xyz + rng.normal(0, 10, truth.poses.xyz.shape))
    off = distances(noisy, written(noisy)[0])
    bound = deviations(noisy)
    for joint, one in off.items():
        assert (one <= bound + 0.05).all(), joint
    assert np.median(np.concatenate(list(off.values()))) < 20


@pytest.mark.parametrize("name", ["coco17", "blazepose33", "halpe26", "wholebody133", "mpi_inf_3dhp17"])
def test_detectors_skeletons_have_bones(here, name):
    """Joints anywhere, one place of all frames: every bone keeps its length, so every joint comes back."""
    rng, body = np.random.default_rng(1), skeleton(name)
    one = rng.normal(0, 300, (1, len(body), 3))
    poses = Poses(one.repeat(3, axis=0), np.ones((3, len(body))), np.arange(3), body, "mm", "world")
    full = poses.convert(skeleton("h36m17"))
    places, _, _ = written(poses)
    for joint, off in distances(full, places).items():
        assert np.isnan(off).all() or off.max() < 0.05, joint
    hands = {"blazepose33": "left_index", "wholebody133": "left_middle_finger_1"}
    if name in hands:
        off = np.linalg.norm(places["LeftHand end"] - one[0, body.index(hands[name])], axis=-1)
        assert off.max() < 0.05
        off = np.linalg.norm(places["LeftFoot end"] - one[0, body.index("left_big_toe")], axis=-1)
        assert off.max() < 0.05


def test_a_bone_is_turned_no_more_than_its_direction_asks(truth):
    motion = bone_motion(truth.poses)
    for b, bone in enumerate(motion.bones[1:], start=1):
        turned = motion.rotations[:, b]
        angle = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
        swing = np.degrees(np.arccos(np.clip((turned @ np.array(bone.rest))[:, np.argmax(np.abs(bone.rest))] *
                                             np.sum(bone.rest), -1, 1)))  # fmt: skip
        np.testing.assert_allclose(angle, swing, atol=1e-3, err_msg=bone.name)


def test_people_of_motion_capture_face_forward_at_rest(truth):
    """A T-pose: in the rest pose the left is along x, the head along y, and the toes along z."""
    motion = bone_motion(truth.poses)
    rest = {bone.name: offset for bone, offset in zip(motion.bones, motion.offsets)}
    assert rest["LeftArm"][0] > 200
    assert rest["RightArm"][0] < -200
    assert rest["LeftLeg"][1] < -300
    assert rest["Spine1"][1] > 100


def test_missing_joints_are_interpolated_and_that_is_said(here, truth):
    xyz = truth.poses.xyz.copy()
    wrist, pelvis = truth.poses.skeleton.index("left_wrist"), truth.poses.skeleton.index("pelvis")
    xyz[20:25, wrist] = np.nan
    xyz[30] = np.nan
    xyz[50:, wrist] = np.nan
    gaps = replace(truth, poses=replace(truth.poses, xyz=xyz))
    write_labels(Path("labels.h5"), gaps)
    result = epitool("convert", "labels.h5", "--fps", "60", "--out", "walk.bvh")
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"walk.bvh: \d\.\d% of the bones' rotations are interpolated or held; BVH has no missing", result.stderr
    )
    places, _, _ = read_bvh(Path("walk.bvh"))
    at = truth.poses.xyz[..., [1, 2, 0]] / 10
    off = np.linalg.norm(places["LeftForeArm end"] - at[:, wrist], axis=-1)
    assert off[[*range(20), *range(25, 30), *range(31, 50)]].max() < 0.2
    forearm = np.linalg.norm(places["LeftForeArm end"] - places["LeftForeArm"], axis=-1)
    np.testing.assert_allclose(forearm, forearm[0], atol=1e-3)
    assert np.linalg.norm(places["Hips"] - at[:, pelvis], axis=-1).max() < 5  # a place between two, of a fast walk


@pytest.mark.parametrize("lost", [("left_shoulder", "right_shoulder", "thorax"), ("left_hip", "right_hip", "pelvis")])
def test_a_trunk_of_which_half_is_missing_is_interpolated(truth, lost):
    """Hips without shoulders give one axis of the trunk, which is no rotation yet."""
    xyz = truth.poses.xyz.copy()
    xyz[20:22, [truth.poses.skeleton.index(joint) for joint in lost]] = np.nan
    motion = bone_motion(replace(truth.poses, xyz=xyz))
    assert motion.made_up > 0
    whole = bone_motion(truth.poses)
    kept = np.delete(np.arange(len(xyz)), (20, 21))
    np.testing.assert_allclose(motion.rotations[kept, 0], whole.rotations[kept, 0], atol=1e-9)
    assert np.isfinite(motion.rotations).all()


def test_labels_become_centimetres_with_y_up(here, truth):
    write_labels(Path("labels.h5"), truth)
    result = epitool("convert", "labels.h5", "--fps", "60", "--out", "walk.bvh", "--json")
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    said = json.loads(result.stdout)
    assert (said["unit"], said["up_axis"]) == ("cm", "y")
    head = read_bvh(Path("walk.bvh"))[0]["Head end"]
    np.testing.assert_allclose(
        head, truth.poses.xyz[:, truth.poses.skeleton.index("head_top")][:, [1, 2, 0]] / 10, atol=0.1
    )
    assert epitool("convert", "labels.h5", "--fps", "60", "--unit", "m", "--out", "m.bvh").returncode == 0
    np.testing.assert_allclose(read_bvh(Path("m.bvh"))[0]["Head end"] * 100, head, atol=0.05)


def test_frames_are_counted_from_the_first_of_the_recording(here, truth):
    """Somebody who comes later stands still until then, so that files of several people run together."""
    late = replace(truth.poses, xyz=truth.poses.xyz[10:], confidence=truth.poses.confidence[10:],
                   frames=truth.poses.frames[10:])  # fmt: skip
    places, _, _ = written(late, first=0)
    assert len(places["Hips"]) == 60
    np.testing.assert_allclose(places["Hips"][:11], places["Hips"][10:11].repeat(11, axis=0))


def test_what_has_no_bones_is_refused(here, truth):
    write_labels(Path("labels.h5"), truth)
    named = epitool("convert", "labels.h5", "--fps", "60", "--names", "pose2sim", "--out", "walk.bvh")
    assert (named.returncode, "bones of BVH have names of their own" in named.stderr) == (2, True)
    lying = replace(truth, poses=replace(truth.poses, xyz=np.full_like(truth.poses.xyz, np.nan)))
    write_labels(Path("labels.h5"), lying)
    empty = epitool("convert", "labels.h5", "--fps", "60", "--out", "walk.bvh")
    assert empty.returncode == 3, empty.stderr
    assert "no frame has both hips and both shoulders" in empty.stderr
    assert not Path("walk.bvh").exists()


def test_a_bvh_of_ours_is_replaced_and_of_others_is_not(here, truth):
    write_labels(Path("labels.h5"), truth)
    line = ("convert", "labels.h5", "--fps", "60", "--out", "walk.bvh")
    assert epitool(*line).returncode == 0
    assert epitool(*line).returncode == 0
    others = Path("walk.bvh").read_text().replace("JOINT Spine\n", "JOINT LowerBack\n")
    Path("walk.bvh").write_text(others)
    assert "was not made by epitool" in epitool(*line).stderr
    assert Path("walk.bvh").read_text() == others
