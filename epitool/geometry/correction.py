"""The optimal two-view correction: the nearest pair of image points that satisfies the epipolar constraint.

Both routes minimise the summed squared distance in both images (Hartley & Sturm 1997). The iteration (Kanatani 2008,
Lindstrom 2010) reaches the same optimum for all but awkward points; those go to the polynomial of degree six.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.two_view import homogeneous

Array = NDArray[np.float64]
_ITERATIONS = 10
_CONVERGED_PX = 1e-9
_NEAR_EPIPOLE = 0.1  # of the distance to the epipole; a larger correction may lead to another local optimum


def correct_matches(F: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Matches `(N, 2)` in undistorted pixels, moved as little as possible to satisfy x_b^T F x_a = 0.

    NaN stays NaN. Equals `cv2.correctMatches`, which solves the polynomial point by point.

    Args:
        F: Fundamental matrix `(3, 3)`, of rank 2.
        a: Points in the first view.
        b: Points in the second view.

    Returns:
        The corrected points of both views, `(N, 2)` each.
    """
    F = F / np.linalg.norm(F)
    new_a, new_b, converged = _iterate(F, a, b)
    epipole_a, epipole_b = np.linalg.svd(F)[2][2], np.linalg.svd(F.T)[2][2]
    doubtful = ~converged | _far(a, new_a, epipole_a) | _far(b, new_b, epipole_b)
    doubtful &= np.isfinite(a).all(axis=-1) & np.isfinite(b).all(axis=-1)
    if doubtful.any():
        new_a[doubtful], new_b[doubtful] = correct_by_polynomial(F, a[doubtful], b[doubtful])
    return new_a, new_b


def _far(before: Array, after: Array, epipole: Array) -> NDArray[np.bool_]:
    """Whether the correction is not small against the distance to the epipole `(3,)`, homogeneous."""
    moved = np.linalg.norm(after - before, axis=-1)
    distance = np.linalg.norm(epipole[:2] - before * epipole[2], axis=-1)  # times the epipole's third coordinate
    return ~(moved * abs(epipole[2]) < _NEAR_EPIPOLE * distance)


def _iterate(F: Array, a: Array, b: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Fixed-point iteration on the direction of the correction; each step meets the constraint exactly."""
    inner = F[:2, :2]
    c = (homogeneous(b) * (homogeneous(a) @ F.T)).sum(axis=-1)
    start_b, start_a = (homogeneous(a) @ F.T)[:, :2], (homogeneous(b) @ F)[:, :2]
    step_a, step_b = np.zeros_like(a), np.zeros_like(b)
    change = np.full(len(a), np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_ITERATIONS):
            toward_b = start_b - step_a @ inner.T
            toward_a = start_a - step_b @ inner
            half = ((toward_b * start_b).sum(-1) + (toward_a * start_a).sum(-1)) / 2
            square = (toward_b * (toward_a @ inner.T)).sum(-1)
            length = (c / (half + np.sign(half) * np.sqrt(half**2 - square * c)))[:, None]
            change = np.abs(length * toward_a - step_a).max(-1) + np.abs(length * toward_b - step_b).max(-1)
            step_a, step_b = length * toward_a, length * toward_b
            if np.nanmax(change, initial=0.0) < _CONVERGED_PX:
                break
    return a - step_a, b - step_b, change < _CONVERGED_PX


def correct_by_polynomial(F: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """As `correct_matches`, for every point by the roots of Hartley and Sturm's polynomial (all points at once)."""
    back_a, f_a = _canonical_frame(a, np.linalg.svd(F)[2][2])
    back_b, f_b = _canonical_frame(b, np.linalg.svd(F.T)[2][2])
    canonical = np.swapaxes(back_b, 1, 2) @ F @ back_a
    p, q, r, s = canonical[:, 1, 1], canonical[:, 1, 2], canonical[:, 2, 1], canonical[:, 2, 2]
    t = _stationary_points(p, q, r, s, f_a, f_b)
    # (u : w) is the pencil of epipolar lines, (t : 1) and the line that t never reaches, (1 : 0)
    u = np.column_stack([t, np.ones(len(t))])
    w = np.column_stack([np.ones_like(t), np.zeros(len(t))])
    line_a = np.stack([u * f_a[:, None], w, -u], axis=-1)
    num, den = r[:, None] * u + s[:, None] * w, p[:, None] * u + q[:, None] * w
    line_b = np.stack([-f_b[:, None] * num, den, num], axis=-1)
    best = np.argmin(np.nan_to_num(_squared_distance(line_a) + _squared_distance(line_b), nan=np.inf), axis=1)
    rows = np.arange(len(a))
    return _nearest_point(line_a[rows, best], back_a), _nearest_point(line_b[rows, best], back_b)


def _canonical_frame(xy: Array, epipole: Array) -> tuple[Array, Array]:
    """Transforms `(N, 3, 3)` to the image from frames with point (0, 0) and epipole (1, 0, f); and f `(N,)`."""
    local = epipole[:2] - xy * epipole[2]
    norm = np.maximum(np.linalg.norm(local, axis=-1), np.finfo(float).tiny)
    cos, sin = (local / norm[:, None]).T
    back = np.zeros((len(xy), 3, 3))
    back[:, 0, 0], back[:, 0, 1], back[:, 1, 0], back[:, 1, 1] = cos, -sin, sin, cos
    back[:, :2, 2], back[:, 2, 2] = xy, 1.0
    return back, epipole[2] / norm


def _stationary_points(p: Array, q: Array, r: Array, s: Array, f_a: Array, f_b: Array) -> Array:
    """Real parts `(N, 6)` of the roots of g(t), Hartley & Sturm equation 7 (p, q, r, s are their a, b, c, d)."""
    den, num = np.stack([q, p], axis=-1), np.stack([s, r], axis=-1)
    quadratic = _product(den, den) + f_b[:, None] ** 2 * _product(num, num)
    one = np.ones_like(f_a)
    weight = np.stack([one, np.zeros_like(one), f_a**2], axis=-1)
    first = _product(np.stack([np.zeros_like(one), one], axis=-1), _product(quadratic, quadratic))
    second = _product(_product(weight, weight), _product(den, num))
    g = -(p * s - q * r)[:, None] * second
    g[:, : first.shape[1]] += first
    return _roots(g)


def _product(x: Array, y: Array) -> Array:
    """Products of polynomials with coefficients `(N, degree + 1)`, lowest first."""
    out = np.zeros((len(x), x.shape[1] + y.shape[1] - 1))
    for i in range(x.shape[1]):
        out[:, i : i + y.shape[1]] += x[:, i : i + 1] * y
    return out


def _roots(g: Array) -> Array:
    """Real parts of the roots of polynomials `(N, 7)`, as eigenvalues of companion matrices.

    The variable is scaled so that the first and last coefficient are alike: t is in pixels, and its sixth power
    would otherwise drown the rest. A vanishing leading coefficient then gives a far root.
    """
    tiny = np.finfo(float).tiny
    scale = np.exp((np.log(np.abs(g[:, 0]) + tiny) - np.log(np.abs(g[:, 6]) + tiny)) / 6)
    scale = np.clip(scale, 1e-6, 1e9)
    g = g * scale[:, None] ** np.arange(7)
    g = g / np.maximum(np.abs(g).max(axis=1, keepdims=True), tiny)
    leading = np.where(np.abs(g[:, 6]) < 1e-14, 1e-14, g[:, 6])
    companion = np.zeros((len(g), 6, 6))
    companion[:, np.arange(1, 6), np.arange(5)] = 1.0
    companion[:, :, 5] = -g[:, :6] / leading[:, None]
    return np.linalg.eigvals(companion).real * scale[:, None]


def _squared_distance(line: Array) -> Array:
    """Squared distance of lines `(..., 3)` from the origin."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return line[..., 2] ** 2 / (line[..., 0] ** 2 + line[..., 1] ** 2)


def _nearest_point(line: Array, back: Array) -> Array:
    """The lines' `(N, 3)` points nearest to the origin, in image coordinates."""
    x, y, z = line.T
    point = np.stack([-x * z, -y * z, x**2 + y**2], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        image = (back @ point[:, :, None])[:, :, 0]
        return image[:, :2] / image[:, 2:]
