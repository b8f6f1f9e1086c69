"""What may be doubtful about cameras, clocks and worlds, as values: of which kind, how much, and how much is too much.

Whoever shows doubts to people puts them into words; what to do about one depends on how the cameras were asked for.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Level = Literal["pass", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("pass", "warn", "fail")
# Limits: from which value on something is doubtful, and from which cameras are not to be used.
Limits = tuple[float, float]
ROTATION_DEG, PLACE, FOCAL = (1.0, 4.0), (0.03, 0.1), (0.05, 0.15)  # shares of the cameras' distances, of the length
# Two views leave focal lengths open, and with them rotations, yet poses keep their shape (docs/geometry.md); of three
# or more a camera that is so unsure mostly stands somewhere else.
ROTATION_DEG_OF_TWO, PLACE_OF_TWO, FOCAL_OF_TWO = (1.0, 20.0), (0.03, 0.25), (0.05, np.inf)
OUTLIERS = (0.4, 0.6)  # of a view's keypoints
NOISE = (0.04, 0.08)  # of the person's size in the images
BONE_SPREAD = (0.07, 0.15)  # of a bone's length over time, noise taken off


class Kind(enum.Enum):
    """Kinds of doubt; after each what its value is, and its other numbers."""

    # of a camera that has a place
    ROTATION = "rotation"  # standard deviation, degrees
    PLACE = "place"  # standard deviation as a share of the largest distance of cameras; length: in the rig's unit
    FOCAL = "focal length"  # standard deviation as a share of it
    OUTLIERS = "outliers"  # share of the view's keypoints that do not fit
    STATED_FOCAL = "stated focal length"  # what the joints make of it, as a multiple
    # of a view without one
    UNPLACED = "unplaced"  # why says it
    STILL = "still"
    MISFIT = "misfit"  # share of its joints that fit the other views from where it would best stand; joints: how many
    ELSEWHERE = "elsewhere"  # how far from the stated place the joints fit; degrees: and turned by how much
    NOWHERE = "nowhere"  # from no place its joints lie where the other cameras say
    UNKNOWN_PLACE = "unknown place"  # its joints do not lie where the other cameras say, and do not tell a place
    NO_CAMERA = "no camera"
    STRANGERS = "strangers"  # share of its people who are matched with others in other views
    # of all
    NOISE = "noise"  # scatter of the joints as a share of the person's size
    BONES = "bones"  # by which the usual bone changes its length
    PARALLAX = "parallax"  # degrees under which two views see the joints, at most
    FLAT = "flat"
    SAME = "same"  # two views see the same
    FEW_FRAMES = "few frames"
    TWO_MATCHINGS = "two matchings"  # of who in one view is who in another, which fit nearly as well
    MOVED = "moved"  # scatter in px; closer: that of cameras moved a little; degrees: by which the view moved most
    OTHER_LENSES = "other lenses"  # scatter in px; closer: that with all focal lengths times factor
    DRIFT = "drift"  # frames by which the first view gets ahead of the second; span: over so many
    # of offsets in time
    CONTRADICTED = "contradicted"  # frames of the second view against the first, by these two views alone
    OFFSET = "offset"  # standard deviation, frames
    BEYOND_REACH = "beyond reach"  # frames
    # of the vertical
    VERTICAL = "vertical"  # standard deviation, degrees
    LEAN = "lean"  # degrees by which bodies lean on the floor that the feet tell


@dataclass(frozen=True)
class Doubt:
    """Something that may be doubtful.

    Attributes:
        kind: What.
        level: How much: "pass" where it is no doubt at all.
        views: Of which views; none where of all.
        value: What was measured, as its kind has it.
        limit: The value from which on it is at this level; the one from which on it is doubtful where it passes.
        numbers: What else was measured, as its kind has it.
        why: What a solver said, where that is all there is to say.
    """

    kind: Kind
    level: Level
    views: tuple[str, ...] = ()
    value: float = np.nan
    limit: float = np.nan
    numbers: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


def graded(value: float, limits: Limits) -> Level:
    """The level of a value that should be small; one that is not a number fails."""
    return "pass" if value < limits[0] else "warn" if value < limits[1] else "fail"


def doubt(kind: Kind, value: float, limits: Limits, view: str = "", **numbers: float) -> Doubt:
    """What to think of a value that should be small."""
    level = graded(value, limits)
    return Doubt(kind, level, (view,) if view else (), value, limits[level == "fail"], numbers)


def unplaced(view: str, why: str) -> Doubt:
    """A view for which a solver finds no place."""
    return Doubt(Kind.UNPLACED, "warn", (view,), why=why)


def worst(levels: Iterable[Level]) -> Level:
    """The worst of some levels; "pass" where there are none.

    >>> worst(["warn", "pass"])
    'warn'
    """
    return max(levels, key=LEVELS.index, default="pass")
