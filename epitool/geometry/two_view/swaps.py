"""Left and right exchanged by a detector: found per frame through epipolar geometry, and undone.

Detectors make this error on people seen from behind. In one pair of views only the relative swap can be seen; over a
rig, the fewest swaps that explain all pairs are taken.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.compiled.sampson import squared_sampson
from epitool.geometry.two_view.epipolar import fundamental_of_cameras
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_EXHAUSTIVE_VIEWS = 12  # all combinations are tried up to this number of views


def swap_costs(F: Array, a: Array, b: Array, skeleton: Skeleton, cap_px: float) -> tuple[Array, Array]:
    """Return capped epipolar costs `(F,)` of joints `(F, J, 2)` as they are, and with b's sides exchanged.

    Only joints that have a mirror image count; a missing joint (NaN) costs nothing either way.
    """
    flip = skeleton.flip_order
    sided = np.flatnonzero(flip != np.arange(len(flip)))
    ax, ay = a[:, sided, 0], a[:, sided, 1]
    same, other = b[:, sided], b[:, flip[sided]]
    missing = np.isnan(ax) | np.isnan(same[..., 0]) | np.isnan(other[..., 0])  # the same joints under both readings
    kept, exchanged = (
        np.where(missing, 0.0, np.minimum(squared_sampson(F, ax, ay, to[..., 0], to[..., 1]), cap_px**2)).sum(axis=1)
        for to in (same, other)
    )
    return kept, exchanged


def relative_swaps(F: Array, a: Array, b: Array, skeleton: Skeleton, cap_px: float) -> Flags:
    """Return the frames `(F,)` in which exactly one of the two views has its sides exchanged."""
    kept, exchanged = swap_costs(F, a, b, skeleton, cap_px)
    return exchanged < 0.5 * kept


def find_swaps(xy: Array, confidence: Array, rig: Rig, skeleton: Skeleton, cap_px: float) -> Flags:
    """Return views and frames `(F, V)` with left and right exchanged, judged over all pairs of a calibrated rig.

    Args:
        xy: Undistorted pixels `(F, V, J, 2)`, NaN where not seen.
        confidence: Confidences `(F, V, J)`, which decide in a tie.
        rig: The cameras.
        skeleton: Skeleton, which says which joints are mirror images.
        cap_px: Value at which epipolar distances are capped.
    """
    views = len(rig)
    gain = np.zeros((len(xy), views, views))  # extra cost if exactly one of a pair is exchanged
    for a, b in itertools.combinations(range(views), 2):
        F = fundamental_of_cameras(rig.cameras[a], rig.cameras[b])
        kept, exchanged = swap_costs(F, xy[:, a], xy[:, b], skeleton, cap_px)
        gain[:, a, b] = exchanged - kept
    return best_assignment(gain, confidence)


def best_assignment(gain: Array, confidence: Array) -> Flags:
    """Return the flags `(F, V)` of least cost, given the extra cost of a disagreement of each pair, `gain (F, V, V)`.

    Flags and their complement cost the same; the one with fewer swaps is taken, and in a tie the one that exchanges the
    views whose joints are less confident (`confidence (F, V, J)`).
    """
    views = gain.shape[1]
    if views > _EXHAUSTIVE_VIEWS:
        candidates = np.vstack([np.zeros(views, dtype=bool), np.eye(views, dtype=bool)])
    else:
        rest = np.array(list(itertools.product([False, True], repeat=views - 1)), dtype=bool).reshape(-1, views - 1)
        candidates = np.column_stack([np.zeros(len(rest), dtype=bool), rest])
    # the first candidate leaves everything as it is, and is taken unless another is cheaper
    flags = candidates[_cheapest(gain, candidates)]
    trust = confidence.mean(axis=-1)
    weight = (flags * (1 + 1e-3 * trust)).sum(axis=1)
    complement = (~flags * (1 + 1e-3 * trust)).sum(axis=1)
    return np.where((complement < weight)[:, None], ~flags, flags)


def _cheapest(gain: Array, candidates: Flags) -> NDArray[np.intp]:
    """Return the index of the first candidate of least cost for each frame, `(F,)`."""
    best, least = np.zeros(len(gain), dtype=np.intp), np.full(len(gain), np.inf)
    for c, candidate in enumerate(candidates):
        cost = np.zeros(len(gain))
        # one after the other, so that equal costs are equal to the last bit
        for a, b in np.argwhere(candidate[:, None] != candidate):
            cost += gain[:, a, b]
        cheaper = cost < least
        best[cheaper], least[cheaper] = c, cost[cheaper]
    return best
