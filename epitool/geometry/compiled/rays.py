"""Rays through pixels, and where two of them pass each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import Number, formula

Array = NDArray[np.float64]


@formula
def ray_direction(back: Array, v: int, x: float, y: float) -> tuple[float, float, float]:
    """Return the vector in the world from the centre of view v along pixel (x, y) to depth 1.

    `back` are the inverses of `K R`, `(V, 3, 3)`.
    """
    return (
        back[v, 0, 0] * x + back[v, 0, 1] * y + back[v, 0, 2],
        back[v, 1, 0] * x + back[v, 1, 1] * y + back[v, 1, 2],
        back[v, 2, 0] * x + back[v, 2, 1] * y + back[v, 2, 2],
    )


@formula
def closest_approach(
    ax: Number, ay: Number, az: Number, bx: Number, by: Number, bz: Number, dx: Number, dy: Number, dz: Number
) -> tuple[Number, Number, Number]:
    """Return where the rays `s a` and `d + t b` pass each other: s, t, and the squared sine of the angle between them.

    The shortest segment between the rays is perpendicular to both: `(d + t b - s a) a = 0`, and the same with b, which
    are two equations for s and t. Their determinant, `aa bb - ab^2`, is the squared length of the cross product, and in
    that form has no cancellation where the rays are almost parallel. For parallel rays, s and t are not finite. Accepts
    numbers or arrays.
    """
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    determinant = cx * cx + cy * cy + cz * cz
    aa, bb, ab = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, ax * bx + ay * by + az * bz
    ad, bd = ax * dx + ay * dy + az * dz, bx * dx + by * dy + bz * dz
    return (bb * ad - ab * bd) / determinant, (ab * ad - aa * bd) / determinant, determinant / (aa * bb)
