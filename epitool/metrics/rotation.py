"""The rotations of Procrustes alignment, of many poses at a time: without an SVD, but for the few that need one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 5  # of Laguerre's method: what `_WELL_POSED` lets through has then converged to rounding
# The product of the sums of two singular values, the third with the sign of the determinant, at a Frobenius norm of 1.
# The rounding of a rotation grows with its inverse: at this limit it is 1e-12.
_WELL_POSED = 0.01


def nearest_rotation(H: Array) -> tuple[Array, Array]:
    """The rotations that maximise trace(R^T H), never mirror images, and these maxima.

    A maximum is the largest root of the characteristic polynomial of the quaternion's key matrix (Theobald, Acta
    Crystallographica A61, 2005); the rotation then follows from H and its cofactors (Markley, Journal of the
    Astronautical Sciences 41, 1993). Where other rotations are nearly as good, as for collinear poses and some mirror
    images, the root is nearly double and the SVD is used. What is found for a matrix does not depend on the others.

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
    half = 0.5 * (largest * largest - 1)
    posed = half * largest - determinant
    ill = np.flatnonzero(~(posed > _WELL_POSED))
    posed[ill] = 1.0
    R = B * (half + 1)
    R += largest * cofactors
    R -= np.einsum("ijn,jkn->ikn", np.einsum("ikn,jkn->ijn", B, B), B)
    R /= posed
    trace = size * largest
    if len(ill):
        R[..., ill], trace[ill] = _by_svd(H[..., ill])
    return R, trace


def _largest_root(determinant: Array, cofactors: Array) -> Array:
    """Sums of the singular values, the third with the sign of the determinant, at a Frobenius norm of 1.

    Laguerre's method comes from above and does not overshoot, for all roots are real. Divisors are no less than they
    are at a well-posed root, so that rounding cannot throw a step beyond one that is not.

    Args:
        determinant: `(N,)`.
        cofactors: Sums of their squares, `(N,)`.
    """
    eightfold, rest = 8 * determinant, 1 - 4 * cofactors
    # No root is above this: the products of two singular values add up to sqrt(3 cofactors) at the most.
    root = np.sqrt(1 + 2 * np.sqrt(3 * cofactors))
    for _ in range(_STEPS):
        square = root * root
        value = ((square - 2) * root - eightfold) * root + rest
        slope = 4 * (square - 1) * root - eightfold
        bend = np.sqrt(np.maximum(9 * slope * slope - value * (144 * square - 48), 0.0))
        root -= 4 * value / np.maximum(slope + bend, 32 * _WELL_POSED)
    return root


def _cofactors(B: Array) -> Array:
    """Rows are the cross products of the other two rows, `(3, 3, N)`."""
    made = np.empty_like(B)
    for i in range(3):
        a, b = B[i - 2], B[i - 1]
        for k in range(3):
            made[i, k] = a[k - 2] * b[k - 1] - a[k - 1] * b[k - 2]
    return made


def _by_svd(H: Array) -> tuple[Array, Array]:
    """As `nearest_rotation` (Umeyama, PAMI 1991)."""
    finite = np.isfinite(H).all(axis=(0, 1))
    U, singular, Vt = np.linalg.svd(np.moveaxis(np.where(finite, H, 0.0), -1, 0))
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(U @ Vt) < 0, -1.0, 1.0)
    R, trace = (U * signs[:, None, :]) @ Vt, (singular * signs).sum(axis=-1)
    return np.where(finite, np.moveaxis(R, 0, -1), np.nan), np.where(finite, trace, np.nan)
