"""Sampson distance of a match from satisfying `x_b' F x_a = 0`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import Number, formula

Array = NDArray[np.float64]


@formula
def epipolar_constraint(
    F: Array, ax: Number, ay: Number, bx: Number, by: Number
) -> tuple[Number, Number, Number, Number, Number]:
    """Return `x_b' F x_a`, and its gradient by (ax, ay) and by (bx, by); accepts numbers or arrays.

    The gradient by b is the normal of the line `F x_a`, on which b should lie; the gradient by a is that of `F' x_b`.
    """
    by_bx, by_by = F[0, 0] * ax + F[0, 1] * ay + F[0, 2], F[1, 0] * ax + F[1, 1] * ay + F[1, 2]
    by_ax, by_ay = F[0, 0] * bx + F[1, 0] * by + F[2, 0], F[0, 1] * bx + F[1, 1] * by + F[2, 1]
    return bx * by_bx + by * by_by + F[2, 0] * ax + F[2, 1] * ay + F[2, 2], by_ax, by_ay, by_bx, by_by


@formula
def squared_sampson(F: Array, ax: Number, ay: Number, bx: Number, by: Number) -> Number:
    """Return the squared Sampson distance: to first order, that to the nearest match that satisfies the constraint.

    It is the squared constraint over the squared length of its gradient (Hartley & Zisserman, section 11.4.3). Accepts
    numbers or arrays.
    """
    value, by_ax, by_ay, by_bx, by_by = epipolar_constraint(F, ax, ay, bx, by)
    gradient = by_bx * by_bx + by_by * by_by + by_ax * by_ax + by_ay * by_ay
    squared: Number = value * value / np.maximum(gradient, 1e-300)
    return squared
