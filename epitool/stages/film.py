"""`epitool show FILE --out overlay.mp4`: every frame of labels or keypoints, all views side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, progress
from epitool.errors import InputError
from epitool.images import Image, frame_rate, read_view
from epitool.io.keypoints import read_keypoints
from epitool.io.labels import has_poses, read_labels
from epitool.pose import Keypoints
from epitool.stages.footage import listed_views
from epitool.viz.overlay import draw_pose, shrunk, tile, write_video

_TILE = 640  # px, of a view's longer side
_FPS = 30.0


def film(file: Path, path: Path) -> Summary:
    """Writes the video: in labels the pose as the cameras see it, in keypoints what was detected.

    Raises:
        InputError: The file is damaged, names no images, or one of them is gone.
    """
    if has_poses(file):
        labels = read_labels(file)
        keypoints, in_cameras = labels.keypoints, labels.in_cameras
        drawn = np.where(in_cameras[..., 2:] > 0, labels.project_own(in_cameras), np.nan)
    else:
        keypoints = read_keypoints(file)
        drawn = np.where(keypoints.seen()[..., None], keypoints.xy, np.nan)
    rate = frame_rate(next((name for name in keypoints.images.ravel().tolist() if name), ""))
    fps = rate if np.isfinite(rate) else _FPS
    with progress("drawing", len(keypoints.frames)) as advance:
        count = write_video(path, _sheets(keypoints, drawn, advance), fps)
    return Summary(
        f"{path}: {count} frames of {len(keypoints.views)} views, {fps:g} per second",
        {"out": str(path), "frames": count, "fps": fps},
    )


def _sheets(keypoints: Keypoints, drawn: NDArray[np.float64], advance: Callable[[int], None]) -> Iterator[Image]:
    readers = {view.name: (image for _, image in read_view(view)) for view in listed_views(keypoints) if view.files}
    columns = ceil(sqrt(len(keypoints.views)))
    blanks: dict[str, Image] = {}
    for f in range(len(keypoints.frames)):
        tiles = []
        for v, name in enumerate(keypoints.views):
            if not keypoints.images[f, v]:
                tiles.append(blanks.get(name, np.zeros((_TILE, _TILE, 3), np.uint8)))
                continue
            image = next(readers[name], None)
            if image is None:
                raise InputError(f"image {keypoints.images[f, v]}: the video ends before this frame")
            tiles.append(shrunk(draw_pose(image, drawn[f, v], keypoints.skeleton), _TILE))
            blanks.setdefault(name, np.zeros_like(tiles[-1]))
        yield tile(tiles, columns)
        advance(1)
