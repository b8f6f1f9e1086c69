"""Placing the cameras of views that show several people, by the person on whom the other views agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.errors import GeometryError
from epitool.geometry.calibration.resection import Resection, resect
from epitool.geometry.people.candidates import Candidates, tracks_of_view
from epitool.geometry.two_view.relative_pose import initial_threshold
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_TRACKS, _SHORT = 12, 10  # number of longest tracks tried, and frames below which a track is too short
_LEAST_FIT = 0.4  # share of inliers among a track's joints at which it is the person


def place_by_person(
    candidates: Candidates, view: int, camera: Camera, xyz: Array, skeleton: Skeleton, seed: int
) -> Camera | None:
    """Return the camera placed so that somebody in its view is the person at `xyz`; None if nobody fits.

    Args:
        candidates: All people found.
        view: Index of the view.
        camera: Intrinsics of the view.
        xyz: Joints of the person in every frame, `(F, J, 3)`; NaN where not known.
        skeleton: Skeleton of the joints.
        seed: Seed of the random sampling.
    """
    mine = candidates.view_index == view
    table = candidates.table(len(xyz), int(candidates.view_index.max(initial=view)) + 1)[:, view]
    if not mine.any():
        return None
    tracks = sorted(tracks_of_view(candidates, table, skeleton), key=len, reverse=True)[:_TRACKS]
    best: Resection | None = None
    for found in _resections(candidates, tracks, camera, xyz, skeleton, seed):
        if found.inlier_share >= _LEAST_FIT and (best is None or found.gain > best.gain):
            best = found
    return replace(camera, R=best.R, t=best.t) if best else None


def _resections(
    candidates: Candidates, tracks: Sequence[NDArray[np.intp]], camera: Camera, xyz: Array, skeleton: Skeleton,
    seed: int,
) -> list[Resection]:  # fmt: skip
    """Resect the camera from each track in turn, as if it were the person."""
    found = []
    for track in tracks:
        if len(track) < _SHORT:
            break
        xy = camera.undistort(candidates.joints(track))
        shown = xy[np.isfinite(xy[..., 0])]
        if not len(shown):
            continue
        try:
            world = xyz[candidates.frame_index[track]]
            found.append(resect(xy, world, camera.K, skeleton, initial_threshold(shown), seed))
        except GeometryError:
            continue
    return found
