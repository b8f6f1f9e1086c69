"""Left and right exchanged by a detector: found per frame through epipolar geometry, and undone.

Detectors do this on people seen from behind. In one pair of views only the relative swap can be seen; over a rig the
fewest swaps that explain all pairs are taken.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.two_view import fundamental_of_pose, sampson_distance
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_EXHAUSTIVE_VIEWS = 12  # up to here all combinations are tried


def swap_costs(F: Array, a: Array, b: Array, skeleton: Skeleton, cap_px: float) -> tuple[Array, Array]:
    """Capped epipolar cost `(F,)` of each frame's joints `(F, J, 2)` as they are, and with b's sides exchanged.

    Only joints that have a mirror image count; a missing joint (NaN) costs nothing either way.
    """
    sided = np.array([joint for pair in skeleton.flip_pairs for joint in pair], dtype=np.intp)

    def cost(other: Array) -> Array:
        distance = sampson_distance(F, a[:, sided], other[:, sided])
        return np.nan_to_num(np.minimum(distance, cap_px) ** 2, nan=0.0).sum(axis=-1)

    both = np.isfinite(b).all(axis=-1) & np.isfinite(b[:, skeleton.flip_order]).all(axis=-1)
    b = np.where(both[..., None], b, np.nan)  # compare the same joints under both readings
    return cost(b), cost(b[:, skeleton.flip_order])


def relative_swaps(F: Array, a: Array, b: Array, skeleton: Skeleton, cap_px: float) -> Flags:
    """Frames `(F,)` in which exactly one of the two views has its sides exchanged."""
    kept, exchanged = swap_costs(F, a, b, skeleton, cap_px)
    return exchanged < 0.5 * kept


def find_swaps(keypoints: Keypoints, rig: Rig, min_confidence: float, cap_px: float) -> Flags:
    """Views and frames `(F, V)` with left and right exchanged, judged over all pairs of a calibrated rig."""
    xy = np.where(keypoints.seen(min_confidence)[..., None], rig.undistort(keypoints.xy), np.nan)
    views = len(rig)
    gain = np.zeros((len(xy), views, views))  # what calling exactly one of a pair exchanged costs more
    for a, b in itertools.combinations(range(views), 2):
        first, second = rig.cameras[a], rig.cameras[b]
        R = second.R @ first.R.T
        F = fundamental_of_pose(R, second.t - R @ first.t, first.K, second.K)
        kept, exchanged = swap_costs(F, xy[:, a], xy[:, b], keypoints.skeleton, cap_px)
        gain[:, a, b] = exchanged - kept
    return best_assignment(gain, keypoints.confidence)


def best_assignment(gain: Array, confidence: Array) -> Flags:
    """Flags `(F, V)` of least cost, given what a disagreement of each pair costs more, `gain (F, V, V)`.

    Flags and their complement cost the same; the one with fewer swaps is taken, and in a tie the one that exchanges
    the views whose joints are less confident (`confidence (F, V, J)`).
    """
    views = gain.shape[1]
    if views > _EXHAUSTIVE_VIEWS:
        candidates = np.vstack([np.zeros(views, dtype=bool), np.eye(views, dtype=bool)])
    else:
        rest = np.array(list(itertools.product([False, True], repeat=views - 1)), dtype=bool).reshape(-1, views - 1)
        candidates = np.column_stack([np.zeros(len(rest), dtype=bool), rest])
    differs = candidates[:, :, None] != candidates[:, None, :]
    cost = np.einsum("fab,cab->fc", gain, differs.astype(float))
    # a swap must pay: prefer the reading that leaves everything as it is unless another is clearly cheaper
    flags = candidates[np.argmin(cost, axis=1)]
    trust = confidence.mean(axis=-1)
    weight = (flags * (1 + 1e-3 * trust)).sum(axis=1)
    complement = (~flags * (1 + 1e-3 * trust)).sum(axis=1)
    return np.where((complement < weight)[:, None], ~flags, flags)
