"""Checks of the numbers that files state for cameras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera

Array = NDArray[np.float64]
_LARGEST = 1e9  # a thousand kilometres, in millimetres
_NO_ROTATION = 1e-3  # largest entry of |R R^T - I| in a rotation; rounding to four decimals causes 2e-4
_EXACT = 1e-6  # above this, R is considered rounded and replaced by the nearest rotation


def numbers(values: Any, what: str, count: int | None = None) -> Array:
    """Return the finite numbers of a camera as a flat array.

    Raises:
        ValueError: The values are not numbers, not `count` many, not finite, or too large.
    """
    found = floats(values, what, count)
    if not (np.abs(found) < _LARGEST).all():
        raise ValueError(f"{what} is not finite, or too large")
    return found


def floats(values: Any, what: str, count: int | None = None) -> Array:
    """Return numbers, including infinity and NaN, as a flat array.

    Raises:
        ValueError: The values are not numbers, or not `count` many.
    """
    try:
        found = np.array(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError(f"{what} is no list of numbers: {str(values)[:60]}") from None
    if count is not None and found.size != count:
        raise ValueError(f"{what} has {found.size} numbers, expected {count}")
    return found


def checked_camera(name: str, K: Any, distortion: Any, R: Any, t: Any, size: tuple[int, int]) -> Camera:
    """Return a camera after checking its numbers.

    Raises:
        ValueError: The numbers cannot be those of a camera.
    """
    K, distortion, R, t = (np.array(values, dtype=float) for values in (K, distortion, R, t))
    numbers = np.concatenate([values.ravel() for values in (K, distortion, R, t)])
    if not (np.abs(numbers) < _LARGEST).all() or not (np.diag(K)[:2] > 0).all():
        raise ValueError(
            f"camera {name}: K, R, distortion or translation is not finite, or too large, or the focal length not"
            " positive"
        )
    if min(size) < 1:
        raise ValueError(f"camera {name}: is for images of {size[0]}x{size[1]} pixels")
    camera = Camera(str(name), K, distortion, nearest_rotation(str(name), R), t, size)
    if len(camera.distortion) not in (0, 4, 5, 8, 12, 14):
        raise ValueError(
            f"camera {name}: {len(camera.distortion)} distortion coefficients; OpenCV knows 4, 5, 8, 12, 14"
        )
    return camera


def nearest_rotation(name: str, R: NDArray[Any]) -> NDArray[Any]:
    """Return the rotation nearest to a matrix that is a rotation up to rounding.

    Raises:
        ValueError: The matrix is not a rotation.
    """
    off = np.abs(R @ R.T - np.eye(3)).max() if R.shape == (3, 3) else np.inf
    if not off <= _NO_ROTATION or np.linalg.det(R) < 0:
        raise ValueError(f"camera {name}: R is no rotation")
    if off <= _EXACT:
        return R
    # U Vt is the nearest orthogonal matrix in the Frobenius norm (orthogonal Procrustes)
    U, _, Vt = np.linalg.svd(R)
    return np.asarray(U @ Vt)
