"""PSS at a million poses: everything after the fits of `pss-fit --stability`, and the fits themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from scenes import timed as timed_by

from epitool.pss import yaw_of
from epitool.pss.fitting import Run, consensus_of, draw_starts, fit_runs, flat_poses, make_codebook
from epitool.pss.stability import agreement, mpss_by_codebook
from epitool.skeleton import skeleton
from epitool.synthetic.motion import random_motion

Result = TypeVar("Result")
POSES, RUNS, K = 1_000_000, 100, 100
FIT_POSES = 100_000  # the peers and the fits are measured on less, and said so
CORES = len(os.sched_getaffinity(0))
H36M = skeleton("h36m17")


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    return timed_by(function, time.perf_counter)


def walk(count: int, seeds: int) -> np.ndarray:
    """Motions of several people, 30 poses a second: neighbouring frames are alike, as in real recordings."""
    return np.concatenate([random_motion(count // seeds, seed, 30.0).xyz for seed in range(seeds)])


@pytest.fixture(scope="module")
def poses() -> np.ndarray:
    return walk(POSES, 100)


@pytest.fixture(scope="module")
def runs(poses: np.ndarray) -> list[Run]:
    """Runs on every tenth pose, with the labels of all poses: how they were found does not matter to what follows."""
    flat = flat_poses(poses, 0, None)
    few = fit_runs(flat[::10], K, RUNS, 0, CORES)
    return [Run(run.centers, _nearest(flat, run.centers), run.inertia) for run in few]


def _nearest(flat: np.ndarray, centers: np.ndarray) -> np.ndarray:
    parts = (flat[i : i + 50_000] for i in range(0, len(flat), 50_000))
    squared = (centers * centers).sum(axis=1)
    return np.concatenate([(squared - 2 * part @ centers.T).argmin(axis=1) for part in parts]).astype(np.uint16)


def by_masks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of all clusters of two runs, a pair of boolean masks at a time."""
    found = np.empty((K, K))
    for i in range(K):
        for j in range(K):
            first, second = a == i, b == j
            found[i, j] = (first & second).sum() / max((first | second).sum(), 1)
    return found


@pytest.mark.bench
def test_every_pair_of_a_hundred_runs_over_a_million_poses(runs: list[Run]) -> None:
    labels = [run.labels for run in runs]
    agreement([part[:1000] for part in labels[:2]], K)
    pairs = RUNS * (RUNS - 1) // 2
    print(f"\n{len(labels[0])} poses, k = {K}, {pairs} pairs of runs, {CORES} cores")
    for jobs in (1, CORES):
        found, seconds = timed(lambda jobs=jobs: agreement(labels, K, jobs))
        print(f"  contingency and matching, {jobs} at a time: {seconds:.1f} s; mean IoU {found.iou.mean():.3f}")
    _, masks = timed(lambda: by_masks(labels[0][:FIT_POSES], labels[1][:FIT_POSES]))
    print(f"  by boolean masks: {masks * len(labels[0]) / FIT_POSES * pairs / 3600:.0f} h", end="")
    print(f" (from one pair over {FIT_POSES} poses)")
    assert seconds < 20


@pytest.mark.bench
@pytest.mark.parametrize("count", [100_000, POSES])
def test_mpss_of_predictions_by_a_hundred_codebooks(poses: np.ndarray, runs: list[Run], count: int) -> None:
    books = [make_codebook(run, K, None) for run in runs]
    truth = poses[:: POSES // count]
    predicted = truth + np.random.default_rng(0).normal(0, 40, truth.shape)
    found, seconds = timed(lambda: mpss_by_codebook(predicted, truth, books, 0, CORES))
    print(f"\n{count} predictions by {RUNS} codebooks of {K}, {CORES} cores: {seconds:.1f} s", end="")
    print(f"; mPSS {found.mean():.2f}, sd {found.std():.2f}")
    assert seconds < 10


@pytest.mark.bench
@pytest.mark.parametrize("align", ["none", "yaw"])
def test_fits_and_their_consensus(align: str) -> None:
    flat = flat_poses(walk(FIT_POSES, 20), 0, yaw_of(H36M, 2) if align == "yaw" else None)
    for k in (50, 100):
        found, seconds = timed(lambda k=k: fit_runs(flat, k, 20, 0, CORES, draw_starts(flat, k, 20, 0)))
        joined, more = timed(lambda found=found: consensus_of(flat, found, 0))
        best = min(run.inertia for run in found)
        print(
            f"\n{len(flat)} poses, align {align}, k = {k}: 20 runs {seconds:.1f} s, consensus {more:.1f} s more;",
            end="",
        )
        print(f" inertia of the consensus {100 * (joined.inertia / best - 1):+.2f}% of the best run's")
