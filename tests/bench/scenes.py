"""What the benchmarks share: the walking room with known faults, the error of a rig, and how figures are printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from crb import rotation_bound_deg
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.calibration.compare import compare_rigs
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

Array = NDArray[np.float64]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Scene:
    """A person walking before the four cameras of the walking room.

    Attributes:
        truth: Exact labels.
        keypoints: With noise and faults; confidence 1 wherever seen, so that it gives nobody a hint.
        inliers: Keypoints `(F, V, J)` that have no other error than the noise, by their true sides.
        sigma_px: The noise.
    """

    truth: Labels
    keypoints: Keypoints
    inliers: NDArray[np.bool_]
    sigma_px: float

    @property
    def bound_deg(self) -> float:
        """Cramer-Rao bound of the rotations of consecutive pairs, inliers and sides known."""
        xyz = self.truth.poses.xyz
        return rotation_bound_deg(self.truth.rig, xyz.reshape(-1, 3), by_point(self.inliers), self.sigma_px)


def walking(frames: int, seed: int, *, sigma_px: float, outliers: float = 0.0, swap_share: float = 0.0) -> Scene:
    """A scene of its own for every seed."""
    truth = labels_of(random_motion(frames, seed).xyz, walking_room())
    faults = {"sigma_px": sigma_px, "seed": seed}
    noisy = noisy_keypoints(truth, outliers=outliers, swap_share=swap_share, **faults)
    upright = noisy_keypoints(truth, outliers=outliers, swap_share=0.0, **faults)
    clean = noisy_keypoints(truth, outliers=0.0, swap_share=0.0, **faults)  # the same noise
    inliers = (upright.xy == clean.xy).all(axis=-1)
    seen = np.isfinite(noisy.xy[..., 0]).astype(float)
    return Scene(truth, replace(noisy, confidence=seen), inliers, sigma_px)


def by_point(values: Array) -> Array:
    """`(F, V, J, ...)` as `(F J, V, ...)`."""
    moved = np.moveaxis(values, 2, 1)
    return moved.reshape(-1, *moved.shape[2:])


def rotation_errors(rig: Rig, truth: Rig) -> list[float]:
    """Rotation errors of consecutive pairs, degrees; 180 for a pair that lacks a camera."""
    kept = [name for name in truth.names if name in rig.names]
    found = {p.views: p.rotation_deg for p in compare_rigs(rig.select(kept), truth.select(kept))}
    return [found.get(pair, 180.0) for pair in zip(truth.names, truth.names[1:])]


def rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def timed(function: Callable[[], Result], clock: Callable[[], float] = time.process_time) -> tuple[Result, float]:
    """What a function returns, and its seconds: by default the processor's, which other work on the machine spares."""
    begin = clock()
    result = function()
    return result, clock() - begin
