"""Crops of a training set, cut once from images and videos into one file of JPEGs.

As plain bytes the crops of a recording of Human3.6M's size would need more than a terabyte. As JPEGs they need a
tenth, and to decode one costs less than to augment it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import progress
from epitool.errors import InputError
from epitool.files import writing
from epitool.images import Image, VideoReader, frame_of_video, read_image
from epitool.nn.crops import crop_image, enlarged
from epitool.parallel import run_parallel

CACHE_MARGIN = 1.5  # leaves room to rotate and scale
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_BLOCK = 64  # image files in a task


class _Task(NamedTuple):
    """Images of a chunk that one thread cuts: files, or frames of one video."""

    indices: list[int]
    video: VideoReader | None


def cut_crops(
    chunks: Iterable[tuple[Sequence[str], Array, NDArray[np.int64]]], path: Path, size: int, jobs: int = -1
) -> None:
    """Cuts the crops of images, one chunk of them in memory at a time; each video is decoded once.

    Args:
        chunks: Names, square boxes `(n, 4)` and stated sizes (width, height) `(n, 2)` of images.
        path: File to write, with the places of the crops in it beside it, as `.npy`.
        size: Side of a crop in px; its box is CACHE_MARGIN times as large as the one given.
        jobs: Threads; the file does not depend on it.

    Raises:
        InputError: An image is missing, cannot be decoded, or has another size; or the disk is full.
    """
    videos, lengths = dict[str, VideoReader](), list[int]()
    with writing(path) as temporary, temporary.open("wb") as file, progress("cutting crops", None) as advance:
        for names, boxes, sizes in chunks:

            def cut(task: _Task) -> list[bytes]:
                crops = _cut(task, names, boxes, sizes, size)  # noqa: B023 - used within the iteration
                advance(len(crops))
                return crops

            tasks = _tasks(names, videos)
            found = dict(zip(_indices(tasks), itertools.chain(*run_parallel(cut, tasks, jobs)), strict=True))
            for i in range(len(names)):
                file.write(found[i])
                lengths.append(len(found[i]))
        file.flush()
        with writing(_offsets(path)) as places, places.open("wb") as beside:
            np.save(beside, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


class CropStore(Sequence[Image]):
    """The crops that `cut_crops` has written, RGB `(C, C, 3)` each, decoded when asked for."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            InputError: It is not what `cut_crops` wrote.
        """
        self.path = path
        try:
            self._places: NDArray[np.int64] = np.load(_offsets(path))
            whole = path.stat().st_size
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as crops ({error}); remove it") from None
        if self._places.ndim != 1 or (np.diff(self._places) <= 0).any() or self._places[-1] != whole:
            raise InputError(f"{path}: is damaged; remove it, and it is made anew")
        self._bytes = np.memmap(path, np.uint8, "r")

    def __len__(self) -> int:
        return len(self._places) - 1

    def __getitem__(self, i: int) -> Image:  # type: ignore[override]
        image = cv2.imdecode(self._bytes[self._places[i] : self._places[i + 1]], cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{self.path}: crop {i} is damaged; remove the file, and it is made anew")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def images_digest(names: Iterable[str]) -> str:
    """Tells images by their names and by the sizes and times of their files, of which each is looked at once."""
    digest, last = hashlib.sha256(), ("", "")
    for name in names:
        place = frame_of_video(name)
        file = place[0] if place else name
        if file != last[0]:
            status = os.stat(file) if os.path.exists(file) else None  # noqa: PTH110, PTH116 - millions of names
            last = file, f"{status.st_size} {status.st_mtime_ns}" if status else "missing"
        digest.update(f"{name} {last[1]}\n".encode())
    return digest.hexdigest()


def _offsets(path: Path) -> Path:
    return path.with_suffix(".npy")


def _tasks(names: Sequence[str], videos: dict[str, VideoReader]) -> list[_Task]:
    files, frames = list[int](), dict[str, list[int]]()
    for i, name in enumerate(names):
        if place := frame_of_video(name):
            frames.setdefault(place[0], []).append(i)
        else:
            files.append(i)
    for video in frames:
        if video not in videos:
            videos[video] = VideoReader(Path(video))
    blocks = [_Task(files[start : start + _BLOCK], None) for start in range(0, len(files), _BLOCK)]
    return blocks + [_Task(indices, videos[video]) for video, indices in frames.items()]


def _indices(tasks: Iterable[_Task]) -> list[int]:
    return [i for task in tasks for i in task.indices]


def _cut(task: _Task, names: Sequence[str], boxes: Array, sizes: NDArray[np.int64], size: int) -> list[bytes]:
    """The crops of a task's images, in the order of its indices."""

    def encoded(i: int, image: Image) -> bytes:
        found, stated = (image.shape[1], image.shape[0]), tuple(sizes[i].tolist())
        if found != stated:
            raise InputError(
                f"image {names[i]}: is {found[0]}x{found[1]}, the labels state {stated[0]}x{stated[1]}; make them anew"
                " from these images"
            )
        crop = crop_image(image, enlarged(boxes[i], CACHE_MARGIN), size)
        return bytes(cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _QUALITY)[1])

    if task.video is None:
        return [encoded(i, read_image(Path(names[i]))) for i in task.indices]
    at = {int(names[i].rpartition("#")[2]): i for i in task.indices}
    crops = {at[frame]: encoded(at[frame], image) for frame, image in task.video.read(list(at))}
    missing = [i for i in task.indices if i not in crops]
    if missing:
        raise InputError(f"video {names[missing[0]]}: this frame cannot be decoded, and {len(missing) - 1} others")
    return [crops[i] for i in task.indices]
