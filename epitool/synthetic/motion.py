"""Synthetic motion: seeded joint angles over time, and the joints that follow from them.

World axes: mm, z up, floor at z = 0. Axes of a body part: x forward, y to the person's left, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.skeleton import skeleton

Array = NDArray[np.float64]
SIDES = ("left", "right")
SKELETON = skeleton("h36m17")
FRAMES_PER_SECOND = 5.0  # low, so that neighbouring frames differ

# Position of each joint in the axes of the body part that carries it, mm; the person is 1.75 m tall.
HIP, SHOULDER = np.array([0.0, 130.0, 0.0]), np.array([0.0, 175.0, 0.0])
THIGH, SHIN = np.array([0.0, 0.0, -425.0]), np.array([0.0, 0.0, -420.0])
UPPER_ARM, FOREARM = np.array([0.0, 0.0, -290.0]), np.array([0.0, 0.0, -255.0])
BELLY, CHEST = np.array([0.0, 0.0, 235.0]), np.array([0.0, 0.0, 260.0])
NOSE, CROWN = np.array([100.0, 0.0, 175.0]), np.array([-85.0, 0.0, 155.0])
FOOT, HAND = np.array([165.0, 0.0, -50.0]), np.array([0.0, 0.0, -130.0])
ANKLE_HEIGHT = 80.0
MIRROR = np.array([1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of a body over F frames, in the world.

    Attributes:
        xyz: h36m17 joints `(F, 17, 3)`, mm.
        pelvis_axes: Rotation world from pelvis, `(F, 3, 3)`.
        chest_axes: Rotation world from chest, `(F, 3, 3)`.
        head_axes: Rotation world from head, `(F, 3, 3)`.
        toes: Tips of the left and right foot, `(F, 2, 3)`, mm.
        fingers: Tips of the left and right hand, `(F, 2, 3)`, mm.
    """

    xyz: Array
    pelvis_axes: Array
    chest_axes: Array
    head_axes: Array
    toes: Array
    fingers: Array

    def joint(self, name: str) -> Array:
        """Return one joint over time, `(F, 3)` mm."""
        return self.xyz[:, SKELETON.index(name)]


class _Waves:
    """Generator of smooth curves over time that never repeat together.

    Late frames are therefore new, but come from the same distribution as early ones.
    """

    def __init__(self, rng: np.random.Generator, seconds: Array) -> None:
        self.rng, self.seconds = rng, seconds

    def between(self, low: float, high: float, hertz: float = 0.25) -> Array:
        """Return a curve `(F,)` that oscillates over all of [low, high] at about this frequency."""
        turns, wobble = self.rng.uniform(0.0, 2 * np.pi, 2)
        pace = hertz * self.rng.uniform(0.8, 1.25)
        phase = 2 * np.pi * pace * self.seconds + turns
        # The irrational ratio of the two frequencies keeps the curve from repeating.
        bent = phase + 1.2 * np.sin(phase / np.sqrt(5) + wobble)
        return low + (high - low) * (0.5 + 0.5 * np.sin(bent))

    def bursts(self, hertz: float = 0.2) -> Array:
        """Return a curve `(F,)` in [0, 1] that is 0 for about half of the time and rises to 1 now and then."""
        rise = np.clip(self.between(-1.0, 1.0, hertz) * 1.3, 0.0, 1.0)
        return rise * rise * (3 - 2 * rise)  # smoothstep: no kinks where the curve leaves 0 and 1


def random_motion(frames: int, seed: int, frames_per_second: float = FRAMES_PER_SECOND) -> Motion:
    """Return the motion of a person who walks loops, turns, swings and raises the arms, bends, squats and kicks.

    The loops lie in an area of 3 x 3 m. Bone lengths are the same in all frames and for all seeds; the motion of a seed
    is the same at any frame rate.
    """
    rng = np.random.default_rng(seed)
    seconds = np.arange(frames) / frames_per_second
    waves = _Waves(rng, seconds)
    place, heading = _walk(rng, seconds)
    squat, bend = waves.bursts(0.17) ** 2, waves.bursts(0.15)
    stride = 2 * np.pi * 0.8 * seconds + rng.uniform(0, 2 * np.pi)

    pelvis = Rotation.from_euler("z", heading[:, None])
    lean = 5 + 32 * squat + 40 * bend * (1 - squat)
    belly = pelvis * _turn("YX", 0.5 * lean, waves.between(-8, 8))
    chest = belly * _turn("YXZ", 0.5 * lean, waves.between(-10, 10), waves.between(-30, 30))
    head = chest * _turn("ZY", waves.between(-45, 45, 0.35), waves.between(-20, 20, 0.3))

    joints = {"pelvis": np.zeros((frames, 3))}
    joints["spine"] = belly.apply(BELLY)
    joints["thorax"] = joints["spine"] + chest.apply(CHEST)
    joints["neck_nose"] = joints["thorax"] + head.apply(NOSE)
    joints["head_top"] = joints["neck_nose"] + head.apply(CROWN)
    for side, mirror, step in zip(SIDES, (np.ones(3), MIRROR), (stride, stride + np.pi)):
        _add_leg(joints, side, mirror, waves, pelvis, step, squat)
        _add_arm(joints, side, mirror, waves, chest, step)
    _stand(joints, place)
    return Motion(
        xyz=np.stack([joints[name] for name in SKELETON.joints], axis=1),
        pelvis_axes=pelvis.as_matrix(),
        chest_axes=chest.as_matrix(),
        head_axes=head.as_matrix(),
        toes=np.stack([joints[f"{side}_toe"] for side in SIDES], axis=1),
        fingers=np.stack([joints[f"{side}_finger"] for side in SIDES], axis=1),
    )


def _walk(rng: np.random.Generator, seconds: Array) -> tuple[Array, Array]:
    """Return the position on the floor `(F, 2)` mm and the heading `(F,)` of a person who walks uneven loops."""
    turns = rng.uniform(0, 2 * np.pi, 3)
    direction = rng.choice([-1.0, 1.0])

    def place(at: Array) -> Array:
        loop = direction * 2 * np.pi * at / 6.5 + turns[0]
        drift = loop / np.sqrt(7)
        x = 850 * np.cos(loop) + 350 * np.sin(drift + turns[1])
        y = 850 * np.sin(loop) + 350 * np.sin(1.3 * drift + turns[2])
        return np.stack([x, y], axis=-1)

    ahead = place(seconds + 0.01) - place(seconds)
    return place(seconds), np.arctan2(ahead[:, 1], ahead[:, 0])


def _turn(axes: str, *degrees: Array) -> Rotation:
    """Return rotations about a part's own axes, applied one after the other."""
    return Rotation.from_euler(axes, np.stack(degrees, axis=-1), degrees=True)


def _add_leg(
    joints: dict[str, Array], side: str, mirror: Array, waves: _Waves, pelvis: Rotation, step: Array, squat: Array
) -> None:
    stands = 1 - squat
    kick = waves.bursts(0.13) * stands
    flexion = 75 * squat + (8 + 22 * np.sin(step)) * stands + 55 * kick
    knee = 115 * squat + (8 + 45 * np.clip(np.cos(step), 0, 1)) * stands * (1 - kick) + waves.between(0, 60) * kick
    outward = 4 + 14 * squat + waves.between(0, 35) * kick
    thigh = pelvis * _turn("YX", -flexion, outward * mirror[1])
    shin = thigh * _turn("Y", knee)
    foot = shin * _turn("Y", 0.85 * (flexion - knee))
    joints[f"{side}_hip"] = pelvis.apply(HIP * mirror)
    joints[f"{side}_knee"] = joints[f"{side}_hip"] + thigh.apply(THIGH)
    joints[f"{side}_ankle"] = joints[f"{side}_knee"] + shin.apply(SHIN)
    joints[f"{side}_toe"] = joints[f"{side}_ankle"] + foot.apply(FOOT)


def _add_arm(joints: dict[str, Array], side: str, mirror: Array, waves: _Waves, chest: Rotation, step: Array) -> None:
    flexion = 150 * waves.bursts(0.22) - 25 * np.sin(step)
    outward = 10 + 95 * waves.bursts(0.19)
    twist = waves.between(-25, 60)
    upper = chest * _turn("YXZ", -flexion, outward * mirror[1], -twist * mirror[1])
    lower = upper * _turn("Y", -waves.between(5, 115, 0.3))
    joints[f"{side}_shoulder"] = joints["thorax"] + chest.apply(SHOULDER * mirror)
    joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + upper.apply(UPPER_ARM)
    joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + lower.apply(FOREARM)
    joints[f"{side}_finger"] = joints[f"{side}_wrist"] + lower.apply(HAND)


def _stand(joints: dict[str, Array], place: Array) -> None:
    """Move the body, in place, to where it walks, with its lower foot on the floor."""
    toe_height = ANKLE_HEIGHT + FOOT[2]
    soles = [joints[f"{side}_ankle"][:, 2] - ANKLE_HEIGHT for side in SIDES]
    soles += [joints[f"{side}_toe"][:, 2] - toe_height for side in SIDES]
    shift = np.column_stack([place, -np.min(soles, axis=0)])
    for name in joints:
        joints[name] = joints[name] + shift
