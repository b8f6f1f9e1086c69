"""Whether a calibration is to be trusted, and why not: judged by its own deviations and by how the joints fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from epitool.geometry.bundle import Bundle
from epitool.geometry.pairs import PairPose

Level = Literal["pass", "warn", "fail"]
_LEVELS: tuple[Level, ...] = ("pass", "warn", "fail")
# from which value on a calibration is doubtful, and from which it is not to be used
_ROTATION_SD_DEG = (0.75, 1.5)
_PLACE_SD = (0.03, 0.1)  # of the largest distance between cameras
_OUTLIERS = (0.4, 0.6)  # of a view's keypoints
_NOISE = (0.04, 0.08)  # of the person's size in the images
_FOCAL_SD = (0.05, 0.15)
_NARROW_DEG, _NO_PARALLAX_DEG = 5.0, 1.0
_FEW_INLIERS = 0.5
_STRANGE = "do not fit the other views"


@dataclass(frozen=True)
class Verdict:
    """What to think of a calibration.

    Attributes:
        level: "pass", "warn" (look at the reasons), or "fail" (not to be used).
        reasons: One line each, the worst first.
        strangers: Views whose keypoints do not fit those of the others, and in how far.
    """

    level: Level
    reasons: tuple[str, ...]
    strangers: dict[str, str]


def judge(bundle: Bundle, person_px: float, left_out: dict[str, str]) -> Verdict:
    """The verdict on adjusted cameras.

    Args:
        bundle: What the adjustment found.
        person_px: The person's usual size in the images.
        left_out: Views without a place, and why.
    """
    names, cameras = bundle.rig.names, bundle.rig.cameras
    span = max(float(np.linalg.norm(a.center - b.center)) for a in cameras for b in cameras)
    found: list[tuple[Level, str, str]] = [("warn", name, f"is left out: {why}") for name, why in left_out.items()]
    for v, name in enumerate(names):
        rotation, place = float(np.degrees(bundle.rotation_sd[v])), float(bundle.position_sd[v] / span)
        outliers, focal = float(1 - bundle.inlier_share[v]), float(bundle.focal_sd[v])
        found += [
            (_level(rotation, _ROTATION_SD_DEG), name, f"its rotation is known to {rotation:.1f} degrees only"),
            (_level(place, _PLACE_SD), name, f"its place is known to {place:.0%} of the cameras' distances only"),
            (_level(outliers, _OUTLIERS), name, f"{outliers:.0%} of its keypoints {_STRANGE}"),
            (_level(focal, _FOCAL_SD), name, f"its focal length is known to {focal:.0%} only"),
        ]
    noise = bundle.sigma_px / person_px
    scatter = f"joints scatter by {noise:.0%} of the person's size; are the views in sync?"
    doubts = [(level, f"view {name}: {text}") for level, name, text in found] + [(_level(noise, _NOISE), scatter)]
    doubts = sorted((item for item in doubts if item[0] != "pass"), key=lambda item: -_LEVELS.index(item[0]))
    strangers = {name: text for level, name, text in found if level == "fail" and text.endswith(_STRANGE)}
    return Verdict(doubts[0][0] if doubts else "pass", tuple(text for _, text in doubts), strangers)


def _level(value: float, thresholds: tuple[float, float]) -> Level:
    """The level of a value that should be small; one that is not a number fails."""
    return "pass" if value < thresholds[0] else "warn" if value < thresholds[1] else "fail"


def pair_remark(pair: PairPose) -> str:
    """What is weak about a pair of views taken alone; empty where nothing is."""
    if pair.inlier_share < _FEW_INLIERS:
        return f"only {pair.inlier_share:.0%} of the joints fit one geometry"
    if pair.parallax_deg < _NO_PARALLAX_DEG:
        return "no parallax: the cameras stand at one place, or the person is too far away"
    if pair.parallax_deg < _NARROW_DEG:
        return "narrow baseline"
    if pair.planar_share > pair.inlier_share * 0.95:
        return "the joints lie in a plane"
    return ""
