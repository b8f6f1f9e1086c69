"""`epitool show FILE --out overlay.mp4`: draws every frame of labels or keypoints, with all views side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, counted, progress
from epitool.errors import InputError
from epitool.images import Image, ImageReader, frame_rate
from epitool.io.keypoints_h5 import KeypointsFile, open_keypoints
from epitool.io.labels_h5 import has_poses
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton
from epitool.stages.show.labelled import LabelledPeople, open_everyone
from epitool.stages.show.people import load_everyone
from epitool.viz.colors import OTHERS_COLORS, colors_of
from epitool.viz.overlay import (
    draw_people,
    draw_pose,
    legend,
    shrunk,
    shrunk_size,
    tile,
    write_name,
    write_tags,
    write_video,
)
from epitool.viz.scene import Crowd, Person

Array = NDArray[np.float64]
Drawing = Callable[[Image, int, int], Image]  # draws on the image of a frame and a view (indices), and shrinks it
_TILE = 640  # longer side of a view, px
_FPS = 30.0  # frame rate if there is no video that states one
_PART = 256  # number of frames in memory at a time, without their images


def film(file: Path, path: Path) -> Summary:
    """Write the video: of labels, everyone's pose projected into the views; of keypoints, all detected people.

    Memory is needed for a few images, however long the recording is, and for all detected people.

    Raises:
        InputError: The file is damaged, names no images, or one of the images is missing.
    """
    opened: Callable[[Path], AbstractContextManager[LabelledPeople | KeypointsFile]]
    opened = open_everyone if has_poses(file) else open_keypoints
    with opened(file) as recording, progress("drawing", len(recording)) as advance:
        named = (rate_of(part) for part, *_ in _parts(recording) if (part.images != "").any())
        rate = next(named, None)
        if rate is None:
            raise InputError(f"{file}: names no images, so there is nothing to draw on")
        fps = rate if np.isfinite(rate) else _FPS
        count = write_video(path, _sheets(recording, advance), fps)
        views = len((recording.files[0].keypoints if isinstance(recording, LabelledPeople) else recording).views)
    return Summary(
        f"{path}: {counted(count, 'frame')} of {counted(views, 'view')}, {fps:g} per second",
        {"out": str(path), "frames": count, "fps": fps},
    )


def rate_of(keypoints: Keypoints) -> float:
    """Return the frame rate of the first named image's video; NaN if it is not from a video, or is missing."""
    return frame_rate(keypoints.first_image)


def _parts(recording: LabelledPeople | KeypointsFile) -> Iterator[tuple[Keypoints, Drawing]]:
    """Yield successive parts of the frames, with what draws the people on their images."""
    everyone = load_everyone(recording) if isinstance(recording, KeypointsFile) else None
    for start in range(0, len(recording), _PART):
        if isinstance(recording, LabelledPeople):
            labels, people = recording.read(start, start + _PART)
            yield labels.keypoints, _drawing_people(people, labels.keypoints.skeleton)
        else:
            part = recording.read(start, start + _PART)
            crowd = everyone.besides(part, slice(start, start + _PART)) if everyone else None
            yield part, _drawing_detections(part, crowd)


def _drawing_people(people: Sequence[Person], skeleton: Skeleton) -> Drawing:
    """Return what draws labelled people: one in the colours of the body's sides, several in a colour each."""
    own = np.stack([person.own for person in people if person.own is not None])
    names, colors = [person.name for person in people], colors_of(len(people))

    def draw(image: Image, f: int, v: int) -> Image:
        if len(people) == 1:
            return shrunk(draw_pose(image, own[0, f, v], skeleton), _TILE)
        small = shrunk(draw_people(image, own[:, f, v], skeleton, colors), _TILE)
        write_tags(small, own[:, f, v] * small.shape[1] / image.shape[1], names, colors)
        return small

    return draw


def _drawing_detections(found: Keypoints, crowd: Crowd | None) -> Drawing:
    """Return what draws the chosen person, in the colours of the body's sides, over the others."""

    def draw(image: Image, f: int, v: int) -> Image:
        if crowd:
            here = crowd.select_cell(f * len(found.views) + v)
            colors = [OTHERS_COLORS[(number - 1) % len(OTHERS_COLORS)] for number in crowd.number[here].tolist()]
            image = draw_people(image, crowd.xy[here], found.skeleton, colors)
        return shrunk(draw_pose(image, found.xy[f, v], found.skeleton), _TILE)

    return draw


def _sheets(recording: LabelledPeople | KeypointsFile, advance: Callable[[int], None]) -> Iterator[Image]:
    """Yield the views of every frame side by side, black where one has no image; all sheets have the same size."""
    readers: dict[str, ImageReader] = {}
    names = [file.person for file in recording.files] if isinstance(recording, LabelledPeople) else []
    for part, draw in _parts(recording):
        columns = ceil(sqrt(len(part.views)))
        sizes = [shrunk_size((w, h), _TILE) if w and h else (_TILE, _TILE) for w, h in part.image_size.tolist()]
        for f in range(len(part.frames)):
            tiles = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
            for v, view in enumerate(part.views):
                if name := str(part.images[f, v]):
                    image = readers.setdefault(view, ImageReader()).read(name)
                    _check_size(name, image, part.image_size[v])
                    tiles[v] = draw(image, f, v)
                write_name(tiles[v], f"{view}  frame {part.frames[f]}")
            sheet = tile(tiles, columns, sizes[0])
            if len(names) > 1:
                sheet = np.concatenate([sheet, legend(names, colors_of(len(names)), sheet.shape[1])])
            yield sheet
            advance(1)


def _check_size(name: str, image: Image, size: NDArray[np.int64]) -> None:
    """Refuse an image of another (width, height) than its view's, which is 0 if the view's images differ in size.

    Raises:
        InputError: The size differs.
    """
    if size.all() and image.shape[1::-1] != tuple(size):
        found, stated = f"{image.shape[1]}x{image.shape[0]}", f"{size[0]}x{size[1]}"
        raise InputError(f"image {name}: is {found}, its view is {stated}; a camera has one size")
