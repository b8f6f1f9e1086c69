"""Projection of points by cameras with a lens, and its derivatives by point, camera and lens.

A camera has up to eleven parameters: rotation w and translation u, by which it moves as `exp(w) R, t + u`; the
logarithm of its focal length; its principal point; its bend, by which what is at `(x, y)` on the plane z = 1 appears at
`(1 + bend r^2) (x, y)`, with r^2 = x^2 + y^2; and the logarithm of fx / fy. Where lenses
are adjusted, the bend stands for the whole distortion: keypoints are undistorted, then bent by the lens that has only
k1 and is most like their own. Otherwise it is 0, and keypoints are undistorted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import Number, formula

Array = NDArray[np.float64]
POSE, FOCAL, LENS = 6, 7, 11  # number of parameters of a camera: pose only, with focal length, with the whole lens


@formula
def _rotate_into_camera(R: Array, v: int, X: Number, Y: Number, Z: Number) -> tuple[Number, Number, Number]:
    """Return a point rotated into the axes of camera v, without the translation."""
    return (
        R[v, 0, 0] * X + R[v, 0, 1] * Y + R[v, 0, 2] * Z,
        R[v, 1, 0] * X + R[v, 1, 1] * Y + R[v, 1, 2] * Z,
        R[v, 2, 0] * X + R[v, 2, 1] * Y + R[v, 2, 2] * Z,
    )


@formula
def _pixel(K: Array, v: int, x: Number, y: Number, grown: Number) -> tuple[Number, Number]:
    """Return the pixel, relative to the principal point, of (x, y) on the plane z = 1 scaled by a factor."""
    return (K[v, 0, 0] * x + K[v, 0, 1] * y) * grown, K[v, 1, 1] * y * grown


def squared_errors(R: Array, t: Array, K: Array, bend: Array, points: Array, xy: Array) -> Array:
    """Return squared reprojection errors `(N, V)`, px squared.

    Errors are NaN where a keypoint is missing, and infinite where a keypoint exists but the camera cannot see the
    point: behind the camera, or where a barrel lens would fold the image over. Beyond `1 + 3 bend r^2 = 0`, where the
    derivative of `r + bend r^3` is 0, points further out would appear further in.

    Args:
        R: Rotations `(V, 3, 3)`.
        t: Translations `(V, 3)`.
        K: Intrinsics `(V, 3, 3)`.
        bend: Bends `(V,)`.
        points: Points `(N, 3)`.
        xy: Keypoints `(N, V, 2)`.
    """
    out = np.empty(xy.shape[:2])
    with np.errstate(all="ignore"):
        for v in range(len(R)):
            rx, ry, rz = _rotate_into_camera(R, v, points[:, 0], points[:, 1], points[:, 2])
            over_z = 1.0 / (rz + t[v, 2])
            x, y = (rx + t[v, 0]) * over_z, (ry + t[v, 1]) * over_z
            bent = bend[v] * (x * x + y * y)
            px, py = _pixel(K, v, x, y, 1.0 + bent)
            squared = (px + K[v, 0, 2] - xy[:, v, 0]) ** 2 + (py + K[v, 1, 2] - xy[:, v, 1]) ** 2
            visible = (over_z > 0.0) & (over_z < np.inf) & (1.0 + 3.0 * bent > 0.0)
            out[:, v] = np.where(visible, squared, np.where(np.isnan(xy[:, v, 0]), np.nan, np.inf))
    return out


@formula
def linearize(
    R: Array, t: Array, K: Array, bend: Array, v: int, X: Array, xy: Array, Jc: Array, Jp: Array, residual: Array
) -> None:
    """Write the residual `(2,)` of a point in view v and its derivatives by camera `(2, P)` and by point `(2, 3)`.

    With p = R X + t and (x, y) = (p0, p1) / p2, the chain rule leads from the pixel through the bent plane to p. The
    derivative of each coordinate by p is (a, b, c), where c follows from the fact that points on the same ray have the
    same pixel: `a p0 + b p1 + c p2 = 0`. The derivative by X is `(a, b, c) R`, by u it is (a, b, c), and by w it is `(R
    X) x (a, b, c)`, because `exp(w) R X = R X + w x R X` to first order. The derivative of the bent x by x is the
    magnification plus `2 bend x^2`.

    Args:
        R: Rotations `(V, 3, 3)`.
        t: Translations `(V, 3)`.
        K: Intrinsics `(V, 3, 3)`.
        bend: Bends `(V,)`.
        v: Index of the view.
        X: The point `(3,)`.
        xy: Keypoints of the point `(V, 2)`.
        Jc: Derivative by camera, written; P is 6, 7 or 11.
        Jp: Derivative by point, written.
        residual: Residual, written.
    """
    rx, ry, rz = _rotate_into_camera(R, v, X[0], X[1], X[2])
    over_z = 1.0 / (rz + t[v, 2])
    x, y = (rx + t[v, 0]) * over_z, (ry + t[v, 1]) * over_z
    rr = x * x + y * y
    grown = 1.0 + bend[v] * rr
    across = 2.0 * bend[v] * x * y
    along_x, along_y = grown + 2.0 * bend[v] * x * x, grown + 2.0 * bend[v] * y * y
    px, py = _pixel(K, v, x, y, grown)
    residual[0], residual[1] = px + K[v, 0, 2] - xy[v, 0], py + K[v, 1, 2] - xy[v, 1]
    for row in range(2):
        a = (K[v, row, 0] * along_x + K[v, row, 1] * across) * over_z
        b = (K[v, row, 0] * across + K[v, row, 1] * along_y) * over_z
        c = -(a * x + b * y)
        Jc[row, 0], Jc[row, 1], Jc[row, 2] = c * ry - b * rz, a * rz - c * rx, b * rx - a * ry
        Jc[row, 3], Jc[row, 4], Jc[row, 5] = a, b, c
        for k in range(3):
            Jp[row, k] = a * R[v, 0, k] + b * R[v, 1, k] + c * R[v, 2, k]
    if Jc.shape[1] > POSE:
        # a change of log f scales the pixel about the principal point
        Jc[0, 6], Jc[1, 6] = px, py
    if Jc.shape[1] > FOCAL:
        Jc[0, 7], Jc[1, 7], Jc[0, 8], Jc[1, 8] = 1.0, 0.0, 0.0, 1.0
        Jc[0, 9], Jc[1, 9] = _pixel(K, v, x, y, rr)
        # a change of log fx / fy is shared equally by both focal lengths
        Jc[0, 10], Jc[1, 10] = px / 2, -py / 2
