"""Transfer of a motion to a body: its bones are rotated along the motion's joints, and its skin follows.

Only directions of the motion are used; lengths are the body's own, so the resulting joints are the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.skeleton import skeleton
from epitool.synthetic.anny_body import Body

Array = NDArray[np.float64]
H36M = skeleton("h36m17")
_LIMBS = (  # prefixes of a limb's bones, its start joint and its end joint
    (("upperleg",), "hip", "knee"),
    (("lowerleg", "foot", "toe"), "knee", "ankle"),
    (("upperarm",), "shoulder", "elbow"),
    (("lowerarm", "wrist", "finger", "metacarpal"), "elbow", "wrist"),
)
_SPINE = {"spine05": 0.2, "spine04": 0.4, "spine03": 0.6, "spine02": 0.8}  # share of the rotation from pelvis to chest
_NECK = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}  # share of the rotation from chest to head
_FLAT = 0.2  # of the head's height; a nose nearer to the head's axis does not define where it faces


class Puppet:
    """Body that can be posed."""

    def __init__(self, body: Body) -> None:
        """Store a body at rest."""
        self.body = body
        self._rest = {name: body.joint(name) for name in H36M.joints}
        self._segments = [_segment(bone) for bone in body.bones]

    def posed(self, joints: Array) -> tuple[Array, Array]:
        """Apply a pose to the body.

        Args:
            joints: h36m17 `(17, 3)`, any unit, z up.

        Returns:
            The rotation `(B, 3, 3)` of each bone from rest, and its head `(B, 3)` mm: the pelvis is above the origin,
            and the lowest vertex on the floor.
        """
        turns = self._turns({name: joints[j] for j, name in enumerate(H36M.joints)})
        R = np.stack([turns[segment] for segment in self._segments])
        heads = np.zeros_like(self.body.heads)
        for b, parent in enumerate(self.body.parents):
            if parent >= 0:
                heads[b] = heads[parent] + R[parent] @ (self.body.heads[b] - self.body.heads[parent])
        skin = self.skin(R, heads)
        pelvis = self.joints(skin, heads, self.body.h36m17)[H36M.root]
        return R, heads - [pelvis[0], pelvis[1], skin[:, 2].min()]

    def skin(self, R: Array, heads: Array) -> Array:
        """Return vertices `(V, 3)` by linear blend skinning, for bones from `posed`."""
        shift = heads - (R @ self.body.heads[..., None])[..., 0]
        moved = self.body.weights @ np.concatenate([R.reshape(-1, 9), shift], axis=1).astype(np.float32)
        skin = np.einsum("vij,vj->vi", moved[:, :9].reshape(-1, 3, 3), self._vertices) + moved[:, 9:]
        return skin.astype(np.float64)

    @staticmethod
    def joints(skin: Array, heads: Array, rows: Array) -> Array:
        """Return joints `(J, 3)` of skin and bones, with the rows of the body's `h36m17` or `coco17`."""
        return rows @ np.concatenate([skin, heads])

    @cached_property
    def _vertices(self) -> NDArray[np.float32]:
        return self.body.vertices.astype(np.float32)

    def _turns(self, joints: dict[str, Array]) -> dict[str, Array]:
        """Return the rotation from rest of each segment of the body."""
        rest = self._rest
        turns = {
            "pelvis": _rotate_from_rest(_pelvis_axes, rest, joints),
            "chest": _rotate_from_rest(_chest_axes, rest, joints),
        }
        turns["head"] = _head_turn(rest, joints, turns["chest"])
        for name, (low, high, share) in _blends().items():
            turns[name] = _blend(turns[low], turns[high], share)
        for side in ("left", "right"):
            carrier = {"hip": "pelvis", "shoulder": "chest", "knee": f"{side}_hip", "elbow": f"{side}_shoulder"}
            for _, start, end in _LIMBS:
                along = [where[f"{side}_{end}"] - where[f"{side}_{start}"] for where in (rest, joints)]
                turns[f"{side}_{start}"] = _swing(turns[carrier[start]], *along)
        return turns


def _blends() -> dict[str, tuple[str, str, float]]:
    spine = {name: ("pelvis", "chest", share) for name, share in _SPINE.items()}
    return spine | {name: ("chest", "head", share) for name, share in _NECK.items()}


def _segment(bone: str) -> str:
    """Return the name of the segment that a bone rotates with."""
    name, _, letter = bone.partition(".")
    side = {"L": "left_", "R": "right_"}.get(letter, "")
    for prefixes, start, _ in _LIMBS:
        if name.startswith(prefixes):
            return side + start
    if name in _SPINE or name in _NECK:
        return name
    if name.startswith(("root", "pelvis")):
        return "pelvis"
    return "chest" if name.startswith(("spine", "clavicle", "shoulder", "breast")) else "head"


def _rotate_from_rest(
    axes: Callable[[dict[str, Array]], Array], rest: dict[str, Array], joints: dict[str, Array]
) -> Array:
    return axes(joints) @ axes(rest).T


def _pelvis_axes(joints: dict[str, Array]) -> Array:
    return _axes(joints["left_hip"] - joints["right_hip"], joints["spine"] - joints["pelvis"])


def _chest_axes(joints: dict[str, Array]) -> Array:
    return _axes(joints["left_shoulder"] - joints["right_shoulder"], joints["thorax"] - joints["spine"])


def _axes(left: Array, up: Array) -> Array:
    """Return axes as columns: left, back, and the part of up that is orthogonal to left."""
    x = left / np.linalg.norm(left)
    z = up - (up @ x) * x
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _head_turn(rest: dict[str, Array], joints: dict[str, Array], chest: Array) -> Array:
    """Return the rotation of the head from rest.

    The head's axis is from thorax to crown, and it faces the nose. Where the nose is too near to this axis, the head is
    turned as little as possible instead.
    """
    up, rest_up = (where["head_top"] - where["thorax"] for where in (joints, rest))
    swung = _swing(chest, rest_up, up)
    ahead, rest_ahead = (where["neck_nose"] - where["thorax"] for where in (joints, rest))
    across, rest_across = (
        vector - (vector @ axis) / (axis @ axis) * axis for vector, axis in ((ahead, up), (rest_ahead, rest_up))
    )
    if np.linalg.norm(across) < _FLAT * np.linalg.norm(up):
        return swung
    left = np.cross(up, across), np.cross(rest_up, rest_across)
    return _axes(left[0], up) @ _axes(left[1], rest_up).T


def _swing(turn: Array, rest: Array, wanted: Array) -> Array:
    """Return `turn` followed by the smallest rotation that brings the rest direction, so turned, to the wanted one."""
    a, b = turn @ rest, wanted
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis, cosine = np.cross(a, b), float(a @ b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return turn
    least = Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine))
    return np.asarray(least.as_matrix() @ turn)


def _blend(low: Array, high: Array, share: float) -> Array:
    """Return the rotation that is a share of the way from one rotation to another."""
    whole = Rotation.from_matrix(high @ low.T).as_rotvec()
    return np.asarray(Rotation.from_rotvec(share * whole).as_matrix() @ low)
