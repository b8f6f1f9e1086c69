"""Named skeletons, and the conversion of joints from one skeleton to another by name.

Joint names are shared by all skeletons, so `left_knee` is the same joint everywhere. A joint that a source skeleton
lacks is derived from other joints by an affine combination: the weights add up to one, so the rule is valid in both 2D
and 3D. `DERIVED` holds all rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError, UsageError

DERIVED: Mapping[str, Sequence[Mapping[str, float]]] = {
    "pelvis": ({"left_hip": 0.5, "right_hip": 0.5},),
    "thorax": ({"left_shoulder": 0.5, "right_shoulder": 0.5},),
    "neck": ({"left_shoulder": 0.5, "right_shoulder": 0.5},),
    "spine": ({"pelvis": 0.5, "thorax": 0.5},),
    # Human3.6M's "Neck/Nose" marker is at the face; the nose is the nearest keypoint that detectors give.
    "neck_nose": ({"nose": 1.0}, {"head": 1.0}),
    # The crown lies about half as far above the ears as the ears are above the shoulders.
    "head_top": ({"left_ear": 0.75, "right_ear": 0.75, "thorax": -0.5},),
}


@dataclass(frozen=True)
class Skeleton:
    """Named joints connected in a tree.

    Attributes:
        name: Name of the skeleton in files.
        joints: Joint names in array order.
        parents: Index of each joint's parent, -1 at a root.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ValueError(f"{len(self.joints)} joints but {len(self.parents)} parents")
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"skeleton {self.name} names a joint twice")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Return the position of a joint in the arrays.

        Raises:
            InputError: The skeleton has no such joint.

        >>> skeleton("h36m17").index("thorax")
        8
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise InputError(f"skeleton {self.name} has no joint '{joint}'; it has {', '.join(self.joints)}") from None

    @cached_property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """Index pairs (left, right) of joints that are mirror images of each other."""
        lefts = [j for j in self.joints if j.startswith("left_")]
        pairs = ((j, "right_" + j.removeprefix("left_")) for j in lefts)
        return tuple((self.joints.index(a), self.joints.index(b)) for a, b in pairs if b in self.joints)

    @cached_property
    def flip_order(self) -> NDArray[np.intp]:
        """Index array `(J,)` that exchanges left and right, used as `xy[..., skeleton.flip_order, :]`."""
        order = np.arange(len(self))
        for left, right in self.flip_pairs:
            order[[left, right]] = right, left
        return order

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Index pairs (parent, child)."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def root(self) -> int:
        """Index of the joint that poses are relative to: the pelvis, or the first root of the tree if there is none."""
        return self.joints.index("pelvis") if "pelvis" in self.joints else self.parents.index(-1)

    def weights_from(self, source: Skeleton) -> NDArray[np.float64]:
        """Return the matrix `(J, J_source)` that computes this skeleton's joints from the source's.

        A joint that cannot be derived has a row of NaN.

        >>> w = skeleton("h36m17").weights_from(skeleton("coco17"))
        >>> float(w[0, skeleton("coco17").index("left_hip")])
        0.5
        """
        rows = [_weights(joint, source) for joint in self.joints]
        return np.array([np.full(len(source), np.nan) if row is None else row for row in rows])


def _weights(joint: str, source: Skeleton) -> NDArray[np.float64] | None:
    if joint in source.joints:
        return np.eye(len(source))[source.joints.index(joint)]
    for rule in DERIVED.get(joint, ()):
        parts = [(weight, _weights(part, source)) for part, weight in rule.items()]
        if all(row is not None for _, row in parts):
            return np.sum([weight * row for weight, row in parts if row is not None], axis=0)
    return None


def convert_joints(
    values: NDArray[np.float64], confidence: NDArray[np.float64], source: Skeleton, target: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert joints `(..., J, D)` and confidence `(..., J)` from one skeleton to another.

    A derived joint has the lowest confidence of the joints it is computed from, and is NaN where one of them is.
    """
    if source.joints == target.joints:
        return values, confidence
    weights = target.weights_from(source)
    out = np.full((*values.shape[:-2], len(target), values.shape[-1]), np.nan)
    out_confidence = np.zeros((*confidence.shape[:-1], len(target)))
    for j, row in enumerate(weights):
        if np.isnan(row[0]):
            continue
        used = np.flatnonzero(row)
        out[..., j, :] = np.einsum("...kd,k->...d", values[..., used, :], row[used])
        out_confidence[..., j] = confidence[..., used].min(axis=-1)
    return out, out_confidence


def _make(name: str, tree: str) -> Skeleton:
    """Build a skeleton from 'joint<parent joint<parent ...' in array order."""
    pairs = [item.partition("<")[::2] for item in tree.split()]
    joints = tuple(joint for joint, _ in pairs)
    return Skeleton(name, joints, tuple(joints.index(parent) if parent else -1 for _, parent in pairs))


def _sides(template: str) -> str:
    """Expand 'L' to 'left_' and 'R' to 'right_' in a tree, which keeps the tables below readable."""
    words = []
    for item in template.split():
        parts = ("left_" + p[1:] if p[0] == "L" else "right_" + p[1:] if p[0] == "R" else p for p in item.split("<"))
        words.append("<".join(parts))
    return " ".join(words)


_FACE = "nose Leye<nose Reye<nose Lear<Leye Rear<Reye"
_COCO = _FACE + (
    " Lshoulder Rshoulder<Lshoulder Lelbow<Lshoulder Relbow<Rshoulder Lwrist<Lelbow Rwrist<Relbow"
    " Lhip<Lshoulder Rhip<Rshoulder Lknee<Lhip Rknee<Rhip Lankle<Lknee Rankle<Rknee"
)
_TOES = " Lbig_toe<Lankle Lsmall_toe<Lankle Lheel<Lankle Rbig_toe<Rankle Rsmall_toe<Rankle Rheel<Rankle"
# The 68 facial landmarks in iBUG's order: jaw, brows, nose, eyes, outer lips, inner lips. They have no bones.
_FACE68 = (
    " Rjaw_1 Rjaw_2 Rjaw_3 Rjaw_4 Rjaw_5 Rjaw_6 Rjaw_7 Rjaw_8 chin Ljaw_8 Ljaw_7 Ljaw_6 Ljaw_5 Ljaw_4 Ljaw_3 Ljaw_2"
    " Ljaw_1 Rbrow_1 Rbrow_2 Rbrow_3 Rbrow_4 Rbrow_5 Lbrow_5 Lbrow_4 Lbrow_3 Lbrow_2 Lbrow_1 nose_ridge_1 nose_ridge_2"
    " nose_ridge_3 nose_ridge_4 Rnostril_1 Rnostril_2 nose_base Lnostril_2 Lnostril_1 Reye_outer Reyelid_1 Reyelid_2"
    " Reye_inner Reyelid_3 Reyelid_4 Leye_inner Leyelid_2 Leyelid_1 Leye_outer Leyelid_4 Leyelid_3 Rmouth Rlip_1 Rlip_2"
    " lip_top Llip_2 Llip_1 Lmouth Llip_3 Llip_4 lip_bottom Rlip_4 Rlip_3 Rmouth_inner Rlip_inner_1 lip_inner_top"
    " Llip_inner_1 Lmouth_inner Llip_inner_2 lip_inner_bottom Rlip_inner_2"
)
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "little_finger")


def _hand(side: str) -> str:
    """Return the tree of a hand: its root, and five fingers from the wrist to the tips.

    The root has no bone because it coincides with the wrist.
    """
    fingers = [
        f"{side}{finger}_1<{side}wrist " + " ".join(f"{side}{finger}_{n}<{side}{finger}_{n - 1}" for n in (2, 3, 4))
        for finger in _FINGERS
    ]
    return " ".join([f" {side}hand", *fingers])


_TREES = {
    "h36m17": "pelvis Rhip<pelvis Rknee<Rhip Rankle<Rknee Lhip<pelvis Lknee<Lhip Lankle<Lknee spine<pelvis"
    " thorax<spine neck_nose<thorax head_top<neck_nose Lshoulder<thorax Lelbow<Lshoulder Lwrist<Lelbow"
    " Rshoulder<thorax Relbow<Rshoulder Rwrist<Relbow",
    "mpii16": "Rankle<Rknee Rknee<Rhip Rhip<pelvis Lhip<pelvis Lknee<Lhip Lankle<Lknee pelvis thorax<pelvis"
    " neck_nose<thorax head_top<neck_nose Rwrist<Relbow Relbow<Rshoulder Rshoulder<thorax Lshoulder<thorax"
    " Lelbow<Lshoulder Lwrist<Lelbow",
    "common14": "pelvis Rhip<pelvis Rknee<Rhip Rankle<Rknee Lhip<pelvis Lknee<Lhip Lankle<Lknee thorax<pelvis"
    " Lshoulder<thorax Lelbow<Lshoulder Lwrist<Lelbow Rshoulder<thorax Relbow<Rshoulder Rwrist<Relbow",
    "coco17": _COCO,
    "coco23": _COCO + _TOES,
    "coco18": "nose<neck neck Rshoulder<neck Relbow<Rshoulder Rwrist<Relbow Lshoulder<neck Lelbow<Lshoulder"
    " Lwrist<Lelbow Rhip<neck Rknee<Rhip Rankle<Rknee Lhip<neck Lknee<Lhip Lankle<Lknee Reye<nose Leye<nose Rear<Reye"
    " Lear<Leye",
    "body25": "nose<neck neck<pelvis Rshoulder<neck Relbow<Rshoulder Rwrist<Relbow Lshoulder<neck Lelbow<Lshoulder"
    " Lwrist<Lelbow pelvis Rhip<pelvis Rknee<Rhip Rankle<Rknee Lhip<pelvis Lknee<Lhip Lankle<Lknee Reye<nose"
    " Leye<nose Rear<Reye Lear<Leye" + _TOES,
    "body25b": _COCO + " neck<nose head_top<neck" + _TOES,
    "halpe26": _COCO + " head_top<neck neck<pelvis pelvis Lbig_toe<Lankle Rbig_toe<Rankle Lsmall_toe<Lankle"
    " Rsmall_toe<Rankle Lheel<Lankle Rheel<Rankle",
    "wholebody133": _COCO + _TOES + _FACE68 + _hand("L") + _hand("R"),
    "blazepose33": "nose Leye_inner<nose Leye<Leye_inner Leye_outer<Leye Reye_inner<nose Reye<Reye_inner"
    " Reye_outer<Reye Lear<Leye_outer Rear<Reye_outer Lmouth<nose Rmouth<nose Lshoulder Rshoulder<Lshoulder"
    " Lelbow<Lshoulder Relbow<Rshoulder Lwrist<Lelbow Rwrist<Relbow Lpinky<Lwrist Rpinky<Rwrist Lindex<Lwrist"
    " Rindex<Rwrist Lthumb<Lwrist Rthumb<Rwrist Lhip<Lshoulder Rhip<Rshoulder Lknee<Lhip Rknee<Rhip"
    " Lankle<Lknee Rankle<Rknee Lheel<Lankle Rheel<Rankle Lbig_toe<Lankle Rbig_toe<Rankle",
    "mpi_inf_3dhp17": "head_top<head neck<spine Rshoulder<neck Relbow<Rshoulder Rwrist<Relbow Lshoulder<neck"
    " Lelbow<Lshoulder Lwrist<Lelbow Rhip<pelvis Rknee<Rhip Rankle<Rknee Lhip<pelvis Lknee<Lhip Lankle<Lknee"
    " pelvis spine<pelvis head<neck",
}
SKELETONS: Mapping[str, Skeleton] = {name: _make(name, _sides(tree)) for name, tree in _TREES.items()}


def skeleton(name: str) -> Skeleton:
    """Return the skeleton with the given name.

    Raises:
        UsageError: No skeleton has this name.

    >>> len(skeleton("blazepose33"))
    33
    """
    if name not in SKELETONS:
        raise UsageError(f"no skeleton is named '{name}'; known are {', '.join(SKELETONS)}")
    return SKELETONS[name]


def skeleton_of(name: str, joints: Sequence[str]) -> Skeleton:
    """Return the skeleton that a file states by name and joints; an unknown one becomes a skeleton without bones.

    Raises:
        InputError: The name is known but the joints in the file are different, or a joint is named twice.
    """
    if name in SKELETONS:
        if tuple(joints) != SKELETONS[name].joints:
            raise InputError(f"skeleton '{name}' with joints that are not its own: {', '.join(joints)[:200]}")
        return SKELETONS[name]
    if len(set(joints)) != len(joints):
        raise InputError(f"skeleton '{name}' names a joint twice")
    return Skeleton(name, tuple(joints), (-1,) * len(joints))
