"""Names that other programs give to joints."""

from __future__ import annotations

import numpy as np

from epitool.errors import InputError
from epitool.pose import Poses
from epitool.skeleton import Skeleton, skeleton

_SIDED = {
    "hip": "Hip", "knee": "Knee", "ankle": "Ankle", "big_toe": "BigToe", "small_toe": "SmallToe", "heel": "Heel",
    "shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist",
}  # fmt: skip
# Markers of Pose2Sim's usual OpenSim model (HALPE_26), whose scaling and inverse kinematics need these names.
_POSE2SIM = {
    "pelvis": "Hip", "neck": "Neck", "head_top": "Head", "nose": "Nose",
    **{f"{side}_{ours}": side[0].upper() + theirs for side in ("right", "left") for ours, theirs in _SIDED.items()},
}  # fmt: skip


def pose2sim_markers(poses: Poses) -> Poses:
    """Return poses of those markers of Pose2Sim's usual body model that the joints contain or determine.

    Raises:
        InputError: The joints determine no marker, for example those of an animal.
    """
    body = skeleton("halpe26")
    named = poses.convert(body)
    possible = np.isfinite(body.weights_from(poses.skeleton)).all(axis=-1)
    kept = [body.index(joint) for joint in _POSE2SIM if possible[body.index(joint)]]
    if not kept:
        raise InputError(
            f"none of the joints ({', '.join(poses.skeleton.joints)[:80]}) is one of Pose2Sim's body model"
        )
    markers = tuple(_POSE2SIM[body.joints[j]] for j in kept)
    return Poses(
        named.xyz[:, kept], named.confidence[:, kept], poses.frames, Skeleton("pose2sim", markers, (-1,) * len(kept)),
        poses.unit, poses.space,
    )  # fmt: skip
