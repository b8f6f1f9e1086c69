"""How well cameras are known: by what the joints say of them one by one and stretch by stretch, and by priors.

Errors of a detector last over frames and go with the joint: many keypoints are not as many observations. How far the
cameras move when a stretch of frames, or a joint, is left out tells how much such errors weigh.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.two_view.epipolar import skew

Array = NDArray[np.float64]
_SINGULAR = 1e-12
_KEPT = 0.05  # of a group left out, or what it alone determines would be nowhere without it


def inverse(matrix: Array) -> Array:
    """Of a symmetric matrix of which directions may be undetermined (they are taken to be 0), whatever its units."""
    own = np.diag(matrix)
    scale = np.where(own > 0, 1 / np.sqrt(np.where(own > 0, own, 1.0)), 0.0)
    found: Array = np.linalg.pinv(matrix * np.outer(scale, scale), rcond=_SINGULAR, hermitian=True)
    return found * np.outer(scale, scale)


def without_each(S: Array, gradient: Array, prior: Array) -> Array:
    """Covariance `(Q, Q)` by leaving out each of G groups of observations, which may err together (a jackknife).

    One Newton step is taken from where all observations lead to.

    Args:
        S: What each group adds to the normal equations, `(G, Q, Q)`.
        gradient: The same of the gradient, `(G, Q)`.
        prior: What is added whichever group is left out, `(Q, Q)`.
    """
    whole, groups = S.sum(axis=0) + prior, len(S)
    moves = np.stack([inverse(whole - (1 - _KEPT) * own) @ g for own, g in zip(S, gradient, strict=True)])
    return (groups - 1) / groups * moves.T @ moves


def spread(covariance: Array, R: Array, t: Array) -> Array:
    """Variances `(5, V)` of rotation, place and log focal length; and of the first two against the other cameras.

    Args:
        covariance: Of the cameras' parameters, `(P V, P V)`.
        R: Rotations `(V, 3, 3)`, camera from world.
        t: Translations `(V, 3)`.
    """
    views = len(R)
    by_camera = covariance.reshape(views, -1, views, covariance.shape[0] // views)
    own = np.stack([by_camera[v, :, v] for v in range(views)])
    by_center = np.stack([-r.T @ np.column_stack([skew(s), np.eye(3)]) for r, s in zip(R, t, strict=True)])
    places = by_center @ own[:, :6, :6] @ np.swapaxes(by_center, 1, 2)
    rotation, place = np.trace(own[:, :3, :3], axis1=1, axis2=2), np.trace(places, axis1=1, axis2=2)
    focal = own[:, 6, 6] if own.shape[1] > 6 else np.zeros(views)
    return np.stack([rotation, place, focal, *against_others(by_camera[:, :6, :, :6], R, t)])


def against_others(covariance: Array, R: Array, t: Array) -> tuple[Array, Array]:
    """Variances `(V,)` of every camera's rotation (radians) and place against the others, at their median.

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
    first, second = at_median
    return first, second
