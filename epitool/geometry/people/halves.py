"""Parts of one person that a detector found as several people: the upper and the lower body, or a limb by itself.

Detectors that find joints first and people second (OpenPose, and DeepLabCut of several animals) sometimes fail to
connect the parts of a body. Parts have no joint in common, or the same joints at the same place, and are connected by
a bone of ordinary length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_OWN = 2  # joints that each part has and the other lacks
_SAME_PLACE = 0.05  # distance of joints that both have, as a share of the whole's extent
_BONE = 0.45  # longest connecting bone, as a share of the whole's extent: a trunk is a third of a stature


def parts_of_people(xy: Array, counts: Indices, skeleton: Skeleton) -> Indices:
    """Return which other candidate each candidate is a part of, `(P,)`; -1 where it is none.

    A candidate is a part of the one that they are connected best with, if that is mutual. The one with fewer joints is
    the part.

    Args:
        xy: Joints of P candidates in pixels `(P, J, 2)`, ordered by image; NaN where missing.
        counts: Number of candidates in each image, with the sum P.
        skeleton: Skeleton of the joints.
    """
    whole = np.full(len(xy), -1)
    seen = np.isfinite(xy).all(axis=-1)
    starts = np.cumsum(counts) - counts
    incomplete = np.append(len(skeleton) - seen.sum(axis=1) >= _OWN, False)
    for first, count in zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        some = first + np.flatnonzero(incomplete[first : first + count])
        if len(some) < 2:
            continue
        gaps = _gaps(xy[some], seen[some], skeleton)
        best = gaps.argmin(axis=1)
        for a, b in enumerate(best.tolist()):
            if gaps[a, b] < np.inf and best[b] == a and _rank(seen, some[a]) < _rank(seen, some[b]):
                whole[some[a]] = some[b]
    return whole


def _rank(seen: NDArray[np.bool_], candidate: int) -> tuple[int, int]:
    return int(seen[candidate].sum()), -candidate


def _gaps(xy: Array, seen: NDArray[np.bool_], skeleton: Skeleton) -> Array:
    """Return how far the parts of each pair of candidates are apart, as a share of their extent; inf for no parts."""
    gaps = np.full((len(xy), len(xy)), np.inf)
    for a in range(len(xy)):
        for b in range(a + 1, len(xy)):
            own = min((seen[a] & ~seen[b]).sum(), (seen[b] & ~seen[a]).sum())
            if own >= _OWN:
                gaps[a, b] = gaps[b, a] = _gap(xy[a], xy[b], seen[a], seen[b], skeleton)
    return gaps


def _gap(one: Array, other: Array, seen: NDArray[np.bool_], seen_too: NDArray[np.bool_], skeleton: Skeleton) -> float:
    """Return the length of the shortest bone between two parts, or the distance of joints that both have."""
    extent = float(np.linalg.norm(np.ptp(np.concatenate([one[seen], other[seen_too]]), axis=0)))
    both = seen & seen_too
    if both.any():
        apart = float(np.linalg.norm(one[both] - other[both], axis=-1).max())
        return apart / extent if apart < _SAME_PLACE * extent else np.inf
    between = [
        np.linalg.norm(a[i] - b[j])
        for i, j in skeleton.bones
        for a, b, ends in ((one, other, seen[i] & seen_too[j]), (other, one, seen_too[i] & seen[j]))
        if ends
    ]
    nearest = float(min(between, default=np.inf))
    return nearest / extent if nearest < _BONE * extent else np.inf
