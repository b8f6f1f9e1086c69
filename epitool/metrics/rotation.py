"""Rotations of Procrustes alignment for many poses at once; only the few ill-posed ones need an SVD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 5  # of Laguerre's method; matrices that pass `_WELL_POSED` have then converged to rounding
# Lower limit of (s1 + s2) (s2 + s3) (s3 + s1), where s are the singular values at a Frobenius norm of 1 and s3 has the
# sign of the determinant. The rounding error of a rotation grows with its inverse: at this limit it is 1e-12.
_WELL_POSED = 0.01


def nearest_rotation(H: Array) -> tuple[Array, Array]:
    """Return the rotations, without reflections, that maximise trace(R^T H), and these maxima.

    A maximum is the largest root of the characteristic polynomial of the quaternion's key matrix (Theobald, Acta
    Crystallographica A61, 2005). The rotation follows from H and its cofactors (Markley, Journal of the Astronautical
    Sciences 41, 1993). Where other rotations are nearly as good, as for collinear poses and some mirror images, the
    root is nearly double and the SVD is used. The result for a matrix does not depend on the others.

    Args:
        H: Matrices `(3, 3, N)`.

    Returns:
        Rotations `(3, 3, N)` and traces `(N,)`; NaN for matrices that are not finite.
    """
    size = np.sqrt(np.einsum("ikn,ikn->n", H, H))
    usable = np.isfinite(size) & (size > 0)
    B = np.where(usable, H, 0.0) / np.where(usable, size, 1.0)
    cofactors = _cofactors(B)
    determinant = np.einsum("kn,kn->n", B[0], cofactors[0])
    largest = _largest_root(determinant, np.einsum("ikn,ikn->n", cofactors, cofactors))
    # Markley's kappa and zeta for a Frobenius norm of 1; zeta is also the product that `_WELL_POSED` bounds.
    half = 0.5 * (largest * largest - 1)
    posed = half * largest - determinant
    ill = np.flatnonzero(~(posed > _WELL_POSED))
    posed[ill] = 1.0
    # R = ((kappa + 1) B + lambda cof(B) - B B^T B) / zeta
    R = B * (half + 1)
    R += largest * cofactors
    R -= np.einsum("ijn,jkn->ikn", np.einsum("ikn,jkn->ijn", B, B), B)
    R /= posed
    trace = size * largest
    if len(ill):
        R[..., ill], trace[ill] = _nearest_by_svd(H[..., ill])
    return R, trace


def _largest_root(determinant: Array, cofactors: Array) -> Array:
    """Return the sums of the singular values, the third with the sign of the determinant, at a Frobenius norm of 1.

    Laguerre's method approaches the root from above without overshooting, because all roots are real. Divisors are
    bounded below by their value at the limit of well-posed roots, so that rounding cannot make a step at an ill-posed
    root too large.

    Args:
        determinant: Determinants `(N,)`.
        cofactors: Sums of the squared cofactors, `(N,)`.
    """
    eightfold, rest = 8 * determinant, 1 - 4 * cofactors
    # Upper bound: root^2 = 1 + 2 (sum of products of two singular values), and that sum is at most sqrt(3 cofactors).
    root = np.sqrt(1 + 2 * np.sqrt(3 * cofactors))
    for _ in range(_STEPS):
        square = root * root
        # P(x) = x^4 - 2 x^2 - 8 det x + 1 - 4 cofactors, and its derivative.
        value = ((square - 2) * root - eightfold) * root + rest
        slope = 4 * (square - 1) * root - eightfold
        bend = np.sqrt(np.maximum(9 * slope * slope - value * (144 * square - 48), 0.0))
        # At the root the divisor is 32 zeta, which is compared with `_WELL_POSED`.
        root -= 4 * value / np.maximum(slope + bend, 32 * _WELL_POSED)
    return root


def _cofactors(B: Array) -> Array:
    """Return cofactor matrices `(3, 3, N)`; each row is the cross product of the other two rows."""
    made = np.empty_like(B)
    for i in range(3):
        a, b = B[i - 2], B[i - 1]
        for k in range(3):
            made[i, k] = a[k - 2] * b[k - 1] - a[k - 1] * b[k - 2]
    return made


def _nearest_by_svd(H: Array) -> tuple[Array, Array]:
    """Return the same as `nearest_rotation`, by SVD (Umeyama, PAMI 1991)."""
    finite = np.isfinite(H).all(axis=(0, 1))
    U, singular, Vt = np.linalg.svd(np.moveaxis(np.where(finite, H, 0.0), -1, 0))
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(U @ Vt) < 0, -1.0, 1.0)
    R, trace = (U * signs[:, None, :]) @ Vt, (singular * signs).sum(axis=-1)
    return np.where(finite, np.moveaxis(R, 0, -1), np.nan), np.where(finite, trace, np.nan)
