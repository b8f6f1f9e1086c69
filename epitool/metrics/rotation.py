"""The rotation of Procrustes alignment for many poses at a time, in numba.

Every loop runs over LANES poses, so that each operation is one vector instruction; the last axis of all arrays is the
pose's place among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# So many that the compiler makes vector instructions of a loop over them instead of unrolling it, and no power of two,
# whose multiples would share their places in the processor's cache.
LANES = 56
SWEEPS = 5  # of Jacobi's method: the third leaves about 1e-8, and each squares that
_TINY = 1e-300
_NO_DIRECTION = 1e-15  # relative length under which a column is rounding


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def nearest_rotation(A: Any, V: Any, R: Any, trace: Any) -> None:
    """The rotations R that maximise trace(R^T H), no reflections, and that maximum.

    H = U S V^T by one-sided Jacobi (Hestenes 1958), whose columns come out in falling length. R takes the two longer
    columns of U, and their cross product for the third: that keeps it a rotation, and needs no case of its own where
    H has rank two.

    Args:
        A: H on entry, U S on return: `[column, row, lane]`.
        V: Room for V, as A.
        R: `[row, column, lane]`.
        trace: `[lane]`.
    """
    for k in range(3):
        for i in range(3):
            for b in range(LANES):
                V[k, i, b] = 1.0 if i == k else 0.0
    for _ in range(SWEEPS):
        _orthogonalise(A, V, 0, 1)
        _orthogonalise(A, V, 0, 2)
        _orthogonalise(A, V, 1, 2)
    _compose(A, V, R, trace)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _orthogonalise(A: Any, V: Any, p: int, q: int) -> None:
    """Turns columns p and q of A to right angles, the longer one first, and V alike."""
    for b in range(LANES):
        x0, x1, x2, y0, y1, y2 = A[p, 0, b], A[p, 1, b], A[p, 2, b], A[q, 0, b], A[q, 1, b], A[q, 2, b]
        longer = (y0 * y0 + y1 * y1 + y2 * y2) - (x0 * x0 + x1 * x1 + x2 * x2)
        twice = 2.0 * (x0 * y0 + x1 * y1 + x2 * y2)
        tangent = twice / (abs(longer) + np.sqrt(longer * longer + twice * twice) + _TINY)
        small = 1.0 / np.sqrt(1.0 + tangent * tangent)
        c = tangent * small if longer > 0.0 else small
        s = small if longer > 0.0 else tangent * small
        A[p, 0, b], A[q, 0, b] = c * x0 + s * y0, c * y0 - s * x0
        A[p, 1, b], A[q, 1, b] = c * x1 + s * y1, c * y1 - s * x1
        A[p, 2, b], A[q, 2, b] = c * x2 + s * y2, c * y2 - s * x2
        x0, x1, x2, y0, y1, y2 = V[p, 0, b], V[p, 1, b], V[p, 2, b], V[q, 0, b], V[q, 1, b], V[q, 2, b]
        V[p, 0, b], V[q, 0, b] = c * x0 + s * y0, c * y0 - s * x0
        V[p, 1, b], V[q, 1, b] = c * x1 + s * y1, c * y1 - s * x1
        V[p, 2, b], V[q, 2, b] = c * x2 + s * y2, c * y2 - s * x2


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _compose(A: Any, V: Any, R: Any, trace: Any) -> None:
    """R = U V^T, where the columns of A are those of U times the singular values."""
    for b in range(LANES):
        x, y, z = A[0, 0, b], A[0, 1, b], A[0, 2, b]
        length = np.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / length if length > 0.0 else 0.0
        x, y, z = x * inverse, y * inverse, z * inverse if length > 0.0 else 1.0
        a0, a1, a2 = A[1, 0, b], A[1, 1, b], A[1, 2, b]
        along = x * a0 + y * a1 + z * a2
        u0, u1, u2 = a0 - along * x, a1 - along * y, a2 - along * z
        size = np.sqrt(u0 * u0 + u1 * u1 + u2 * u2)
        # Where H has rank one, any direction at right angles to the first serves.
        known, sign = size > _NO_DIRECTION * length, 1.0 if z >= 0.0 else -1.0
        inverse, slope = 1.0 / size if known else 0.0, -1.0 / (sign + z)
        u0 = u0 * inverse if known else 1.0 + sign * x * x * slope
        u1 = u1 * inverse if known else sign * x * y * slope
        u2 = u2 * inverse if known else -sign * x
        w0, w1, w2 = y * u2 - z * u1, z * u0 - x * u2, x * u1 - y * u0
        third = w0 * A[2, 0, b] + w1 * A[2, 1, b] + w2 * A[2, 2, b]
        trace[b] = length + (u0 * a0 + u1 * a1 + u2 * a2) + third
        for k in range(3):
            v0, v1, v2 = V[0, k, b], V[1, k, b], V[2, k, b]
            R[0, k, b] = x * v0 + u0 * v1 + w0 * v2
            R[1, k, b] = y * v0 + u1 * v1 + w1 * v2
            R[2, k, b] = z * v0 + u2 * v1 + w2 * v2
