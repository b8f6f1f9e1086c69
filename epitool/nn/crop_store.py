"""Crops of a training set, cut once from images and videos into one file of JPEGs.

As raw bytes, the 3.6 million crops of Human3.6M would need 1.6 TB at 384 px. Measured for photographs as JPEGs of
quality 95: at 384 px 57 KB (raw 432), mean error 1.8 of 255 (39 dB), decoded in 0.7 ms; at 144 px 11 KB (raw 61), mean
error 2.8 (35 dB), decoded in 0.12 ms.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import progress
from epitool.errors import InputError
from epitool.files import writing
from epitool.images import Image, VideoReader, read_image
from epitool.names import frame_of_video
from epitool.nn.crops import crop_image, enlarged
from epitool.parallel import run_parallel

CACHE_MARGIN = 1.5  # leaves room to rotate and scale
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_BLOCK = 64  # image files per task
_PART = 2048  # images whose JPEGs are in memory at the same time
_OPEN_VIDEOS = 16  # kept open for the following parts; each costs threads and memory

Chunk: TypeAlias = tuple[Sequence[str], Array, NDArray[np.int64]]


class _Task(NamedTuple):
    """Images of a chunk that one thread cuts: files, or frames of one video."""

    indices: list[int]
    video: VideoReader | None


def cut_crops(chunks: Iterable[Chunk], path: Path, size: int, jobs: int = -1) -> None:
    """Cut the crops of images; only those of _PART images are in memory at a time, and each video is decoded once.

    Videos are read forwards, so frames should come in increasing order.

    Args:
        chunks: Names, square boxes `(n, 4)` and stated sizes (width, height) `(n, 2)` of images.
        path: File to write; the offsets of the crops in it are written to a `.npy` file beside it.
        size: Side of a crop in px; its box is CACHE_MARGIN times as large as the one given.
        jobs: Number of threads; the file does not depend on it.

    Raises:
        InputError: An image is missing, cannot be decoded, or has another size; or the disk is full.
    """
    videos, places = dict[str, VideoReader](), array("q", [0])
    with writing(path) as temporary, temporary.open("wb") as file, progress("cutting crops", None) as advance:
        for part in _parts(chunks):
            for jpeg in _cut_part(part, videos, size, jobs, advance):
                file.write(jpeg)
                places.append(places[-1] + len(jpeg))
        file.flush()
        with writing(_places(path)) as beside, beside.open("wb") as places_file:
            np.save(places_file, np.array(places, np.int64))


class CropStore(Sequence[Image]):
    """Crops that `cut_crops` has written, RGB `(C, C, 3)` each, decoded on access.

    The file is memory-mapped. The store is pickled as its path, so that another process opens the file itself.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            InputError: It was not written by `cut_crops`, or is damaged.
        """
        self.path = path
        try:
            places = np.load(_places(path), mmap_mode="r")
            whole = path.stat().st_size
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: cannot be read as crops ({error}); remove it, and it is made anew") from None
        if not _divides(places, whole):
            raise InputError(f"{path}: is damaged; remove it, and it is made anew")
        self._places: NDArray[np.int64] = places
        self._bytes = np.memmap(path, np.uint8, "r") if whole else np.empty(0, np.uint8)

    def __reduce__(self) -> tuple[type[CropStore], tuple[Path]]:
        return CropStore, (self.path,)

    def __len__(self) -> int:
        return len(self._places) - 1

    def __getitem__(self, i: int) -> Image:  # type: ignore[override]
        i = range(len(self))[i]
        image = cv2.imdecode(self._bytes[self._places[i] : self._places[i + 1]], cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{self.path}: crop {i} is damaged; remove the file, and it is made anew")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def images_digest(names: Iterable[str]) -> str:
    """Return a digest of images by their names and the sizes and modification times of their files.

    Each video is looked up once.
    """
    digest, videos = hashlib.sha256(), dict[str, str]()
    for name in names:
        if place := frame_of_video(name):
            if place[0] not in videos:
                videos[place[0]] = _state(place[0])
            state = videos[place[0]]
        else:
            state = _state(name)
        digest.update(f"{name} {state}\n".encode())
    return digest.hexdigest()


def _state(file: str) -> str:
    try:
        status = os.stat(file)  # noqa: PTH116 - called for millions of names
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _places(path: Path) -> Path:
    return path.with_suffix(".npy")


def _divides(places: NDArray[np.int64], whole: int) -> bool:
    """Return whether offsets divide a file of `whole` bytes into crops."""
    if places.dtype != np.int64 or places.ndim != 1 or not len(places):
        return False
    return bool(places[0] == 0 and places[-1] == whole and (np.diff(places) > 0).all())


def _parts(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    for names, boxes, sizes in chunks:
        for start in range(0, len(names), _PART):
            part = slice(start, start + _PART)
            yield names[part], boxes[part], sizes[part]


def _cut_part(
    part: Chunk, videos: dict[str, VideoReader], size: int, jobs: int, advance: Callable[[int], None]
) -> list[bytes]:
    """Return the crops of a part, in its order."""

    def cut(task: _Task) -> dict[int, bytes]:
        crops = _cut(task, part, size)
        advance(len(crops))
        return crops

    found: dict[int, bytes] = {}
    for crops in run_parallel(cut, _tasks(part[0], videos), jobs):
        found.update(crops)
    return [found[i] for i in range(len(part[0]))]


def _tasks(names: Sequence[str], videos: dict[str, VideoReader]) -> list[_Task]:
    """Divide images among tasks so that no two tasks read the same video.

    The videos that were read last stay open.
    """
    files, frames = list[int](), dict[str, list[int]]()
    for i, name in enumerate(names):
        if place := frame_of_video(name):
            frames.setdefault(place[0], []).append(i)
        else:
            files.append(i)
    for video in frames:
        videos[video] = videos.pop(video) if video in videos else VideoReader(Path(video))
    while len(videos) > max(_OPEN_VIDEOS, len(frames)):
        del videos[next(iter(videos))]
    blocks = [_Task(files[start : start + _BLOCK], None) for start in range(0, len(files), _BLOCK)]
    return blocks + [_Task(indices, videos[video]) for video, indices in frames.items()]


def _cut(task: _Task, part: Chunk, size: int) -> dict[int, bytes]:
    """Return the crops of a task's images, by their indices in the part."""
    names = part[0]
    if task.video is None:
        shown = ((read_image(Path(name)), of_one) for name, of_one in groupby(task.indices, key=names.__getitem__))
        return {i: _encoded(image, part, i, size) for image, of_one in shown for i in of_one}
    wanted = dict[int, list[int]]()
    for i in task.indices:
        wanted.setdefault(int(names[i].rpartition("#")[2]), []).append(i)
    crops = {i: _encoded(image, part, i, size) for frame, image in task.video.read(list(wanted)) for i in wanted[frame]}
    missing = [i for i in task.indices if i not in crops]
    if missing:
        raise InputError(
            f"image {names[missing[0]]}: the video ends before this frame, or is damaged there (so are {len(missing)}"
            f" of {len(task.indices)} frames); take the video that the labels were made from, or make them anew"
        )
    return crops


def _encoded(image: Image, part: Chunk, i: int, size: int) -> bytes:
    """Return the crop of image i of a part, as a JPEG."""
    names, boxes, sizes = part
    found, stated = (image.shape[1], image.shape[0]), tuple(sizes[i].tolist())
    if found != stated and all(stated):
        raise InputError(
            f"image {names[i]}: is {found[0]}x{found[1]}, the labels state {stated[0]}x{stated[1]}; make the labels"
            " anew from these images"
        )
    crop = crop_image(image, enlarged(boxes[i], CACHE_MARGIN), size)
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _QUALITY)[1])
