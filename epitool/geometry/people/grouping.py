"""Detections of one moment grouped to people, by how well any two of different views fit their epipolar geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.crowd import group_slots, slot_gains
from epitool.geometry.people.tracking import median_over
from epitool.geometry.two_view.epipolar import sampson_distance
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_NEUTRAL = 3.0  # standard deviations at which a joint speaks neither for nor against
CAP = 2.0  # so that one joint speaks against as loudly as one that fits speaks for
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


def usual_distances(xy: Array, slots: Indices, pairs: Pairs, skeleton: Skeleton) -> Array:
    """The median epipolar distance of the joints of any two members of a group, in units; sides as they fit better.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        slots: Slots of groups `(F, K, V)`, -1 for none.
        pairs: Geometry of pairs of views.
        skeleton: Of the joints.
    """
    found = [np.empty(0)]
    for (a, b), epipolar in pairs.items():
        frame, group = np.nonzero((slots[..., a] >= 0) & (slots[..., b] >= 0))
        one, other = xy[frame, a, slots[frame, group, a]], xy[frame, b, slots[frame, group, b]]
        both = np.stack([other, other[:, skeleton.flip_order]])
        distance = sampson_distance(epipolar.F, one, both) / epipolar.unit_px
        enough = np.isfinite(distance).sum(axis=-1) >= _MIN_SHARED
        typical = np.where(enough, median_over(distance), np.inf).min(axis=0)
        found.append(typical[np.isfinite(typical)])
    return np.concatenate(found)


def groups_of_people(xy: Array, pairs: Pairs, noise: float, skeleton: Skeleton) -> Indices:
    """Detections grouped to people by all pairs of views whose geometry is known.

    A joint on the other's epipolar line counts 1, one at 3 standard deviations 0, and one far off -1. Groups are made
    as `group_slots` has it, one detection a view.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        pairs: Geometry of pairs of views.
        noise: Standard deviation of distances, in units.
        skeleton: Of the joints.

    Returns:
        Slots of K groups in every frame and view, `(F, K, V)`; -1 where a view shows nobody of it.
    """
    frames, views, people = xy.shape[:3]
    gains = np.zeros((frames, views, people, views, people))
    xy, flip = np.ascontiguousarray(xy), np.asarray(skeleton.flip_order, dtype=np.int64)
    for (a, b), epipolar in pairs.items():
        unit = np.full((frames, people), _NEUTRAL * noise * epipolar.unit_px)
        one, other = np.ascontiguousarray(xy[:, a]), np.ascontiguousarray(xy[:, b])
        gains[:, a, :, b] = slot_gains(epipolar.F, one, other, flip, unit, unit, CAP)
        gains[:, b, :, a] = np.swapaxes(gains[:, a, :, b], 1, 2)
    label = group_slots(gains.reshape(frames, views * people, views * people), views)
    slots = np.full((frames, int(label.max(initial=-1)) + 1, views), -1)
    frame, slot = np.nonzero(label >= 0)
    slots[frame, label[frame, slot], slot // people] = slot % people
    return slots
