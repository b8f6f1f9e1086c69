"""The vertical and the floor from people: right to a degree where they walk, and refused where nothing tells it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.body.vertical import Levelled, apply_world, level_world
from epitool.geometry.doubts import Kind
from epitool.pose import Poses
from epitool.skeleton import Skeleton, skeleton
from epitool.synthetic.motion import ANKLE_HEIGHT, random_motion
from epitool.synthetic.scene import ring_of_cameras

H36M = skeleton("h36m17")
RIG = ring_of_cameras()
ANKLES = [H36M.index("left_ankle"), H36M.index("right_ankle")]
LEGS = [H36M.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]


def walking(seed: int, frames: int = 200) -> np.ndarray:
    return random_motion(frames, seed).xyz


def standing(frames: int = 100, turning: bool = False) -> np.ndarray:
    """Someone who stands in one place, legs and trunk straight, and sways a little; z up, floor at 0."""
    pose = random_motion(1, 0).xyz[0]
    pose = pose - pose[H36M.index("pelvis")] + [0, 0, ANKLE_HEIGHT + 845]
    for joint, height in (("hip", 845), ("knee", 420), ("ankle", 0)):
        for side, y in (("left", 130), ("right", -130)):
            pose[H36M.index(f"{side}_{joint}")] = 0, y, ANKLE_HEIGHT + height
    for joint, y, height in (("thorax", 0, 1340), ("left_shoulder", 175, 1340), ("right_shoulder", -175, 1340)):
        pose[H36M.index(joint)] = 0, y, ANKLE_HEIGHT + height
    angles = np.linspace(0, 2 * np.pi if turning else 0.05, frames)
    sway = Rotation.from_euler("zyx", np.column_stack([angles, 0.01 * np.sin(angles * 60), 0.01 * np.cos(angles * 80)]))
    return np.einsum("fij,kj->fki", sway.as_matrix(), pose)


def faulty(xyz: np.ndarray, seed: int, sigma: float = 20.0, gross: float = 0.1) -> np.ndarray:
    """With noise in mm, a share of joints that are off by most of a metre, and 5% missing."""
    rng = np.random.default_rng(seed)
    wrong, missing = rng.random(xyz.shape[:2]) < gross, rng.random(xyz.shape[:2]) < 0.05
    noisy = xyz + rng.normal(0, sigma, xyz.shape) + wrong[..., None] * rng.normal(0, 700, xyz.shape)
    return np.where(missing[..., None], np.nan, noisy)


def poses_of(xyz: np.ndarray, joints: Skeleton = H36M) -> Poses:
    return Poses(xyz, np.ones(xyz.shape[:2]), np.arange(len(xyz)), joints, "mm", "world")


def anywhere(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return Rotation.random(random_state=seed).as_matrix(), rng.normal(0, 3000, 3)


def levelled(xyz: np.ndarray, seed: int) -> tuple[Levelled, np.ndarray, np.ndarray]:
    """What is found in a world turned and moved at random, and that motion."""
    Q, c = anywhere(seed)
    return level_world(poses_of(xyz @ Q.T + c), apply_world(RIG, Q, c)), Q, c


def tilt_deg(found: Levelled, Q: np.ndarray) -> float:
    up = Q[:, 2]
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(found.R[2], up)), found.R[2] @ up)))


def test_the_vertical_of_walking_people_is_right_to_half_a_degree():
    tilts, deviations, floors = [], [], []
    for seed in range(30):
        found, Q, c = levelled(faulty(walking(seed), seed), seed)
        tilts.append(tilt_deg(found, Q))
        deviations.append(found.sd_deg)
        floors.append((found.R @ c + found.t)[2])
    assert np.median(tilts) < 0.4
    assert np.percentile(tilts, 95) < 0.6
    assert np.mean(np.array(tilts) < deviations) > 0.55
    assert np.mean(np.array(tilts) < 2 * np.array(deviations)) > 0.9
    assert np.percentile(np.abs(floors), 95) < ANKLE_HEIGHT / 2


def test_the_frame_rate_does_not_matter():
    slow = walking(3)
    seconds = np.arange(len(slow)) / 5
    fast = CubicSpline(seconds, slow)(np.arange(0, seconds[-1], 1 / 60))
    for xyz in (slow, fast):
        found, Q, _ = levelled(faulty(xyz, 3), 3)
        assert tilt_deg(found, Q) < 0.6


def test_without_faults_it_is_the_vertical_to_a_third_of_a_degree():
    for seed in range(5):
        found, Q, _ = levelled(walking(seed), seed)
        assert tilt_deg(found, Q) < 0.33


def test_a_person_in_one_place_gives_it_with_an_honest_deviation():
    ahead, Q, _ = levelled(faulty(standing(), 0), 0)
    about, Q_about, _ = levelled(faulty(standing(turning=True), 1), 1)
    assert tilt_deg(ahead, Q) < 2 * ahead.sd_deg
    assert tilt_deg(about, Q_about) < 2 * about.sd_deg
    assert about.sd_deg < ahead.sd_deg
    assert 2.0 < ahead.sd_deg < 6.0


def test_who_walks_a_line_is_upright_sideways_and_on_the_floor_lengthwise():
    line = standing(150)
    line = line + np.linspace([-2000, 0, 0], [2000, 0, 0], 150)[:, None]
    found, Q, _ = levelled(faulty(line, 0), 0)
    assert tilt_deg(found, Q) < 2 * found.sd_deg
    assert found.sd_deg < 2.0
    assert found.floor_sd_deg > found.sd_deg


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_the_levelled_world_depends_neither_on_the_world_nor_on_its_scale(seed: int, scale: float):
    xyz = faulty(walking(7, 100), 7)
    Q, c = anywhere(seed)
    plain = level_world(poses_of(xyz), RIG)
    rig = apply_world(RIG, Q, c).scaled(scale, "arbitrary", "none")
    moved = level_world(replace(poses_of((xyz @ Q.T + c) * scale), unit="arbitrary"), rig)
    np.testing.assert_allclose(moved.R @ Q, plain.R, atol=1e-5)
    np.testing.assert_allclose((moved.R @ c * scale + moved.t) / scale, plain.t, atol=0.1)
    assert moved.sd_deg == pytest.approx(plain.sd_deg, rel=1e-3)


def test_a_world_that_stands_on_its_head_is_turned_round():
    Q = np.diag([1.0, -1.0, -1.0])
    found = level_world(poses_of(walking(1) @ Q.T), apply_world(RIG, Q, np.zeros(3)))
    assert tilt_deg(found, Q) < 0.5


def test_the_origin_is_under_the_first_camera_which_looks_along_x():
    found, Q, c = levelled(walking(1), 1)
    rig = apply_world(apply_world(RIG, Q, c), found.R, found.t)
    first, true = rig.cameras[0], RIG.cameras[0]
    np.testing.assert_allclose(first.center[:2], 0, atol=1e-6)
    assert first.center[2] == pytest.approx(true.center[2], abs=ANKLE_HEIGHT / 2)
    assert first.R[2, 0] > 0.9
    assert first.R[2, 1] == pytest.approx(0, abs=1e-12)


def test_a_camera_that_looks_straight_down_has_the_top_of_its_image_along_x():
    down = replace(RIG.cameras[0], R=np.diag([1.0, -1.0, -1.0]), t=-np.diag([1.0, -1.0, -1.0]) @ [0, 0, 4000.0])
    rig = Rig((down, *RIG.cameras[1:]), "mm", "rendered")
    found = level_world(poses_of(walking(1)), rig)
    top = -apply_world(rig, found.R, found.t).cameras[0].R[1]
    np.testing.assert_allclose(top, [1, 0, 0], atol=0.02)


def test_cameras_project_the_same_after_the_change_of_world():
    found, Q, c = levelled(walking(2, 50), 2)
    xyz = walking(2, 50) @ Q.T + c
    rig = apply_world(RIG, Q, c)
    after = apply_world(rig, found.R, found.t)
    np.testing.assert_allclose(after.project(xyz @ found.R.T + found.t), rig.project(xyz), atol=1e-6)
    assert (after.names, after.unit, after.scale_source) == (rig.names, rig.unit, rig.scale_source)


def test_any_skeleton_with_legs_and_shoulders_will_do():
    xyz = faulty(walking(4), 4)
    coco = skeleton("coco17")
    known = [j for j, name in enumerate(coco.joints) if name in H36M.joints]
    few = np.full((len(xyz), 17, 3), np.nan)
    few[:, known] = xyz[:, [H36M.index(coco.joints[j]) for j in known]]
    found = level_world(poses_of(few, coco), RIG)
    assert tilt_deg(found, np.eye(3)) < 0.6


def sitting() -> np.ndarray:
    xyz = standing()
    xyz[:, LEGS] += [425.0, 0.0, 425.0]
    return xyz


def lying() -> np.ndarray:
    return standing() @ Rotation.from_euler("y", 90, degrees=True).as_matrix().T


def tumbling() -> np.ndarray:
    turns = Rotation.from_euler("y", np.linspace([0], [360], 100), degrees=True).as_matrix()
    return np.einsum("fij,fkj->fki", turns, standing())


def reeling() -> np.ndarray:
    turns = Rotation.from_euler("x", np.linspace([-45], [45], 60), degrees=True).as_matrix()
    return np.einsum("fij,fkj->fki", turns, standing(60))


def without_legs() -> np.ndarray:
    xyz = walking(0).copy()
    xyz[:, LEGS] = np.nan
    return xyz


@pytest.mark.parametrize(
    ("scene", "outcome"),
    [
        (without_legs, "fewer than 10 frames"),
        (lambda: walking(0, 9), "fewer than 10 frames"),
        (sitting, "0 frames show all of an upright person"),
        (lying, "across the images"),
        (tumbling, "points anywhere"),
        (reeling, "degrees only"),
    ],
)
def test_nothing_is_said_where_nothing_tells_it(scene: Callable[[], np.ndarray], outcome: str):
    with pytest.raises(GeometryError, match=outcome):
        level_world(poses_of(faulty(scene(), 0, gross=0.0)), RIG)


def test_cameras_on_their_side_do_for_a_person_who_walks_only():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    rig = replace(RIG, cameras=tuple(replace(c, R=turn @ c.R, t=turn @ c.t) for c in RIG.cameras))
    assert tilt_deg(level_world(poses_of(walking(0)), rig), np.eye(3)) < 0.6
    with pytest.raises(GeometryError, match="across the images"):
        level_world(poses_of(standing()), rig)


def test_a_body_that_leans_on_a_wide_floor_is_doubted():
    shear = np.array([[1.0, 0.0, 0.4], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    xyz = walking(0)
    foot = xyz[:, ANKLES[:1]]
    found = level_world(poses_of((xyz - foot) @ shear.T + foot), RIG)
    assert [doubt.kind for doubt in found.doubts] == [Kind.LEAN]
    assert tilt_deg(found, np.eye(3)) < 2.0
    assert level_world(poses_of(xyz), RIG).doubts == ()
