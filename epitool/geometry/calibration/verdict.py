"""Whether a calibration is to be trusted, and why not: judged by its own deviations and by how the joints fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from epitool.geometry.calibration.bundle_adjustment import Bundle
from epitool.geometry.two_view.relative_pose import PairPose

Level = Literal["pass", "warn", "fail"]
_LEVELS: tuple[Level, ...] = ("pass", "warn", "fail")
# from which value on a calibration is doubtful, and from which it is not to be used
# of rotations (degrees), places (shares of the largest distance between cameras) and focal lengths (shares)
_DEVIATIONS = ((1.0, 4.0), (0.03, 0.1), (0.05, 0.15))
# Two views leave focal lengths open, and with them rotations, yet poses keep their shape (docs/geometry.md); of three
# or more a camera that is so unsure mostly stands somewhere else.
_DEVIATIONS_OF_TWO = ((1.0, 20.0), (0.03, 0.25), (0.05, np.inf))
OUTLIERS = (0.4, 0.6)  # of a view's keypoints
_NOISE = (0.04, 0.08)  # of the person's size in the images
_BONE_SPREAD = (0.07, 0.15)  # of a bone's length over time, noise taken off
_WRONG_LENS, _WRONG_LENS_SD = 0.05, 5.0  # share of a focal length, and standard deviations
_FRAMES = 20  # under it little is known of anything
_NARROW_DEG, _NO_PARALLAX_DEG, _SAME_DEG = 5.0, 1.5, 0.1
_FEW_INLIERS = 0.5
_UNSURE = (
    "cameras so unsure give poses of nearly the right shape all the same, but do not rely on where they stand; more"
    " movement, more views or measured lenses make them surer"
)
_STRANGE = "do not fit the other views; is it in sync, and of the same person?"


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

    def with_doubts(self, doubts: Sequence[tuple[Level, str]]) -> Verdict:
        """The verdict where there are these doubts too; those that are none ("pass") change nothing."""
        own = [(self.level, reason) for reason in self.reasons]
        return verdict_of([*own, *doubts], self.strangers)


@dataclass(frozen=True)
class Evidence:
    """What speaks for or against a calibration besides its own deviations.

    Attributes:
        frames: How many were used.
        person_px: The person's usual size in the images.
        parallax_deg: Of the pairs of views that were solved, by their names.
        flat: Whether in every pair the joints might as well lie in a plane, which two poses of each pair explain.
        focal_ratio: What the joints make of each camera's stated focal length, as a multiple of it, and the deviation
            of that, by the cameras' names; empty where lengths are estimated anyway, or cannot be.
        bone_spread: How much the usual bone changes its length over time, as a share of it, noise taken off: a body
            does not, whatever the keypoints agree on. NaN where unknown.
    """

    frames: int
    person_px: float
    parallax_deg: dict[tuple[str, str], float]
    flat: bool
    focal_ratio: dict[str, tuple[float, float]]
    bone_spread: float


def judge(bundle: Bundle, evidence: Evidence, left_out: dict[str, str]) -> Verdict:
    """The verdict on adjusted cameras.

    Args:
        bundle: What the adjustment found.
        evidence: What else is known.
        left_out: Views without a place, and why.
    """
    names, cameras = bundle.rig.names, bundle.rig.cameras
    span = max(float(np.linalg.norm(a.center - b.center)) for a in cameras for b in cameras)
    limits = _DEVIATIONS_OF_TWO if len(names) == 2 else _DEVIATIONS
    found: list[tuple[Level, str, str]] = [("warn", name, f"is left out: {why}") for name, why in left_out.items()]
    for v, name in enumerate(names):
        rotation, place = float(np.degrees(bundle.rotation_sd_in_rig[v])), float(bundle.position_sd_in_rig[v] / span)
        outliers, focal = float(1 - bundle.inlier_share[v]), float(bundle.focal_sd[v])
        found += [
            (graded(rotation, limits[0]), name, f"its rotation is known to {rotation:.1f} degrees only"),
            (graded(place, limits[1]), name, f"its place is known to {place:.0%} of the cameras' distances only"),
            (graded(outliers, OUTLIERS), name, f"{outliers:.0%} of its keypoints {_STRANGE}"),
            (graded(focal, limits[2]), name, f"its focal length is known to {focal:.0%} only"),
        ]
    doubts = [(level, f"view {name}: {text}") for level, name, text in found] + _doubts_of_all(bundle, evidence)
    unsure = np.degrees(bundle.rotation_sd_in_rig.max()), bundle.position_sd_in_rig.max() / span
    of_place = "warn" in (graded(float(sd), limit) for sd, limit in zip(unsure, limits))
    if of_place and all(level != "fail" for level, _ in doubts):
        doubts.append(("warn", _UNSURE))
    strangers = {name: text for level, name, text in found if level == "fail" and text.endswith(_STRANGE)}
    return verdict_of(doubts, strangers)


def verdict_of(doubts: Sequence[tuple[Level, str]], strangers: dict[str, str]) -> Verdict:
    """The verdict that follows from doubts, of which some may be none ("pass"), and from views that do not fit."""
    real = sorted((item for item in doubts if item[0] != "pass"), key=lambda item: -_LEVELS.index(item[0]))
    return Verdict(real[0][0] if real else "pass", tuple(text for _, text in real), strangers)


def doubts_of_lost(left_out: dict[str, str]) -> list[tuple[Level, str]]:
    """What to think of views without a place, and why they have none."""
    return [("warn", f"view {name}: is left out: {why}") for name, why in left_out.items()]


def doubt_of_noise(share: float) -> tuple[Level, str]:
    """What to think of joints that scatter by this share of the person's size."""
    return graded(share, _NOISE), f"joints scatter by {share:.0%} of the person's size; are the views in sync?"


def doubt_of_bones(spread: float) -> tuple[Level, str]:
    """What to think of bones that change their length by this share; nothing where it is not known."""
    text = f"bones change their length by {spread:.0%}; are the lenses as stated, and is no view mirrored?"
    return "pass" if np.isnan(spread) else graded(spread, _BONE_SPREAD), text


def doubt_of_outliers(view: str, share: float) -> tuple[Level, str]:
    """What to think of a view of whose keypoints this share does not fit."""
    return graded(share, OUTLIERS), f"view {view}: {share:.0%} of its keypoints {_STRANGE}"


def _doubts_of_all(bundle: Bundle, evidence: Evidence) -> list[tuple[Level, str]]:
    """What concerns no single view."""
    noise, spread = bundle.sigma_px / evidence.person_px, evidence.bone_spread
    parallax = max(evidence.parallax_deg.values(), default=0.0)
    twins = [" and ".join(names) for names, angle in evidence.parallax_deg.items() if angle < _SAME_DEG]
    flat: Level = "fail" if parallax < _NO_PARALLAX_DEG else "warn" if parallax < _NARROW_DEG else "pass"
    return [
        doubt_of_noise(noise),
        doubt_of_bones(spread),
        (flat, f"the views see joints under {parallax:.1f} degrees at most; set the cameras further apart"),
        (
            "warn" if evidence.flat else "pass",
            "the joints might lie in a plane, which leaves places open; let people move",
        ),
        *(_doubt_of_lens(name, *ratio) for name, ratio in evidence.focal_ratio.items()),
        ("warn" if twins else "pass", f"views {', '.join(twins)} see the same; is one video given twice?"),
        ("warn" if evidence.frames < _FRAMES else "pass", f"only {evidence.frames} frames show joints in two views"),
    ]


def _doubt_of_lens(name: str, ratio: float, sd: float) -> tuple[Level, str]:
    """Whether the joints contradict a stated focal length."""
    off = abs(ratio - 1)
    text = f"view {name}: the joints make its focal length {ratio:.2f} of what is stated; are its intrinsics of"
    text += " this lens, zoom and image size? Only if they are not: --refine-intrinsics"
    return ("warn" if off > _WRONG_LENS and off > _WRONG_LENS_SD * sd else "pass"), text


def graded(value: float, thresholds: tuple[float, float]) -> Level:
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
    return "the joints might lie in a plane" if pair.flat else ""
