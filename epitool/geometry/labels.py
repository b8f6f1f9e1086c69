"""Labels: keypoints and cameras to world poses, with exchanged sides undone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.swaps import find_swaps
from epitool.geometry.triangulate import Triangulation, triangulate
from epitool.parallel import run_parallel
from epitool.pose import Keypoints, Labels, Poses
from epitool.skeleton import Skeleton

_CHUNK_FRAMES = 2000  # bounds the memory of a step, and is what jobs share out
_SWAP_CAP = 0.02  # of a person's extent in the image: from here an epipolar distance counts no more


def label(keypoints: Keypoints, rig: Rig, *, method: str, min_confidence: float, jobs: int) -> Labels:
    """Triangulates every frame, after undoing exchanges of left and right.

    Args:
        keypoints: 2D joints, views in the rig's order.
        rig: The cameras.
        method: "polynomial" (paper) or "dlt".
        min_confidence: Joints under it are left out.
        jobs: Chunks of frames at a time.
    """
    boxes = keypoints.boxes(min_confidence)
    sides = boxes[..., 2][np.isfinite(boxes[..., 2])]
    cap = _SWAP_CAP * float(np.median(sides)) if sides.size else 1.0
    swapped = find_swaps(keypoints, rig, min_confidence, cap)
    upright = keypoints.with_swaps(swapped)
    xy = np.where(upright.seen(min_confidence)[..., None], rig.undistort(upright.xy), np.nan)

    def solve(start: int) -> Triangulation:
        part = slice(start, start + _CHUNK_FRAMES)
        return triangulate(xy[part], upright.confidence[part], rig, method)

    chunks = run_parallel(solve, range(0, len(xy), _CHUNK_FRAMES), jobs)
    xyz, confidence, error = (
        np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("xyz", "confidence", "reprojection_px")
    )
    poses = Poses(xyz, confidence, keypoints.frames, keypoints.skeleton, rig.unit, "world")
    return Labels(poses, upright, rig, error, swapped)


def convert_labels(labels: Labels, skeleton: Skeleton) -> Labels:
    """The labels as joints of another skeleton: derived in 3D and, for the keypoints, in 2D."""
    poses, keypoints = labels.poses.convert(skeleton), labels.keypoints.convert(skeleton)
    error = np.linalg.norm(labels.rig.project(poses.xyz) - keypoints.xy, axis=-1)
    return Labels(poses, keypoints, labels.rig, error, labels.swapped)


def frames_solved(labels: Labels) -> NDArray[np.bool_]:
    """Frames `(F,)` in which at least half of the joints have a place in the world."""
    return np.isfinite(labels.poses.xyz[..., 0]).mean(axis=1) >= 0.5
