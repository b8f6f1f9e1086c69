"""Inverses of symmetric 3x3 matrices, such as the normal matrices of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import formula

Array = NDArray[np.float64]
_SINGULAR = 1e-18  # lower bound of the determinant over the cubed trace, which does not depend on the unit


@formula
def cofactors(
    h00: float, h01: float, h02: float, h11: float, h12: float, h22: float
) -> tuple[float, float, float, float, float, float, float]:
    """Return the cofactors of a symmetric matrix and its determinant.

    The matrix is given by its upper triangle row by row, and the cofactors are in the same order. The inverse is the
    cofactors over the determinant (Cramer's rule); for a symmetric matrix they need no transposing.
    """
    c00, c01, c02 = h11 * h22 - h12 * h12, h02 * h12 - h01 * h22, h01 * h12 - h02 * h11
    c11, c12, c22 = h00 * h22 - h02 * h02, h01 * h02 - h00 * h12, h00 * h11 - h01 * h01
    return c00, c01, c02, c11, c12, c22, h00 * c00 + h01 * c01 + h02 * c02


@formula
def invert(H: Array, out: Array) -> bool:
    """Write the inverse `(3, 3)` of a matrix given by its upper triangle `(6,)` to out.

    Return False, and write nothing, where it is singular. The inverse of a normal matrix is the covariance.
    """
    a, b, c, d, e, f, determinant = cofactors(H[0], H[1], H[2], H[3], H[4], H[5])
    if not determinant > _SINGULAR * (H[0] + H[3] + H[5]) ** 3:
        return False
    _fill(out, a / determinant, b / determinant, c / determinant, d / determinant, e / determinant, f / determinant)
    return True


@formula
def invert_matrix(A: Array, out: Array) -> None:
    """Write the inverse of a positive definite matrix `(3, 3)` to out, which may be A itself.

    Only the upper triangle of A is read.
    """
    a, b, c, d, e, f, determinant = cofactors(A[0, 0], A[0, 1], A[0, 2], A[1, 1], A[1, 2], A[2, 2])
    _fill(out, a / determinant, b / determinant, c / determinant, d / determinant, e / determinant, f / determinant)


@formula
def _fill(out: Array, a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    """Write a symmetric matrix given by its upper triangle."""
    out[0, 0], out[0, 1], out[0, 2] = a, b, c
    out[1, 0], out[1, 1], out[1, 2] = b, d, e
    out[2, 0], out[2, 1], out[2, 2] = c, e, f
