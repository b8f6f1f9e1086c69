"""Least squares with weights that gross errors hardly have, for offsets and drifts in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError

Array = NDArray[np.float64]
TAIL = 5.0  # standard deviations at which a residual keeps a quarter of its weight
_LEAST_PX = 0.5  # px; standard deviation that smoothing alone causes


def robust_sd(residual: Array) -> float:
    """Return the standard deviation of residuals, px, from their median size, of which up to half may be errors."""
    return max(float(1.4826 * np.nanmedian(np.abs(residual))), _LEAST_PX)


def geman_mcclure_weights(residual: Array, sigma: float) -> Array:
    """Return Geman-McClure weights of residuals with a given standard deviation, 0 where a residual is missing."""
    return np.nan_to_num(1 / (1 + (residual / (TAIL * sigma)) ** 2) ** 2)


def normal_equations(residual: Array, slope: Array, weight: Array) -> tuple[Array, Array]:
    """Return the normal matrix `(P, P)` of Gauss-Newton and the gradient contributed by each residual `(N, J, P)`."""
    seen = np.isfinite(residual)
    slope, residual = np.where(seen[..., None], slope, 0.0), np.where(seen, residual, 0.0)
    weighted = slope * weight[..., None]
    return np.einsum("njp,njq->pq", weighted, slope, optimize=True), weighted * residual[..., None]


def invert_positive(normal: Array) -> Array:
    """Return the inverse of a positive definite matrix.

    Raises:
        GeometryError: The matrix is not positive definite.
    """
    # scaling to a unit diagonal makes the test independent of the parameters' units
    scale = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    with np.errstate(over="ignore"):
        scaled = normal / np.outer(scale, scale)
    if not np.isfinite(scaled).all() or np.linalg.eigvalsh(scaled)[0] < 1e-12:
        raise GeometryError("the joints' motion determines no time offset")
    return np.linalg.inv(scaled) / np.outer(scale, scale)
