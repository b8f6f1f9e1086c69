"""Calibrates random rigs with random lenses and no lens file: how far cameras are off, and whether they know it.

Principal points are off by N(0, 1.5%) of the image's longer side, fx / fy by N(0, 0.5%); fields of view are 45 to 90
degrees and k1 is N(0, 0.1), but in one rig of five all lenses are an action camera's with k1 near -0.25. With
`--centred` lenses have none of these faults. Run as
`python tests/bench/random_lenses.py --count 50 --jobs 4`.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from random_rigs import errors_over_deviations

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.compare import compare_rigs
from epitool.pose import Keypoints
from epitool.stages.shared.doubts import Asked, word_verdict
from epitool.synthetic import detector_like, labels_of, random_rig
from epitool.synthetic.motion import random_motion

VIEWS, FRAMES = (2, 3, 4, 8), 200
FIELD_DEG, WIDE_FIELD_DEG, WIDE_K1, WIDE = (45.0, 90.0), (60.0, 72.0), -0.25, 0.2
FIELD_ASSUMED_DEG = 60.0
NAMED, GOOD_DEG = "the likely cause is the lenses", 1.5


@dataclass(frozen=True)
class Outcome:
    """What came of one rig: its worst rotation error in degrees, and errors over deviations; no level where refused.

    `promised_deg` is the largest rotation deviation that known lenses would leave, as the verdict states it; `kept_deg`
    are the one that they do leave, and the worst error then, with `--measured`.
    """

    seed: int
    wide: bool
    level: str
    reasons: tuple[str, ...] = ()
    worst_deg: float = np.nan
    rotation: tuple[float, ...] = ()
    place: tuple[float, ...] = ()
    focal: tuple[float, ...] = ()
    promised_deg: float = np.nan
    kept_deg: tuple[float, float] = (np.nan, np.nan)

    def names(self, words: str) -> bool:
        """Whether the reasons have these words."""
        return words in " ".join(self.reasons)


def random_lens(camera: Camera, rng: np.random.Generator, wide: bool) -> Camera:
    """The camera with a lens that nobody has measured."""
    width, height = camera.image_size
    focal = max(width, height) / 2 / np.tan(np.radians(rng.uniform(*(WIDE_FIELD_DEG if wide else FIELD_DEG))) / 2)
    ratio, (x, y) = np.exp(rng.normal(0, 0.005) / 2), rng.normal(0, 0.015 * max(width, height), 2)
    K = np.array([[focal * ratio, 0, (width - 1) / 2 + x], [0, focal / ratio, (height - 1) / 2 + y], [0, 0, 1]])
    k1 = WIDE_K1 + rng.normal(0, 0.02) if wide else np.clip(rng.normal(0, 0.1), -0.2, 0.2)  # beyond, images fold over
    return replace(camera, K=K, distortion=np.array([k1, 0, 0, 0, 0]))


def random_lenses(views: int, index: int, centred: bool) -> tuple[Rig, bool]:
    """The rig of that many views with that number, and whether its lenses are wide."""
    having = (seed for seed in range(10_000) if len(random_rig(seed)) == views)
    rig = random_rig(next(seed for i, seed in enumerate(having) if i == index))
    if centred:
        return rig, False
    rng = np.random.default_rng([index, views])
    wide = bool(rng.random() < WIDE)
    return replace(rig, cameras=tuple(random_lens(camera, rng, wide) for camera in rig.cameras)), wide


def judge_rig(index: int, views: int, centred: bool, measured: bool) -> Outcome:
    """Calibrates one rig without its lenses, and with them too if they are `measured`, and compares with the truth."""
    rig, wide = random_lenses(views, index, centred)
    keypoints = detector_like(
        labels_of(random_motion(FRAMES, index).xyz, rig), noise=0.005, outliers=0.05, swap_share=0.1, seed=index
    )
    assumed = [assumed_intrinsics(c.name, c.image_size, FIELD_ASSUMED_DEG) for c in rig.cameras]
    try:
        found = calibrate(keypoints, assumed, seed=0, jobs=1, focal="unknown")
    except GeometryError as error:
        return Outcome(index, wide, "none", (str(error),))
    worst = max(pair.rotation_deg for pair in compare_rigs(found.rig, rig))
    rotation, place = errors_over_deviations(found, rig)
    truth = rig.select(found.rig.names).cameras
    off = [abs(np.log(a.focal / b.focal)) for a, b in zip(found.rig.cameras, truth, strict=True)]
    return Outcome(
        index,
        wide,
        found.verdict.level,
        word_verdict(found.verdict, Asked()).reasons,
        worst,
        tuple(rotation),
        tuple(place),
        tuple(off),
        np.degrees(found.bundle.rotation_sd_if_known.max()),
        with_lenses(keypoints, rig) if measured else (np.nan, np.nan),
    )


def with_lenses(keypoints: Keypoints, rig: Rig) -> tuple[float, float]:
    """The largest rotation deviation and error, in degrees, of a calibration that is given the true lenses."""
    found = calibrate(keypoints, rig.cameras, seed=0, jobs=1)
    worst = max(pair.rotation_deg for pair in compare_rigs(found.rig, rig))
    return float(np.degrees(found.bundle.rotation_sd_in_rig.max())), worst


def summary(outcomes: list[Outcome]) -> str:
    """Errors and how they compare with their deviations, in words."""
    done = [outcome for outcome in outcomes if outcome.rotation]
    if not done:
        return "none calibrated"
    ratios = (np.concatenate([getattr(o, name) for o in done]) for name in ("rotation", "place"))
    within = ", ".join(f"{(z < 1).mean():.0%} / {(z < 2).mean():.0%} (RMS {(z**2).mean() ** 0.5:.2f})" for z in ratios)
    worst, levels = np.array([o.worst_deg for o in done]), [o.level for o in outcomes]
    counts = ", ".join(f"{levels.count(level)} {level}" for level in ("pass", "warn", "fail", "none"))
    wide, named = (sum(o.names(words) for o in outcomes) for words in ("bend straight lines", NAMED))
    unnamed = [o.worst_deg > GOOD_DEG for o in done if not o.names(NAMED)]
    passed = [o.worst_deg for o in done if o.level == "pass"]
    return (
        f"worst rotation {np.median(worst):.2f} median, {np.quantile(worst, 0.9):.2f} in nine of ten;"
        f" focal {np.median(np.concatenate([o.focal for o in done])):.1%}; within 1 / 2 deviations: {within}; {counts};"
        f" {max(passed, default=0):.1f} deg at most in a pass; lenses named as the cause in {named}, as wide in {wide};"
        f" where they are not named, {sum(unnamed)} of {len(unnamed)} beyond {GOOD_DEG} deg"
    )


def promises(outcomes: list[Outcome]) -> str:
    """What known lenses were said to leave, and what they left, in words."""
    promised, (left, off) = np.array([o.promised_deg for o in outcomes]), np.array([o.kept_deg for o in outcomes]).T
    low, middle, high = np.quantile(promised / left, [0, 0.5, 1])
    return (
        f"with lenses: {promised.min():.2f} to {promised.max():.2f} deg promised, {low:.2f} to {high:.2f} times what is"
        f" stated then (median {middle:.2f}); errors then {off.min():.2f} to {off.max():.2f} deg"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="rigs of each number of views")
    parser.add_argument("--seed", type=int, default=0, help="the first rig")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--centred", action="store_true", help="lenses without faults")
    parser.add_argument("--views", type=int, nargs="+", default=VIEWS)
    parser.add_argument("--measured", action="store_true", help="calibrate with the true lenses too")
    options = parser.parse_args()
    for views in options.views:
        with ProcessPoolExecutor(options.jobs) as pool:
            judge = partial(judge_rig, views=views, centred=options.centred, measured=options.measured)
            outcomes = list(pool.map(judge, range(options.seed, options.seed + options.count)))
        for name, wide in (("ordinary", False), ("wide", True)):
            if some := [outcome for outcome in outcomes if outcome.wide == wide]:
                print(f"{views} views, {len(some)} {name}: {summary(some)}", flush=True)
        if options.measured:
            print(f"{views} views, {promises([outcome for outcome in outcomes if outcome.rotation])}", flush=True)


if __name__ == "__main__":
    main()
