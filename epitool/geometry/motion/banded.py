"""Banded least squares for the path of one joint that is near measured places and has little jerk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded

from epitool.geometry.compiled.formula import compiled

Array = NDArray[np.float64]
_DIFFERENCES = np.array([-1.0, 3.0, -3.0, 1.0])  # jerk as the third difference of four successive places
_ROUNDING = 1e-13  # of the largest stiffness: added to the diagonal to keep the matrix regular, below rounding
REACH = len(_DIFFERENCES) - 1  # frames from the first to the last place of one jerk


def likeliest_path(places: Array, precision: Array, stiffness: Array) -> tuple[Array, Array, Array]:
    """Return the path that minimizes the weighted sum of squared errors and squared jerks.

    Args:
        places: Measured places `(F, 3)`; any values where the precision is 0.
        precision: Inverse covariances `(F, 3, 3)`.
        stiffness: Weights `(F - 3,)` of the jerks; 0 cuts the path there.

    Returns:
        The path `(F, 3)`, and each frame's part of the log determinant of the normal matrix and of the minimum, both
        `(F,)`.

    Raises:
        numpy.linalg.LinAlgError: The places determine no path.
    """
    factor = cholesky_banded(_normal_matrix(precision, stiffness), lower=True, check_finite=False)
    pull = np.einsum("fab,fb->fa", precision, places)
    path = cho_solve_banded((factor, True), pull.ravel(), check_finite=False).reshape(-1, 3)
    logarithms = 2 * np.log(factor[0]).reshape(-1, 3).sum(axis=1)
    return path, logarithms, (pull * (places - path)).sum(axis=1)


def inverse_blocks(precision: Array, stiffness: Array) -> Array:
    """Return the blocks on the diagonal of the inverse of the path's normal matrix.

    They are the covariances of the path's places, in the units of the precision, if errors and jerks are as assumed.

    Args:
        precision: Inverse covariances `(F, 3, 3)`, as for `likeliest_path`.
        stiffness: Weights `(F - 3,)` of the jerks.

    Returns:
        The blocks, `(F, 3, 3)`.

    Raises:
        numpy.linalg.LinAlgError: The places determine no path.
    """
    factor = cholesky_banded(_normal_matrix(precision, stiffness), lower=True, check_finite=False)
    band = np.zeros_like(factor)
    _invert(np.ascontiguousarray(factor), band)
    blocks = np.empty((len(precision), 3, 3))
    for row in range(3):
        for column in range(row + 1):
            blocks[:, row, column] = blocks[:, column, row] = band[row - column, column::3]
    return blocks


@compiled
def _invert(factor: Array, out: Array) -> None:
    """Write the elements of the inverse `(B, N)` that lie in the band of a Cholesky factor `(B, N)` to out.

    Both are given by their diagonal and those below it. This is the recursion of Takahashi, Fagan and Chin (1973),
    from the last column to the first: in `L^T Z = L^-1`, what is on the right is 0 above the diagonal.
    """
    below, count = len(factor) - 1, factor.shape[1]
    for i in range(count - 1, -1, -1):
        reach = min(below, count - 1 - i)
        for apart in range(reach, -1, -1):
            total = 0.0 if apart else 1.0 / factor[0, i]
            for k in range(1, reach + 1):
                total -= factor[k, i] * out[abs(k - apart), i + min(k, apart)]
            out[apart, i] = total / factor[0, i]


def _normal_matrix(precision: Array, stiffness: Array) -> Array:
    """Return the normal matrix's diagonal and those below it, `(10, 3 F)`; x, y and z of a frame are neighbours."""
    band = np.zeros((3 * REACH + 1, len(precision), 3))
    for apart in range(REACH + 1):
        for i in range(REACH + 1 - apart):
            weight = _DIFFERENCES[i] * _DIFFERENCES[i + apart]
            band[3 * apart, i : i + len(stiffness)] += weight * stiffness[:, None]
    for row in range(3):
        for column in range(row + 1):
            band[row - column, :, column] += precision[:, row, column]
    band[0] += _ROUNDING * stiffness.max(initial=0.0)
    return band.reshape(len(band), -1)
