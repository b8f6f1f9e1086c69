"""Bodies in space of groups of detections: places that gross errors do not move, and how all views see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.tracking import median_over
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SIDES, _TRUNK = ("left", "right"), ("shoulder", "hip")
_ROUNDS = 3  # of weighting rays by how near they pass
_LEAST_DETERMINANT = 1e-9  # of the unweighted rays' system; below it rays are parallel


def midlines(xy: Array, slots: Indices, skeleton: Skeleton) -> Array:
    """Return the midline points `(N, V, M, 2)` of groups that have members, frame by frame; NaN where unseen.

    Swapped sides do not change these points.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        slots: Slots of groups `(F, K, V)`, -1 for none.
        skeleton: Skeleton of the joints.
    """
    return _of_groups(midline(xy, skeleton), slots)


def sides(xy: Array, slots: Indices, skeleton: Skeleton) -> Array:
    """Return the middle of shoulder and hip on the left and on the right `(N, V, 2, 2)`, as `midlines` does.

    All is NaN if the skeleton has no shoulders and hips.
    """
    if not {f"{side}_{joint}" for side in _SIDES for joint in _TRUNK} <= set(skeleton.joints):
        return np.full((int((slots >= 0).any(axis=-1).sum()), xy.shape[1], 2, 2), np.nan)
    trunk = [[skeleton.index(f"{side}_{joint}") for joint in _TRUNK] for side in _SIDES]
    return _of_groups(xy[..., trunk, :].mean(axis=-2), slots)


def _of_groups(points: Array, slots: Indices) -> Array:
    """Return the points `(N, V, M, 2)` of groups that have members, from those of slots `(F, V, P, M, 2)`."""
    frame, group = np.nonzero((slots >= 0).any(axis=-1))
    mine = slots[frame, group]
    found = points[frame[:, None], np.arange(points.shape[1]), np.maximum(mine, 0)]
    return np.where((mine >= 0)[..., None, None], found, np.nan)


def nearest_to_rays(xy: Array, rig: Rig) -> Array:
    """Return the points `(N, M, 3)` closest to the rays of `(N, V, M, 2)`; NaN for points with fewer than two rays.

    Distances from rays are weighted (Cauchy), relative to the median distance within the group, so that a gross error
    in one of several views does not move the point.
    """
    across, centers = _across(xy, rig)
    there = np.isfinite(xy[..., 0])
    plain = across.sum(axis=1)
    enough = (there.sum(axis=1) >= 2) & (np.linalg.det(plain) > _LEAST_DETERMINANT)
    weight, points = there.astype(float), np.empty((*there.shape[::2], 3))
    for turn in range(_ROUNDS):
        if turn:
            off = np.einsum("nvmij,nvmj->nvmi", across, points[:, None] - centers[:, None])
            distance = np.where(there & enough[:, None], np.linalg.norm(off, axis=-1), np.nan)
            usual = median_over(distance.reshape(len(xy), there.shape[1] * there.shape[2]))[:, None, None]
            weight = np.nan_to_num(1 / (1 + (distance / np.where(usual > 0, usual, np.inf)) ** 2))
        system = np.einsum("nvm,nvmij->nmij", weight, across)
        target = np.einsum("nvm,nvmij,vj->nmi", weight, across, centers)
        points = np.linalg.solve(np.where(enough[..., None, None], system, np.eye(3)), target[..., None])[..., 0]
        points = np.where(enough[..., None], points, np.nan)
    return points


def fill_unseen(xy: Array, places: Array, rig: Rig) -> Array:
    """Return points `(N, V, M, 2)` with those that a view does not show filled in from their places `(N, M, 3)`."""
    return np.where(np.isfinite(xy), xy, np.stack([projected(places, camera.P) for camera in rig.cameras], axis=1))


def projected(xyz: Array, P: Array) -> Array:
    """Return undistorted pixels `(..., 2)` of world points `(..., 3)`; NaN if not in front of the camera."""
    homogeneous = xyz @ P[:, :3].T + P[:, 3]
    depth = homogeneous[..., 2:]
    return homogeneous[..., :2] / np.where(depth > 0, depth, np.nan)


def _across(xy: Array, rig: Rig) -> tuple[Array, Array]:
    """Return the projections `(N, V, M, 3, 3)` onto the planes across the rays, and the centres `(V, 3)`."""
    rays = np.empty((*xy.shape[:-1], 3))
    for v, camera in enumerate(rig.cameras):
        ray = np.concatenate([xy[:, v], np.ones_like(xy[:, v, :, :1])], axis=-1)
        rays[:, v] = ray @ (camera.R.T @ np.linalg.inv(camera.K)).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    across = np.nan_to_num(np.eye(3) - rays[..., :, None] * rays[..., None, :])
    across[~np.isfinite(xy[..., 0])] = 0
    return across, np.stack([camera.center for camera in rig.cameras])
