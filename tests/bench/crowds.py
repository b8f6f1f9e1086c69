"""Crowds before random rigs: people who walk, cross, leave and enter, seen by a detector that errs.

A scene is right if all relative rotations are within 3 degrees, declared if the calibration fails or warns, else wrong
though trusted. Run as `python tests/bench/crowds.py --count 100 --jobs 2`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from random_rigs import DECLARED, RIGHT, WRONG, WRONG_DEG, Outcome, in_words, judge_seeds

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.everyone import Crowd, calibrate_everyone
from epitool.pose import Keypoints
from epitool.stages.shared.doubts import Asked, word_verdict
from epitool.synthetic import detector_like, labels_of, random_rig
from epitool.synthetic.motion import random_motion

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
ROOM_MM = 2200.0  # from the middle to where people come in and leave
GHOST = -1
_HIDDEN = 0.6  # of a person's box covered by somebody nearer, from which they are mostly missed


@dataclass(frozen=True, eq=False)
class Scene:
    """A crowd.

    Attributes:
        rig: The true cameras.
        crowd: What the detector finds.
        who: Who each candidate is, `(C,)`; -1 for nobody.
        xyz: Where everyone is, `(N, F, J, 3)`; NaN where they are away.
        words: What it is.
    """

    rig: Rig
    crowd: Crowd
    who: Indices
    xyz: Array
    words: str


@dataclass(frozen=True)
class CrowdOutcome(Outcome):
    """What came of one seed, and how long it took."""

    seconds: float = 0.0


def crowd_scene(seed: int, people: int | None = None, frames: int | None = None) -> Scene:
    """A scene of its own for every seed; people and frames drawn by it where they are not given."""
    rng = np.random.default_rng([seed, 7])
    rig = random_rig(seed)
    count = people or int(rng.integers(2, 7))
    length = frames or int(rng.choice([80, 150, 300]))
    fps = float(rng.choice([5.0, 10.0, 25.0]))
    faults = {
        "noise": float(rng.uniform(0.003, 0.01)),
        "outliers": float(rng.choice([0.0, 0.05, 0.1])),
        "swap_share": float(rng.choice([0.0, 0.1, 0.2])),
    }
    missed, ghosts = float(rng.choice([0.0, 0.05, 0.15])), float(rng.choice([0.0, 0.02]))
    xyz = np.stack([_walk(rng, length, fps, 100 * seed + p, alone=p == 0) for p in range(count)])
    crowd, who = _detected(rng, rig, xyz, faults, missed, ghosts)
    before = f"{count} people, {length} frames at {fps:.0f}, missed {missed:.0%}, ghosts {ghosts:.0%}"
    words = in_words(rig, before, faults)
    return Scene(rig, crowd, who, xyz, words)


def _walk(rng: np.random.Generator, frames: int, fps: float, seed: int, alone: bool) -> Array:
    """Someone's joints `(F, J, 3)`: walking loops about a place that crosses the room, here for a part of the time."""
    seconds = np.arange(frames) / fps
    body = random_motion(frames, seed, fps).xyz * rng.uniform(0.85, 1.1)
    begin, end = rng.uniform(-1, 1, (2, 2)) * 0.5 * ROOM_MM
    share = np.linspace(0, 1, frames) if len(seconds) > 1 else np.zeros(frames)
    body[..., :2] += (begin + share[:, None] * (end - begin))[:, None]
    if not alone:
        stay = rng.uniform(0.3, 1.2) * frames
        start = rng.uniform(-0.2, 1) * max(frames - stay, 0.0)
        away = (np.arange(frames) < start) | (np.arange(frames) >= start + stay)
        gone = rng.integers(frames) if rng.random() < 0.3 else frames  # leaves, and is back a while later
        body[away | ((np.arange(frames) >= gone) & (np.arange(frames) < gone + frames // 5))] = np.nan
    return body


def _detected(
    rng: np.random.Generator, rig: Rig, xyz: Array, faults: dict[str, float], missed: float, ghosts: float
) -> tuple[Crowd, Indices]:
    """What a detector finds: people hidden behind others mostly not, some twice, and some who are not there."""
    seen = [_of_one(rig, body, faults, int(rng.integers(1 << 30))) for body in xyz]
    xy, confidence = np.stack([k.xy for k in seen]), np.stack([k.confidence for k in seen])  # (N, F, V, J, ...)
    found = np.isfinite(xy[..., 0]).sum(axis=-1) >= 4
    hidden = _covered(rig, xyz) > _HIDDEN
    found &= rng.random(found.shape) >= np.where(hidden, 0.8, missed)
    who, frame, view = np.nonzero(found)
    kept_xy, kept_confidence = xy[who, frame, view], confidence[who, frame, view]
    extra = np.flatnonzero(rng.random(len(who)) < ghosts)
    twin = rng.random(len(extra)) < 0.5
    jitter = rng.normal(0, 3.0, kept_xy[extra].shape)
    shift = rng.uniform(-200, 200, (len(extra), 1, 2)) * ~twin[:, None, None]
    more = kept_xy[extra] * np.where(twin, 1.0, rng.uniform(0.6, 1.4, len(extra)))[:, None, None] + shift + jitter
    who_all = np.concatenate([who, np.where(twin, who[extra], GHOST)])
    all_xy = np.concatenate([kept_xy, more]), np.concatenate([kept_confidence, 0.7 * kept_confidence[extra]])
    where = np.concatenate([frame, frame[extra]]), np.concatenate([view, view[extra]])
    order = rng.permutation(len(who_all))
    candidates = Candidates(*(array[order] for array in (*all_xy, *where)))
    return Crowd(candidates, xyz.shape[1], seen[0].select_frames(np.arange(0))), who_all[order]


def _of_one(rig: Rig, body: Array, faults: dict[str, float], seed: int) -> Keypoints:
    """Keypoints of one person, missing where they are away."""
    there = np.isfinite(body).all(axis=(1, 2))
    labels = labels_of(np.where(there[:, None, None], body, body[there.argmax()]), rig)
    keypoints = detector_like(labels, **faults, seed=seed)
    return replace(keypoints, xy=np.where(there[:, None, None, None], keypoints.xy, np.nan))


def _covered(rig: Rig, xyz: Array) -> Array:
    """Share of each person's box that somebody nearer to the camera covers, `(N, F, V)`."""
    covered = np.zeros((*xyz.shape[:2], len(rig)))
    for v, camera in enumerate(rig.cameras):
        xy = camera.project(xyz)
        depth = np.linalg.norm(xyz.mean(axis=2) - camera.center, axis=-1)
        low, high = xy.min(axis=2), xy.max(axis=2)
        for p in range(len(xyz)):
            for q in range(len(xyz)):
                if p != q:
                    across = np.clip(np.minimum(high[p], high[q]) - np.maximum(low[p], low[q]), 0, None).prod(axis=-1)
                    share = across / (high[p] - low[p]).prod(axis=-1)
                    nearer = np.nan_to_num(np.where(depth[q] < depth[p], share, 0.0))
                    covered[p, :, v] = np.maximum(covered[p, :, v], nearer)
    return covered


def judge_seed(seed: int, people: int | None = None, frames: int | None = None) -> CrowdOutcome:
    """Calibrates one scene and compares it with the truth."""
    scene = crowd_scene(seed, people, frames)
    begin = time.process_time()
    try:
        found = calibrate_everyone(scene.crowd, scene.rig.cameras, seed=0, jobs=1)
    except GeometryError as error:
        return CrowdOutcome(seed, DECLARED, scene.words, str(error), seconds=time.process_time() - begin)
    seconds = time.process_time() - begin
    worst = max(pair.rotation_deg for pair in compare_rigs(found.rig, scene.rig))
    doubted = WRONG if found.verdict.level == "pass" else DECLARED
    kind = RIGHT if worst < WRONG_DEG and found.verdict.level != "fail" else doubted
    why = word_verdict(found.verdict, Asked(lenses_given=True)).text
    report = f"{worst:.2f} degrees, {len(found.rig)} of {len(scene.rig)} views, {found.verdict.level}: {why}"
    return CrowdOutcome(seed, kind, scene.words, report, seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    outcomes = []
    for outcome in judge_seeds(judge_seed, options.seed, options.count, options.jobs):
        outcomes.append(outcome)
        print(
            f"seed {outcome.seed}: {outcome.kind}; {outcome.scene}; {outcome.report}; {outcome.seconds:.1f} s",
            flush=True,
        )
    counts = Counter(outcome.kind for outcome in outcomes)
    print(f"{len(outcomes)} crowds: " + ", ".join(f"{counts[kind]} {kind}" for kind in (RIGHT, DECLARED, WRONG)))


if __name__ == "__main__":
    main()
