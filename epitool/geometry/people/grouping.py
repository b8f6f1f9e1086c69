"""Detections of one moment grouped to people, by how well any two of different views fit their epipolar geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.people.tracking import median_over
from epitool.geometry.two_view.epipolar import sampson_distance
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_NEUTRAL = 3.0  # standard deviations at which a joint speaks neither for nor against
_CAP = 2.0  # so that one joint speaks against as loudly as one that fits speaks for
_MIN_SHARED = 5  # joints from which the noise is measured


@dataclass(frozen=True, eq=False)
class Epipolar:
    """How joints of one view lie to those of another if both are of one person.

    Attributes:
        F: Fundamental matrix `(3, 3)`, second view from first.
        unit_px: Pixels that distances are measured in.
    """

    F: Array
    unit_px: float


Pairs = dict[tuple[int, int], Epipolar]  # by the numbers of two views, the lower one first


def distances(xy: Array, pair: tuple[int, int], epipolar: Epipolar, skeleton: Skeleton) -> Array:
    """Epipolar distance in units between all slots of two views, the second one's as they are and mirrored.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        pair: Which views.
        epipolar: Their geometry.
        skeleton: Of the joints.

    Returns:
        `(2, F, P, P, J)`.
    """
    one, other = xy[:, pair[0], :, None], xy[:, pair[1], None]
    mirrored = other[..., skeleton.flip_order, :]
    F = epipolar.F
    return np.stack([sampson_distance(F, one, other), sampson_distance(F, one, mirrored)]) / epipolar.unit_px


def usual_distances(xy: Array, pairs: Pairs, skeleton: Skeleton) -> Array:
    """The median distance of the joints of the two slots that fit best, of each frame and pair of views, in units."""
    best = []
    for pair, epipolar in pairs.items():
        distance = distances(xy, pair, epipolar, skeleton)
        typical = np.where(np.isfinite(distance).sum(axis=-1) >= _MIN_SHARED, median_over(distance), np.nan)
        best.append(np.nanmin(np.where(np.isnan(typical), np.inf, typical), axis=(0, 2, 3)))
    found = np.concatenate([np.empty(0), *best])
    return found[np.isfinite(found)]


def pair_gains(xy: Array, pairs: Pairs, noise: float, skeleton: Skeleton) -> Array:
    """What speaks for any two detections being of one person, in joints: `(F, V * P, V * P)`, symmetric.

    A joint on the other's epipolar line counts 1, one at 3 standard deviations 0, and one far off -1. Two detections
    in one view have nothing to say to each other, nor those of views whose geometry is not known.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        pairs: Geometry of pairs of views.
        noise: Standard deviation of distances, in units.
        skeleton: Of the joints.
    """
    frames, views, people = xy.shape[:3]
    gains = np.zeros((frames, views, people, views, people))
    for (a, b), epipolar in pairs.items():
        distance = distances(xy, (a, b), epipolar, skeleton)
        fit = 1 - np.minimum((distance / (_NEUTRAL * noise)) ** 2, _CAP)
        gains[:, a, :, b] = np.nan_to_num(fit).sum(axis=-1).max(axis=0)
        gains[:, b, :, a] = np.swapaxes(gains[:, a, :, b], 1, 2)
    return gains.reshape(frames, views * people, views * people)


def groups_of_people(gains: Array, views: int) -> Flags:
    """Detections grouped to people, the surest first: members `(F, K, V * P)`; empty groups fill up.

    From every pair of detections that agree, a group grows by the detection that it supports most, one a view, while
    there is one. The group with the largest sum of gains is a person; the next is grown from what is left.
    """
    slots = gains.shape[1]
    free, groups = np.ones((len(gains), slots), dtype=bool), []
    for _ in range(slots // views + 1):  # different views may lack different people
        both = free[:, :, None] & free[:, None]
        best = _best_group(np.where(both, gains, 0.0), views)
        groups.append(best)
        free &= ~best
    return np.stack(groups, axis=1)


def _best_group(gains: Array, views: int) -> Flags:
    """Members `(F, V * P)` of the group with the largest sum of gains, grown from any pair."""
    frames, slots = gains.shape[:2]
    of_view = np.arange(slots) * views // slots
    one, other = np.nonzero(of_view[:, None] < of_view)
    member = np.zeros((len(one), slots), dtype=bool)
    member[np.arange(len(one)), one] = member[np.arange(len(one)), other] = True
    member = np.broadcast_to(member, (frames, *member.shape)).copy()
    value = gains[:, one, other].copy()
    possible = value > 0
    for _ in range(views - 2):
        support = member.astype(float) @ gains
        full = member.reshape(*member.shape[:2], views, -1).any(axis=-1)[..., of_view]
        support = np.where(full, 0.0, support)
        best = support.argmax(axis=-1)[..., None]
        gain = np.take_along_axis(support, best, axis=-1)
        np.put_along_axis(member, best, np.take_along_axis(member, best, axis=-1) | (gain > 0), axis=-1)
        value += gain[..., 0]
    value = np.where(possible, value, 0.0)
    chosen = value.argmax(axis=1)
    rows = np.arange(frames)
    return member[rows, chosen] & (value[rows, chosen] > 0)[:, None]
