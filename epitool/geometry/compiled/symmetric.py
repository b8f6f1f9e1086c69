"""Inverses of symmetric 3x3 matrices, which normal matrices of points are."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import formula

Array = NDArray[np.float64]
_SINGULAR = 1e-18  # determinant over the trace cubed, which no choice of unit changes


@formula
def cofactors(
    h00: float, h01: float, h02: float, h11: float, h12: float, h22: float
) -> tuple[float, float, float, float, float, float, float]:
    """Cofactors of a symmetric matrix, given by its upper triangle row by row, in the same order; its determinant.

    The inverse is the cofactors over the determinant (Cramer's rule): of a symmetric matrix they need no transposing.
    """
    c00, c01, c02 = h11 * h22 - h12 * h12, h02 * h12 - h01 * h22, h01 * h12 - h02 * h11
    c11, c12, c22 = h00 * h22 - h02 * h02, h01 * h02 - h00 * h12, h00 * h11 - h01 * h01
    return c00, c01, c02, c11, c12, c22, h00 * c00 + h01 * c01 + h02 * c02


@njit(cache=True, nogil=True, error_model="numpy")
def invert(H: Array, out: Array) -> bool:
    """Inverse `(3, 3)` of a matrix given by its upper triangle `(6,)`, into out; False, and no inverse, where singular.

    Of a normal matrix that is the covariance.
    """
    a, b, c, d, e, f, determinant = cofactors(H[0], H[1], H[2], H[3], H[4], H[5])
    if not determinant > _SINGULAR * (H[0] + H[3] + H[5]) ** 3:
        return False
    _fill(out, a / determinant, b / determinant, c / determinant, d / determinant, e / determinant, f / determinant)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def invert_matrix(A: Array, out: Array) -> None:
    """Inverse of a positive definite matrix `(3, 3)`, whose upper triangle is read, into out, which may be A itself."""
    a, b, c, d, e, f, determinant = cofactors(A[0, 0], A[0, 1], A[0, 2], A[1, 1], A[1, 2], A[2, 2])
    _fill(out, a / determinant, b / determinant, c / determinant, d / determinant, e / determinant, f / determinant)


@formula
def _fill(out: Array, a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    """Writes a symmetric matrix, given by its upper triangle."""
    out[0, 0], out[0, 1], out[0, 2] = a, b, c
    out[1, 0], out[1, 1], out[1, 2] = b, d, e
    out[2, 0], out[2, 1], out[2, 2] = c, e, f
