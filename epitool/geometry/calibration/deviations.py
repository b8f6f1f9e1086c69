"""Uncertainty of cameras from joints, grouped by joint, stretch of frames or person, and from priors.

Errors of a detector last over several frames and depend on the joint and the person, so many keypoints are not as many
independent observations. How far the cameras move when a joint, a stretch of frames or a person is left out shows how
much such errors matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.two_view.epipolar import skew

Array = NDArray[np.float64]
_SINGULAR = 1e-12
_KEPT = 0.05  # share kept of a group that is left out, so that what it alone determines stays determined
_WHOLE = 1e-9  # least share of the information that groups have, and that the others have


def invert_determined(matrix: Array) -> Array:
    """Invert a symmetric matrix; directions that are undetermined, whatever the units, have inverse 0."""
    own = np.diag(matrix)
    scale = np.where(own > 0, 1 / np.sqrt(np.where(own > 0, own, 1.0)), 0.0)
    found: Array = np.linalg.pinv(matrix * np.outer(scale, scale), rcond=_SINGULAR, hermitian=True)
    return found * np.outer(scale, scale)


def jackknife_covariance(S: Array, gradient: Array, prior: Array) -> Array:
    """Return the covariance `(Q, Q)` from leaving out each of G groups of observations (a jackknife).

    Observations of a group may have correlated errors. Each time, one Newton step is taken from the solution for all
    observations. A small share of the group is kept, which never weighs more than the same share of all others: a group
    that outweighs the others would otherwise hold the solution even when it is left out.

    Args:
        S: Contribution of each group to the normal equations, `(G, Q, Q)`.
        gradient: Contribution of each group to the gradient, `(G, Q)`.
        prior: Contribution of the prior, which is never left out, `(Q, Q)`.
    """
    whole, groups = S.sum(axis=0) + prior, len(S)
    of_all = np.einsum("ij,gji->g", invert_determined(whole), S) / len(whole)
    of_all = np.clip(of_all, _WHOLE, 1 - _WHOLE)
    kept = _KEPT * np.minimum(1.0, (1 - of_all) / of_all)
    moves = [invert_determined(whole - (1 - k) * own) @ g for k, own, g in zip(kept, S, gradient, strict=True)]
    return (groups - 1) / groups * np.transpose(moves) @ np.stack(moves)


def covariances(
    by_cluster: Sequence[tuple[Array, Array]], prior: Array, variance: float, belief: float
) -> tuple[list[Array], Array]:
    """Return covariances `(Q, Q)` that keypoints with correlated errors may have, and the one that priors add to each.

    The first way in which errors may be correlated always counts, the others are alternatives. Each way adds its excess
    over the variance that independent keypoints would give (two-way clusters, Cameron, Gelbach and Miller 2011).

    Args:
        by_cluster: For each way, contributions to the normal equations and to the gradient, as `jackknife_covariance`
            takes them.
        prior: Contribution of the prior to the normal equations, `(Q, Q)`.
        variance: Variance of a coordinate of a keypoint.
        belief: Factor by which the prior counts more against each keypoint than if keypoints were independent.
    """
    whole = by_cluster[0][0].sum(axis=0)
    bread = invert_determined(whole + prior)
    independent = variance * bread @ whole @ bread
    first, *others = (jackknife_covariance(*sums, prior) for sums in by_cluster)
    # with few clusters a jackknife may be too optimistic; the model's own variance is a lower bound
    possible = [independent, *(first + other - independent for other in others)]
    return possible, variance * belief * bread @ prior @ bread


def contributions_of_halves(S: Array, gradient: Array) -> tuple[Array, Array]:
    """Return the contributions of both halves of a recording, by those of its stretches; see `jackknife_covariance`."""
    half = len(S) // 2
    first, second = ([part[:half].sum(axis=0), part[half:].sum(axis=0)] for part in (S, gradient))
    return np.stack(first), np.stack(second)


def largest_deviations(possible: Sequence[Array], own: Array, free: Array, R: Array, t: Array) -> Array:
    """Return the largest standard deviations `(5, V)` of cameras that any covariance gives, as `variances_of_cameras`.

    Args:
        possible: Covariances `(Q, Q)` of steps in free directions.
        own: Covariance `(Q, Q)` that is added to each.
        free: The free directions, `(P V, Q)`.
        R: Rotations `(V, 3, 3)`, camera from world.
        t: Translations `(V, 3)`.
    """
    variances = [variances_of_cameras(free @ (C + own) @ free.T, R, t) for C in possible]
    found: Array = np.sqrt(np.maximum(np.max(variances, axis=0), 0.0))
    return found


def variances_of_cameras(covariance: Array, R: Array, t: Array) -> Array:
    """Return variances `(5, V)` of rotation, place and log focal length, then of rotation and place within the rig.

    The last two are relative to the other cameras, as `variances_against_others` defines them.

    Args:
        covariance: Covariance of the cameras' parameters, `(P V, P V)`.
        R: Rotations `(V, 3, 3)`, camera from world.
        t: Translations `(V, 3)`.
    """
    views = len(R)
    by_camera = covariance.reshape(views, -1, views, covariance.shape[0] // views)
    own = np.stack([by_camera[v, :, v] for v in range(views)])
    to_center = _to_centers(R, t)
    places = to_center @ own[:, :6, :6] @ np.swapaxes(to_center, 1, 2)
    rotation, place = np.trace(own[:, :3, :3], axis1=1, axis2=2), np.trace(places, axis1=1, axis2=2)
    focal = own[:, 6, 6] if own.shape[1] > 6 else np.zeros(views)
    return np.stack([rotation, place, focal, *variances_against_others(by_camera[:, :6, :, :6], R, t)])


def _to_centers(R: Array, t: Array) -> Array:
    """Return the derivatives `(V, 3, 6)` of the cameras' centres -R' t by small turns and by t."""
    return np.stack([-r.T @ np.column_stack([skew(s), np.eye(3)]) for r, s in zip(R, t, strict=True)])


def variances_against_others(covariance: Array, R: Array, t: Array) -> tuple[Array, Array]:
    """Return variances `(V,)` of each camera's rotation (radians) and place relative to the others, as their median.

    The place is relative to the size of the rig: no baseline's length is fixed. With two cameras, each has the same
    uncertainty; a camera with a large uncertainty affects only its own values.

    Args:
        covariance: Covariance of small turns and of changes of t, camera by camera, `(V, 6, V, 6)`, in any gauge.
        R: Rotations `(V, 3, 3)`, camera from world.
        t: Translations `(V, 3)`.
    """
    views = len(R)
    centers = -np.einsum("vji,vj->vi", R, t)
    to_center = _to_centers(R, t)
    spread = centers - centers.mean(axis=0)
    grown = np.zeros((6 * views,))  # derivative of the relative size of the rig
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
            # the place is measured in the axes of camera a, so that a turn of a moves it too
            way[:, 6 * a : 6 * a + 3] -= skew(centers[b] - centers[a]) @ R[a].T
            rotation[a, b], place[a, b] = (np.trace(J @ full @ J.T) for J in (turn, way))
    place = np.fmin(place, place.T)
    middle = (views - 2) // 2  # the lower median: of three cameras, one other well-known camera suffices
    at_median = (np.sort(values, axis=0)[middle] for values in (rotation, place))  # the diagonal is NaN and sorts last
    first, second = at_median
    return first, second
