"""Colours of the body's sides, which colour-blind people can distinguish (after Okabe and Ito)."""

from __future__ import annotations

from epitool.skeleton import Skeleton

Color = tuple[int, int, int]
SIDE_COLORS: dict[str, Color] = {"left": (0, 114, 178), "right": (213, 94, 0), "middle": (0, 158, 115)}
# colours of the people who are found beside the chosen one
OTHERS_COLORS: tuple[Color, ...] = ((204, 121, 167), (240, 228, 66), (86, 180, 233), (255, 255, 255))
# colours of several people who are shown alike, each in one colour; they repeat from the seventh person on
PEOPLE_COLORS: tuple[Color, ...] = (*SIDE_COLORS.values(), *OTHERS_COLORS[:-1])


def joint_side(joint: str) -> str:
    """Return the side of a joint: "left", "right" or "middle".

    >>> joint_side("left_knee"), joint_side("spine")
    ('left', 'middle')
    """
    side = joint.partition("_")[0]
    return side if side in ("left", "right") else "middle"


def bone_side(skeleton: Skeleton, bone: tuple[int, int]) -> str:
    """Return the side of a bone (parent, child); a bone that connects left and right is in the middle."""
    sides = {joint_side(skeleton.joints[j]) for j in bone} - {"middle"}
    return sides.pop() if len(sides) == 1 else "middle"


def colors_of(count: int) -> list[Color]:
    """Return the colours of so many people who are shown alike."""
    return [PEOPLE_COLORS[i % len(PEOPLE_COLORS)] for i in range(count)]


def plot_color(side: str) -> tuple[float, float, float]:
    """Return the side's colour for matplotlib, from 0 to 1."""
    red, green, blue = SIDE_COLORS[side]
    return red / 255, green / 255, blue / 255
