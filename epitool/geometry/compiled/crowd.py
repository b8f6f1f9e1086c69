"""Numba functions that compare detections of several people in two views and group those of all views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import compiled_allocating, formula_allocating
from epitool.geometry.compiled.sampson import squared_sampson

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
FARTHEST = 1.5  # sizes; caps the distance in a view so that a gross error does not decide


@compiled_allocating
def slot_gains(F: Array, a: Array, b: Array, flip: Indices, unit_a: Array, unit_b: Array, cap: float) -> Array:
    """Return the evidence that slots of two views are of one person, in joints: `(S, P, Q)`.

    A joint on the other's epipolar line counts 1, one a unit off 0, one far off 1 - cap, and a missing one 0. The
    joints of the second view are used as they are or in the order `flip`, whichever fits better.

    Args:
        F: Fundamental matrix `(3, 3)`, b from a.
        a: Undistorted joints of the first view `(S, P, J, 2)`, NaN where unseen.
        b: Undistorted joints of the second view `(S, Q, J, 2)`, NaN where unseen.
        flip: Order of the joints with left and right swapped, `(J,)`.
        unit_a: Units of the first view's slots `(S, P)` px; a pair uses the mean of both. NaN where there is nobody.
        unit_b: Units of the second view's slots `(S, Q)` px.
        cap: Largest loss of a joint, relative to a joint that fits exactly.
    """
    frames, one, joints = a.shape[:3]
    other = b.shape[1]
    gains = np.zeros((frames, one, other))
    for f in range(frames):
        for p in range(one):
            for q in range(other):
                unit = (unit_a[f, p] + unit_b[f, q]) / 2
                if not unit > 0:
                    continue
                kept, turned = 0.0, 0.0
                for j in range(joints):
                    if np.isnan(a[f, p, j, 0]):
                        continue
                    k = flip[j]
                    straight = _gain(F, a[f, p, j], b[f, q, j], unit, cap)
                    kept += straight
                    turned += straight if k == j else _gain(F, a[f, p, j], b[f, q, k], unit, cap)
                gains[f, p, q] = max(kept, turned)
    return gains


@formula_allocating
def _gain(F: Array, a: Array, b: Array, unit: float, cap: float) -> float:
    """Return the gain of one match of joints, a truncated quadratic of its Sampson distance."""
    if np.isnan(b[0]):
        return 0.0
    return 1.0 - min(squared_sampson(F, a[0], a[1], b[0], b[1]) / (unit * unit), cap)


@compiled_allocating
def group_slots(gains: Array, views: int) -> Indices:
    """Group slots into people, the most certain first: the group of each slot, `(S, V * P)`; -1 for none.

    A group grows from every pair of slots with a positive gain, by the slot that has the largest sum of gains with its
    members, one per view. The group with the largest sum of gains is a person; the next is found among the remaining
    slots. This greedy search is not guaranteed to find the best partition.

    Args:
        gains: Gains of pairs of slots, `(S, V * P, V * P)`, symmetric; 0 within a view.
        views: Number of views V.
    """
    frames, slots = gains.shape[:2]
    label = np.full((frames, slots), -1)
    for f in range(frames):
        _group(gains[f], views, label[f])
    return label


@formula_allocating
def _group(gain: Array, views: int, label: Indices) -> None:
    """Write the groups of one frame into `label (V * P,)`; a pair's group is grown again only if it loses a member."""
    slots = len(gain)
    count = 0
    for i in range(slots):
        for j in range(i + 1, slots):
            count += gain[i, j] > 0
    seed, picks = np.empty((count, 2), dtype=np.int64), np.empty((count, views), dtype=np.int64)
    value, count = np.empty(count), 0
    for i in range(slots):
        for j in range(i + 1, slots):
            if gain[i, j] > 0:
                seed[count, 0], seed[count, 1] = i, j
                value[count] = _grow(gain, seed[count], label, picks[count])
                count += 1
    group = 0
    while count and value.max() > 0:
        best = picks[value.argmax()].copy()
        for view in range(views):
            if best[view] >= 0:
                label[best[view]] = group
        group += 1
        for s in range(count):
            if value[s] <= 0:
                continue
            if label[seed[s, 0]] >= 0 or label[seed[s, 1]] >= 0:
                value[s] = 0.0
                continue
            for view in range(views):
                if picks[s, view] >= 0 and label[picks[s, view]] >= 0:
                    value[s] = _grow(gain, seed[s], label, picks[s])
                    break


@formula_allocating
def _grow(gain: Array, seed: Indices, label: Indices, picks: Indices) -> float:
    """Grow a group from two slots, write its slots by view, `(V,)`, into `picks`, and return its sum of gains."""
    slots, views = len(gain), len(picks)
    people = slots // views
    picks[:] = -1
    for i in seed:
        picks[i // people] = i
    total = gain[seed[0], seed[1]]
    support = gain[seed[0]] + gain[seed[1]]
    for _ in range(views - 2):
        best, most = -1, 0.0
        for i in range(slots):
            if support[i] > most and label[i] < 0 and picks[i // people] < 0:
                best, most = i, support[i]
        if best < 0:
            break
        picks[best // people] = best
        total += most
        support += gain[best]
    return total


@compiled_allocating
def image_distances(a: Array, b: Array, size_a: Array, size_b: Array, trust_a: Array, trust_b: Array) -> Array:
    """Return how far people are from each other in the images of all views, in their sizes: `(T, G)`.

    It is the mean over views of the median over points of the distance; infinite where they share no view. The median
    leaves gross errors out.

    Args:
        a: Points of some people `(T, V, M, 2)` px, NaN where unknown.
        b: Points of others `(G, V, M, 2)` px, NaN where unknown.
        size_a: Sizes of the first in each view `(T, V)` px.
        size_b: Sizes of the others `(G, V)` px.
        trust_a: Weights of the first in each view `(T, V)`.
        trust_b: Weights of the others `(G, V)`; a pair's weight is the product.
    """
    people, views, points = a.shape[:3]
    found = np.full((people, len(b)), np.inf)
    apart = np.empty(points)
    for t in range(people):
        for g in range(len(b)):
            total, weights = 0.0, 0.0
            for v in range(views):
                size = (size_a[t, v] + size_b[g, v]) / 2
                if not size > 0:
                    continue
                count = 0
                for m in range(points):
                    distance = np.hypot(a[t, v, m, 0] - b[g, v, m, 0], a[t, v, m, 1] - b[g, v, m, 1])
                    if not np.isnan(distance):
                        apart[count] = distance
                        count += 1
                if count == 0:
                    continue
                weight = trust_a[t, v] * trust_b[g, v]
                total += weight * min(np.sort(apart[:count])[(count - 1) // 2] / size, FARTHEST)
                weights += weight
            if weights > 0:
                found[t, g] = total / weights
    return found
