"""Predictions from what is seen in single images: the unit's poses, scaled, without joints outside the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array, centred_intrinsics
from epitool.geometry.body.scale import CANONICAL_STATURE
from epitool.nn.looks import BODY, LIMBS, body_joints, looks_of, network_hint
from epitool.nn.refiner import Refiner, reference_lengths
from epitool.nn.refining import Agreed, agreed_poses, sized
from epitool.nn.times import smoothed
from epitool.pose import Predictions, square_boxes
from epitool.skeleton import Skeleton, convert_joints, skeleton
from epitool.stages.shared.looking import Looking, Seen
from epitool.stages.shared.seen_in_images import SMOOTH_S, inside, rows_of, times_of

H36M = skeleton("h36m17")

LEAST_LIMBS = 4  # least number of limb joints in the image; with fewer, too little of the person is visible


def refined_predictions(
    refiner: Refiner, names: Sequence[str], looking: Looking, by_network: Predictions | None, *,
    root_depth: float | None = None, height_mm: float | None = None, smooth: bool = False,
) -> Predictions:  # fmt: skip
    """Return the refinement unit's poses in those of N images in which enough of a person is seen.

    Args:
        refiner: The unit.
        names: Names of the images.
        looking: The `Looking` that has processed all images.
        by_network: Predictions of a network in the images, used as a hint; None uses the detector's own 3D.
        root_depth: Distance of the pelvis along the optical axis; if given, it fixes the size.
        height_mm: Stature of the person; if given, it fixes the size.
        smooth: Whether to average poses in videos over time.
    """
    seen = looking.found if looking.found is not None else _find_network_joints(names, by_network)
    ratio = refiner.focal_ratio
    sizes = [(int(w), int(h)) for w, h in np.maximum(looking.image_size, 1)]
    K = np.array([centred_intrinsics(size, ratio * max(size)) for size in sizes]).reshape(-1, 3, 3)
    looks = [
        looks_of(seen.xy[:, look], seen.confidence[:, look], seen.xyz[:, look], K, seen.skeleton)
        for look in range(seen.xy.shape[1])
    ]
    if by_network is not None:
        hint = _hints(names, by_network)
        looks = [replace(look, hint=network_hint(hint, look.rays)) for look in looks]
    times = times_of(names).of_people(seen.boxes())
    agreed = agreed_poses(refiner, looks, times, seen.sides_known)
    lengths, unit, scale_source = _scale(refiner, height_mm)
    poses = sized(agreed.poses, lengths)
    if root_depth is not None:
        poses, scale_source = agreed.poses * (root_depth / agreed.root[:, 2])[:, None, None], f"root at {root_depth:g}"
    poses = smoothed(poses, times, SMOOTH_S) if smooth else poses
    xy = np.concatenate([agreed.rays, np.ones((*agreed.rays.shape[:2], 1))], axis=-1) @ np.swapaxes(K, 1, 2)
    body = by_network.skeleton if by_network is not None else H36M
    return _cut_off(names, poses, xy[..., :2], agreed, looking.image_size, body, unit, _describe_answer(
        refiner, ratio, scale_source, "bones" if root_depth is None else "distance of the root"
    ))  # fmt: skip


def _cut_off(
    names: Sequence[str], poses: Array, xy: Array, agreed: Agreed, image_size: NDArray[np.int64], body: Skeleton,
    unit: str, provenance: dict[str, str],
) -> Predictions:  # fmt: skip
    """Return predictions of the joints of `body` that are in the image, relative to the root, visible or not."""
    shown = inside(xy, image_size) & np.isfinite(poses).all(axis=-1)
    limbs = [j for j in LIMBS if BODY.joints[j] not in ("pelvis", "thorax")]
    kept = np.flatnonzero(shown[:, limbs].sum(axis=1) >= LEAST_LIMBS)
    shown, poses, xy = shown[kept], poses[kept], xy[kept]
    visible = np.where(shown[..., None], poses, np.nan)
    sure = np.where(shown, agreed.confidence[kept], 0.0)
    joints_3d, out_sure = convert_joints(visible, sure, BODY, body)
    joints_2d, _ = convert_joints(np.where(shown[..., None], xy, np.nan), sure, BODY, body)
    joints_3d, out_sure = np.array(joints_3d), np.array(out_sure)
    joints_3d[:, body.root] = 0.0
    boxes = square_boxes(xy)
    return Predictions(
        tuple(names[i] for i in kept), boxes, joints_3d, joints_2d, out_sure, body, unit, provenance,
        agreed.facing[kept],
    )  # fmt: skip


def _scale(refiner: Refiner, height_mm: float | None) -> tuple[Array, str, str]:
    """Return the lengths of the bones, their unit, and what fixed them."""
    if height_mm is None:
        return refiner.lengths, refiner.unit, refiner.scale_source
    # The unit's bones scale the reference body, whose stature is known; the given height then scales all bones alike.
    reference = reference_lengths()
    known = np.isfinite(refiner.lengths) & np.isfinite(reference)
    stature = CANONICAL_STATURE * refiner.lengths[known].sum() / reference[known].sum()
    return refiner.lengths * (height_mm / stature), "mm", f"height={height_mm:g}mm"


def _describe_answer(refiner: Refiner, ratio: float, scale_source: str, rule: str) -> dict[str, str]:
    return {
        "recording_id": refiner.recording_id,
        "depth": f"relative to the root; what fixes the size: {rule}",
        "scale_source": scale_source,
        "camera": f"assumed: focal length {ratio:.4g} x the longer side, principal point in the middle",
        "confidence": "of the detected joint; 0 where it is outside the image",
    }


def _hints(names: Sequence[str], by_network: Predictions) -> Array:
    """Return a network's poses `(N, 16, 3)`; NaN where it has none."""
    hints = np.full((len(names), len(BODY), 3), np.nan)
    known, rows = rows_of(names, by_network)
    hints[known] = body_joints(by_network.joints_3d[rows], by_network.skeleton)[0]
    hints[~np.isfinite(hints[:, LIMBS]).all(axis=(1, 2))] = np.nan
    return hints


def _find_network_joints(names: Sequence[str], by_network: Predictions | None) -> Seen:
    """Return the joints in the image that a network has found, for use without a detector."""
    if by_network is None:
        raise ValueError("nothing has looked at the images")
    shape = (len(names), 1, len(by_network.skeleton))
    seen = Seen(np.full((*shape, 2), np.nan), np.zeros(shape), np.full((*shape, 3), np.nan), by_network.skeleton)
    known, rows = rows_of(names, by_network)
    seen.xy[known, 0], seen.confidence[known, 0] = by_network.joints_2d[rows], by_network.confidence[rows]
    return seen
