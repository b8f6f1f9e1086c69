"""Triangulation by pairs of views, and the vector median over consecutive pairs (paper, section 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.compiled.projection import reprojection_errors
from epitool.geometry.two_view.correction import correct_matches
from epitool.geometry.two_view.epipolar import b_from_a, depths_along_rays, fundamental_of_pose, rays_of

Array = NDArray[np.float64]


def median_of_pairs(xy: Array, rig: Rig, method: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return the vector median `(F, J, 3)` of the points of consecutive pairs, and the views of the chosen pair."""
    pairs = [(v, v + 1) for v in range(len(rig) - 1)]
    solve = {"polynomial": triangulate_pair, "dlt": _linear_pair}[method]
    candidates = np.stack([solve(xy[:, a], xy[:, b], rig.cameras[a], rig.cameras[b]) for a, b in pairs])
    (P,) = rig.stacked("P")
    errors = np.stack([np.nanmean(_with_inf(reprojection_errors(P, c, xy)), axis=1) for c in candidates])
    chosen = vector_median(candidates, errors)
    xyz = np.take_along_axis(candidates, chosen[None, ..., None], axis=0)[0]
    views = np.arange(len(rig))[:, None]
    used = (views == chosen[:, None]) | (views == chosen[:, None] + 1)
    return xyz, used & np.isfinite(xyz[..., 0])[:, None]


def _linear_pair(a: Array, b: Array, first: Camera, second: Camera) -> Array:
    """Triangulate joints of two views linearly; arguments are as for `triangulate_pair`."""
    return triangulate_dlt(np.stack([a, b], axis=1), Rig((first, second), "arbitrary", "none"))


def triangulate_pair(a: Array, b: Array, first: Camera, second: Camera) -> Array:
    """Triangulate joints `(..., 2)` in undistorted pixels of two views optimally to world points `(..., 3)`.

    The result is NaN where a view lacks the joint, the rays are parallel, or the point is not in front of both cameras.
    """
    R, t = b_from_a(first, second)
    F = fundamental_of_pose(R, t, first.K, second.K)
    flat_a, flat_b = correct_matches(F, a.reshape(-1, 2), b.reshape(-1, 2))
    ray_a, ray_b = rays_of(flat_a, first.K), rays_of(flat_b, second.K)
    depth_a, depth_b = depths_along_rays(R, t, ray_a, ray_b)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(depth_a) & (depth_a > 0) & (depth_b > 0)
        xyz = (ray_a * np.where(good, depth_a, np.nan)[:, None] - first.t) @ first.R
    return xyz.reshape(*a.shape[:-1], 3)


def triangulate_dlt(xy: Array, rig: Rig) -> Array:
    """Triangulate undistorted pixels `(F, V, J, 2)` from n views linearly to `(F, J, 3)`.

    The equations are set up on the plane z = 1 so that rows of all cameras have equal weight. The result is NaN with
    fewer than two views, for a point at infinity, and where the point is not in front of every camera that saw it.
    """
    rows = []
    for v, camera in enumerate(rig.cameras):
        ray = rays_of(xy[:, v], camera.K)[..., :2]
        Rt = np.column_stack([camera.R, camera.t])
        rows.append(ray[..., None] * Rt[2] - Rt[:2])
    system = np.concatenate(rows, axis=-2)
    seen = np.isfinite(system[..., 0])
    system = np.where(seen[..., None], system, 0.0)
    solution = np.linalg.svd(system)[2][..., -1, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        xyz = solution[..., :3] / solution[..., 3:]
    enough = seen.sum(axis=-1) >= 4
    depth = np.stack([camera.to_camera(xyz)[..., 2] for camera in rig.cameras], axis=1)
    with np.errstate(invalid="ignore"):
        before = ((depth > 0) | ~np.isfinite(xy[..., 0])).all(axis=1)
    return np.where((enough & before & np.isfinite(xyz).all(axis=-1))[..., None], xyz, np.nan)


def vector_median(candidates: Array, errors: Array) -> NDArray[np.intp]:
    """Return the index `(F, J)` of the candidate `(C, F, J, 3)` with the least summed distance to the others.

    Two candidates always tie; the lower reprojection error `(C, F, J)` decides then, as in every tie.
    """
    distance = np.linalg.norm(candidates[:, None] - candidates[None], axis=-1)
    total = np.where(np.isfinite(candidates[..., 0]), np.nansum(distance, axis=1), np.inf)
    least = total.min(axis=0)
    tied = total <= least * (1 + 1e-9)
    return np.where(tied, np.where(np.isnan(errors), np.inf, errors), np.inf).argmin(axis=0)


def _with_inf(errors: Array) -> Array:
    """Return the errors with infinity where no view measures a joint, to avoid an empty mean."""
    none = np.isnan(errors).all(axis=1, keepdims=True)
    return np.where(none, np.inf, errors)
