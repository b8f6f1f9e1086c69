"""From looks to poses by the refinement unit.

The answers to several looks at each image are reconciled with each other and over time, and moved towards the rays of
the detected joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import mean_known
from epitool.geometry.body.axes import unit_vectors
from epitool.nn.looks import (
    BODY,
    LIMBS,
    PELVIS,
    Looks,
    face_apart,
    facing,
    facing_rotation,
    join_looks,
    rotate_rays,
)
from epitool.nn.refiner import Refiner
from epitool.nn.times import Times, windows

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_WRONG_PER_SECOND = 2.0  # cost of assuming left and right exchanged, as joint motion in body sizes
_AROUND_S = 0.3  # reach of the images around one that tell which way the person faces in it
_TOGETHER = 32  # images whose readings are answered at a time, so that memory is bounded
_WITHOUT_HINT = 1 / 3  # share of the answer without the hint
_ON_RAYS = 0.5  # share of the way to its ray by which each joint is moved


@dataclass(frozen=True, eq=False)
class Agreed:
    """One pose for each of N images.

    Attributes:
        poses: Poses relative to the pelvis, of about unit size, camera axes, `(N, 16, 3)`; NaN where nobody is seen.
        root: Position of the pelvis from the camera, in the same size, `(N, 3)`.
        rays: Rays on which the joints were seen, `(N, 16, 2)`.
        confidence: Confidence in the joints seen, `(N, 16)`.
        exchanged: Whether left and right are taken to have been exchanged, `(N,)`.
        facing: How far the looks at the image, and at those around it, agree that the person faces as the pose does,
            `(N,)`: the mean cosine between the directions in which the trunk faces; NaN where nobody is seen.
    """

    poses: Array
    root: Array
    rays: Array
    confidence: Array
    exchanged: NDArray[np.bool_]
    facing: Array


def agreed_poses(
    refiner: Refiner, looks: Sequence[Looks], times: Times, sides_known: NDArray[np.bool_] | None = None
) -> Agreed:
    """Return the poses that the unit finds from one or several looks at each image.

    A detector that sees a person from behind may mistake left for right, in some looks or in all. Each look is answered
    as it is and with its sides exchanged. Viterbi's algorithm then picks one of these readings for each image, so that
    over the recording joints move least, fit their rays best, and the fewest looks are exchanged. All looks that face
    the same way are averaged.

    Args:
        refiner: The refinement unit. Its `judge` picks the readings.
        looks: Looks at the same N images. The first two, straight and at the mirror image (mirrored back), weigh twice
            as much as further ones.
        times: Times of the images.
        sides_known: In which images left and right are known to be right, `(N,)`, so that no look is exchanged; None
            if in none.
    """
    readings = [reading for look in looks for reading in (look, look.exchanged())]
    judge = refiner.judge
    judged, by_joints = _answers(judge, readings)
    rays = np.stack([reading.rays for reading in readings], axis=1)
    misfit = np.stack([_misfit(judged[:, k], by_joints[:, k], rays[:, k]) for k in range(len(readings))], axis=1)
    there = np.isfinite(judged[..., PELVIS, 0])
    if sides_known is not None:
        there[sides_known, 1::2] = False
    chosen = _cost(there, misfit, 1.0).argmin(axis=1)  # where an image has no neighbours in time
    for run in times.runs(there.any(axis=1)):
        if len(run) > 1:
            step = float(np.median(np.diff(times.seconds[run])))
            # Answers without hints move less. So motion is compared without, as an exchanged look has none.
            chosen[run] = _least_motion(by_joints[run], _cost(there[run], misfit[run], step))
    answers = _less_hinted(*((judged, by_joints) if judge is refiner else _answers(refiner, readings)))
    confidence = np.stack([reading.confidence for reading in readings], axis=1)
    poses, seen, sure = _with_partners(answers, rays, confidence, chosen)
    placed, root = move_to_rays(poses, seen)
    told = by_joints.reshape(len(answers), len(looks), 2, len(BODY), 3)[np.arange(len(answers)), :, chosen % 2]
    return Agreed(
        placed, root, seen, sure, (chosen % 2 == 1) & there.any(axis=1), _facing_agreement(told, placed, times)
    )


def _answers(refiner: Refiner, readings: Sequence[Looks]) -> tuple[Array, Array]:
    """Return the answers to K readings of N images, as they are and without their hints, both `(N, K, 16, 3)`.

    Every second reading, with its sides exchanged, has no hint in any case.
    """
    answers, hinted = _answers_to(refiner, readings), readings[::2]
    by_joints = answers.copy()
    if any(np.isfinite(reading.hint).any() for reading in hinted):
        by_joints[:, ::2] = _answers_to(refiner, [reading.without_hint() for reading in hinted])
    return answers, by_joints


def _answers_to(refiner: Refiner, readings: Sequence[Looks]) -> Array:
    """Return the answers to K readings of N images, `(N, K, 16, 3)`.

    All readings of some images are answered together, because a few rows take hardly longer than one.
    """
    parts = []
    for start in range(0, max(len(readings[0]), 1), _TOGETHER):
        some = join_looks([reading.at(slice(start, start + _TOGETHER)) for reading in readings])
        parts.append(np.stack(np.split(refiner.answers(some), len(readings)), axis=1))
    return np.concatenate(parts)


def _less_hinted(answers: Array, by_joints: Array) -> Array:
    """Return answers `(N, K, 16, 3)` moved towards those without hints, where both face the same way.

    Hints that real people get are worse than those of the rendered people that the unit has learned from.
    """
    share = np.where(face_apart(answers, by_joints), 0.0, _WITHOUT_HINT)[..., None, None]
    return answers + share * (by_joints - answers)


def _misfit(answers: Array, by_joints: Array, rays: Array) -> Array:
    """Return by how much the answers to looks miss the rays that the joints were seen on, `(N,)`.

    It tells apart the two ways in which a body may face, because the wrong one fits the rays less well. A hint that
    faces the wrong way agrees with its joints in the image, so the answers without the hint count as much.
    """
    return 0.5 * (_distance_from_rays(answers, rays) + _distance_from_rays(by_joints, rays))


def _distance_from_rays(poses: Array, rays: Array) -> Array:
    """Return the mean distance `(N,)` of the limbs that are seen from the rays that they were seen on."""
    _, to_rays, _ = _placed(poses, rays)
    return np.nan_to_num(mean_known(np.linalg.norm(to_rays[:, LIMBS], axis=-1), axis=1))


def _cost(there: NDArray[np.bool_], misfit: Array, step: float) -> Array:
    """Return the cost of each reading of N images that are `step` seconds apart, `(N, H)`.

    It is infinite where nobody is seen, and higher where sides are exchanged.
    """
    # The cost of an exchange is per second, so that it weighs the same against motion at any frame rate.
    cost = np.where(there, misfit, np.inf)
    cost[:, 1::2] += _WRONG_PER_SECOND * step
    return cost


def _least_motion(answers: Array, cost: Array) -> Indices:
    """Return the index `(N,)` of the reading of each image on the cheapest path (Viterbi's algorithm).

    Args:
        answers: Poses of the readings, `(N, H, 16, 3)`; the mean distance by which joints move is the cost of a step.
        cost: Cost of each reading, `(N, H)`.
    """
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


def _with_partners(answers: Array, rays: Array, confidence: Array, chosen: Indices) -> tuple[Array, Array, Array]:
    """Return poses, rays and confidence of the chosen readings.

    A reading that is not exchanged gives way to the mean of all looks that face the same way. The first two count
    twice, because the turned ones are less accurate.
    """
    rows, looks = np.arange(len(answers)), np.arange(answers.shape[1] // 2)
    found = [values[rows, chosen].copy() for values in (answers, rays, confidence)]
    counted = np.repeat(2 * looks, np.where(looks < 2, 2, 1))
    as_seen = [values[:, counted] for values in (answers, rays, confidence)]
    agree = np.isfinite(as_seen[0][..., PELVIS, 0]) & ~face_apart(found[0][:, None], as_seen[0])
    agree &= (chosen % 2 == 0)[:, None]
    for mine, all_looks in zip(found, as_seen):
        mean = mean_known(np.where(agree.reshape(*agree.shape, *[1] * (mine.ndim - 1)), all_looks, np.nan), axis=1)
        shared = np.isfinite(mine) & np.isfinite(mean)
        mine[shared] = mean[shared]
    return found[0], found[1], found[2]


def _facing_agreement(told: Array, poses: Array, times: Times) -> Array:
    """Return the mean cosine `(N,)` between the way that each pose faces and what is told of it and those around it.

    Args:
        told: Poses that the looks at each image tell, `(N, L, 16, 3)`; NaN where there are none.
        poses: The poses, `(N, 16, 3)`.
        times: Times of the images.
    """
    ways, own = (unit_vectors(facing(each)) for each in (told, poses))
    known = np.isfinite(ways[..., 0])
    total, count = np.where(known[..., None], ways, 0.0).sum(axis=1), known.sum(axis=1)
    out = np.full(len(poses), np.nan)
    for run in times.runs(np.isfinite(own[:, 0])):
        first, last = windows(times.seconds[run], _AROUND_S)
        sums, counts = (np.concatenate([0 * each[run][:1], each[run].cumsum(axis=0)]) for each in (total, count))
        out[run] = ((sums[last] - sums[first]) * own[run]).sum(axis=1) / np.maximum(counts[last] - counts[first], 1)
    return out


def move_to_rays(poses: Array, rays: Array) -> tuple[Array, Array]:
    """Move the joints of poses `(N, 16, 3)` half of the way, at constant depth, to the rays that they were seen on.

    The root's position `(N, 3)`, which is returned as well, is the one from which the limbs come closest to their rays
    `(N, 16, 2)` by least squares.
    """
    placed, to_rays, R = _placed(poses, rays)
    placed[..., :2] += _ON_RAYS * np.nan_to_num(to_rays)
    back = placed @ R
    return np.asarray(back - back[:, [PELVIS]]), back[:, PELVIS]


def _placed(poses: Array, rays: Array) -> tuple[Array, Array, Array]:
    """Place poses relative to the pelvis before the camera, where their limbs come closest to their rays.

    Returns:
        Joints in the axes that look straight at the person, `(N, 16, 3)`. What leads each to its ray at constant depth,
        `(N, 16, 2)`; NaN for joints that are not seen. The rotations to these axes, `(N, 3, 3)`.
    """
    R = facing_rotation(np.nan_to_num(mean_known(rays, axis=1)))
    there = poses @ np.swapaxes(R, 1, 2)
    xy = rotate_rays(rays, R)
    seen = np.isfinite(xy).all(axis=-1)
    weight = np.where(seen, 1.0, 0.0)[:, LIMBS, None]
    x = np.nan_to_num(xy)[:, LIMBS]
    limbs = np.nan_to_num(there[:, LIMBS])
    # limb + root lies on its ray: x_limb + x_root = ray_x (z_limb + z_root), and likewise for y. This is linear in the
    # root: x_root - ray_x z_root = ray_x z_limb - x_limb.
    A = np.zeros((len(poses), len(LIMBS), 2, 3))
    A[..., 0, 0] = A[..., 1, 1] = 1.0
    A[..., 2] = -x
    b = x * limbs[..., 2:] - limbs[..., :2]
    equations = 2 * len(LIMBS)
    A, b = (A * weight[..., None]).reshape(-1, equations, 3), (b * weight).reshape(-1, equations, 1)
    placed = there + (np.linalg.pinv(A) @ b)[:, None, :, 0]
    return placed, np.where(seen[..., None], xy * placed[..., 2:] - placed[..., :2], np.nan), R


def sized(poses: Array, lengths: Array) -> Array:
    """Scale poses `(N, 16, 3)` so that the sum of their bone lengths is that of `lengths (16,)`.

    Lengths are given by the joint that a bone ends at; bones of unknown length (NaN) are left out of both sums.
    """
    known = [(parent, child) for parent, child in BODY.bones if np.isfinite(lengths[child])]
    length = sum(np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1) for parent, child in known)
    wanted = sum(lengths[child] for _, child in known)
    return poses * (wanted / np.where(length > 0, length, np.nan))[:, None, None]
