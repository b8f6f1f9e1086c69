"""Candidate places of the joints of one frame, from pairs of views and from bones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import copy, copy_matrix, formula_allocating
from epitool.geometry.compiled.mixture import odds, probability
from epitool.geometry.compiled.projection import Views, pixel_derivative, project
from epitool.geometry.compiled.rays import closest_approach, ray_direction
from epitool.geometry.compiled.symmetric import invert_matrix

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
CAPACITY = 24  # places per joint; the first is "nowhere"
_MERGE = 0.2  # share of a bone's length: places closer than this are merged
_VAGUE = 0.25  # share of a bone's length: standard deviation along the ray of a joint that only one view sees
_TWO_VIEWS, _MAJORITY = 1.6, 2.6  # evidence of two and of most views, in units of one error-free view, less noise
_REACHING = 4  # number of a joint's best places from which bones reach out to its neighbours
_PARALLEL = 1e-6  # squared sine of the angle below which two rays count as parallel
_BEND = 1.3  # a ray within this many bone lengths of a neighbour may still touch the bone's end


class Sight(NamedTuple):
    """Keypoints of one frame as the solver needs them.

    Attributes:
        xy: Undistorted keypoints, px `(J, V, 2)`, NaN where unseen.
        odds: Odds of each keypoint being an inlier if its error were 0, `(J, V)`.
        precision: Inverse variance of a coordinate of each keypoint if it is an inlier, `(J, V)` px^-2.
    """

    xy: Array
    odds: Array
    precision: Array


class Tree(NamedTuple):
    """Bones as the solver needs them.

    Attributes:
        order: Joints, each after its parent, `(J,)`.
        parents: Parent of each joint `(J,)`, -1 where no bone of known length leads to the joint.
        lengths: Length of the bone from the parent, `(J,)`.
        spreads: Standard deviation of that length, `(J,)`.
        size: Length of a typical bone.
        reach: Largest possible distance of a joint from the middle of the body.
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
        xyz: Places `(J, K, 3)`.
        costs: Negative log likelihood of the keypoints, relative to all of them being gross errors, `(J, K)`.
        covariances: Covariances of the places `(J, K, 3, 3)`.
        counts: Number of places in use, `(J,)`.
    """

    xyz: Array
    costs: Array
    covariances: Array
    counts: Integers


@formula_allocating
def observe(views: Views, sight: Sight, joint: int, X: Array, A: Array, g: Array) -> float:
    """Add the keypoints of a joint assumed at `X (3,)` to its normal equations `A (3, 3)`, `g (3,)`.

    Keypoints are weighted by the probability that they are not gross errors (one E step). Return the negative log
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
        J[0, 0], J[0, 1], J[0, 2] = pixel_derivative(views.P, v, 0, x, over_depth)
        J[1, 0], J[1, 1], J[1, 2] = pixel_derivative(views.P, v, 1, y, over_depth)
        for i in range(3):
            g[i] += weight * (J[0, i] * dx + J[1, i] * dy)
            for j in range(3):
                A[i, j] += weight * (J[0, i] * J[0, j] + J[1, i] * J[1, j])
    return cost


@formula_allocating
def find_places(views: Views, tree: Tree, sight: Sight, start: Array) -> Places:
    """Find the places of all joints by their keypoints: the start `(J, 3)`, pairs of views, and bones.

    Where no two views agree on a joint, it may be wherever a view's ray is one bone's length away from a neighbour.
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
    # first from the roots, placing children by their parents, then from the leaves, placing parents by children
    for k in range(2 * J):
        child = tree.order[k] if k < J else tree.order[2 * J - 1 - k]
        parent = tree.parents[child]
        joint, neighbour = (child, parent) if k < J else (parent, child)
        if parent >= 0 and alone[joint]:
            _add_along_bone(views, tree.size, rays[joint], sight, tree.lengths[child], places, joint, neighbour)
    return places


@formula_allocating
def _unit_direction(back: Array, v: int, xy: Array, out: Array) -> None:
    """Write the unit vector `(3,)` in which view v sees a pixel to out."""
    x, y, z = ray_direction(back, v, xy[0], xy[1])
    length = np.sqrt(x * x + y * y + z * z)
    out[0], out[1], out[2] = x / length, y / length, z / length


@formula_allocating
def _add_pairs(views: Views, size: float, rays: Array, sight: Sight, start: Array, places: Places, j: int) -> None:
    """Enter the start and the places where pairs of views see joint j, until most views agree on one place."""
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


@formula_allocating
def _midpoint(c: Array, d: Array, e: Array, f: Array, out: Array) -> bool:
    """Write the point midway between the rays c + s d and e + t f to out; return False if it is behind one of them."""
    s, t, squared_sine = closest_approach(d[0], d[1], d[2], f[0], f[1], f[2], e[0] - c[0], e[1] - c[1], e[2] - c[2])
    for i in range(3):
        out[i] = 0.5 * (c[i] + s * d[i] + e[i] + t * f[i])
    return squared_sine > _PARALLEL and s > 0.0 and t > 0.0


@formula_allocating
def _look(views: Views, size: float, sight: Sight, j: int, X: Array, g: Array, C: Array) -> float:
    """Return the cost of a place, and write its gradient and covariance."""
    A = np.zeros((3, 3))
    g[:] = 0.0
    cost = observe(views, sight, j, X, A, g)
    for i in range(3):
        # a weak prior at the place itself keeps A regular where one view alone sees the joint
        A[i, i] += 1.0 / (_VAGUE * size) ** 2
    invert_matrix(A, C)
    return cost


@formula_allocating
def _improve(views: Views, size: float, sight: Sight, j: int, X: Array) -> None:
    """Move a place by one Gauss-Newton step."""
    g, C = np.empty(3), np.empty((3, 3))
    _look(views, size, sight, j, X, g, C)
    for i in range(3):
        X[i] += C[i, 0] * g[0] + C[i, 1] * g[1] + C[i, 2] * g[2]


@formula_allocating
def _consider(views: Views, size: float, sight: Sight, X: Array, places: Places, j: int) -> None:
    """Enter a place of joint j, unless no keypoint is near it."""
    g, C = np.empty(3), np.empty((3, 3))
    cost = _look(views, size, sight, j, X, g, C)
    if cost < -1e-3:
        _enter(X, cost, C, _MERGE * size, places, j)


@formula_allocating
def _enter(X: Array, cost: float, C: Array, merge: float, places: Places, j: int) -> None:
    """Enter a place; where two coincide or there are too many, keep the better ones."""
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


@formula_allocating
def _keep_within_reach(reach: float, places: Places) -> None:
    """Drop places too far from the middle of the body, which is the median of the best places of all joints."""
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


@formula_allocating
def _add_along_bone(
    views: Views, size: float, rays: Array, sight: Sight, length: float, places: Places, j: int, neighbour: int
) -> None:
    """Enter the places where a view's ray is one bone's length away from the best places of a neighbour of joint j."""
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
            # squared distance of the ray from the neighbour; the bone's end is on the ray at near +- half
            miss = squared - near * near
            if miss > (_BEND * length) ** 2:
                continue
            half = np.sqrt(max(length * length - miss, 0.0))
            for sign in (-1.0, 1.0):
                for i in range(3):
                    X[i] = views.centers[v, i] + (near + sign * half) * rays[v, i]
                _consider(views, size, sight, X, places, j)
