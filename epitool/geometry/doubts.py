"""Possible doubts about cameras, clocks and worlds as values: their kind, their size and the limit they exceed.

Code that shows doubts to people puts them into words; what to do about a doubt depends on how the cameras were
obtained.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Level = Literal["pass", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("pass", "warn", "fail")
# Limits: the value from which something is doubtful, and the value from which the cameras must not be used.
Limits = tuple[float, float]
ROTATION_DEG, PLACE, FOCAL = (1.0, 4.0), (0.03, 0.1), (0.05, 0.15)  # shares of distances and of focal length
# Two views leave focal lengths and thus rotations open, yet poses keep their shape (docs/geometry.md). With three or
# more, a camera with such a large uncertainty is usually misplaced.
ROTATION_DEG_OF_TWO, PLACE_OF_TWO, FOCAL_OF_TWO = (1.0, 20.0), (0.03, 0.25), (0.05, np.inf)
OUTLIERS = (0.4, 0.6)  # shares of a view's keypoints
NOISE = (0.04, 0.08)  # shares of the person's size in the images
BONE_SPREAD = (0.07, 0.15)  # relative variation of a bone's length over time, after subtracting the noise


class Kind(enum.Enum):
    """Kinds of doubt; the comment after each says what its value is, and what its other numbers are."""

    # about a camera that has a place
    ROTATION = "rotation"  # standard deviation, degrees
    PLACE = "place"  # standard deviation as a share of the largest distance of cameras; length: in the rig's unit
    FOCAL = "focal length"  # standard deviation as a share of it
    OUTLIERS = "outliers"  # share of the view's keypoints that do not fit
    # share of the deviations that would be left if the lenses, which nobody has stated, were known; known: the largest
    # deviation of a rotation then, degrees
    LENSES = "unknown lenses"
    WIDE = "wide lenses"  # median of the k1 that fit the joints, of lenses that nobody has stated; known: as LENSES
    STATED_FOCAL = "stated focal length"  # focal length that fits the joints, as a multiple of the stated one
    # about a view without a place
    UNPLACED = "unplaced"  # the reason is in `why`
    STILL = "still"
    MISFIT = "misfit"  # share of its joints that fit the other views at its best place; joints: their number
    ELSEWHERE = "elsewhere"  # distance of the stated place from where the joints fit; degrees: rotation between them
    NOWHERE = "nowhere"  # no place of the camera explains its joints, given the other cameras
    UNKNOWN_PLACE = "unknown place"  # its joints contradict the other cameras and do not determine a place
    NO_CAMERA = "no camera"
    STRANGERS = "strangers"  # share of its people who are matched with people in other views
    # about the whole rig
    NOISE = "noise"  # scatter of the joints as a share of the person's size
    BONES = "bones"  # relative variation of the length of a typical bone
    PARALLAX = "parallax"  # largest angle between the rays of any two views to the joints, degrees
    FLAT = "flat"
    SAME = "same"  # two views show the same images
    FEW_FRAMES = "few frames"
    TWO_MATCHINGS = "two matchings"  # two ways to match the people of two views fit nearly equally well
    # scatter in px; closer: scatter after moving the cameras a little; degrees: largest rotation; off: how far joints
    # move then, in the rig's unit
    MOVED = "moved"
    OTHER_LENSES = "other lenses"  # scatter in px; closer: scatter with all focal lengths times factor; off: as MOVED
    # scatter in px, NaN where no joint can be placed; closer: scatter if the cameras are read in another way
    CONVENTION = "convention"  # the way is in `why`
    OTHER_SIZE = "other size"  # factor: what all intrinsics must be multiplied with
    OTHER_UNIT = "other unit"  # factor: what lengths of the camera must be multiplied with
    EXCHANGED_NAMES = "exchanged names"  # which camera of the file is which is in `why`
    UNDISTORTED = "undistorted"  # without distortion; off: as MOVED
    DRIFT = "drift"  # frames by which the first view gets ahead of the second; span: number of frames this takes
    SHIFT = "shift"  # frames by which the view is off in time; closer: factor by which joints fit closer then
    # about offsets in time
    CONTRADICTED = "contradicted"  # offset of the second view against the first from these two views alone, frames
    OFFSET = "offset"  # standard deviation, frames
    BEYOND_REACH = "beyond reach"  # frames
    # about the vertical
    VERTICAL = "vertical"  # standard deviation, degrees
    LEAN = "lean"  # angle by which bodies lean relative to the floor found from the feet, degrees


UNSURE = (Kind.ROTATION, Kind.PLACE, Kind.FOCAL)  # how certain a camera is
# What a file may mean if its cameras, as they are stated, do not fit the joints.
READINGS = (Kind.CONVENTION, Kind.OTHER_SIZE, Kind.OTHER_UNIT, Kind.EXCHANGED_NAMES)


@dataclass(frozen=True)
class Doubt:
    """Something that may be doubtful.

    Attributes:
        kind: Kind of the doubt.
        level: Severity; "pass" where there is no doubt.
        views: Views concerned; empty where it concerns all.
        value: Measured value, as described by the kind.
        limit: Limit of this level that the value exceeds; where it passes, the limit from which it would be doubtful.
        numbers: Other measured numbers, as described by the kind.
        why: Message of a solver, or what differs, where there are no numbers to report.
    """

    kind: Kind
    level: Level
    views: tuple[str, ...] = ()
    value: float = np.nan
    limit: float = np.nan
    numbers: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


def graded(value: float, limits: Limits) -> Level:
    """Return the level of a value that should be small; NaN fails."""
    return "pass" if value < limits[0] else "warn" if value < limits[1] else "fail"


def doubt_if_large(kind: Kind, value: float, limits: Limits, view: str = "", **numbers: float) -> Doubt:
    """Return the doubt for a value that should be small."""
    level = graded(value, limits)
    return Doubt(kind, level, (view,) if view else (), value, limits[level == "fail"], numbers)


def doubt_of_unplaced(view: str, why: str) -> Doubt:
    """Return the doubt for a view for which a solver finds no place."""
    return Doubt(Kind.UNPLACED, "warn", (view,), why=why)


def worst_level(levels: Iterable[Level]) -> Level:
    """Return the worst of some levels; "pass" where there are none.

    >>> worst_level(["warn", "pass"])
    'warn'
    """
    return max(levels, key=LEVELS.index, default="pass")
