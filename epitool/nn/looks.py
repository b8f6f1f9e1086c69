"""What a detector finds of a person in single images, in the form that the refinement unit takes.

A look holds a person's joints in one image: the rays through them, their confidences, and perhaps a hint of the pose
in space. It is described in the axes of a camera that is turned to look straight at the person, so that the person's
place in the image does not matter. The perspective under which the person is seen is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import homogeneous, inverses, mean_known
from epitool.skeleton import Skeleton, convert_joints, skeleton

Array = NDArray[np.float64]
_H36M = skeleton("h36m17")
_JOINTS = tuple(joint for joint in _H36M.joints if joint != "spine")
# The unit's joints. Pelvis and thorax are the midpoints of hips and shoulders; the spine would be halfway between
# them and is left out.
BODY = Skeleton(
    "h36m16",
    _JOINTS,
    tuple(
        -1 if joint == "pelvis" else _JOINTS.index({"thorax": "pelvis"}.get(joint, _H36M.joints[_H36M.parents[j]]))
        for j, joint in enumerate(_H36M.joints)
        if joint in _JOINTS
    ),
)
PELVIS, THORAX = BODY.index("pelvis"), BODY.index("thorax")
LIMBS = np.array([j for j, joint in enumerate(BODY.joints) if joint not in ("neck_nose", "head_top")])
FEATURES = len(BODY) * 6 + 1
_HIPS, _SHOULDERS = ([BODY.index(f"{side}_{joint}") for side in ("left", "right")] for joint in ("hip", "shoulder"))
_MIRROR = np.array([-1.0, 1.0, 1.0])
_TYPICAL_EXTENT = -2.0  # logarithm of (extent of the joints / their distance from the camera)
_LEAST_JOINTS = 3


@dataclass(frozen=True, eq=False)
class Looks:
    """Detections of one person in each of N images, camera axes.

    Attributes:
        rays: x / z and y / z of the direction to each joint of `BODY`, `(N, 16, 2)`; NaN where not seen.
        confidence: Confidence in each joint, `(N, 16)`; 0 where not seen.
        hint: Pose in space, of any size and origin, `(N, 16, 3)`, in axes that look straight at the person; NaN where
            there is none.
    """

    rays: Array
    confidence: Array
    hint: Array

    def __len__(self) -> int:
        return len(self.rays)

    def at(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Looks:
        """Return the looks with these indices."""
        return Looks(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which looks show enough of a person to be answered, `(N,)`.

        A usable look has at least three limb joints, which do not all coincide.
        """
        seen = np.isfinite(self.rays[:, LIMBS, 0])
        return (seen.sum(axis=1) >= _LEAST_JOINTS) & (_extent(self.rays) > 0)

    def mirrored(self) -> Looks:
        """Return the looks of a mirror image: x changes its sign, and left and right joints are exchanged."""
        order = BODY.flip_order
        return Looks(self.rays[:, order] * _MIRROR[:2], self.confidence[:, order], self.hint[:, order] * _MIRROR)

    def exchanged(self) -> Looks:
        """Return the looks as they would be if the detector had mistaken left for right.

        A person who faces the camera is then seen from behind. The hint belongs to the original pose and is dropped.
        """
        order = BODY.flip_order
        return Looks(self.rays[:, order], self.confidence[:, order], self.hint).without_hint()

    def without_hint(self) -> Looks:
        """Return the looks without their hints, with the joints in the image alone."""
        return Looks(self.rays, self.confidence, np.full(self.hint.shape, np.nan))


def mirrored(poses: Array, skeleton: Skeleton) -> Array:
    """Mirror poses `(N, J, 3)` in camera axes: x changes its sign, and left and right joints are exchanged."""
    return np.asarray((poses * [-1.0, 1.0, 1.0])[:, skeleton.flip_order])


def join_looks(parts: Sequence[Looks]) -> Looks:
    """Concatenate looks."""
    return Looks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Looks)))


def looks_of(xy: Array, confidence: Array, hint: Array, K: Array, body: Skeleton) -> Looks:
    """Return the looks for joints in pixels.

    Args:
        xy: Undistorted pixels `(N, J, 2)`; NaN where not seen.
        confidence: Confidence in each joint, `(N, J)`.
        hint: Joints in space `(N, J, 3)`, NaN where there are none; an empty array if there are none at all.
        K: Intrinsics of each image, `(N, 3, 3)`.
        body: Skeleton of the joints.
    """
    pixels, sure = body_joints(xy, body, confidence)
    rays = np.einsum("nij,nkj->nki", inverses(K), homogeneous(pixels))[..., :2]
    seen = np.isfinite(rays).all(axis=-1)
    space = body_joints(hint, body)[0] if hint.size else np.full((*sure.shape, 3), np.nan)
    complete = np.isfinite(space[:, LIMBS]).all(axis=(1, 2))
    return Looks(rays, np.where(seen, np.clip(sure, 0, 1), 0.0), np.where(complete[:, None, None], space, np.nan))


def body_joints(values: Array, body: Skeleton, confidence: Array | None = None) -> tuple[Array, Array]:
    """Convert joints `(N, J, D)` of any skeleton, and their confidence, to `BODY`: `(N, 16, D)` and `(N, 16)`.

    Pelvis and thorax are set to the midpoints of hips and shoulders, even if the skeleton has joints of these names.
    """
    sure = np.ones(values.shape[:-1]) if confidence is None else confidence
    out, out_sure = convert_joints(values, sure, body, BODY)
    out, out_sure = np.array(out), np.array(out_sure)
    for middle, pair in ((PELVIS, _HIPS), (THORAX, _SHOULDERS)):
        both = out[:, pair].mean(axis=1)
        known = np.isfinite(both).all(axis=-1)
        out[known, middle], out_sure[known, middle] = both[known], out_sure[known][:, pair].min(axis=1)
    return out, out_sure


def described(looks: Looks) -> tuple[NDArray[np.float32], Array, Array]:
    """Return the input of the refinement unit for N usable looks.

    Returns:
        Input features of order one, `(N, 97)`: the joints relative to their origin and divided by their extent, the
        confidences, the extent, and the hint likewise; 0 for what is not known. Rotations `(N, 3, 3)` from the camera's
        axes to those that look straight at the person. The rays in the latter axes, `(N, 16, 2)`.
    """
    R = facing_rotation(np.nan_to_num(_middle(looks.rays)))
    rays = rotate_rays(looks.rays, R)
    extent = _extent(rays)
    xy = (rays - _origin(rays)[:, None]) / extent[:, None, None]
    parts = (xy.reshape(-1, 2 * len(BODY)), looks.confidence, np.log(extent)[:, None] - _TYPICAL_EXTENT)
    hint = unit_size(looks.hint)[0].reshape(-1, 3 * len(BODY))
    return np.nan_to_num(np.concatenate([*parts, hint], axis=1)).astype(np.float32), R, rays


def unit_size(poses: Array) -> tuple[Array, Array]:
    """Return poses `(N, 16, 3)` relative to the pelvis and scaled to unit size, and their sizes before `(N,)`.

    The size is the root mean square distance of the limbs from the pelvis.
    """
    poses = poses - poses[:, [PELVIS]]
    size = np.sqrt((poses[:, LIMBS] ** 2).sum(axis=-1).mean(axis=-1))
    return poses / np.where(size > 0, size, 1.0)[:, None, None], size


def facing_rotation(rays: Array) -> Array:
    """Return rotations `(N, 3, 3)` to the axes of a camera that looks along rays `(N, 2)`, its x axis level."""
    z = homogeneous(rays)
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=1)


def from_facing(poses: Array, rays: Array) -> Array:
    """Return poses `(N, J, 3)` in the camera's axes, given in those that look straight at the person.

    Args:
        poses: The poses, relative to any origin.
        rays: Rays to the person's joints of `BODY` in the camera's axes, `(N, 16, 2)`.
    """
    return np.asarray(poses @ facing_rotation(np.nan_to_num(_middle(rays))))


def rotate_rays(rays: Array, R: Array) -> Array:
    """Rotate rays `(N, J, 2)` by `R (N, 3, 3)`."""
    directions = homogeneous(rays) @ np.swapaxes(R, 1, 2)
    with np.errstate(invalid="ignore"):
        # The bound keeps rays finite that come to lie behind the turned camera.
        return directions[..., :2] / np.maximum(directions[..., 2:], 1e-3)


def facing(poses: Array) -> Array:
    """Return the direction `(..., 3)` in which the trunk of each pose `(..., 16, 3)` faces, not normalised.

    It is the cross product of the directions from right to left and from pelvis to thorax.
    """
    across = poses[..., _SHOULDERS[0], :] - poses[..., _SHOULDERS[1], :]
    across = across + poses[..., _HIPS[0], :] - poses[..., _HIPS[1], :]
    return np.cross(across, poses[..., THORAX, :] - poses[..., PELVIS, :])


def face_apart(first: Array, second: Array) -> NDArray[np.bool_]:
    """Return whether two poses `(..., 16, 3)` face directions more than a right angle apart, `(...)`."""
    return np.asarray((facing(first) * facing(second)).sum(axis=-1) < 0)


def _middle(rays: Array) -> Array:
    """Return the middle of the trunk `(N, 2)`.

    Where only one of pelvis and thorax is seen it is taken, and where none is, the mean of all joints that are seen.
    """
    trunk = mean_known(rays[:, [PELVIS, THORAX]], axis=1)
    return np.where(np.isfinite(trunk), trunk, mean_known(rays, axis=1))


def _origin(rays: Array) -> Array:
    """Return the origin of the described joints `(N, 2)`: the pelvis where it is seen, else the middle of the trunk."""
    pelvis = rays[:, PELVIS]
    return np.where(np.isfinite(pelvis), pelvis, _middle(rays))


def _extent(rays: Array) -> Array:
    """Return the root mean square distance `(N,)` of the seen limbs from the origin; 0 where none is seen."""
    square = ((rays - _origin(rays)[:, None])[:, LIMBS] ** 2).sum(axis=-1)
    seen = np.isfinite(square)
    return np.sqrt(np.where(seen, square, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def network_hint(poses: Array, rays: Array) -> Array:
    """Return a network's poses `(N, 16, 3)`, camera axes, as hints for looks with the rays `(N, 16, 2)`.

    Hints are in axes that look straight at the person, as a detector's own 3D joints are.
    """
    R = facing_rotation(np.nan_to_num(_middle(rays)))
    return np.asarray(poses @ np.swapaxes(R, 1, 2))
