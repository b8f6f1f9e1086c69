"""The Cramer-Rao bound of cameras found from keypoints: no unbiased estimator is more precise.

Written apart from what it judges: derivatives are OpenCV's, and nothing of the bundle adjustment is used.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig

Array = NDArray[np.float64]


def projection_derivatives(camera: Camera, xyz: Array) -> tuple[Array, Array, Array]:
    """Pixels `(N, 2)` of points `(N, 3)`, and their derivatives by the camera `(N, 2, 6)` and by the point `(N, 2, 3)`.

    The camera moves as `exp(w) R, t + v`, parameters (w, v); distortion is left out.
    """
    turned = xyz @ camera.R.T
    xy, derivatives = cv2.projectPoints(turned, np.zeros(3), camera.t, camera.K, np.zeros(5))
    by_camera = np.asarray(derivatives)[:, :6].reshape(-1, 2, 6)
    return np.asarray(xy).reshape(-1, 2), by_camera, by_camera[..., 3:] @ camera.R


def camera_information(rig: Rig, xyz: Array, inliers: NDArray[np.bool_]) -> Array:
    """Fisher information `(6 V, 6 V)` of the cameras with noise of 1 px, the points being unknown as well.

    Args:
        rig: The true cameras.
        xyz: The true points `(N, 3)`.
        inliers: Which keypoints carry information, `(N, V)`; points that fewer than two have are of no use.
    """
    useful = inliers.sum(axis=1) >= 2
    found = [projection_derivatives(camera, xyz[useful]) for camera in rig.cameras]
    counted = inliers[useful].T[:, :, None, None]
    A = np.stack([by_camera for _, by_camera, _ in found]) * counted
    B = np.stack([by_point for _, _, by_point in found]) * counted
    mixed = np.einsum("vnki,vnkj->vnij", A, B)
    inverse = np.linalg.inv(np.einsum("vnki,vnkj->nij", B, B))
    information = -np.einsum("anij,njk,bnlk->aibl", mixed, inverse, mixed, optimize=True)
    for v, own in enumerate(np.einsum("vnki,vnkj->vij", A, A)):
        information[v, :, v] += own
    return information.reshape(6 * len(rig), -1)


def rotation_bound_deg(rig: Rig, xyz: Array, inliers: NDArray[np.bool_], sigma_px: float) -> float:
    """The least RMS, over consecutive pairs of cameras, of the error of their relative rotation, in degrees.

    It is a full rotation's angle, not that of one axis. Arguments as for `camera_information`, with the noise's
    standard deviation.
    """
    information = camera_information(rig, xyz, inliers)[6:, 6:]  # the first camera is the world
    length = np.tile(np.repeat([1.0, np.abs(xyz).mean()], 3), len(rig) - 1)  # so that all parameters are of a size
    inverse = np.linalg.pinv(information * np.outer(length, length), rcond=1e-11, hermitian=True)  # scale is free
    covariance = np.pad(inverse * np.outer(length, length), ((6, 0), (6, 0)))
    squared = []
    for v in range(len(rig) - 1):
        b_from_a = rig.cameras[v + 1].R @ rig.cameras[v].R.T
        turn = np.zeros((3, 6 * len(rig)))
        turn[:, 6 * v : 6 * v + 3], turn[:, 6 * v + 6 : 6 * v + 9] = -b_from_a, np.eye(3)
        squared.append(np.trace(turn @ covariance @ turn.T))
    return float(np.degrees(np.sqrt(np.mean(squared)) * sigma_px))
