"""Detections of several people in two views compared, and those of all views grouped: a frame at a time in numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import compiled, formula
from epitool.geometry.compiled.sampson import squared_sampson

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@compiled
def slot_gains(F: Array, a: Array, b: Array, flip: Indices, unit_a: Array, unit_b: Array, cap: float) -> Array:
    """What speaks for any two slots of two views being of one person, in joints: `(S, P, Q)`.

    A joint on the other's epipolar line counts 1, one a unit off 0, one far off 1 - cap; one that is missing, 0. The
    second view's joints count as they are or in the order `flip`, whichever fits better.

    Args:
        F: Fundamental matrix `(3, 3)`, b from a.
        a: Undistorted joints `(S, P, J, 2)`, NaN where unseen.
        b: Of the second view, `(S, Q, J, 2)`.
        flip: The other order of the joints, `(J,)`.
        unit_a: `(S, P)` px; the unit of two slots is the mean of theirs. NaN where there is nobody.
        unit_b: `(S, Q)` px.
        cap: What a joint loses at most.
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


@formula
def _gain(F: Array, a: Array, b: Array, unit: float, cap: float) -> float:
    """What one match of joints counts, by its Sampson distance."""
    if np.isnan(b[0]):
        return 0.0
    return 1.0 - min(squared_sampson(F, a[0], a[1], b[0], b[1]) / (unit * unit), cap)


@compiled
def group_slots(gains: Array, views: int) -> Indices:
    """Slots grouped to people, the surest first: the number of its group for each slot, `(S, V * P)`; -1 for none.

    From every pair of slots that agree, a group grows by the slot that it supports most, one a view, while there is
    one. The group with the largest sum of gains is a person; the next is grown from what is left.

    Args:
        gains: What speaks for any two slots being of one person, `(S, V * P, V * P)`, symmetric; 0 within a view.
        views: How many.
    """
    frames, slots = gains.shape[:2]
    label = np.full((frames, slots), -1)
    for f in range(frames):
        _group(gains[f], views, label[f])
    return label


@formula
def _group(gain: Array, views: int, label: Indices) -> None:
    """Groups of one frame, into `label (V * P,)`; a pair's group is grown anew only when it loses a member."""
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


@formula
def _grow(gain: Array, seed: Indices, label: Indices, picks: Indices) -> float:
    """The sum of gains of the group that grows from two slots; its slots by view, `(V,)`, into `picks`."""
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
