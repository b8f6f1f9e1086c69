"""Solids that make up the body of a moving skeleton.

The clothes of the left and the right side differ slightly in colour, because a network that is trained from scratch on
a few hundred images could not tell the sides apart by shape alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.synthetic.motion import SIDES, Motion
from epitool.synthetic.solids import ROUND, Color, Solid

Array = NDArray[np.float64]

SKIN: Color = (224, 172, 140)
HAIR: Color = (58, 38, 26)
DARK: Color = (32, 26, 28)
LIPS: Color = (170, 82, 78)
SHIRT: Color = (196, 200, 206)
BELT: Color = (62, 60, 74)
SHOES: Color = (54, 48, 46)
SLEEVES: dict[str, Color] = {"left": (66, 122, 190), "right": (206, 108, 58)}
TROUSERS: dict[str, Color] = {"left": (48, 62, 104), "right": (94, 68, 56)}


def body_solids(motion: Motion, frame: int) -> list[Solid]:
    """Return the solids of one frame's body, in the world."""
    solids = [*_trunk(motion, frame), *_head(motion, frame)]
    for s, side in enumerate(SIDES):
        solids += [*_leg(motion, frame, s, side), *_arm(motion, frame, s, side)]
    return solids


def _limb(start: Array, end: Array, radii: tuple[float, float], color: Color) -> Solid:
    return Solid(np.stack([start, end]), radii, color, np.eye(3))


def _stretched(
    start: Array, end: Array, radii: tuple[float, float], color: Color, axes: Array, width: tuple[float, float, float]
) -> Solid:  # fmt: skip
    """Return a solid stretched by `width` along each axis of its body part (rotation world from part)."""
    return Solid(np.stack([start, end]), radii, color, axes, width)


def _trunk(motion: Motion, f: int) -> list[Solid]:
    pelvis, spine, thorax = (motion.joint(name)[f] for name in ("pelvis", "spine", "thorax"))
    hips, chest = motion.pelvis_axes[f], motion.chest_axes[f]
    left, right = (motion.joint(f"{side}_shoulder")[f] for side in SIDES)
    wide = (1.0, 1.5, 1.0)
    return [
        _stretched(pelvis - 30 * hips[:, 2], pelvis + 40 * hips[:, 2], (112, 104), BELT, hips, wide),
        _stretched(pelvis + 70 * hips[:, 2], spine, (104, 104), SHIRT, hips, wide),
        _stretched(spine, thorax - 95 * chest[:, 2], (104, 116), SHIRT, chest, wide),
        _limb(left - 22 * chest[:, 2], right - 22 * chest[:, 2], (62, 62), SHIRT),
    ]


def _head(motion: Motion, f: int) -> list[Solid]:
    axes, nose, crown = motion.head_axes[f], motion.joint("neck_nose")[f], motion.joint("head_top")[f]
    middle = crown + axes @ [0.0, 0.0, -118.0]

    def at(forward: float, left: float, up: float) -> Array:
        return middle + axes @ [forward, left, up]

    def blob(center: Array, radius: float, color: Color, width: tuple[float, float, float] = ROUND) -> Solid:
        return _stretched(center, center, (radius, radius), color, axes, width)

    solids = [
        _limb(motion.joint("thorax")[f] - 10 * axes[:, 2], at(-15, 0, -60), (60, 54), SKIN),
        blob(middle, 76, SKIN, (1.15, 1.0, 1.42)),
        blob(at(30, 0, -62), 50, SKIN, (1.0, 1.0, 1.0)),
        blob(at(-18, 0, 22), 84, HAIR, (1.1, 1.0, 1.18)),
        _limb(at(82, 0, 8), nose - 14 * axes[:, 0], (10, 15), SKIN),
        _limb(at(72, 18, -66), at(72, -18, -66), (9, 9), LIPS),
    ]
    for side in (1, -1):
        solids.append(blob(at(77, side * 31, 8), 12, (240, 238, 232), (0.8, 1.3, 0.8)))
        solids.append(blob(at(85, side * 31, 8), 8, DARK))
        solids.append(_limb(at(80, side * 18, 27), at(73, side * 46, 28), (6, 5), HAIR))
        solids.append(blob(at(-2, side * 78, -6), 24, SKIN, (0.9, 0.5, 1.3)))
    return solids


def _leg(motion: Motion, f: int, s: int, side: str) -> list[Solid]:
    hip, knee, ankle = (motion.joint(f"{side}_{name}")[f] for name in ("hip", "knee", "ankle"))
    toe = motion.toes[f, s]
    heel = ankle - 0.35 * (toe - ankle) - [0, 0, 42]
    return [
        _limb(hip, knee, (80, 58), TROUSERS[side]),
        _limb(knee, ankle, (58, 42), TROUSERS[side]),
        _limb(heel, toe, (36, 30), SHOES),
    ]


def _arm(motion: Motion, f: int, s: int, side: str) -> list[Solid]:
    shoulder, elbow, wrist = (motion.joint(f"{side}_{name}")[f] for name in ("shoulder", "elbow", "wrist"))
    fingers = motion.fingers[f, s]
    palm = wrist + 0.6 * (fingers - wrist)
    return [
        _limb(shoulder, elbow, (62, 43), SLEEVES[side]),
        _limb(elbow, wrist, (43, 31), SLEEVES[side]),
        _limb(wrist, palm, (28, 36), SKIN),
        _limb(palm, fingers, (33, 16), SKIN),
    ]
