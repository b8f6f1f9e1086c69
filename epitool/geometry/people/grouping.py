"""Grouping the detections of one frame into people, by how well pairs of views fit their epipolar geometry."""

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
_NEUTRAL = 3.0  # standard deviations at which a joint counts neither for nor against a match
CAP = 2.0  # cap of a joint's cost 1 - gain, so that one outlier counts as much against as an exact joint counts for
_MIN_SHARED = 5  # joints needed to measure the noise


@dataclass(frozen=True, eq=False)
class Epipolar:
    """Epipolar geometry of two views and the unit of distances.

    Attributes:
        F: Fundamental matrix `(3, 3)`, second view from first.
        unit_px: Unit of distances, in pixels.
    """

    F: Array
    unit_px: float


Pairs = dict[tuple[int, int], Epipolar]  # keys are the numbers of two views, the lower one first


def usual_distances(xy: Array, slots: Indices, pairs: Pairs, skeleton: Skeleton) -> Array:
    """Return the median epipolar distance of the joints of each two members of a group, in units.

    Left and right are swapped in one of the two if that fits better.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        slots: Slots of groups `(F, K, V)`, -1 for none.
        pairs: Epipolar geometry of pairs of views.
        skeleton: Skeleton of the joints.
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


def group_detections(xy: Array, pairs: Pairs, noise: float, skeleton: Skeleton) -> Indices:
    """Group detections into people by all pairs of views whose geometry is known.

    A joint on the other's epipolar line counts 1, one at 3 standard deviations 0, and one far off -1. `group_slots`
    makes the groups, with at most one detection per view.

    Args:
        xy: Undistorted joints of P slots `(F, V, P, J, 2)`, NaN where unseen.
        pairs: Epipolar geometry of pairs of views.
        noise: Standard deviation of distances, in units.
        skeleton: Skeleton of the joints.

    Returns:
        Slots of K groups in every frame and view, `(F, K, V)`; -1 where a view does not show the group.
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
