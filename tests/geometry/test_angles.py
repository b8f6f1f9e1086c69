"""Joint angles: known ones of poses that are made, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from epitool.geometry.body.angles import joint_angles
from epitool.pose import Poses
from epitool.skeleton import skeleton
from epitool.synthetic.motion import random_motion

BODY = skeleton("coco23")
STANDING = {  # x forward, y to the left, z up
    "hip": (0, 100, 900), "knee": (0, 100, 500), "ankle": (0, 100, 80), "heel": (-50, 100, 20),
    "big_toe": (150, 100, 20), "small_toe": (130, 140, 20), "shoulder": (0, 180, 1400), "elbow": (0, 180, 1100),
    "wrist": (0, 180, 850),
}  # fmt: skip


def standing(**moved: tuple[float, float, float]) -> dict[str, float]:
    """Angles of someone who stands straight, but for some joints."""
    places = {f"left_{joint}": np.array(xyz, float) for joint, xyz in STANDING.items()}
    places |= {f"right_{joint}": np.array(xyz, float) * [1, -1, 1] for joint, xyz in STANDING.items()}
    places |= {joint: np.array(xyz, float) for joint, xyz in moved.items()}
    xyz = np.array([places.get(joint, np.zeros(3)) for joint in BODY.joints])[None]
    return {name: float(values[0]) for name, values in joint_angles(of(xyz)).items()}


def of(xyz: np.ndarray, body=BODY) -> Poses:
    return Poses(xyz, np.ones(xyz.shape[:2]), np.arange(len(xyz)), body, "mm", "world")


def test_who_stands_straight_has_no_angles():
    angles = standing()
    assert all(np.isnan(value) if "plane" in name else abs(value) < 1e-9 for name, value in angles.items()), angles
    assert len(angles) == 15


@pytest.mark.parametrize(("moved", "expected"), [
    ({"right_ankle": (-420, -100, 500)}, {"right_knee_flexion": 90}),
    ({"right_knee": (400, -100, 900), "right_ankle": (400, -100, 480)},
     {"right_hip_flexion": 90, "right_knee_flexion": 90}),
    ({"left_knee": (0, 300, 900 - 200 * np.sqrt(3)), "left_ankle": (0, 510, 900 - 410 * np.sqrt(3))},
     {"left_hip_adduction": -30, "left_knee_flexion": 0}),
    ({"right_elbow": (0, -480, 1400)}, {"right_shoulder_elevation": 90, "right_shoulder_plane": 0}),
    ({"left_elbow": (300, 180, 1400)}, {"left_shoulder_elevation": 90, "left_shoulder_plane": 90}),
    ({"left_wrist": (250, 180, 1100)}, {"left_elbow_flexion": 90}),
    ({"right_heel": (-50, -100, 80), "right_big_toe": (50, -100, 80 + 100 * np.tan(np.radians(20)))},
     {"right_ankle_dorsiflexion": 20}),
    ({"left_shoulder": (-180, 0, 1400), "right_shoulder": (180, 0, 1400)}, {"trunk_rotation": 90}),
])  # fmt: skip
def test_angles_of_poses_that_are_made(moved, expected):
    found = standing(**moved)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.fixture(scope="module")
def walk():
    return random_motion(60, 1, 10.0).xyz


def test_neither_place_nor_size_nor_heading_counts(walk):
    body = skeleton("h36m17")
    turned = 0.01 * walk @ Rotation.random(random_state=3).as_matrix().T + 5
    found, again = joint_angles(of(walk, body)), joint_angles(of(turned, body))
    assert "right_ankle_dorsiflexion" not in found
    for name, values in found.items():
        np.testing.assert_allclose(again[name], values, atol=1e-6)


def test_a_mirror_exchanges_the_sides(walk):
    body = skeleton("h36m17")
    found = joint_angles(of(walk, body))
    mirrored = joint_angles(of((walk * [1, -1, 1])[:, body.flip_order], body))
    np.testing.assert_allclose(mirrored["trunk_rotation"], -found["trunk_rotation"], atol=1e-9)
    for name in (name for name in found if name.startswith("left_")):
        np.testing.assert_allclose(mirrored[name], found[name.replace("left_", "right_")], atol=1e-9)


def test_an_animal_has_none_and_what_is_missing_stays_missing(walk):
    fish = skeleton("h36m17").__class__("fish", ("fin",), (-1,))
    assert joint_angles(of(np.zeros((2, 1, 3)), fish)) == {}
    gone = walk.copy()
    gone[5, skeleton("h36m17").index("left_knee")] = np.nan
    found = joint_angles(of(gone, skeleton("h36m17")))
    assert np.isnan(found["left_knee_flexion"][5])
    assert np.isfinite(found["right_knee_flexion"]).all()
