"""How well time offsets are found: views whose clocks differ by up to 30 frames, with a detector's faults.

Four cameras placed as Human3.6M's, 1000x1000 px, f = 1145; a person who walks, at 30 and 60 frames per second; offsets
drawn in multiples of 1/20 frame. Run with `pytest -m bench -s tests/bench/bench_sync.py`.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from epitool.geometry.timing.sync import estimate_offsets
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

FINE, LARGEST = 20, 30
TRIALS = 50


def trial(seed: int, frames: int, fps: float, views: int, faults: dict[str, float]) -> tuple[np.ndarray, float]:
    """Errors of the offsets in frames, and the seconds that finding them took."""
    steps = np.random.default_rng(seed).integers(-LARGEST * FINE, LARGEST * FINE + 1, views)
    steps[0] = 0
    moments = random_motion(FINE * (frames + 2 * LARGEST), seed, fps * FINE).xyz
    room = walking_room()
    rig = room.select(room.names[:views])
    at = FINE * (np.arange(frames)[:, None] + LARGEST) - steps
    shown = [labels_of(moments[at[:, v]], rig).keypoints for v in range(views)]
    xy, confidence = (
        np.stack([getattr(shown[v], name)[:, v] for v in range(views)], axis=1) for name in ("xy", "confidence")
    )
    truth = labels_of(moments[at[:, 0]], rig)
    exact = replace(truth, keypoints=replace(truth.keypoints, xy=xy, confidence=confidence))
    keypoints = noisy_keypoints(exact, seed=seed, **faults)
    begin = time.perf_counter()
    found = estimate_offsets(keypoints, rig.cameras)
    return (found.offsets - steps / FINE)[1:], time.perf_counter() - begin


@pytest.mark.bench
@pytest.mark.parametrize("views", [2, 4])
@pytest.mark.parametrize(("frames", "fps"), [(150, 30.0), (300, 30.0), (300, 60.0), (1000, 60.0)])
@pytest.mark.parametrize(("sigma", "outliers", "swaps"), [(2.0, 0.05, 0.0), (5.0, 0.1, 0.1)])
def test_offsets_are_found_to_a_fifth_of_a_frame(views, frames, fps, sigma, outliers, swaps):
    trials = TRIALS if views == 2 else TRIALS // 3
    faults = {"sigma_px": sigma, "outliers": outliers, "swap_share": swaps}
    errors, seconds = zip(*(trial(seed, frames, fps, views, faults) for seed in range(trials)))
    error = np.abs(np.concatenate(errors))
    print(
        f"\n{views} views, {frames} frames at {fps:.0f}/s, "
        f"{sigma:.0f} px, {outliers:.0%} gross, {swaps:.0%} swaps: "
        f"RMS {np.sqrt((error**2).mean()):.3f}, worst {error.max():.3f}, {(error <= 0.2).mean():.1%} <= 0.2 frames; "
        f"{np.median(seconds):.1f} s"
    )
    assert (error <= 0.2).mean() > 0.95
