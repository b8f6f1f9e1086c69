"""The paper's route to a rig: consecutive pairs, chained from the first camera (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.two_view.epipolar import depths_along_rays, rays_of
from epitool.geometry.two_view.relative_pose import PairPose
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_MIN_SHARED = 8


def chain_poses(xy: Array, skeleton: Skeleton, intrinsics: Sequence[Camera], pairs: Sequence[PairPose]) -> Rig:
    """Chain relative poses into a rig; each baseline's length follows from depths in the camera that two pairs share.

    Args:
        xy: Undistorted joints `(F, V, J, 2)`, NaN where unseen.
        skeleton: Skeleton of the joints.
        intrinsics: K and image size of every view.
        pairs: Pose of each view relative to the one before it.

    Returns:
        The cameras, the first at the origin, the first baseline of length 1.

    Raises:
        GeometryError: A view shares too few joints with both its neighbours.
    """
    order = skeleton.flip_order
    # pairs show only relative exchanges; their running parity gives each view's exchanges relative to the first
    flags = np.cumsum([np.zeros(len(xy), dtype=int), *(pair.swapped for pair in pairs)], axis=0) % 2
    upright = np.where(flags.T[..., None, None] == 1, xy[:, :, order], xy)
    rays = [rays_of(upright[:, v], camera.K) for v, camera in enumerate(intrinsics)]
    cameras = [replace(intrinsics[0], R=np.eye(3), t=np.zeros(3))]
    length = 1.0
    for v, pair in enumerate(pairs):
        if v:
            previous = pairs[v - 1]
            _, before = depths_along_rays(previous.R, previous.t, rays[v - 1], rays[v])
            after, _ = depths_along_rays(pair.R, pair.t, rays[v], rays[v + 1])
            length *= _depth_ratio(before, after, intrinsics[v].name)
        last = cameras[-1]
        cameras.append(replace(intrinsics[v + 1], R=pair.R @ last.R, t=pair.R @ last.t + length * pair.t))
    return Rig(tuple(cameras), "arbitrary", "none")


def _depth_ratio(before: Array, after: Array, name: str) -> float:
    """Return the median ratio of the depths `(F, J)` of the same joints in one camera, found with either neighbour."""
    with np.errstate(invalid="ignore"):
        both = np.isfinite(before) & np.isfinite(after) & (before > 0) & (after > 0)
    if both.sum() < _MIN_SHARED:
        raise GeometryError(
            f"view {name}: {int(both.sum())} joints are seen by it and both its neighbours, at least {_MIN_SHARED}"
            " are needed to know how far apart the cameras are; use views that overlap"
        )
    return float(np.exp(np.median(np.log(before[both] / after[both]))))
