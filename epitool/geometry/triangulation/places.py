"""Where the joints of one frame may be, by pairs of views and by bones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import copy, copy_matrix
from epitool.geometry.compiled.mixture import odds, probability
from epitool.geometry.compiled.projection import Views, project, slope
from epitool.geometry.compiled.rays import direction, passing
from epitool.geometry.compiled.symmetric import invert_matrix

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
CAPACITY = 24  # places a joint; the first is "nowhere"
_MERGE = 0.2  # of a bone: places closer than this are one
_VAGUE = 0.25  # of a bone: standard deviation along the ray of a joint that one view sees
_TWO_VIEWS, _MAJORITY = 1.6, 2.6  # that agree, less their noise, in units of what one view without error adds
_REACHING = 4  # places of a joint from which bones reach out to its neighbours
_PARALLEL = 1e-6  # squared sine of the angle between two rays
_BEND = 1.3  # bone lengths that a ray may pass from a neighbour and still be thought to touch the bone's end


class Sight(NamedTuple):
    """A frame's keypoints as the solver needs them.

    Attributes:
        xy: Undistorted px `(J, V, 2)`, NaN where unseen.
        odds: Of each to be an inlier were its error 0, `(J, V)`.
        precision: Inverse variance of a coordinate of each were it one, `(J, V)` px^-2.
    """

    xy: Array
    odds: Array
    precision: Array


class Tree(NamedTuple):
    """Bones as the solver needs them.

    Attributes:
        order: Joints, each after its parent, `(J,)`.
        parents: `(J,)`, -1 where no bone of known length leads to the joint.
        lengths: Of the bone from the parent, `(J,)`.
        spreads: Standard deviation of the same.
        size: A typical bone's length.
        reach: How far a joint can be from the middle of the body.
    """

    order: Integers
    parents: Integers
    lengths: Array
    spreads: Array
    size: float
    reach: float


class Places(NamedTuple):
    """Up to CAPACITY places of each joint; the first is "nowhere", at no cost.

    Attributes:
        xyz: `(J, K, 3)`.
        costs: Negative log likelihood of the keypoints, relative to all of them being gross errors, `(J, K)`.
        covariances: `(J, K, 3, 3)`.
        counts: Places in use, `(J,)`.
    """

    xyz: Array
    costs: Array
    covariances: Array
    counts: Integers


@njit(cache=True, nogil=True)
def observe(views: Views, sight: Sight, joint: int, X: Array, A: Array, g: Array) -> float:
    """Adds the keypoints of a joint supposed at `X (3,)` to its normal equations `A (3, 3)`, `g (3,)`.

    Weights are the probabilities that each keypoint is no gross error (one E step). Returns the negative log
    likelihood, relative to all keypoints being gross errors.
    """
    cost, J, xy = 0.0, np.empty((2, 3)), sight.xy[joint]
    for v in range(len(views.P)):
        x, y, over_depth = project(views.P, v, X[0], X[1], X[2])
        if xy[v, 0] != xy[v, 0] or not 0.0 < over_depth < np.inf:
            continue
        dx, dy = xy[v, 0] - x, xy[v, 1] - y
        own = odds(sight.odds[joint, v], sight.precision[joint, v], dx * dx + dy * dy)
        cost -= np.log1p(own)
        weight = sight.precision[joint, v] * probability(own)
        J[0, 0], J[0, 1], J[0, 2] = slope(views.P, v, 0, x, over_depth)
        J[1, 0], J[1, 1], J[1, 2] = slope(views.P, v, 1, y, over_depth)
        for i in range(3):
            g[i] += weight * (J[0, i] * dx + J[1, i] * dy)
            for j in range(3):
                A[i, j] += weight * (J[0, i] * J[0, j] + J[1, i] * J[1, j])
    return cost


@njit(cache=True, nogil=True)
def find_places(views: Views, tree: Tree, sight: Sight, start: Array) -> Places:
    """Places of all joints by their keypoints: the start `(J, 3)`, pairs of views, and bones.

    Where no two views agree on a joint, it may be wherever a view's ray is one bone away from a neighbour.
    """
    J, xy = len(sight.xy), sight.xy
    places = Places(
        np.full((J, CAPACITY, 3), np.nan), np.zeros((J, CAPACITY)), np.zeros((J, CAPACITY, 3, 3)),
        np.ones(J, dtype=np.int64),
    )  # fmt: skip
    rays = np.empty((J, len(views.P), 3))
    for j in range(J):
        for v in range(len(views.P)):
            _unit_direction(views.back, v, xy[j, v], rays[j, v])
        _add_pairs(views, tree.size, rays[j], sight, start[j], places, j)
    _keep_within_reach(tree.reach, places)
    alone = np.empty(J, dtype=np.bool_)
    for j in range(J):
        one_view = np.log1p(sight.odds[j].max())
        alone[j] = np.min(places.costs[j, : places.counts[j]]) > -_TWO_VIEWS * one_view
    for k in range(2 * J):
        child = tree.order[k] if k < J else tree.order[2 * J - 1 - k]
        parent = tree.parents[child]
        joint, neighbour = (child, parent) if k < J else (parent, child)
        if parent >= 0 and alone[joint]:
            _add_along_bone(views, tree.size, rays[joint], sight, tree.lengths[child], places, joint, neighbour)
    return places


@njit(cache=True, nogil=True, error_model="numpy")
def _unit_direction(back: Array, v: int, xy: Array, out: Array) -> None:
    """The unit vector `(3,)` in which view v sees a pixel."""
    x, y, z = direction(back, v, xy[0], xy[1])
    length = np.sqrt(x * x + y * y + z * z)
    out[0], out[1], out[2] = x / length, y / length, z / length


@njit(cache=True, nogil=True)
def _add_pairs(views: Views, size: float, rays: Array, sight: Sight, start: Array, places: Places, j: int) -> None:
    """Enters the start and where pairs of views see joint j, until most views agree on one place."""
    X, seen, xy = np.empty(3), 0, sight.xy[j]
    for v in range(len(xy)):
        seen += xy[v, 0] == xy[v, 0]
    beyond_doubt = -max(_MAJORITY, 0.5 * seen + 0.6) * np.log1p(sight.odds[j].max())
    if start[0] == start[0]:
        copy(start, X)
        _improve(views, size, sight, j, X)
        _consider(views, size, sight, X, places, j)
    for a in range(len(xy)):
        for b in range(a + 1, len(xy)):
            if np.min(places.costs[j, : places.counts[j]]) < beyond_doubt:
                return
            both = xy[a, 0] == xy[a, 0] and xy[b, 0] == xy[b, 0]
            if both and _midpoint(views.centers[a], rays[a], views.centers[b], rays[b], X):
                _improve(views, size, sight, j, X)
                _improve(views, size, sight, j, X)
                _consider(views, size, sight, X, places, j)


@njit(cache=True, nogil=True, error_model="numpy")
def _midpoint(c: Array, d: Array, e: Array, f: Array, out: Array) -> bool:
    """The point midway between the rays c + s d and e + t f; False unless it lies before both."""
    s, t, squared_sine = passing(d[0], d[1], d[2], f[0], f[1], f[2], e[0] - c[0], e[1] - c[1], e[2] - c[2])
    for i in range(3):
        out[i] = 0.5 * (c[i] + s * d[i] + e[i] + t * f[i])
    return squared_sine > _PARALLEL and s > 0.0 and t > 0.0


@njit(cache=True, nogil=True)
def _look(views: Views, size: float, sight: Sight, j: int, X: Array, g: Array, C: Array) -> float:
    """Cost of a place, with its gradient and covariance."""
    A = np.zeros((3, 3))
    g[:] = 0.0
    cost = observe(views, sight, j, X, A, g)
    for i in range(3):
        A[i, i] += 1.0 / (_VAGUE * size) ** 2
    invert_matrix(A, C)
    return cost


@njit(cache=True, nogil=True)
def _improve(views: Views, size: float, sight: Sight, j: int, X: Array) -> None:
    """Moves a place by one Gauss-Newton step."""
    g, C = np.empty(3), np.empty((3, 3))
    _look(views, size, sight, j, X, g, C)
    for i in range(3):
        X[i] += C[i, 0] * g[0] + C[i, 1] * g[1] + C[i, 2] * g[2]


@njit(cache=True, nogil=True)
def _consider(views: Views, size: float, sight: Sight, X: Array, places: Places, j: int) -> None:
    """Enters a place of joint j, unless no view is near."""
    g, C = np.empty(3), np.empty((3, 3))
    cost = _look(views, size, sight, j, X, g, C)
    if cost < -1e-3:
        _enter(X, cost, C, _MERGE * size, places, j)


@njit(cache=True, nogil=True)
def _enter(X: Array, cost: float, C: Array, merge: float, places: Places, j: int) -> None:
    """Enters a place; of two that are one, or when there are too many, the better ones stay."""
    n, costs = places.counts[j], places.costs[j]
    at = n if n < CAPACITY else 1 + np.argmax(costs[1:])
    for k in range(1, n):
        gap = 0.0
        for i in range(3):
            gap += (X[i] - places.xyz[j, k, i]) ** 2
        if gap < merge * merge:
            at = k
            break
    if at == n or cost < costs[at]:
        copy(X, places.xyz[j, at])
        copy_matrix(C, places.covariances[j, at])
        costs[at] = cost
        places.counts[j] = max(n, at + 1)


@njit(cache=True, nogil=True)
def _keep_within_reach(reach: float, places: Places) -> None:
    """Drops places that are too far from the middle of the body, which is the median of all joints' best places."""
    J = len(places.counts)
    best, middle = np.full((J, 3), np.nan), np.empty(3)
    for j in range(J):
        if places.counts[j] > 1:
            copy(places.xyz[j, 1 + np.argmin(places.costs[j, 1 : places.counts[j]])], best[j])
    for i in range(3):
        middle[i] = np.nanmedian(best[:, i])
    for j in range(J):
        kept = 1
        for k in range(1, places.counts[j]):
            away = 0.0
            for i in range(3):
                away += (places.xyz[j, k, i] - middle[i]) ** 2
            if away < reach * reach:
                copy(places.xyz[j, k], places.xyz[j, kept])
                places.costs[j, kept] = places.costs[j, k]
                copy_matrix(places.covariances[j, k], places.covariances[j, kept])
                kept += 1
        places.counts[j] = kept


@njit(cache=True, nogil=True)
def _add_along_bone(
    views: Views, size: float, rays: Array, sight: Sight, length: float, places: Places, j: int, neighbour: int
) -> None:
    """Enters where each view's ray is one bone away from the best places of a neighbour of joint j."""
    untried, X, xy = places.costs[neighbour, : places.counts[neighbour]].copy(), np.empty(3), sight.xy[j]
    for _ in range(min(_REACHING, len(untried) - 1)):
        k = 1 + np.argmin(untried[1:])
        untried[k] = np.inf
        for v in range(len(xy)):
            if xy[v, 0] != xy[v, 0]:
                continue
            near, squared = 0.0, 0.0
            for i in range(3):
                to = places.xyz[neighbour, k, i] - views.centers[v, i]
                near += rays[v, i] * to
                squared += to * to
            miss = squared - near * near
            if miss > (_BEND * length) ** 2:
                continue
            half = np.sqrt(max(length * length - miss, 0.0))
            for sign in (-1.0, 1.0):
                for i in range(3):
                    X[i] = views.centers[v, i] + (near + sign * half) * rays[v, i]
                _consider(views, size, sight, X, places, j)
