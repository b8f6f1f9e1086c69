"""Calibrates random rigs with a detector at its worst and counts what comes of it.

A scene is right if all relative rotations are within 3 degrees, declared if the calibration fails or warns, else wrong
though trusted. Run as `python tests/bench/random_rigs.py --count 200 --jobs 4`.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.calibrate import Calibration, calibrate
from epitool.geometry.calibration.compare import angle_deg, compare_rigs
from epitool.geometry.calibration.incremental import order_cameras
from epitool.pose import Keypoints
from epitool.stages.shared.doubts import Asked, word_verdict
from epitool.synthetic import detector_like, labels_of, random_rig
from epitool.synthetic.motion import random_motion

Made = TypeVar("Made", bound="Outcome")
WRONG_DEG = 3.0
RIGHT, DECLARED, WRONG = "right", "declared", "wrong though trusted"
FRAMES = (50, 100, 200, 400, 1000)


@dataclass(frozen=True)
class Outcome:
    """What came of one seed; `rotation` and `place` are errors over their deviations, of all cameras but the first."""

    seed: int
    kind: str
    scene: str
    report: str
    rotation: tuple[float, ...] = ()
    place: tuple[float, ...] = ()


def random_scene(seed: int) -> tuple[Rig, Keypoints, str]:
    """A rig, what the detector makes of someone before it, and the scene in words."""
    rng = np.random.default_rng([seed, 1])
    rig, frames = random_rig(seed), int(rng.choice(FRAMES))
    faults = {
        "noise": float(rng.uniform(0.003, 0.01)),
        "outliers": float(rng.choice([0.0, 0.05, 0.1, 0.2])),
        "swap_share": float(rng.choice([0.0, 0.1, 0.2, 0.3])),
        "frozen_view": int(rng.integers(len(rig))) if rng.random() < 0.2 else None,
    }
    words = in_words(rig, f"{frames} frames", faults)
    return rig, detector_like(labels_of(random_motion(frames, seed).xyz, rig), **faults, seed=seed), words


def in_words(rig: Rig, people: str, faults: Mapping[str, float | None]) -> str:
    """A scene: its views, who is before them, and what the detector does wrong."""
    angles = angles_between(rig)
    words = [f"{len(rig)} views {min(angles):.0f} to {max(angles):.0f} degrees apart", people]
    return ", ".join([*words, *(f"{name} {value:.3g}" for name, value in faults.items() if value is not None)])


def angles_between(rig: Rig) -> list[float]:
    """Degrees between the optical axes of neighbouring cameras."""
    axes = [camera.R[2] for camera in rig.cameras]
    return [float(np.degrees(np.arccos(np.clip(a @ b, -1, 1)))) for a, b in itertools.pairwise(axes)]


def judge_seed(seed: int) -> Outcome:
    """Calibrates one scene and compares it with the truth."""
    rig, keypoints, scene = random_scene(seed)
    try:
        found = calibrate(keypoints, rig.cameras, method="essential", seed=0, jobs=1)
    except GeometryError as error:
        return Outcome(seed, DECLARED, scene, str(error))
    worst = max(pair.rotation_deg for pair in compare_rigs(found.rig, rig))
    doubted = WRONG if found.verdict.level == "pass" else DECLARED
    kind = RIGHT if worst < WRONG_DEG and found.verdict.level != "fail" else doubted
    report = f"{worst:.2f} degrees, {found.verdict.level}: {word_verdict(found.verdict, Asked(lenses_given=True)).text}"
    return Outcome(seed, kind, scene, report, *(tuple(z) for z in errors_over_deviations(found, rig)))


def errors_over_deviations(found: Calibration, rig: Rig) -> tuple[list[float], list[float]]:
    """Errors of rotation and of place over their stated deviations, in the first camera's world, first baseline 1."""
    truth, own = order_cameras(rig, found.rig.names), order_cameras(found.rig, found.rig.names)
    length = np.linalg.norm(found.rig.cameras[1].center - found.rig.cameras[0].center)
    rotation, place = [], []
    for v in range(1, len(own)):
        a, b = own.cameras[v], truth.cameras[v]
        rotation.append(np.radians(angle_deg(a.R.T @ b.R)) / found.bundle.rotation_sd[v])
        place.append(float(np.linalg.norm(a.center - b.center)) / (found.bundle.position_sd[v] / length))
    return rotation, place


def judge_seeds(judge: Callable[[int], Made], first: int, count: int, jobs: int) -> Iterator[Made]:
    """Outcomes in the order of the seeds."""
    seeds = range(first, first + count)
    if jobs == 1:
        yield from map(judge, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(judge, seeds)


def coverage(outcomes: list[Outcome], name: str) -> tuple[float, float]:
    """Shares of the cameras whose error is within one and two deviations, over the scenes that are not declared."""
    ratios = np.concatenate([[], *(getattr(outcome, name) for outcome in outcomes if outcome.kind != DECLARED)])
    return float((ratios < 1).mean()), float((ratios < 2).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    outcomes = []
    for outcome in judge_seeds(judge_seed, options.seed, options.count, options.jobs):
        outcomes.append(outcome)
        if outcome.kind != RIGHT:
            print(f"seed {outcome.seed}: {outcome.kind}; {outcome.scene}; {outcome.report}", flush=True)
    print_summary(outcomes)


def print_summary(outcomes: list[Outcome]) -> None:
    counts = Counter(outcome.kind for outcome in outcomes)
    print(f"{len(outcomes)} rigs: " + ", ".join(f"{counts[kind]} {kind}" for kind in (RIGHT, DECLARED, WRONG)))
    for name in ("rotation", "place"):
        one, two = coverage(outcomes, name)
        print(f"{name}: {one:.1%} of the cameras within one deviation, {two:.1%} within two")


if __name__ == "__main__":
    main()
