"""Poses in the images of labels that need no training here, and what the refinement unit is given of these images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.labels import Labels
from epitool.nn.looks import BODY, LIMBS, Looks, from_facing, looks_of
from epitool.nn.refiner import load_refiner
from epitool.nn.refining import agreed_poses, sized
from epitool.nn.times import Times
from epitool.skeleton import convert_joints


def labelled_looks(labels: Labels) -> Looks:
    """Return what the detector found in each of the `F * V` images of labels, with their own cameras."""
    keypoints = labels.keypoints
    joints = len(keypoints.skeleton)
    own = keypoints.detected_xyz
    return looks_of(
        labels.undistorted.reshape(-1, joints, 2),
        keypoints.confidence.reshape(-1, joints),
        own.reshape(-1, joints, 3) if own.size else own,
        labels.intrinsics.reshape(-1, 3, 3),
        keypoints.skeleton,
    )


def peer_poses(labels: Labels, frames: NDArray[np.intp], views: NDArray[np.intp]) -> dict[str, tuple[Array, str]]:
    """Return poses in these images that need no training here: poses `(N, J, 3)` of the labels' joints, and the unit.

    They are the detector's own 3D, if it has any, turned from axes that look straight at the person to the camera's,
    and the poses that the unit that comes with epitool computes from the detected joints.
    """
    keypoints, body = labels.keypoints, labels.keypoints.skeleton
    found = dict[str, tuple[Array, str]]()
    if np.isnan(BODY.weights_from(body)[LIMBS]).any():
        return found
    looks = labelled_looks(labels).at(frames * len(labels.rig) + views)
    if keypoints.detected_xyz.size:
        own = keypoints.detected_xyz[frames, views]
        found["detector's own 3D"] = from_facing(own - own[:, [body.root]], looks.rays), "mm"
    refiner = load_refiner()
    known = np.isfinite(labels.poses.xyz[..., 0]).any(axis=1)[frames]
    agreed = agreed_poses(refiner, [looks], Times.unrelated(len(looks)), known)
    poses = sized(agreed.poses, refiner.lengths)
    found["shipped unit"] = convert_joints(poses, np.ones(poses.shape[:2]), BODY, body)[0], refiner.unit
    return found
