"""Poses for training, from motion capture or a recording.

They are mixed with each other, given other proportions and seen by random cameras. Unless stated otherwise, poses are
root-relative with the joints of `looks.BODY`, in mm, in the axes of a level camera (y down).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.arrays import median_known
from epitool.errors import InputError
from epitool.geometry.body.axes import body_axes, least_rotation
from epitool.geometry.body.scale import bone_lengths
from epitool.nn.looks import BODY, PELVIS, THORAX, mirrored
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]

_UP = np.array([0.0, -1.0, 0.0])  # in the axes of a level camera, which poses are kept in
_UPPER, _LOWER = ("head", "neck", "nose", "thorax", "shoulder"), ("ankle", "knee")
_CLEARLY_UP = 0.8  # cosine
_CHAINS = [[BODY.index(f"{side}_{j}") for j in chain] for side in ("left", "right")
           for chain in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))]  # fmt: skip
_ARMS = _CHAINS[1::2]
_ABOVE = [THORAX, *(BODY.index(joint) for joint in ("neck_nose", "head_top")), *_ARMS[0], *_ARMS[1]]
_KINDS = ("hip", "knee", "ankle", "thorax", "shoulder", "elbow", "wrist")  # a bone is named after the joint it ends at
_NEAREST = 300.0  # mm in front of the camera
_BODY = 1750.0  # mm, the body height that camera distances are multiples of


@dataclass(frozen=True)
class Mixing:
    """How poses are mixed from others.

    Attributes:
        trunk: Share of poses whose upper body is another pose's, carried over with the pelvis.
        arm: Share of arms that are another pose's, carried over with the chest.
        turn: Share of limbs whose two segments are rotated at random.
        turn_rad: Standard deviation of these rotations.
    """

    trunk: float = 0.7
    arm: float = 0.6
    turn: float = 0.5
    turn_rad: float = 0.35


@dataclass(frozen=True)
class Cameras:
    """Distribution of cameras that are drawn anywhere around the person, one for each pose.

    Attributes:
        pitch_deg: Range of the angle by which cameras look down, drawn uniformly.
        roll_deg: Standard deviation of the roll.
        distance: Range of the distance in body heights, drawn uniformly in the logarithm.
        aside: Largest offset of the person from the optical axis, as a share of the distance.
        fallen: Share of bodies that are tilted, because not all people stand.
        fallen_deg: Standard deviation of this tilt.
    """

    pitch_deg: tuple[float, float] = (-10.0, 35.0)
    roll_deg: float = 5.0
    distance: tuple[float, float] = (1.3, 6.0)
    aside: float = 0.35
    fallen: float = 0.1
    fallen_deg: float = 40.0


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """Poses to draw from, and how each drawn pose is varied.

    Attributes:
        poses: Poses, `(M, 16, 3)`.
        lengths: Bone lengths, by the joint that a bone ends at, `(16,)` mm; NaN leaves a bone as it is.
        lengths_sd: Standard deviations of the logarithms of the factors on bone lengths: of each kind of bone, and of
            each single bone.
        mixings: How poses are mixed; each applies to an equal share of the drawn poses.
        cameras: Cameras that see the poses.
        new_heads: Whether heads are set anew, because motion capture's head joints are not those that detectors find.
    """

    poses: Array
    lengths: Array
    lengths_sd: tuple[float, float]
    mixings: tuple[Mixing, ...]
    cameras: Cameras = Cameras()
    new_heads: bool = False

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw poses in front of cameras, `(count, 16, 3)` mm, each in the axes of its own camera."""
        shares = np.array_split(np.arange(count), len(self.mixings))
        mixed = np.concatenate(
            [mixed_poses(self.poses, len(part), how, rng) for part, how in zip(shares, self.mixings)]
        )
        posed = with_lengths(mixed, drawn_lengths(self.lengths, self.lengths_sd, count, rng))
        return place_before_cameras(with_heads(posed, rng) if self.new_heads else posed, self.cameras, rng)


def mixed_poses(poses: Array, count: int, how: Mixing, rng: np.random.Generator) -> Array:
    """Return `count` poses mixed from poses `(M, 16, 3)`, half of them mirrored."""

    def others() -> Array:
        return poses[rng.integers(len(poses), size=count)]

    out, other = others().copy(), others()
    chosen = rng.random(count) < how.trunk
    carried = _carried(_trunk(out, "hip") @ _transposed(_trunk(other, "hip")), other, PELVIS, _ABOVE, out)
    out[np.ix_(chosen, np.array(_ABOVE))] = carried[chosen]
    for shoulder, *arm in _ARMS:
        other, chosen = others(), rng.random(count) < how.arm
        turn = _trunk(out, "shoulder") @ _transposed(_trunk(other, "shoulder"))
        out[np.ix_(chosen, np.array(arm))] = _carried(turn, other, shoulder, arm, out)[chosen]
    for chain in _CHAINS:
        chosen = rng.random((count, 1)) < how.turn
        for start in (0, 1):
            R = Rotation.from_rotvec(rng.normal(0, how.turn_rad, (count, 3)) * chosen).as_matrix()
            out[:, chain[start + 1 :]] = _carried(R, out, chain[start], chain[start + 1 :], out)
    mirror = rng.random(count) < 0.5
    out[mirror] = mirrored(out[mirror], BODY)
    return out


def _carried(turn: Array, source: Array, start: int, joints: list[int], target: Array) -> Array:
    """Return joints of `source`, rotated about joint `start` and moved to that joint of `target`.

    The rotations are `turn (N, 3, 3)`.
    """
    return (source[:, joints] - source[:, [start]]) @ _transposed(turn) + target[:, [start]]


def _transposed(R: Array) -> Array:
    return np.swapaxes(R, 1, 2)


def _trunk(poses: Array, across: str) -> Array:
    """Return the axes of the trunk as columns `(N, 3, 3)`: left, back and up; 0 for poses whose trunk has no extent.

    Left is from the right to the left hip or shoulder.
    """
    right = poses[:, BODY.index(f"right_{across}")] - poses[:, BODY.index(f"left_{across}")]
    forward, up, right = body_axes(right, poses[:, THORAX] - poses[:, PELVIS])
    return np.nan_to_num(np.stack([-right, -forward, up], axis=-1))


def drawn_lengths(lengths: Array, deviations: tuple[float, float], count: int, rng: np.random.Generator) -> Array:
    """Draw bone lengths `(count, 16)` about `lengths (16,)`.

    Each is multiplied by a random factor of its kind of bone and by a smaller one of its own.
    """
    of_kinds = np.exp(rng.normal(0, deviations[0], (count, len(_KINDS))))
    out = lengths * np.exp(rng.normal(0, deviations[1], (count, len(lengths))))
    for k, kind in enumerate(_KINDS):
        ends = [j for j, joint in enumerate(BODY.joints) if joint.endswith(kind)]
        out[:, ends] *= of_kinds[:, [k]]
    return out


def with_lengths(poses: Array, lengths: Array) -> Array:
    """Return poses `(N, 16, 3)` with the bone lengths `(N, 16)`, given by the joint that a bone ends at.

    Bones of unknown length (NaN), and those of no extent in the pose, stay as they are. The pelvis and the thorax are
    set to the midpoints of hips and shoulders again.
    """
    out = poses.copy()
    for parent, child in BODY.bones:  # parents come first
        bone = poses[:, child] - poses[:, parent]
        extent = np.linalg.norm(bone, axis=-1)
        known = np.isfinite(lengths[:, child]) & (extent > 0)
        factor = np.where(known, lengths[:, child], 1.0) / np.where(known, extent, 1.0)
        out[:, child] = out[:, parent] + factor[:, None] * bone
    for middle, joint in ((PELVIS, "hip"), (THORAX, "shoulder")):
        out[:, middle] = out[:, [BODY.index(f"{side}_{joint}") for side in ("left", "right")]].mean(axis=1)
    return out - out[:, [PELVIS]]


def median_lengths(poses: Array) -> Array:
    """Return the median length `(16,)` of each bone of poses `(N, 16, 3)`, by its end joint; NaN at the pelvis."""
    out = np.full(len(BODY), np.nan)
    out[[child for _, child in BODY.bones]] = median_known(bone_lengths(poses, BODY), axis=0)
    return out


# Where BlazePose finds nose and ears, mm from the middle of the shoulders in the axes of the head: forward, left, up.
# They are triangulated from rendered people (examples/shipped_unit), and so are the angles of the head, in degrees.
_NOSE, _EAR = np.array([155.0, 0.0, 200.0]), np.array([55.0, 70.0, 210.0])
_HEAD_TURN_DEG, _HEAD_NOD_DEG, _HEAD_TILT_DEG = (0.0, 25.0), (8.0, 15.0), (0.0, 8.0)  # mean and deviation


def with_heads(poses: Array, rng: np.random.Generator) -> Array:
    """Return poses `(N, 16, 3)` with nose and crown set anew, on heads turned about the chest at random."""
    count = len(poses)
    chest = _trunk(poses, "shoulder")  # columns: left, back, up
    axes = np.stack([-chest[..., 1], chest[..., 0], chest[..., 2]], axis=-1)
    angles = [rng.normal(*degrees, count) for degrees in (_HEAD_TURN_DEG, _HEAD_NOD_DEG, _HEAD_TILT_DEG)]
    axes = axes @ Rotation.from_euler("ZYX", np.stack(angles, axis=1), degrees=True).as_matrix()
    thorax = poses[:, THORAX]
    nose, left, right = (thorax + axes @ place for place in (_NOSE, _EAR, _EAR * [1.0, -1.0, 1.0]))
    out = poses.copy()
    out[:, BODY.index("neck_nose")] = nose
    out[:, BODY.index("head_top")] = 0.75 * (left + right) - 0.5 * thorax  # the same formula as in skeleton.DERIVED
    return out


def place_before_cameras(poses: Array, cameras: Cameras, rng: np.random.Generator) -> Array:
    """Return level poses `(N, 16, 3)` in the axes of a random camera each, placed in front of it."""
    count = len(poses)
    fallen = rng.normal(0, np.radians(cameras.fallen_deg), (count, 3)) * (rng.random((count, 1)) < cameras.fallen)
    around = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi, (count, 1)) * _UP)
    down = Rotation.from_euler("x", rng.uniform(*cameras.pitch_deg, (count, 1)), degrees=True)
    aslant = Rotation.from_euler("z", rng.normal(0, cameras.roll_deg, (count, 1)), degrees=True)
    R = (aslant * down * around * Rotation.from_rotvec(fallen)).as_matrix()
    out = poses @ _transposed(R)
    away = _BODY * np.exp(rng.uniform(np.log(cameras.distance[0]), np.log(cameras.distance[1]), count))
    place = np.column_stack([rng.uniform(-cameras.aside, cameras.aside, (count, 2)) * away[:, None], away])
    out = out - 0.5 * (out[:, [PELVIS]] + out[:, [THORAX]]) + place[:, None]
    # Bodies of which a joint is too near or behind the camera are moved away.
    behind = np.minimum(out[..., 2].min(axis=1) - _NEAREST, 0.0)
    out[..., 2] -= behind[:, None]
    return out


def level_poses(xyz: Array, skeleton: Skeleton) -> Array:
    """Return poses `(N, J, 3)` of any axes, root-relative and turned so that up is -y.

    Up is the axis along which heads are above feet on average.

    Raises:
        InputError: No axis is clearly up.
    """
    up = vertical_of(xyz, skeleton)
    axis = int(np.abs(up).argmax())
    if not abs(up[axis]) >= _CLEARLY_UP:
        raise InputError("none of the axes x, y and z of the poses is up: heads are not above feet along any")
    return turn_upright(xyz - xyz[:, [skeleton.root]], np.sign(up[axis]) * np.eye(3)[axis])


def turn_upright(poses: Array, up: Array) -> Array:
    """Turn poses `(N, J, 3)` by the smallest angle that brings the unit vector `up (3,)` to -y."""
    return poses @ least_rotation(up, _UP).T


def vertical_of(xyz: Array, skeleton: Skeleton) -> Array:
    """Return the mean direction from the legs to the head and shoulders of poses `(..., J, 3)`: `(3,)`, unit length.

    It is NaN if the skeleton has no such joints or no pose has them.
    """
    upper, lower = (
        [j for j, name in enumerate(skeleton.joints) if any(part in name for part in parts)]
        for parts in (_UPPER, _LOWER)
    )
    if not upper or not lower:
        return np.full(3, np.nan)
    trunk = (xyz[..., upper, :].mean(axis=-2) - xyz[..., lower, :].mean(axis=-2)).reshape(-1, 3)
    up = trunk[np.isfinite(trunk).all(axis=-1)].sum(axis=0)
    length = np.linalg.norm(up)
    return np.asarray(up / length) if length > 0 else np.full(3, np.nan)
