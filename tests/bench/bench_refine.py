"""What a refinement unit that is trained for a minute makes of exact 2D joints, on motion capture it has not seen.

Run with `MOCAP=poses.npz pytest -m bench -s tests/bench/bench_refine.py`, where poses.npz holds h36m17 poses in mm
(`xyz_mm (N, 17, 3)`) and their clips (`clip_index (N,)`). One thread; STEPS=400 and SEEDS=2 by default.

Clips, not poses, are dealt out to training (85%) and test. Cameras are as in training; nothing hints at the depth.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from epitool.io.pose_arrays import read_pose_arrays
from epitool.metrics import nmpjpe, pmpjpe
from epitool.nn.detector_errors import DetectorErrors
from epitool.nn.looks import BODY, LIMBS, PELVIS, Looks, body_joints
from epitool.nn.mocap import Cameras, level_poses, place_before_cameras
from epitool.nn.refiner import load_refiner
from epitool.nn.refiner_training import GENERIC, generic_wardrobe, train_generic
from epitool.nn.refining import agreed_poses
from epitool.nn.times import Times

pytestmark = pytest.mark.usefixtures("one_thread")
Array = NDArray[np.float64]
STEPS, SEEDS = int(os.environ.get("STEPS", "400")), int(os.environ.get("SEEDS", "2"))
MOST = 0.75  # of what the exact joints in the image score without any depth
ROOT = int(np.flatnonzero(LIMBS == PELVIS)[0])


def parts(seed: int) -> tuple[Array, Array]:
    """Level poses `(N, 16, 3)` mm to learn from, and those of other clips."""
    arrays = read_pose_arrays(Path(os.environ["MOCAP"]))
    poses, _ = body_joints(arrays.poses.xyz, arrays.poses.skeleton)
    whole = np.isfinite(poses).all(axis=(1, 2))
    poses, clips = level_poses(poses[whole], BODY), arrays.clips[whole]
    numbers = np.random.default_rng(seed).permutation(np.unique(clips))
    test = np.isin(clips, numbers[: max(1, round(0.15 * len(numbers)))])
    return poses[~test], poses[test]


def exact(poses: Array) -> Looks:
    """Poses `(N, 16, 3)` before their cameras as a detector that never errs would see them, and no hint."""
    return Looks(poses[..., :2] / poses[..., 2:], np.ones(poses.shape[:2]), np.full(poses.shape, np.nan))


def no_errors(count: int = 100) -> DetectorErrors:
    nothing = np.zeros((count, len(BODY), 3))
    poses = np.random.default_rng(0).normal(size=nothing.shape)
    return DetectorErrors(poses, nothing[..., :2], np.ones((count, len(BODY))), nothing)


def measured(answers: Array, truth: Array) -> dict[str, float]:
    """NMPJPE and PMPJPE over 14 joints."""
    ours, true = answers[:, LIMBS], (truth - truth[:, [PELVIS]])[:, LIMBS]
    return {metric.__name__.upper(): float(metric(ours, true, ROOT).mean()) for metric in (nmpjpe, pmpjpe)}


@pytest.mark.bench
@pytest.mark.skipif("MOCAP" not in os.environ, reason="MOCAP names no file of poses")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_exact_joints_of_clips_not_seen(seed: int) -> None:
    learned, others = parts(seed)
    truth = place_before_cameras(others, Cameras(), np.random.default_rng(seed))
    begin = time.perf_counter()
    unit = train_generic(generic_wardrobe(learned), no_errors(), replace(GENERIC, steps=STEPS, seed=seed), "mocap")
    seconds = time.perf_counter() - begin
    times = Times.unrelated(len(truth))
    relative = truth - truth[:, [PELVIS]]
    found = {
        "no depth": relative * [1.0, 1.0, 0.0],
        "shipped unit": agreed_poses(load_refiner(), [exact(truth)], times).poses,
        f"unit of {STEPS} steps": agreed_poses(unit, [exact(truth)], times).poses,
    }
    print(f"\nseed {seed}: {len(learned)} poses to learn from, {len(truth)} to test, {seconds:.0f} s")
    rows = {name: measured(poses, truth) for name, poses in found.items()}
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in row.values())} |")
    ours = rows[f"unit of {STEPS} steps"]
    assert all(ours[metric] < MOST * rows["no depth"][metric] for metric in ours)
