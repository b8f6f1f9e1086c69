"""Views that show several people and have no place yet: placed by the one whom the other views agree on."""

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
_TRACKS, _SHORT = 12, 10  # the longest ones are tried, if they have so many frames
_LEAST_FIT = 0.4  # of the joints of whom a view follows, for it to be that person


def placed_by_someone(
    candidates: Candidates, view: int, camera: Camera, xyz: Array, skeleton: Skeleton, seed: int
) -> Camera | None:
    """The camera at the place from which somebody in its view is the person at `xyz`; None where nobody is.

    Args:
        candidates: Everyone.
        view: Which of their views it is.
        camera: Its lens.
        xyz: Where the person is in every frame, `(F, J, 3)`; NaN where not known.
        skeleton: Of the joints.
        seed: Of the random sampling.
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
    """Places of the camera if one or another track is the person."""
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
