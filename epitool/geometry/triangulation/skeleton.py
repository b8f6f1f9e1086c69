"""The most probable pose of one frame, given candidate places of its joints, its keypoints and the bone lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import copy, copy_matrix, formula_allocating
from epitool.geometry.compiled.projection import Views
from epitool.geometry.compiled.symmetric import invert_matrix
from epitool.geometry.triangulation.places import CAPACITY, Integers, Places, Sight, Tree, observe

Array = NDArray[np.float64]
System = tuple[Array, Array, Array]  # normal matrices of joints, right-hand sides, couplings to the parents
_CLEAR = 3.0  # log odds from which a place is clearly better than the next best
_ITERATIONS = 50
_ENOUGH = 1e-3  # iteration stops when a step lowers the negative log posterior by less
_WEAKEST = 0.01  # inverse standard deviation, in bones, that keeps an undetermined joint's system regular


@formula_allocating
def _bone_cost(X: Array, C: Array, Y: Array, D: Array, length: float, spread: float) -> float:
    """Return the negative log density of two places' distance, relative to 1 per bone length, up to a constant."""
    distance, variance = 1e-300, 0.0
    for i in range(3):
        distance += (X[i] - Y[i]) ** 2
        for j in range(3):
            variance += (X[i] - Y[i]) * (X[j] - Y[j]) * (C[i, j] + D[i, j])
    # to first order, the places' covariances add their variance along the bone to that of its length
    variance = spread * spread + variance / distance
    return 0.5 * (np.sqrt(distance) - length) ** 2 / variance + 0.5 * np.log(variance / (length * length))


@formula_allocating
def _find_least_sum(values: Array, more: Array) -> tuple[int, float]:
    """Return where the sum of two arrays `(n,)` is least, and that sum; the first may be longer than the second."""
    at, least = 0, np.inf
    for k in range(len(more)):
        if values[k] + more[k] < least:
            at, least = k, values[k] + more[k]
    return at, least


@formula_allocating
def choose_places(tree: Tree, places: Places, chosen: Integers, clear: NDArray[np.bool_]) -> None:
    """Choose the places of all joints that are jointly most probable, by dynamic programming over the tree.

    Write the chosen place of each joint to `chosen (J,)`, and to `clear (J,)` whether the best pose with another place
    of that joint is much less probable. A joint that is "nowhere" costs nothing and gives no information on its
    neighbours.
    """
    J, counts = len(tree.parents), places.counts
    told, link = np.zeros((J, CAPACITY)), np.zeros((J, CAPACITY, CAPACITY))
    total = places.costs.copy()
    for j in tree.order[::-1]:
        p = tree.parents[j]
        if p < 0:
            continue
        for a in range(counts[p]):
            for b in range(1, counts[j] if a > 0 else 0):
                link[j, a, b] = _bone_cost(
                    places.xyz[p, a], places.covariances[p, a], places.xyz[j, b], places.covariances[j, b],
                    tree.lengths[j], tree.spreads[j],
                )  # fmt: skip
            # upward pass: each place of the parent gets the least cost of the subtree of j
            told[j, a] = _find_least_sum(link[j, a], total[j, : counts[j]])[1]
            total[p, a] += told[j, a]
    for j in tree.order:
        # from the roots to the leaves: pick the places, and complete the least cost of each with the rest of the tree
        p, own = tree.parents[j], total[j, : counts[j]]
        if p >= 0:
            chosen[j], _ = _find_least_sum(link[j, chosen[p]], own)
            for a in range(counts[p]):
                told[j, a] = total[p, a] - told[j, a]  # cost of the parent's place without j's subtree
            for b in range(counts[j]):
                own[b] += _find_least_sum(link[j, :, b], told[j, : counts[p]])[1]
        else:
            chosen[j] = np.argmin(own)
        best = own[chosen[j]]
        own[chosen[j]] = np.inf
        clear[j] = np.min(own) > best + _CLEAR
        own[chosen[j]] = best


@formula_allocating
def refine_frame(views: Views, tree: Tree, sight: Sight, X: Array, covariance: Array) -> bool:
    """Refine `X (J, 3)` in place by Levenberg-Marquardt with the mixture's weights (EM); NaN joints stay NaN.

    The cost of a step is linear in the number of joints: the normal equations have one 3x3 coupling per bone, and
    eliminating the joints from the leaves to the roots causes no fill-in.

    Args:
        views: The cameras.
        tree: The bones.
        sight: Keypoints of the frame.
        X: Places of the joints, refined in place.
        covariance: Covariances `(J, 3, 3)`, written.

    Returns:
        Whether the iteration converged.
    """
    system, trial = _empty_system(len(X)), _empty_system(len(X))
    inverse, step = np.empty((len(X), 3, 3)), np.empty((len(X), 3))
    cost = _assemble(views, tree, sight, X, system)
    damping, converged = 1e-3, False
    for _ in range(_ITERATIONS):
        _eliminate(tree, system, damping, inverse, step)
        _substitute(tree, system, inverse, step)
        new = X + step
        new_cost = _assemble(views, tree, sight, new, trial)
        if new_cost <= cost:
            copy_matrix(new, X)
            system, trial = trial, system
            converged = cost - new_cost < _ENOUGH
            cost, damping = new_cost, max(0.1 * damping, 1e-9)
        else:
            damping *= 10.0
            converged = damping > 1e9
        if converged:
            break
    _eliminate(tree, system, 0.0, inverse, step)
    _covariances(tree, system, inverse, covariance)
    return converged


@formula_allocating
def _empty_system(joints: int) -> System:
    """Return an uninitialised system."""
    return np.empty((joints, 3, 3)), np.empty((joints, 3)), np.empty((joints, 3, 3))


@formula_allocating
def _assemble(views: Views, tree: Tree, sight: Sight, X: Array, system: System) -> float:
    """Assemble the normal equations of keypoints and bones; return the negative log posterior.

    A stretched bone also resists turning. A compressed bone would favour turning, which is left out because it could
    make the matrix indefinite.
    """
    A, g, B = system
    A[:], g[:], B[:] = 0.0, 0.0, 0.0
    cost, u = 0.0, np.empty(3)
    for j in range(len(X)):
        if X[j, 0] == X[j, 0]:
            cost += observe(views, sight, j, X[j], A[j], g[j])
        p = tree.parents[j]
        if p < 0 or X[j, 0] != X[j, 0] or X[p, 0] != X[p, 0]:
            continue
        squared = 1e-300
        for a in range(3):
            u[a] = X[j, a] - X[p, a]
            squared += u[a] * u[a]
        distance, stiffness = np.sqrt(squared), tree.spreads[j] ** -2.0
        excess = distance - tree.lengths[j]
        cost += 0.5 * stiffness * excess * excess
        turning = stiffness * max(excess / distance, 0.0)
        for a in range(3):
            pull = stiffness * excess * u[a] / distance
            g[j, a] -= pull
            g[p, a] += pull
            for b in range(3):
                B[j, a, b] = (stiffness - turning) * u[a] * u[b] / squared + (turning if a == b else 0.0)
                A[j, a, b] += B[j, a, b]
                A[p, a, b] += B[j, a, b]
    return cost


@formula_allocating
def _eliminate(tree: Tree, system: System, damping: float, inverse: Array, right: Array) -> None:
    """Eliminate the joints from the leaves to the roots, leaving each joint's inverse and updated right-hand side."""
    A, g, B = system
    for j in range(len(g)):
        copy_matrix(A[j], inverse[j])
        copy(g[j], right[j])
    weakest = (_WEAKEST / tree.size) ** 2
    D, told = np.empty((3, 3)), np.empty((3, 3))
    for j in tree.order[::-1]:
        # the coupling to the parent is -B, so the parent's Schur complement loses B inverse B
        extra = weakest + damping * (inverse[j, 0, 0] + inverse[j, 1, 1] + inverse[j, 2, 2])
        for a in range(3):
            inverse[j, a, a] += extra
        invert_matrix(inverse[j], inverse[j])
        p = tree.parents[j]
        if p >= 0:
            _multiply(B[j], inverse[j], told)
            _multiply(told, B[j], D)
            for a in range(3):
                for b in range(3):
                    inverse[p, a, b] -= D[a, b]
                    right[p, a] += told[a, b] * right[j, b]


@formula_allocating
def _substitute(tree: Tree, system: System, inverse: Array, right: Array) -> None:
    """Solve from the roots to the leaves, replacing the right-hand sides that `_eliminate` left by the solution."""
    B, total = system[2], np.empty(3)
    for j in tree.order:
        p = tree.parents[j]
        copy(right[j], total)
        if p >= 0:
            for a in range(3):
                total[a] += B[j, a, 0] * right[p, 0] + B[j, a, 1] * right[p, 1] + B[j, a, 2] * right[p, 2]
        for a in range(3):
            right[j, a] = inverse[j, a, 0] * total[0] + inverse[j, a, 1] * total[1] + inverse[j, a, 2] * total[2]


@formula_allocating
def _covariances(tree: Tree, system: System, inverse: Array, covariance: Array) -> None:
    """Compute the diagonal blocks of the inverse of the whole system, from the roots to the leaves."""
    B = system[2]
    gain, spread = np.empty((3, 3)), np.empty((3, 3))
    for j in tree.order:
        copy_matrix(inverse[j], covariance[j])
        p = tree.parents[j]
        if p >= 0:
            # a joint moves by gain times its parent's move, which adds gain C gain' to its own covariance
            _multiply(inverse[j], B[j], gain)
            _multiply(gain, covariance[p], spread)
            for a in range(3):
                for b in range(3):
                    for k in range(3):
                        covariance[j, a, b] += spread[a, k] * gain[b, k]


@formula_allocating
def _multiply(A: Array, B: Array, out: Array) -> None:
    """Write the product of two 3x3 matrices to out; a BLAS call would cost more than the product."""
    for i in range(3):
        for j in range(3):
            out[i, j] = A[i, 0] * B[0, j] + A[i, 1] * B[1, j] + A[i, 2] * B[2, j]
