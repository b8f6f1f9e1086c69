"""The peers that benchmarks measure against, used as their users would; each needs the extra `bench`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.pose import Keypoints

Array = NDArray[np.float64]


def calibrate_with_caliscope(keypoints: Keypoints, rig: Rig) -> Rig:
    """Caliscope's `calibrate_extrinsics` over image points, with the rig's intrinsics given and held."""
    import pandas as pd
    from caliscope.api import CameraArray, CameraData, ImagePoints, calibrate_extrinsics

    frame, view, joint = np.nonzero(keypoints.seen)
    x, y = keypoints.xy[frame, view, joint].T
    table = {"sync_index": frame, "cam_id": view, "object_id": 0, "keypoint_id": joint, "img_loc_x": x, "img_loc_y": y}
    cameras = {
        v: CameraData(v, camera.image_size, matrix=np.array(camera.K), distortions=np.zeros(5))
        for v, camera in enumerate(rig.cameras)
    }
    points = ImagePoints(pd.DataFrame(table))
    run = calibrate_extrinsics(points, CameraArray(cameras), None, refine_intrinsics=False)
    posed = run.capture_volume.camera_array.posed_cameras
    found = [replace(camera, R=posed[v].rotation, t=posed[v].translation) for v, camera in enumerate(rig.cameras)]
    return Rig(tuple(found), "arbitrary", "none")


def anipose_group(rig: Rig) -> Any:
    """The rig as aniposelib's CameraGroup."""
    from aniposelib.cameras import Camera as AniposeCamera
    from aniposelib.cameras import CameraGroup

    def convert(camera: Camera) -> Any:
        rotation = cv2.Rodrigues(np.array(camera.R))[0].ravel()
        return AniposeCamera(
            np.array(camera.K), np.zeros(5), camera.image_size, rotation, np.array(camera.t), camera.name
        )

    return CameraGroup([convert(camera) for camera in rig.cameras])


def adjust_with_anipose(observed: Array, points: Array, rig: Rig) -> Rig:
    """aniposelib's bundle adjustment of the extrinsics, with its defaults, from the cameras and points given.

    Args:
        observed: Keypoints `(N, V, 2)`, NaN where unseen.
        points: Points `(N, 3)` to start from.
        rig: Cameras to start from.
    """
    group = anipose_group(rig)
    start = np.concatenate([*(c.get_params(only_extrinsics=True) for c in group.cameras), points.ravel()])
    p2ds = np.ascontiguousarray(observed.transpose(1, 0, 2))
    group.bundle_adjust(p2ds, start_params=start, only_extrinsics=True, verbose=False)
    found = [
        replace(camera, R=cv2.Rodrigues(own.get_rotation())[0], t=own.get_translation())
        for camera, own in zip(rig.cameras, group.cameras)
    ]
    return replace(rig, cameras=tuple(found))
