"""Triangulation: the optimal two-view correction against OpenCV's, and n views against the known inliers' optimum."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from crb import projection_derivatives
from numpy.typing import NDArray
from peers import anipose_group
from scenes import Scene, by_point, timed, walking

from epitool.arrays import homogeneous
from epitool.camera import Rig
from epitool.geometry.triangulation.triangulate import estimate_noise, triangulate
from epitool.geometry.triangulation.vector_median import triangulate_dlt
from epitool.geometry.two_view.correction import correct_matches
from epitool.geometry.two_view.epipolar import fundamental_of_pose
from epitool.parallel import run_parallel

Array = NDArray[np.float64]
SIGMA_PX, FRAMES, CHUNK = 5.0, 10_000, 500
PEER_FRAMES = 20  # of aniposelib's sampling, which takes points one by one
MATCHES = 1_000_000
FLOOR = {0.0: 1.03, 0.1: 1.2, 0.2: 1.35}  # times which the robust solution has to stay under


def fundamental(rig: Rig, a: int, b: int) -> Array:
    first, second = rig.cameras[a], rig.cameras[b]
    R = second.R @ first.R.T
    return fundamental_of_pose(R, second.t - R @ first.t, first.K, second.K)


def cost_px(a: Array, b: Array, before: tuple[Array, Array]) -> Array:
    """How far matches were moved, in both images together."""
    return np.sqrt(((a - before[0]) ** 2).sum(axis=-1) + ((b - before[1]) ** 2).sum(axis=-1))


def distance_px(F: Array, a: Array, b: Array) -> Array:
    """Distance of the points in the second view from the epipolar lines of those in the first."""
    line = homogeneous(a) @ F.T
    return np.abs((homogeneous(b) * line).sum(axis=-1)) / np.linalg.norm(line[:, :2], axis=-1)


@pytest.mark.bench
@pytest.mark.parametrize(("views", "words"), [((0, 1), "neighbours"), ((0, 2), "opposite, epipoles on the body")])
def test_correction_is_the_optimum_of_a_million_points(views, words):
    """A tie between two optima is no difference: what is compared is how far the points were moved."""
    frames = -(-MATCHES // 17)
    scene = walking(frames, 0, sigma_px=SIGMA_PX, outliers=0.1)
    a, b = (scene.keypoints.xy[:, v].reshape(-1, 2) for v in views)
    seen = np.isfinite(a[:, 0]) & np.isfinite(b[:, 0])
    a, b, F = a[seen], b[seen], fundamental(scene.truth.rig, *views)
    correct_matches(F, a[:100], b[:100])
    (own_a, own_b), seconds = timed(lambda: correct_matches(F, a, b))
    (cv_a, cv_b), cv_seconds = timed(lambda: cv2.correctMatches(F, a[None], b[None]))
    own, other = cost_px(own_a, own_b, (a, b)), cost_px(cv_a[0], cv_b[0], (a, b))
    print(f"\n{len(a)} matches, 10% gross errors, views {words}")
    print(f"  epitool {len(a) / seconds / 1e6:.2f}M points/s, OpenCV {len(a) / cv_seconds / 1e3:.0f}k: ", end="")
    print(f"{cv_seconds / seconds:.0f} x as fast")
    print(
        f"  moved farther than OpenCV by {np.nanmax(own - other):.1e} px at most, less by {np.nanmax(other - own):.1e}"
    )
    print(f"  farthest from its epipolar line {distance_px(F, own_a, own_b).max():.1e} px", end="")
    print(f", OpenCV {np.nanmax(distance_px(F, cv_a[0], cv_b[0])):.1e} px; {np.isnan(other).sum()} NaN there")
    assert np.nanmax(own - other) < 1e-6


def known_inlier_optimum(scene: Scene) -> Array:
    """Points `(N, 3)` of least reprojection error over the true inliers: Gauss-Newton from the truth.

    NaN where fewer than two views have an inlier.
    """
    points = scene.truth.poses.xyz.reshape(-1, 3).copy()
    observed, inliers = by_point(scene.keypoints.xy), by_point(scene.inliers)
    enough = inliers.sum(axis=1) >= 2
    for _ in range(8):
        normal, gradient = np.zeros((len(points), 3, 3)), np.zeros((len(points), 3))
        for v, camera in enumerate(scene.truth.rig.cameras):
            xy, _, J = projection_derivatives(camera, points)
            J = J * inliers[:, v, None, None]
            error = np.where(inliers[:, v, None], xy - observed[:, v], 0.0)
            normal += np.swapaxes(J, 1, 2) @ J
            gradient += np.einsum("nki,nk->ni", J, error)
        normal[~enough] = np.eye(3)
        points -= np.linalg.solve(normal, gradient[..., None])[..., 0]
    return np.where(enough[:, None], points, np.nan)


def by_dlt(xy: Array, scene: Scene) -> Array:
    return triangulate_dlt(xy, scene.truth.rig)


def by_vector_median(xy: Array, scene: Scene) -> Array:
    return triangulate(xy, np.ones(xy.shape[:3]), scene.truth.rig, combine="vector-median").xyz


def by_anipose(xy: Array, scene: Scene) -> Array:
    views_first = np.ascontiguousarray(by_point(xy).transpose(1, 0, 2))
    return anipose_group(scene.truth.rig).triangulate(views_first).reshape(len(xy), -1, 3)


def by_anipose_ransac(xy: Array, scene: Scene) -> Array:
    views_first = np.ascontiguousarray(by_point(xy[:PEER_FRAMES]).transpose(1, 0, 2))
    found = np.full((len(xy), xy.shape[2], 3), np.nan)
    found[:PEER_FRAMES] = anipose_group(scene.truth.rig).triangulate_ransac(views_first)[0].reshape(PEER_FRAMES, -1, 3)
    return found


def robustly(xy: Array, scene: Scene, jobs: int) -> Array:
    """In chunks of frames, the noise estimated once: as `epitool triangulate` does it."""
    seen, rig = np.isfinite(xy[..., 0]).astype(float), scene.truth.rig
    noise = estimate_noise(xy, seen, rig)

    def solve(start: int) -> Array:
        part = slice(start, start + CHUNK)
        return triangulate(xy[part], seen[part], rig, noise=noise).xyz

    return np.concatenate(run_parallel(solve, range(0, len(xy), CHUNK), jobs))


def row(name: str, xyz: Array, floor: Array, scene: Scene, speed: float) -> float:
    """Prints a method's mean error where it and the floor have a point; returns it over the floor's."""
    found, truth = xyz.reshape(-1, 3), scene.truth.poses.xyz.reshape(-1, 3)
    solvable = np.isfinite(floor[:, 0])
    both = solvable & np.isfinite(found[:, 0])
    error, least = (float(np.linalg.norm((p - truth)[both], axis=-1).mean()) for p in (found, floor))
    left_out = 1 - both.sum() / solvable.sum()
    print(f"  {name:<24}{error:8.1f} mm {error / least:7.3f} x floor {left_out:8.2%} left out {speed:12,.0f} points/s")
    return error / least


@pytest.mark.bench
@pytest.mark.parametrize("outliers", [0.0, 0.1, 0.2, 0.3])
def test_robust_triangulation_is_near_the_known_inliers_optimum(outliers):
    scene = walking(FRAMES, 0, sigma_px=SIGMA_PX, outliers=outliers)
    xy, points = scene.keypoints.xy, FRAMES * 17
    robustly(xy[:CHUNK], scene, 1)  # compiles
    floor = known_inlier_optimum(scene)
    print(f"\nsigma {SIGMA_PX:g} px, {outliers:.0%} gross errors, {points} points; the floor knows the inliers")
    ratios = []
    for jobs in (1, 2):
        xyz, seconds = timed(lambda jobs=jobs: robustly(xy, scene, jobs), time.perf_counter)
        ratios.append(row(f"robust, {jobs} thread(s)", xyz, floor, scene, points / seconds))
    peers: dict[str, tuple[Callable[[Array, Scene], Array], int]] = {
        "vector median (paper)": (by_vector_median, points),
        "linear n-view": (by_dlt, points),
        "aniposelib": (by_anipose, points),
        "aniposelib ransac": (by_anipose_ransac, PEER_FRAMES * 17),
    }
    for name, (solve, count) in peers.items():
        try:
            xyz, seconds = timed(lambda solve=solve: solve(xy, scene), time.perf_counter)
        except ImportError:
            print(f"  {name:<24}not installed")
            continue
        row(name, xyz, floor, scene, count / seconds)
    assert ratios[0] == ratios[1]
    assert ratios[0] < FLOOR.get(outliers, np.inf)
