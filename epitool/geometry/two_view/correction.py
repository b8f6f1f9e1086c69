"""Optimal two-view correction: the nearest pair of image points that satisfies the epipolar constraint.

Both methods minimise the summed squared distance in both images (Hartley & Sturm 1997). The iteration (Kanatani 2008,
Lindstrom 2010) reaches the same optimum for all but difficult points; those are solved by the polynomial of degree six.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import compiled_allocating, formula
from epitool.geometry.compiled.sampson import epipolar_constraint

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
_ITERATIONS = 20
_CONVERGED_PX = 1e-9
_NEAR_EPIPOLE = 0.3  # share of the distance to the epipole; a larger correction may end in another local optimum
_ROOT_ITERATIONS = 100
_ROOT_CONVERGED = 1e-6  # relative; convergence is cubic, so the next change would be far below rounding


def correct_matches(F: Array, a: Array, b: Array, iterations: int = _ITERATIONS) -> tuple[Array, Array]:
    """Move matches `(N, 2)` in undistorted pixels as little as possible to satisfy x_b^T F x_a = 0.

    NaN stays NaN. The result is that of `cv2.correctMatches`, which solves the polynomial for every point.

    Args:
        F: Fundamental matrix `(3, 3)`, of rank 2.
        a: Points in the first view.
        b: Points in the second view.
        iterations: Largest number of iterations before the polynomial is solved; 0 solves it for every point.

    Returns:
        The corrected points of both views, `(N, 2)` each.
    """
    F = np.ascontiguousarray(F / np.linalg.norm(F))
    epipole_a, epipole_b = (e / np.abs(e).max() for e in (np.linalg.svd(F)[2][2], np.linalg.svd(F.T)[2][2]))
    a, b = (np.ascontiguousarray(points, dtype=float) for points in (a, b))
    corrected: tuple[Array, Array] = _correct_all(F, epipole_a, epipole_b, a, b, iterations)
    return corrected


@compiled_allocating
def _correct_all(
    F: Array, epipole_a: Array, epipole_b: Array, a: Array, b: Array, iterations: int
) -> tuple[Array, Array]:
    """Correct every match by iteration; solve the polynomial where that fails or moves a point far."""
    new_a, new_b = np.empty_like(a), np.empty_like(b)
    g, roots = np.empty(7), np.empty(6, dtype=np.complex128)
    for n in range(len(a)):
        ax, ay, bx, by = a[n, 0], a[n, 1], b[n, 0], b[n, 1]
        if not np.isfinite(ax + ay + bx + by):
            new_a[n], new_b[n] = np.nan, np.nan
            continue
        converged, ax, ay, bx, by = _iterate(F, ax, ay, bx, by, iterations)
        new_a[n, 0], new_a[n, 1], new_b[n, 0], new_b[n, 1] = ax, ay, bx, by
        if not (converged and _is_near(a[n], new_a[n], epipole_a) and _is_near(b[n], new_b[n], epipole_b)):
            _solve_polynomial(F, epipole_a, epipole_b, a[n], b[n], new_a[n], new_b[n], g, roots)
    return new_a, new_b


@formula
def _is_near(before: Array, after: Array, epipole: Array) -> bool:
    """Return whether the correction is small compared to the distance to the epipole `(3,)`, homogeneous."""
    # both sides are multiplied by epipole[2]^2, so that an epipole at infinity needs no division
    moved = ((after[0] - before[0]) ** 2 + (after[1] - before[1]) ** 2) * epipole[2] ** 2
    x, y = epipole[0] - before[0] * epipole[2], epipole[1] - before[1] * epipole[2]
    return moved < _NEAR_EPIPOLE**2 * (x * x + y * y)


@formula
def _iterate(
    F: Array, ax: float, ay: float, bx: float, by: float, iterations: int
) -> tuple[bool, float, float, float, float]:
    """Iterate on the direction of the correction to a fixed point; each step satisfies the constraint exactly.

    Return whether it converged, and the points.
    """
    c, start_ax, start_ay, start_bx, start_by = epipolar_constraint(F, ax, ay, bx, by)
    step_ax, step_ay, step_bx, step_by = 0.0, 0.0, 0.0, 0.0
    for _ in range(iterations):
        to_bx = start_bx - F[0, 0] * step_ax - F[0, 1] * step_ay
        to_by = start_by - F[1, 0] * step_ax - F[1, 1] * step_ay
        to_ax = start_ax - F[0, 0] * step_bx - F[1, 0] * step_by
        to_ay = start_ay - F[0, 1] * step_bx - F[1, 1] * step_by
        # the constraint along the direction is quadratic in the length; take the smaller root, without cancellation
        half = 0.5 * (to_bx * start_bx + to_by * start_by + to_ax * start_ax + to_ay * start_ay)
        square = to_bx * (F[0, 0] * to_ax + F[0, 1] * to_ay) + to_by * (F[1, 0] * to_ax + F[1, 1] * to_ay)
        length = c / (half + np.copysign(np.sqrt(half * half - square * c), half))
        change = abs(length * to_ax - step_ax) + abs(length * to_ay - step_ay)
        change += abs(length * to_bx - step_bx) + abs(length * to_by - step_by)
        step_ax, step_ay, step_bx, step_by = length * to_ax, length * to_ay, length * to_bx, length * to_by
        if change < _CONVERGED_PX:
            return True, ax - step_ax, ay - step_ay, bx - step_bx, by - step_by
    return False, ax, ay, bx, by


@formula
def _rotate_to_epipole(xy: Array, epipole: Array) -> tuple[float, float, float]:
    """Return cosine and sine of the first axis, and f, of a frame with the point at 0 and the epipole at (1, 0, f)."""
    x, y = epipole[0] - xy[0] * epipole[2], epipole[1] - xy[1] * epipole[2]
    norm = max(np.sqrt(x * x + y * y), 1e-300)
    return x / norm, y / norm, epipole[2] / norm


@formula
def _solve_polynomial(
    F: Array,
    epipole_a: Array,
    epipole_b: Array,
    a: Array,
    b: Array,
    new_a: Array,
    new_b: Array,
    g: Array,
    roots: ComplexArray,
) -> None:
    """Write the correction of one match `(2,)` to new_a and new_b by all roots of g (Hartley & Sturm, equation 7)."""
    cos_a, sin_a, f_a = _rotate_to_epipole(a, epipole_a)
    cos_b, sin_b, f_b = _rotate_to_epipole(b, epipole_b)
    across_x, across_y = F[0, 1] * cos_a - F[0, 0] * sin_a, F[1, 1] * cos_a - F[1, 0] * sin_a
    s, _, _, line_x, line_y = epipolar_constraint(F, a[0], a[1], b[0], b[1])
    p, q = across_y * cos_b - across_x * sin_b, line_y * cos_b - line_x * sin_b
    r = b[0] * across_x + b[1] * across_y + F[2, 1] * cos_a - F[2, 0] * sin_a
    _coefficients(p, q, r, s, f_a * f_a, f_b * f_b, g)
    scale = _find_roots(g, roots)
    least, best_u, best_w = np.inf, 1.0, 0.0
    for k in range(7):  # (u : w) is the pencil of epipolar lines; (1 : 0) is the one that no root reaches
        u, w = (roots[k].real * scale, 1.0) if k < 6 else (1.0, 0.0)
        num, den = r * u + s * w, p * u + q * w
        cost = u * u / (u * u * f_a * f_a + w * w) + num * num / (f_b * f_b * num * num + den * den)
        if cost < least:
            least, best_u, best_w = cost, u, w
    num, den = r * best_u + s * best_w, p * best_u + q * best_w
    _nearest_point(best_u * f_a, best_w, -best_u, cos_a, sin_a, a, new_a)
    _nearest_point(-f_b * num, den, num, cos_b, sin_b, b, new_b)


@formula
def _coefficients(p: float, q: float, r: float, s: float, aa: float, bb: float, g: Array) -> None:
    """Write the coefficients of g, lowest first.

    p, q, r, s are a, b, c, d of Hartley and Sturm, and aa, bb their f^2, f'^2.
    """
    k0, k1, k2 = q * q + bb * s * s, 2 * (p * q + bb * r * s), p * p + bb * r * r
    det = p * s - q * r
    m0, m1, m2 = det * q * s, det * (q * r + p * s), det * p * r
    g[0] = -m0
    g[1] = k0 * k0 - m1
    g[2] = 2 * k0 * k1 - m2 - 2 * aa * m0
    g[3] = k1 * k1 + 2 * k0 * k2 - 2 * aa * m1
    g[4] = 2 * k1 * k2 - 2 * aa * m2 - aa * aa * m0
    g[5] = k2 * k2 - aa * aa * m1
    g[6] = -aa * aa * m2


@formula
def _find_roots(g: Array, roots: ComplexArray) -> float:
    """Find all roots of a polynomial by Aberth's method, divided by the factor that is returned; g is overwritten.

    The variable is in pixels, and its sixth power would dominate the rest, so it is scaled to make the first and last
    coefficient similar. A vanishing leading coefficient then gives a distant root.
    """
    scale = (abs(g[0]) + 1e-300) ** (1 / 6) / (abs(g[6]) + 1e-300) ** (1 / 6)
    scale, power, largest = min(max(scale, 1e-6), 1e9), 1.0, 1e-300
    for k in range(7):
        g[k] *= power
        power *= scale
        largest = max(largest, abs(g[k]))
    for k in range(7):
        g[k] /= largest
    g[6] = g[6] if abs(g[6]) > 1e-14 else 1e-14
    for k in range(6):
        # starts on the unit circle, turned so that they are not symmetric about the real axis
        roots[k] = np.exp(1j * (np.pi / 3 * k + 0.4))
    for _ in range(_ROOT_ITERATIONS):
        change = 0.0
        for k in range(6):
            z = roots[k]
            value, slope, others = complex(g[6]), 0j, 0j
            for i in range(5, -1, -1):
                # Horner's scheme for the value and the derivative
                slope = slope * z + value
                value = value * z + g[i]
                if i != k:
                    apart = z - roots[i]
                    others += apart.conjugate() / (apart.real**2 + apart.imag**2)
            if value != 0:
                move = value / (slope - value * others)
                roots[k] -= move
                change = max(change, (move.real**2 + move.imag**2) / (z.real**2 + z.imag**2))
        if change < _ROOT_CONVERGED**2:
            break
    return scale


@formula
def _nearest_point(x: float, y: float, z: float, cos: float, sin: float, origin: Array, out: Array) -> None:
    """Write the point of a line (x, y, z) in the turned frame that is nearest to its origin, in image coordinates."""
    square = x * x + y * y
    near_x, near_y = -x * z / square, -y * z / square
    out[0] = origin[0] + cos * near_x - sin * near_y
    out[1] = origin[1] + sin * near_x + cos * near_y
