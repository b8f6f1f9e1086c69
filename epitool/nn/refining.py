"""From looks to poses: the unit's answers, agreed between two looks at an image and over time, put on their rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.nn.looks import BODY, LIMBS, PELVIS, Looks, face_apart, facing_rotation, mean_ray, turned
from epitool.nn.refiner import Refiner
from epitool.nn.times import Times

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_WRONG_PER_SECOND = 1.2  # what it costs to take left for right, in sizes of the body by which joints jump
_ON_RAYS = 0.5  # of the way to its ray, that each joint is moved


@dataclass(frozen=True, eq=False)
class Agreed:
    """One pose for each of N images.

    Attributes:
        poses: Camera axes, from the pelvis, of about unit size, `(N, 16, 3)`; NaN where nobody is to be seen.
        root: Where the pelvis is from the camera, in the same size, `(N, 3)`.
        rays: On which the joints were seen, `(N, 16, 2)`.
        confidence: Of the joints seen, `(N, 16)`.
        exchanged: Where left and right are taken to have been exchanged, `(N,)`.
    """

    poses: Array
    root: Array
    rays: Array
    confidence: Array
    exchanged: NDArray[np.bool_]


def agreed_poses(refiner: Refiner, looks: Sequence[Looks], times: Times) -> Agreed:
    """What the unit makes of one or two looks at each image.

    A detector that sees somebody from behind may take left for right, in one look or in both. Each look is answered as
    it is and with its sides exchanged; of all ways through a recording, the one is taken along which joints move least,
    fit their rays best, and the fewest looks are exchanged (Viterbi's algorithm). Looks that face the same way are
    averaged.

    Args:
        refiner: The unit.
        looks: Of the same N images, the second at what a mirror shows, mirrored back.
        times: Of the images.
    """
    readings = [reading for look in looks for reading in (look, look.exchanged())]
    answers = np.stack([refiner.answers(reading) for reading in readings], axis=1)
    rays = np.stack([reading.rays for reading in readings], axis=1)
    misfit = np.stack([_misfit(answers[:, k], rays[:, k]) for k in range(len(readings))], axis=1)
    there = np.isfinite(answers[..., PELVIS, 0])
    chosen = np.zeros(len(answers), dtype=np.intp)
    for run in times.runs(there.any(axis=1)):
        chosen[run] = _least_motion(answers[run], _cost(there[run], misfit[run], times.seconds[run]))
    confidence = np.stack([reading.confidence for reading in readings], axis=1)
    poses, seen, sure = _with_partner(answers, rays, confidence, chosen)
    placed, root = on_rays(poses, seen)
    return Agreed(placed, root, seen, sure, (chosen % 2 == 1) & there.any(axis=1))


def _misfit(poses: Array, rays: Array) -> Array:
    """How far joints are from the rays they were seen on, `(N,)`: a body turned the wrong way fits them less well."""
    moved = np.linalg.norm((on_rays(poses, rays)[0] - poses)[:, LIMBS], axis=-1) / _ON_RAYS
    known = np.isfinite(moved)
    return np.asarray(np.where(known, moved, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))


def _cost(there: NDArray[np.bool_], misfit: Array, seconds: Array) -> Array:
    """Of each reading of each image of a run, `(N, H)`: infinite for nobody, more where sides are exchanged."""
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    cost = np.where(there, misfit, np.inf)
    cost[:, 1::2] += _WRONG_PER_SECOND * step
    return cost


def _least_motion(answers: Array, cost: Array) -> Indices:
    """Which reading `(N,)` of each image, of `(N, H, 16, 3)` that cost `(N, H)`."""
    best, back = cost[0], np.zeros(cost.shape, dtype=np.intp)
    for n in range(1, len(cost)):
        moved = np.linalg.norm(answers[n - 1][:, None] - answers[n][None], axis=-1).mean(axis=-1)
        total = best[:, None] + np.nan_to_num(moved, nan=0.0)
        back[n] = total.argmin(axis=0)
        best = total.min(axis=0) + cost[n]
    path = np.zeros(len(cost), dtype=np.intp)
    path[-1] = best.argmin()
    for n in range(len(cost) - 1, 0, -1):
        path[n - 1] = back[n, path[n]]
    return path


def _with_partner(answers: Array, rays: Array, confidence: Array, chosen: Indices) -> tuple[Array, Array, Array]:
    """Poses, rays and confidence of the readings chosen; means with the other look's where that faces the same way."""
    rows = np.arange(len(answers))
    found = [values[rows, chosen].copy() for values in (answers, rays, confidence)]
    if answers.shape[1] > 2:
        other = np.where(chosen < 2, 2, 0)
        also = [values[rows, other] for values in (answers, rays, confidence)]
        agree = np.isfinite(also[0][:, PELVIS, 0]) & ~face_apart(found[0], also[0]) & (chosen % 2 == 0)
        for mine, others in zip(found, also):
            both = agree.reshape(-1, *[1] * (mine.ndim - 1)) & np.isfinite(mine + others)
            mine[both] = 0.5 * (mine + others)[both]
    return found[0], found[1], found[2]


def on_rays(poses: Array, rays: Array) -> tuple[Array, Array]:
    """Poses `(N, 16, 3)` whose joints are moved half of the way, at their depth, to the rays they were seen on.

    The root's place `(N, 3)`, which is given as well, is that from which limbs come closest to their rays
    `(N, 16, 2)` by least squares.
    """
    R = facing_rotation(np.nan_to_num(mean_ray(rays)))
    there = poses @ np.swapaxes(R, 1, 2)
    xy = turned(rays, R)
    seen = np.isfinite(xy).all(axis=-1)
    weight = np.where(seen, 1.0, 0.0)[:, LIMBS, None]
    x = np.nan_to_num(xy)[:, LIMBS]
    limbs = np.nan_to_num(there[:, LIMBS])
    # limb + root lies on its ray: x_limb + x_root = ray (z_limb + z_root), and so for y
    A = np.zeros((len(poses), len(LIMBS), 2, 3))
    A[..., 0, 0] = A[..., 1, 1] = 1.0
    A[..., 2] = -x
    b = x * limbs[..., 2:] - limbs[..., :2]
    equations = 2 * len(LIMBS)
    A, b = (A * weight[..., None]).reshape(-1, equations, 3), (b * weight).reshape(-1, equations, 1)
    root = np.linalg.pinv(A) @ b
    placed = there + root[:, None, :, 0]
    shift = np.where(seen[..., None], np.nan_to_num(xy) * placed[..., 2:] - placed[..., :2], 0.0)
    placed[..., :2] += _ON_RAYS * shift
    back = placed @ R
    return np.asarray(back - back[:, [PELVIS]]), back[:, PELVIS]


def sized(poses: Array, lengths: Array) -> Array:
    """Poses `(N, 16, 3)` of a size at which their bones are as long in sum as stated, `(16,)`, where that is known."""
    known = [(parent, child) for parent, child in BODY.bones if np.isfinite(lengths[child])]
    length = sum(np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1) for parent, child in known)
    wanted = sum(lengths[child] for _, child in known)
    return poses * (wanted / np.where(length > 0, length, np.nan))[:, None, None]
