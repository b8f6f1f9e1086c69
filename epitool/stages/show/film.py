"""`epitool show FILE --out overlay.mp4`: draws every frame of labels or keypoints, with all views side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, progress
from epitool.errors import InputError
from epitool.images import Image, ImageReader, frame_rate
from epitool.io.keypoints_h5 import KeypointsFile, open_keypoints
from epitool.io.labels_h5 import LabelsFile, has_poses, open_labels
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.stages.show.people import everyone_in
from epitool.viz.overlay import draw_people, draw_pose, shrunk, shrunk_size, tile, write_name, write_video
from epitool.viz.scene import Crowd

Array = NDArray[np.float64]
_TILE = 640  # longer side of a view, px
_FPS = 30.0  # frame rate if there is no video that states one
_PART = 256  # number of frames in memory at a time, without their images


def film(file: Path, path: Path) -> Summary:
    """Write the video: of labels, the pose projected into the views; of keypoints, all detected people.

    Memory is needed for a few images, however long the recording is, and for all detected people.

    Raises:
        InputError: The file is damaged, names no images, or one of the images is missing.
    """
    opened: Callable[[Path], AbstractContextManager[LabelsFile | KeypointsFile]]
    opened = open_labels if has_poses(file) else open_keypoints
    with opened(file) as recording, progress("drawing", len(recording)) as advance:
        named = (rate_of(part) for part, *_ in _parts(recording) if (part.images != "").any())
        rate = next(named, None)
        if rate is None:
            raise InputError(f"{file}: names no images, so there is nothing to draw on")
        fps = rate if np.isfinite(rate) else _FPS
        count = write_video(path, _sheets(recording, advance), fps)
        views = len(recording.keypoints.views if isinstance(recording, LabelsFile) else recording.views)
    return Summary(
        f"{path}: {count} frames of {views} views, {fps:g} per second", {"out": str(path), "frames": count, "fps": fps}
    )


def rate_of(keypoints: Keypoints) -> float:
    """Return the frame rate of the first named image's video; NaN if it is not from a video, or is missing."""
    return frame_rate(next((name for name in keypoints.images.ravel().tolist() if name), ""))


def _parts(recording: LabelsFile | KeypointsFile) -> Iterator[tuple[Keypoints, Array, Crowd | None]]:
    """Yield successive parts of the frames, with the joints to draw in pixels `(F, V, J, 2)` and the other people."""
    everyone = everyone_in(recording) if isinstance(recording, KeypointsFile) else None
    for start in range(0, len(recording), _PART):
        part = recording.read(start, start + _PART)
        if isinstance(part, Labels):
            in_cameras = part.in_cameras
            yield part.keypoints, np.where(in_cameras[..., 2:] > 0, part.project_own(in_cameras), np.nan), None
        else:
            yield part, part.xy, everyone.besides(part, slice(start, start + _PART)) if everyone else None


def _sheets(recording: LabelsFile | KeypointsFile, advance: Callable[[int], None]) -> Iterator[Image]:
    """Yield the views of every frame side by side, black where one has no image; all sheets have the same size."""
    readers: dict[str, ImageReader] = {}
    for part, joints, crowd in _parts(recording):
        columns = ceil(sqrt(len(part.views)))
        sizes = [shrunk_size((w, h), _TILE) if w and h else (_TILE, _TILE) for w, h in part.image_size.tolist()]
        for f in range(len(part.frames)):
            tiles = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
            for v, view in enumerate(part.views):
                if name := str(part.images[f, v]):
                    image = readers.setdefault(view, ImageReader()).read(name)
                    _check_size(name, image, part.image_size[v])
                    if crowd:
                        here = crowd.in_cell(f * len(part.views) + v)
                        image = draw_people(image, crowd.xy[here], part.skeleton, crowd.number[here])
                    tiles[v] = shrunk(draw_pose(image, joints[f, v], part.skeleton), _TILE)
                write_name(tiles[v], f"{view}  frame {part.frames[f]}")
            yield tile(tiles, columns, sizes[0])
            advance(1)


def _check_size(name: str, image: Image, size: NDArray[np.int64]) -> None:
    """Refuse an image of another (width, height) than its view's, which is 0 if the view's images differ in size.

    Raises:
        InputError: The size differs.
    """
    if size.all() and image.shape[1::-1] != tuple(size):
        found, stated = f"{image.shape[1]}x{image.shape[0]}", f"{size[0]}x{size[1]}"
        raise InputError(f"image {name}: is {found}, its view is {stated}; a camera has one size")
