"""Cameras from the joints of one person: consecutive pairs, chained from the first camera (paper, section 3.1).

By default all cameras and joints are then adjusted together; with the fundamental matrix, as in the paper, not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.bundle import Bundle, adjust
from epitool.geometry.labels import label
from epitool.geometry.pairs import PairPose, estimate_pair
from epitool.geometry.two_view import depths_along_rays, homogeneous
from epitool.parallel import run_parallel
from epitool.pose import Keypoints

Array = NDArray[np.float64]
_MIN_SHARED = 8
_ADJUSTMENTS = 2  # the second with the exchanged sides that the first one's cameras show


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras found up to scale, the first at the origin.

    Attributes:
        rig: The cameras; unit "arbitrary", the first baseline has length 1.
        pairs: What was found for each consecutive pair.
        bundle: What the adjustment over all views found; None without one.
    """

    rig: Rig
    pairs: tuple[PairPose, ...]
    bundle: Bundle | None = None


def assumed_intrinsics(name: str, image_size: tuple[int, int], fov_deg: float) -> Camera:
    """A camera whose longer image side spans `fov_deg` degrees, principal point at the centre, no distortion.

    >>> round(assumed_intrinsics("a", (1920, 1080), 60.0).focal)
    1663
    """
    width, height = image_size
    focal = max(width, height) / 2 / np.tan(np.radians(fov_deg) / 2)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    return Camera(name, K, np.zeros(0), np.eye(3), np.zeros(3), image_size)


def calibrate(
    keypoints: Keypoints, intrinsics: Sequence[Camera], *, method: str, min_confidence: float, seed: int, jobs: int
) -> Calibration:
    """Relative poses of consecutive views by joints of all frames, chained to a rig.

    Args:
        keypoints: 2D joints; views in the order in which neighbours overlap.
        intrinsics: K, distortion and image size of every view.
        method: "essential" (PoseLib, then bundle adjustment) or "fundamental" (the paper to the letter).
        min_confidence: Joints under it are not used.
        seed: Of the random sampling.
        jobs: Pairs solved side by side.

    Raises:
        GeometryError: A pair has too few common joints, or they determine no pose.
    """
    seen = keypoints.seen(min_confidence)
    ideal = [camera.undistort(keypoints.xy[:, v]) for v, camera in enumerate(intrinsics)]
    xy = np.where(seen[..., None], np.stack(ideal, axis=1), np.nan)

    def solve(v: int) -> PairPose:
        K_a, K_b = intrinsics[v].K, intrinsics[v + 1].K
        try:
            return estimate_pair(xy[:, v], xy[:, v + 1], K_a, K_b, keypoints.skeleton, method, seed)
        except GeometryError as error:
            raise GeometryError(f"views {intrinsics[v].name} and {intrinsics[v + 1].name}: {error}") from None

    pairs = run_parallel(solve, range(len(intrinsics) - 1), jobs)
    rig = chain(xy, keypoints, intrinsics, pairs)
    if method == "fundamental":
        return Calibration(rig, tuple(pairs))
    bundle = None
    for _ in range(_ADJUSTMENTS):
        labels = label(keypoints, rig, method="polynomial", min_confidence=min_confidence, jobs=jobs)
        seen = labels.keypoints.seen(min_confidence)[..., None]
        bundle = adjust(np.where(seen, rig.undistort(labels.keypoints.xy), np.nan), labels.poses.xyz, rig)
        rig = bundle.rig
    return Calibration(rig, tuple(pairs), bundle)


def chain(xy: Array, keypoints: Keypoints, intrinsics: Sequence[Camera], pairs: Sequence[PairPose]) -> Rig:
    """Joins relative poses to a rig; each baseline's length follows from depths in the camera that two pairs share."""
    order = keypoints.skeleton.flip_order
    flags = np.cumsum([np.zeros(len(xy), dtype=int), *(pair.swapped for pair in pairs)], axis=0) % 2
    upright = np.where(flags.T[..., None, None] == 1, xy[:, :, order], xy)
    rays = [homogeneous(upright[:, v]) @ np.linalg.inv(camera.K).T for v, camera in enumerate(intrinsics)]
    cameras = [replace(intrinsics[0], R=np.eye(3), t=np.zeros(3))]
    length = 1.0
    for v, pair in enumerate(pairs):
        if v:
            previous = pairs[v - 1]
            _, before = depths_along_rays(previous.R, previous.t, rays[v - 1], rays[v])
            after, _ = depths_along_rays(pair.R, pair.t, rays[v], rays[v + 1])
            length *= _depth_ratio(before, after, intrinsics[v].name)
        last = cameras[-1]
        cameras.append(replace(intrinsics[v + 1], R=pair.R @ last.R, t=pair.R @ last.t + length * pair.t))
    return Rig(tuple(cameras), "arbitrary", "none")


def _depth_ratio(before: Array, after: Array, name: str) -> float:
    """Median ratio of the depths `(F, J)` of the same joints in one camera, found with either neighbour."""
    with np.errstate(invalid="ignore"):
        both = np.isfinite(before) & np.isfinite(after) & (before > 0) & (after > 0)
    if both.sum() < _MIN_SHARED:
        raise GeometryError(
            f"view {name}: {int(both.sum())} joints are seen by it and both its neighbours, at least {_MIN_SHARED}"
            " are needed to know how far apart the cameras are; use views that overlap"
        )
    return float(np.exp(np.median(np.log(before[both] / after[both]))))
