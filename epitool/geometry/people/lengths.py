"""Bone lengths of people over some of their frames, and how certain these are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.tracking import median_over
from epitool.geometry.triangulation.labels import chunk_bounds, label_chunk, label_settings, sample_bounds
from epitool.labels import Labels, covariance_matrices
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_MEASURED = 100  # sightings of a piece from which its bones are measured
_TOGETHER = 100_000  # sightings that are measured together; a long recording has millions
_CORRELATED = 6  # errors of so many lengths are alike: of neighbouring sightings and both sides
_OWN = (0.01, 0.03, 0.3)  # least, first and largest deviation of a log length from frame to frame beside its noise
_KNOWN = 10  # sightings of a piece from which that deviation is measured
_LARGEST = 1.0  # log of lengths over the usual; larger ones are gross errors
_MOSTLY_NOISE = 0.7  # share of a squared length that is noise, above which it tells nothing
_FREEDOM = 3  # degrees of freedom of the Student distribution of errors
_ROUNDS = 6


def measure_bones(
    parts: list[Indices], members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton
) -> tuple[Array, Array, Array]:
    """Return the logarithms of bone lengths in each of Q parts, left and right together, and how certain these are.

    Args:
        parts: Sightings of each part, of one person.
        members: Candidates of the sightings in every view, `(N, V)`; -1 for none.
        candidates: All people found, distorted pixels.
        rig: The cameras.
        skeleton: Skeleton of the candidates.

    Returns:
        Logarithms of lengths in the scene's unit, their variances, and the deviations of single ones from them,
        `(Q, B)` each; NaN where unknown.
    """
    sampled = [part[evenly_spread(len(part), _MEASURED)] for part in parts]
    count = np.array([len(part) for part in sampled], dtype=np.intp)
    batches = np.split(np.arange(len(parts)), np.flatnonzero(np.diff(np.cumsum(count) // _TOGETHER)) + 1)
    measured = []
    for batch in batches:
        chosen = np.concatenate([np.empty(0, dtype=np.intp), *(sampled[q] for q in batch)])
        logs, noise = _log_lengths(members[chosen], candidates, rig, skeleton)
        usual = median_over(logs.reshape(2 * len(logs), logs.shape[2]).T)
        logs = np.where(np.abs(logs - usual) < _LARGEST, logs, np.nan)
        measured.append(_robust_means(logs, noise, count[batch]))
    means, variances, scatters = (np.concatenate(values) for values in zip(*measured))
    return means, variances, scatters


def _robust_means(logs: Array, noise: Array, count: Indices) -> tuple[Array, Array, Array]:
    """Return `measure_bones` of successive parts whose log lengths have gross errors.

    Args:
        logs: Log lengths of both sides `(n, 2, B)`.
        noise: Variances of these that the noise of the joints makes.
        count: Numbers of sightings of the parts, `(Q,)`.
    """
    if not logs.size:
        unknown = np.full((len(count), logs.shape[2]), np.nan)
        return unknown, unknown, unknown
    start, part = np.cumsum(count) - count, np.repeat(np.arange(len(count)), count)
    known = np.isfinite(logs) & np.isfinite(noise)
    noise, number = np.where(known, noise, 0.0), np.add.reduceat(known.sum(axis=1), start)
    means = np.stack([median_over(own.reshape(-1, logs.shape[2]).T) for own in np.split(logs, start[1:])])
    own, long = np.full(logs.shape[2], _OWN[1] ** 2), (count >= _KNOWN)[part, None, None]
    for _ in range(_ROUNDS):
        squared = np.where(known, (logs - means[part][:, None]) ** 2, 0.0)
        trust = known * (_FREEDOM + 1) / (_FREEDOM + squared / (noise + own))
        weight = trust / (noise + own)
        total = np.add.reduceat(weight.sum(axis=1), start)
        means = np.add.reduceat((weight * np.nan_to_num(logs)).sum(axis=1), start) / np.where(total > 0, total, np.nan)
        excess = (trust * long * (squared - noise)).sum(axis=(0, 1)) / np.maximum((trust * long).sum(axis=(0, 1)), 1.0)
        own = np.clip(excess, _OWN[0] ** 2, _OWN[2] ** 2)
    each = np.where(total > 0, 1 / np.where(total > 0, total, 1.0), np.nan)
    return means, np.minimum(number, _CORRELATED) * each, np.sqrt(number * each)


def _log_lengths(members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return the logarithms of bone lengths of groups `(n, V)`, and their variances, left and right, `(n, 2, B)` each.

    A long recording has millions of groups, so they are triangulated some at a time.
    """
    flip = skeleton.flip_order
    bones = np.array([(parent, child) for parent, child in skeleton.bones if child <= flip[child]], dtype=np.intp)
    bones = bones.reshape(-1, 2)
    both = np.stack([bones, np.asarray(flip)[bones]])
    logs, noise = np.full((2, len(members), *both.shape[:2]), np.nan)
    if not logs.size:
        return logs, noise
    sample = np.concatenate([np.arange(*bounds) for bounds in sample_bounds(len(members))])
    some = _keypoints(members[sample], candidates, rig, skeleton)
    settings = label_settings(some, rig, method="polynomial", combine="robust")
    for start, stop in chunk_bounds(len(members), len(rig), len(skeleton)):
        labels = label_chunk(_keypoints(members[start:stop], candidates, rig, skeleton), rig, settings)
        logs[start:stop], noise[start:stop] = _log_lengths_of(labels, both)
    return logs, noise


def _log_lengths_of(labels: Labels, bones: Indices) -> tuple[Array, Array]:
    """Return the logarithms of the lengths of bones `(2, B, 2)` and their variances, `(F, 2, B)` each.

    A noisy distance is too long: the noise is subtracted from its square, as in `estimate_bone_lengths`.
    """
    joints = covariance_matrices(labels.covariance)
    bone = labels.poses.xyz[:, bones[..., 1]] - labels.poses.xyz[:, bones[..., 0]]
    covariance = joints[:, bones[..., 1]] + joints[:, bones[..., 0]]
    measured, noise = (bone**2).sum(axis=-1), np.trace(covariance, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore"):
        squared = np.where(noise < _MOSTLY_NOISE * measured, measured - noise, np.nan)
    variance = np.maximum(4 * np.einsum("...i,...ij,...j->...", bone, covariance, bone), 2 * noise**2 / 3)
    return np.log(squared) / 2, variance / (4 * squared**2)


def _keypoints(members: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> Keypoints:
    """Return groups `(n, V)` as keypoints, a frame for each."""
    xy, confidence = candidates.take(members)
    size = np.array([camera.image_size for camera in rig.cameras])
    return Keypoints(xy, confidence, np.arange(len(members)), rig.names, np.full(members.shape, ""), size, skeleton)
