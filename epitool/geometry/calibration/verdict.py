"""Verdict on whether to trust a calibration, and why not, from its own deviations and from how the joints fit it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from epitool.geometry import doubts
from epitool.geometry.calibration.bundle_adjustment import Bundle
from epitool.geometry.doubts import UNSURE, Doubt, Kind, Level, doubt_if_large
from epitool.geometry.two_view.relative_pose import PairPose

_WRONG_LENS, _WRONG_LENS_SD = 0.05, 5.0  # a focal length is wrong by more than this share and number of deviations
_FRAMES = 20  # with fewer frames, little is certain
_NARROW_DEG, _NO_PARALLAX_DEG, _SAME_DEG = 5.0, 1.5, 0.1
_FEW_INLIERS = 0.5
_MOSTLY = 0.5  # lenses are the cause where known ones would leave this share of the deviations or less
_WIDE_K1 = -0.14  # of action cameras it is about -0.25, and the joints make it less


@dataclass(frozen=True)
class Verdict:
    """Verdict on a calibration.

    Attributes:
        doubts: Doubts about it, the worst first; none that passes.
        left_out: Views without a place, with the reason.
        strangers: Views whose keypoints do not fit those of the others, with the degree of misfit.
    """

    doubts: tuple[Doubt, ...] = ()
    left_out: Mapping[str, Doubt] = field(default_factory=dict)
    strangers: Mapping[str, Doubt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        real = [item for item in self.doubts if item.level != "pass"]
        object.__setattr__(self, "doubts", tuple(sorted(real, key=lambda item: -doubts.LEVELS.index(item.level))))

    @property
    def level(self) -> Level:
        """One of "pass", "warn" (look at the doubts), and "fail" (not to be used)."""
        found = doubts.worst_level(item.level for item in self.doubts)
        return doubts.worst_level([found, "warn"]) if self.left_out else found

    def with_doubts(self, others: Iterable[Doubt]) -> Verdict:
        """Return the verdict with further doubts; those that pass change nothing."""
        return replace(self, doubts=(*self.doubts, *others))


@dataclass(frozen=True)
class Evidence:
    """Evidence for or against a calibration besides its own deviations.

    Attributes:
        frames: Number of frames used.
        person_px: Usual size of the person in the images.
        parallax_deg: Parallax of the solved pairs of views, by their names.
        flat: Whether the joints of every pair fit a plane, so that two poses explain each pair.
        focal_ratio: Focal length that fits the joints as a multiple of the stated one, and its deviation, by the
            cameras' names; empty where focal lengths are estimated anyway, or cannot be.
        bone_spread: Relative variation of a typical bone's length over time, after subtracting the noise; a real body
            has none, whatever the keypoints agree on. NaN where unknown.
    """

    frames: int
    person_px: float
    parallax_deg: dict[tuple[str, str], float]
    flat: bool
    focal_ratio: dict[str, tuple[float, float]]
    bone_spread: float


def judge(bundle: Bundle, evidence: Evidence, left_out: Mapping[str, Doubt]) -> Verdict:
    """Return the verdict on adjusted cameras.

    Args:
        bundle: Result of the adjustment.
        evidence: Further evidence.
        left_out: Views without a place, with the reason.
    """
    of_cameras = _doubts_of_cameras(bundle)
    strangers = {item.views[0]: item for item in of_cameras if item.kind is Kind.OUTLIERS and item.level == "fail"}
    return Verdict((*of_cameras, *_doubts_of_all(bundle, evidence)), left_out, strangers)


def doubts_of_lenses(verdict: Verdict, bundle: Bundle) -> list[Doubt]:
    """Return a doubt that names lenses which nobody has measured, where cameras are uncertain because of them.

    Args:
        verdict: The verdict on the cameras.
        bundle: The cameras, with lenses that only the joints tell.
    """
    if not any(item.kind in UNSURE for item in verdict.doubts):
        return []
    usual = float(np.median([camera.lens[0] for camera in bundle.rig.cameras]))
    known = float(np.degrees(bundle.rotation_sd_if_known.max()))
    if usual <= _WIDE_K1:
        return [Doubt(Kind.WIDE, "warn", (), usual, _WIDE_K1, {"known": known})]
    left = max(
        bundle.rotation_sd_if_known.max() / bundle.rotation_sd_in_rig.max(),
        bundle.position_sd_if_known.max() / bundle.position_sd_in_rig.max(),
    )
    return [Doubt(Kind.LENSES, "warn", (), float(left), _MOSTLY, {"known": known})] if left <= _MOSTLY else []


def doubt_of_noise(share: float) -> Doubt:
    """Return the doubt for joints that scatter by this share of the person's size."""
    return doubt_if_large(Kind.NOISE, share, doubts.NOISE)


def doubt_of_bones(spread: float) -> Doubt:
    """Return the doubt for bones whose length varies by this share; it passes where the share is unknown."""
    return doubt_if_large(Kind.BONES, 0.0 if np.isnan(spread) else spread, doubts.BONE_SPREAD)


def _doubts_of_cameras(bundle: Bundle) -> list[Doubt]:
    """Return the doubts about how certain each camera is, and how well its keypoints fit."""
    names, cameras = bundle.rig.names, bundle.rig.cameras
    span = max(float(np.linalg.norm(a.center - b.center)) for a in cameras for b in cameras)
    limits = (doubts.ROTATION_DEG, doubts.PLACE, doubts.FOCAL)
    if len(names) == 2:
        limits = (doubts.ROTATION_DEG_OF_TWO, doubts.PLACE_OF_TWO, doubts.FOCAL_OF_TWO)
    found = []
    for v, name in enumerate(names):
        length = float(bundle.position_sd_in_rig[v])
        found += [
            doubt_if_large(Kind.ROTATION, float(np.degrees(bundle.rotation_sd_in_rig[v])), limits[0], name),
            doubt_if_large(Kind.PLACE, length / span, limits[1], name, length=length),
            doubt_if_large(Kind.OUTLIERS, float(1 - bundle.inlier_share[v]), doubts.OUTLIERS, name),
            doubt_if_large(Kind.FOCAL, float(bundle.focal_sd[v]), limits[2], name),
        ]
    return found


def _doubts_of_all(bundle: Bundle, evidence: Evidence) -> list[Doubt]:
    """Return the doubts about the rig as a whole, and about stated lenses."""
    parallax = max(evidence.parallax_deg.values(), default=0.0)
    narrow: Level = "fail" if parallax < _NO_PARALLAX_DEG else "warn" if parallax < _NARROW_DEG else "pass"
    return [
        doubt_of_noise(bundle.sigma_px / evidence.person_px),
        doubt_of_bones(evidence.bone_spread),
        Doubt(Kind.PARALLAX, narrow, (), parallax, _NO_PARALLAX_DEG if narrow == "fail" else _NARROW_DEG),
        Doubt(Kind.FLAT, "warn" if evidence.flat else "pass"),
        *(_doubt_of_lens(name, *ratio) for name, ratio in evidence.focal_ratio.items()),
        *(Doubt(Kind.SAME, "warn", twins, angle, _SAME_DEG) for twins, angle in evidence.parallax_deg.items()
          if angle < _SAME_DEG),
        Doubt(Kind.FEW_FRAMES, "warn" if evidence.frames < _FRAMES else "pass", (), evidence.frames, _FRAMES),
    ]  # fmt: skip


def _doubt_of_lens(name: str, ratio: float, sd: float) -> Doubt:
    """Return the doubt whether the joints contradict a stated focal length."""
    limit = max(_WRONG_LENS, _WRONG_LENS_SD * sd)
    return Doubt(Kind.STATED_FOCAL, "warn" if abs(ratio - 1) > limit else "pass", (name,), ratio, limit)


class Weakness(enum.Enum):
    """Weakness of a pair of views taken alone."""

    FEW_FIT = "few joints fit one geometry"
    NO_PARALLAX = "no parallax"
    NARROW = "narrow baseline"
    FLAT = "flat"


def weakness(pair: PairPose) -> Weakness | None:
    """Return the greatest weakness of a pair of views taken alone; None if there is none."""
    if pair.inlier_share < _FEW_INLIERS:
        return Weakness.FEW_FIT
    if pair.parallax_deg < _NO_PARALLAX_DEG:
        return Weakness.NO_PARALLAX
    if pair.parallax_deg < _NARROW_DEG:
        return Weakness.NARROW
    return Weakness.FLAT if pair.flat else None
