"""How well cameras are known against each other, whichever of them the world is laid in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.two_view import skew

Array = NDArray[np.float64]


def against_others(covariance: Array, R: Array, t: Array) -> tuple[Array, Array]:
    """Standard deviations `(V,)` of every camera's rotation (radians) and place against the others, at their median.

    The place is that in the rig as large as it is: no baseline's length is taken as given. Of two cameras each is
    known as well as the other; one that is known badly spoils only its own.

    Args:
        covariance: Of small turns and of changes of t, camera by camera, `(V, 6, V, 6)`, in any gauge.
        R: Rotations `(V, 3, 3)`, camera from world.
        t: Translations `(V, 3)`.
    """
    views = len(R)
    centers = -np.einsum("vji,vj->vi", R, t)
    to_center = np.stack([-r.T @ np.column_stack([skew(s), np.eye(3)]) for r, s in zip(R, t, strict=True)])
    spread = centers - centers.mean(axis=0)
    grown = np.zeros((6 * views,))  # of the rig's size
    for v in range(views):
        grown[6 * v : 6 * v + 6] = spread[v] @ to_center[v] / (spread**2).sum()
    full = covariance.reshape(6 * views, 6 * views)
    rotation, place = np.full((views, views), np.nan), np.full((views, views), np.nan)
    for a in range(views):
        for b in range(views):
            if a == b:
                continue
            turn, way = np.zeros((3, 6 * views)), -np.outer(centers[b] - centers[a], grown)
            turn[:, 6 * b : 6 * b + 3], turn[:, 6 * a : 6 * a + 3] = np.eye(3), -R[b] @ R[a].T
            way[:, 6 * b : 6 * b + 6] += to_center[b]
            way[:, 6 * a : 6 * a + 6] -= to_center[a]
            way[:, 6 * a : 6 * a + 3] -= skew(centers[b] - centers[a]) @ R[a].T
            rotation[a, b], place[a, b] = (np.trace(J @ full @ J.T) for J in (turn, way))
    place = np.fmin(place, place.T)
    middle = (views - 2) // 2  # the lower median: one other camera that is known well is enough of three
    at_median = (np.sort(values, axis=0)[middle] for values in (rotation, place))  # NaN, of oneself, sorts last
    first, second = (np.sqrt(np.maximum(values, 0.0)) for values in at_median)
    return first, second
