"""Labels: world poses from keypoints and cameras, with exchanged sides undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.body.facing import front_votes
from epitool.geometry.compiled.projection import reprojection_errors
from epitool.geometry.noise import KeypointNoise, unknown_noise
from epitool.geometry.triangulation.bones import BoneLengths, estimate_bone_lengths, refine_with_bones
from epitool.geometry.triangulation.triangulate import Triangulation, estimate_noise, triangulate
from epitool.geometry.two_view.swaps import find_swaps
from epitool.labels import Further, Labels, covariance_entries
from epitool.parallel import run_parallel
from epitool.pose import Keypoints, Poses, flip_joints, join_keypoints, usual_side
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_CHUNK_KEYPOINTS = 1 << 17  # bounds the memory of a chunk, about 20 MB with what is computed from it
_SAMPLE_RUNS, _RUN_FRAMES = 40, 50  # size of the sample from which settings are estimated
_NEAR = 3.4  # standard deviations within which 99.7% of keypoints are
_CLEAR_VOTES = 2  # of face, feet and knees, by which a body's front is clear
_SWAP_CAP = 0.02  # share of a person's extent in the image at which epipolar distances are capped


@dataclass(frozen=True)
class LabelSettings:
    """Settings of labelling, fixed once so that a recording can be labelled in any portions of its frames.

    Attributes:
        method: "polynomial" or "dlt", as for `triangulate`.
        combine: "robust" or "vector-median", as for `triangulate`.
        swap_cap_px: Value at which epipolar distances are capped in the search for exchanged sides.
        noise: Noise of the keypoints.
        bones: Bone lengths to use as a prior; None for no prior.
    """

    method: str
    combine: str
    swap_cap_px: float
    noise: KeypointNoise
    bones: BoneLengths | None = None


def sample_bounds(frames: int) -> list[tuple[int, int]]:
    """Return where the runs of an evenly spread sample of at most 2000 frames start and stop.

    The sample has runs because views that are not in sync are resampled between neighbouring frames.

    >>> sample_bounds(2000), sample_bounds(900_000)[1]
    ([(0, 2000)], (23075, 23125))
    """
    if frames <= _SAMPLE_RUNS * _RUN_FRAMES:
        return [(0, frames)]
    starts = np.linspace(0, frames - _RUN_FRAMES, _SAMPLE_RUNS).astype(int).tolist()
    return [(start, start + _RUN_FRAMES) for start in starts]


def chunk_bounds(frames: int, views: int, joints: int) -> list[tuple[int, int]]:
    """Return where chunks of frames start and stop; chunks are shorter with many views or joints."""
    size = max(_CHUNK_KEYPOINTS // (views * joints), 1)
    return [(start, min(start + size, frames)) for start in range(0, frames, size)]


def label_settings(sample: Keypoints, rig: Rig, *, method: str, combine: str, bones: bool = False) -> LabelSettings:
    """Estimate the settings for a recording from an evenly spread sample of its frames (`sample_bounds`).

    Args:
        sample: 2D joints, views in the rig's order.
        rig: The cameras.
        method: Method as for `triangulate`.
        combine: Combination as for `triangulate`.
        bones: Whether bone lengths are used as a prior.

    Raises:
        GeometryError: Bone lengths are to be used, and no bone has both ends in enough frames.
    """
    side = usual_side(sample.xy)
    cap = _SWAP_CAP * side if np.isfinite(side) else 1.0
    # only the levels of confidence are used here: sides are put right before the noise can be estimated
    ranks = unknown_noise(sample.confidence, sample.seen, 1.0, 0.5)
    ideal, confidence, _ = _put_sides_right(sample, rig, ranks, cap)
    noise = estimate_noise(ideal, confidence, rig)
    lengths = None
    if bones:
        found = triangulate(ideal, confidence, rig, method=method, combine=combine, noise=noise)
        lengths = estimate_bone_lengths(found.xyz, found.covariance, sample.skeleton)
    return LabelSettings(method, combine, cap, noise, lengths)


def label_chunk(keypoints: Keypoints, rig: Rig, settings: LabelSettings) -> Labels:
    """Label some frames of a recording; a frame's labels do not depend on the other frames in the chunk.

    Args:
        keypoints: 2D joints, views in the rig's order.
        rig: The cameras.
        settings: Settings of the whole recording.
    """
    ideal, confidence, swapped = _put_sides_right(keypoints, rig, settings.noise, settings.swap_cap_px)
    found = triangulate(ideal, confidence, rig, method=settings.method, combine=settings.combine, noise=settings.noise)
    backward = _find_backward(found, swapped, keypoints, rig)
    if backward.any():
        order, everywhere = keypoints.skeleton.flip_order, np.repeat(backward[:, None], len(rig), axis=1)
        ideal, confidence = flip_joints(ideal, everywhere, order), flip_joints(confidence, everywhere, order)
        found, swapped = found.with_sides_exchanged(backward, order), swapped ^ everywhere
    if settings.bones:
        found = _with_bones(found, ideal, confidence, rig, keypoints.skeleton, settings.bones, settings.noise)
    upright = keypoints.with_swaps(swapped) if swapped.any() else keypoints
    upright = replace(upright, take_of=np.zeros(len(keypoints.frames), dtype=np.int64))  # one rig, hence one take
    poses = Poses(found.xyz, found.confidence, keypoints.frames, keypoints.skeleton, rig.unit, "world")
    error = np.linalg.norm(rig.project(found.xyz) - upright.xy, axis=-1)
    return Labels(poses, upright, rig, error, swapped, covariance_entries(found.covariance), found.used)


def _with_bones(
    found: Triangulation, xy: Array, confidence: Array, rig: Rig, skeleton: Skeleton, bones: BoneLengths,
    noise: KeypointNoise,
) -> Triangulation:  # fmt: skip
    """Return the joints moved to fit the known bone lengths; they rest on the keypoints near them."""
    posed = refine_with_bones(xy, confidence, rig, found.xyz, skeleton, bones, noise)
    (P,) = rig.stacked("P")
    error = reprojection_errors(P, posed.xyz, xy)
    with np.errstate(invalid="ignore"):
        used = error < _NEAR * np.sqrt(noise.variance(noise.levels(confidence)))
    right = noise.inlier_share[noise.levels(confidence)]
    trust = np.where(used, right, 0.0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    return Triangulation(posed.xyz, trust, posed.covariance, used)


def _put_sides_right(
    keypoints: Keypoints, rig: Rig, noise: KeypointNoise, swap_cap_px: float
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return undistorted pixels (NaN where unseen) and confidence, both with sides put right, and the exchanges."""
    xy, order = rig.undistort(keypoints.xy), keypoints.skeleton.flip_order
    trust = np.where(keypoints.seen, noise.levels(keypoints.confidence) + 1.0, 0.0)
    swapped = find_swaps(xy, trust, rig, keypoints.skeleton, swap_cap_px)
    return flip_joints(xy, swapped, order), flip_joints(keypoints.confidence, swapped, order), swapped


def _find_backward(
    found: Triangulation, swapped: NDArray[np.bool_], keypoints: Keypoints, rig: Rig
) -> NDArray[np.bool_]:
    """Return the frames `(F,)` in which the views that were put right were the right ones, told by the body's front.

    Where views contradict each other, the fewest are taken to be wrong, which may be the wrong half of them. Views that
    agree are believed.
    """
    contradicted = swapped.any(axis=1)
    if not contradicted.any():
        return contradicted
    poses = Poses(found.xyz, found.confidence, keypoints.frames, keypoints.skeleton, rig.unit, "world")
    return contradicted & (front_votes(poses) <= -_CLEAR_VOTES)


def make_labels(
    keypoints: Keypoints, rig: Rig, *, method: str = "polynomial", jobs: int = -1, combine: str = "robust"
) -> Labels:
    """Triangulate every frame after undoing exchanges of left and right.

    Args:
        keypoints: 2D joints, views in the rig's order and at the same times.
        rig: The cameras.
        method: "polynomial" (paper) or "dlt".
        jobs: Number of chunks of frames processed in parallel.
        combine: "robust" or "vector-median" (paper).
    """
    sample = keypoints.select_frames(np.concatenate([np.arange(*b) for b in sample_bounds(len(keypoints.frames))]))
    settings = label_settings(sample, rig, method=method, combine=combine)

    def solve(bounds: tuple[int, int]) -> Labels:
        return label_chunk(keypoints.select_frames(np.arange(*bounds)), rig, settings)

    return join_labels(run_parallel(solve, chunk_bounds(*keypoints.xy.shape[:3]) or [(0, 0)], jobs))


def convert_labels(labels: Labels, skeleton: Skeleton) -> Labels:
    """Convert labels to the joints of another skeleton, derived in 3D and, for the keypoints, in 2D.

    The covariance of a derived joint assumes that the joints it is made of are independent.
    """
    source = labels.poses.skeleton
    if source == skeleton:
        return labels
    poses, keypoints = labels.poses.convert(skeleton), labels.keypoints.convert(skeleton)
    unknown = np.full(keypoints.confidence.shape, np.nan)
    nothing = np.empty(0)
    placed = replace(
        labels, poses=poses, keypoints=keypoints, reprojection_px=unknown, covariance=nothing, used=nothing.astype(bool)
    )
    error = np.linalg.norm(labels.project_own(placed.in_cameras) - keypoints.xy, axis=-1)
    covariance = np.full((*error.shape[::2], 6), np.nan)
    used = np.zeros(error.shape, dtype=np.bool_)
    for j, weights in enumerate(skeleton.weights_from(source)):
        parts = np.flatnonzero(weights)
        if np.isfinite(weights).all():
            covariance[:, j] = np.einsum("fkc,k->fc", labels.covariance[:, parts], weights[parts] ** 2)
            used[..., j] = labels.used[..., parts].all(axis=-1)
    return replace(placed, reprojection_px=error, covariance=covariance, used=used)


def select_further_joints(labels: Labels, skeleton: Skeleton) -> Further | None:
    """Return the joints of labels that another skeleton lacks; None if it lacks none."""
    own = labels.poses.skeleton
    rest = [j for j, joint in enumerate(own.joints) if joint not in skeleton.joints]
    if not rest:
        return None
    named = Skeleton("further", tuple(own.joints[j] for j in rest), (-1,) * len(rest))
    poses = replace(
        labels.poses, xyz=labels.poses.xyz[:, rest], confidence=labels.poses.confidence[:, rest], skeleton=named
    )
    return Further(poses, labels.covariance[:, rest])


def frames_solved(labels: Labels) -> NDArray[np.bool_]:
    """Return the frames `(F,)` in which at least half of the joints have a place in the world."""
    return np.isfinite(labels.poses.xyz[..., 0]).mean(axis=1) >= 0.5


def join_labels(parts: Sequence[Labels]) -> Labels:
    """Join the labels of successive frames of one recording."""
    keypoints = join_keypoints([part.keypoints for part in parts])
    xyz, confidence = (np.concatenate([getattr(p.poses, name) for p in parts]) for name in ("xyz", "confidence"))
    poses = replace(parts[0].poses, xyz=xyz, confidence=confidence, frames=keypoints.frames)
    rest = ("reprojection_px", "swapped", "covariance", "used")
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in rest}
    return replace(parts[0], poses=poses, keypoints=keypoints, **together)
