"""What the bone-length prior gains over the robust n-view solution of each joint alone, and at what speed.

Four cameras placed as Human3.6M's, 1000x1000 px, f = 1145; Gaussian noise, gross errors anywhere in the image, 2% of
the forearms and shins missing in each view. Errors are over the joints that both solutions place.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from epitool.camera import Camera, Rig
from epitool.geometry.triangulation.bones import BonePoses, estimate_bone_lengths, refine_with_bones
from epitool.geometry.triangulation.triangulate import Triangulation, estimate_noise, triangulate
from epitool.skeleton import skeleton
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
CENTERS = [(-1800.0, -4800.0, 1550.0), (1800.0, -4800.0, 1550.0), (1800.0, 4800.0, 1550.0), (-1800.0, 4800.0, 1550.0)]
SIGMA, FRAMES, SEEDS = 5.0, 1000, range(5)


def rectangle_of_cameras() -> Rig:
    return Rig(tuple(_camera(f"cam{i}", np.array(center)) for i, center in enumerate(CENTERS)), "mm", "made up")


def _camera(name: str, center: np.ndarray) -> Camera:
    forward = np.array([0.0, 0.0, 950.0]) - center
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[1145.0, 0, 499.5], [0, 1145.0, 499.5], [0, 0, 1]])
    return Camera(name, K, np.zeros(0), R, -R @ center, (1000, 1000))


def observed(true: np.ndarray, rig: Rig, outliers: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(1000 + seed)
    xy = rig.project(true)
    missing = ~((xy >= 0) & (xy <= 999)).all(axis=-1)
    xy = xy + rng.normal(0, SIGMA, xy.shape)
    xy = np.where(rng.random(missing.shape)[..., None] < outliers, rng.uniform(0, 999, xy.shape), xy)
    for limb in (("elbow", "wrist"), ("knee", "ankle")):
        for side in ("left", "right"):
            gone = rng.random(missing.shape[:2]) < 0.02
            for joint in limb:
                missing[..., H36M.index(f"{side}_{joint}")] |= gone
    return np.where(missing[..., None], np.nan, xy)


def solve(xy: np.ndarray, rig: Rig) -> tuple[Triangulation, BonePoses, float]:
    """Without bones, with bones, and the frames per second of the latter. Noise and lengths are estimated."""
    seen = np.isfinite(xy[..., 0]).astype(float)
    noise = estimate_noise(xy, seen, rig)
    alone = triangulate(xy, seen, rig, noise=noise)
    bones = estimate_bone_lengths(alone.xyz, alone.covariance, H36M)
    begin = time.perf_counter()
    together = refine_with_bones(xy, seen, rig, alone.xyz, H36M, bones, noise)
    return alone, together, len(xy) / (time.perf_counter() - begin)


def row(errors: np.ndarray) -> str:
    return "  ".join(
        f"{name} {value:6.1f}"
        for name, value in (
            ("RMS", np.sqrt((errors**2).mean())),
            ("mean", errors.mean()),
            ("median", np.median(errors)),
            ("95%", np.percentile(errors, 95)),
        )
    )


@pytest.mark.bench
@pytest.mark.parametrize("views", [4, 2])
@pytest.mark.parametrize("outliers", [0.0, 0.1, 0.2, 0.3])
def test_bones_lower_the_rms_error_by_a_tenth_at_least(outliers, views):
    rig = rectangle_of_cameras()
    rig = Rig(rig.cameras[:views], rig.unit, rig.scale_source)
    solve(observed(random_motion(50, 0).xyz, rig, 0.0, 0), rig)  # compiles
    gains, speeds, missing, converged, pooled = [], [], [], [], []
    for seed in SEEDS:
        true = random_motion(FRAMES, seed).xyz
        alone, together, speed = solve(observed(true, rig, outliers, seed), rig)
        errors = np.stack([np.linalg.norm(found.xyz - true, axis=-1) for found in (alone, together)])
        both = np.isfinite(errors).all(axis=0)
        without, with_bones = errors[:, both]
        gains.append(1 - np.sqrt((with_bones**2).mean() / (without**2).mean()))
        missing.append(np.isnan(errors).mean(axis=(1, 2)))
        speeds.append(speed)
        converged.append(together.converged.mean())
        pooled.append(errors[:, both])
    without, with_bones = np.concatenate(pooled, axis=1)
    absent = np.mean(missing, axis=0)
    print(f"\n{views} views, {outliers:.0%} gross errors, {len(SEEDS)} seeds of {FRAMES} frames, mm")
    print(f"  alone  {row(without)}  missing {absent[0]:.2%}")
    print(f"  bones  {row(with_bones)}  missing {absent[1]:.2%}  converged {np.mean(converged):.2%}")
    print(f"  RMS lower by {min(gains):.0%} to {max(gains):.0%}; {np.median(speeds):,.0f} frames/s on one thread")
    assert min(gains) > 0.1
