"""Views (folders of images, or videos) and their images, read one at a time as RGB arrays.

The name of an image is its path, or `video.mp4#12` for frame 12 of a video, counted from 0.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.names import frame_of_video, number_frames

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silences FFmpeg about damaged videos; our messages say more
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})

# Codecs of single pictures and of text, which FFmpeg also finds in the middle of other files, and how the files begin
# in which such pictures are a video although no header states their number: JPEG images, AVI and Matroska.
_PICTURES, _TEXT, _OF_PICTURES = (b"MJPG", b"MPNG"), b"ansi", (b"\xff\xd8", b"RIFF", b"\x1aE\xdf\xa3")

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """Footage of one camera.

    Attributes:
        name: File name without suffix, or folder name.
        path: Path of the video or folder.
        frames: Frame numbers: counted from 0 in a video, or the last number in each image's name in a folder.
        files: Images of a folder (empty for a video), or names of listed images, some of them `video.mp4#12`.
        image_size: (width, height) of the first image; 0 if the sizes may differ.
        boxes: Region to search in each frame's image, `(N, 4)` px, with NaN for the whole image. None searches the
            whole image in all frames.
    """

    name: str
    path: Path
    frames: tuple[int, ...]
    files: tuple[Path, ...]
    image_size: tuple[int, int]
    boxes: NDArray[np.float64] | None = None

    def image_name(self, frame: int) -> str:
        """Return the path of the frame's image, or `video#frame`."""
        return str(self.files[bisect_left(self.frames, frame)]) if self.files else f"{self.path}#{frame}"


def check_name(path: Path) -> None:
    """Reject names that our files cannot store and video libraries cannot open.

    Raises:
        InputError: The name is not Unicode.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise InputError(f"{shown}: the name is not UTF-8; rename it, or set a UTF-8 locale") from None


def view_name(path: Path) -> str:
    """Return the name of a view: the folder's name, or the video's name without suffix."""
    return path.resolve().name if path.is_dir() else path.stem


def open_view(path: Path) -> View:
    """Open a folder or video as a view.

    Raises:
        InputError: The path is missing, holds no image, or cannot be decoded.
    """
    check_name(path)
    if not path.exists():
        raise InputError(f"view {path}: no such file or folder")
    if path.is_dir():
        return _open_folder(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError(f"view {path}: a view is a folder of images or a video, not one image")
    capture = _open_video(path)
    ok, image = capture.read()
    if not ok:
        raise InputError(f"view {path}: holds no frame that can be decoded")
    count = _stated_count(capture, path) or 1 + sum(1 for _ in iter(capture.grab, False))
    return View(view_name(path), path, tuple(range(count)), (), (image.shape[1], image.shape[0]))


def _open_folder(path: Path) -> View:
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith("."))
    if not files:
        videos = sorted(f for f in path.iterdir() if f.suffix.lower() in VIDEO_SUFFIXES)
        hint = f"; it holds videos, which are views themselves: {path}/*{videos[0].suffix}" if videos else ""
        raise InputError(f"view {path}: the folder holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}){hint}")
    for file in files:
        check_name(file)
    try:
        frames = number_frames([file.name for file in files])
    except ValueError as error:
        raise InputError(f"view {path}: {error}; rename the images") from None
    order = np.argsort(frames)
    first = read_image(files[order[0]])
    files_in_order = tuple(files[i] for i in order)
    size = (first.shape[1], first.shape[0])
    return View(view_name(path), path, tuple(sorted(frames)), files_in_order, size)


def _open_video(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise InputError(f"video {path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"video {path}: the file is empty")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened() or _is_no_video(capture, path):
        raise InputError(
            f"video {path}: cannot be decoded; is it a video ({', '.join(sorted(VIDEO_SUFFIXES))}), and whole?"
        )
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # not all versions rotate what phones store sideways by themselves
    return capture


def _stated_count(capture: cv2.VideoCapture, path: Path) -> int:
    """Return the number of frames; 0 if it is not stated, as by some containers, or arbitrary, as in damaged ones."""
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if 0 < count <= path.stat().st_size else 0


def _is_no_video(capture: cv2.VideoCapture, path: Path) -> bool:
    """Return whether what FFmpeg plays is text, or pictures within a file of another kind, such as a PDF."""
    codec = (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little")
    if codec not in _PICTURES or _stated_count(capture, path):
        return codec == _TEXT
    with path.open("rb") as file:
        return not file.read(4).startswith(_OF_PICTURES)


def frame_rate(image: str) -> float:
    """Return the frames per second of the video in an image name `video.mp4#frame`.

    The result is NaN if the name is not of a video, or the video is missing or does not state its frame rate.
    """
    path = Path(image.rpartition("#")[0])
    if not path.is_file():
        return float("nan")
    capture = cv2.VideoCapture(str(path))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if rate > 0 else float("nan")


class UndecodableImageError(InputError):
    """An image file that is there, but is empty or cannot be decoded.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, message: str, path: Path = Path()) -> None:
        super().__init__(message)
        self.path = path


def read_image(path: Path) -> Image:
    """Read an image file as RGB.

    Raises:
        UndecodableImageError: The file is empty or cannot be decoded.
        InputError: The file is missing.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"image {path}: {error.strerror or error}") from None
    if not data.size:
        raise UndecodableImageError(f"image {path}: the file is empty", path)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UndecodableImageError(f"image {path}: cannot be decoded; is it an image ({known})?", path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_view(view: View, times: list[float] | None = None) -> Iterator[tuple[int, Image]]:
    """Yield every (frame number, RGB image) of a view in order, with one image in memory at a time.

    A video with fewer frames than its header states ends early without an error.

    Args:
        view: Folder, video or list of images.
        times: List to which the presentation time of each video frame is appended, in seconds.

    Raises:
        InputError: An image is missing, damaged, or differs in size from the first of its view.
    """
    if not view.files:
        yield from VideoReader(view.path).read(view.frames, times)
        return
    for frame, image in zip(view.frames, map(ImageReader().read, map(str, view.files)), strict=False):
        if view.image_size[0] and (image.shape[1], image.shape[0]) != view.image_size:
            found, first = f"{image.shape[1]}x{image.shape[0]}", f"{view.image_size[0]}x{view.image_size[1]}"
            file = view.image_name(frame)
            raise InputError(f"image {file}: is {found}, the first of its view is {first}; a camera has one size")
        yield frame, image


class ImageReader:
    """Reader of images in order, some of which may be video frames; keeps one video open at a time."""

    def __init__(self) -> None:
        self._video: VideoReader | None = None

    def read(self, name: str) -> Image:
        """Read the image with the given name, a path or `video.mp4#frame`.

        Raises:
            InputError: The image is missing or damaged.
        """
        if (place := frame_of_video(name)) is None:
            return read_image(Path(name))
        if self._video is None or self._video.path != Path(place[0]):
            self._video = VideoReader(Path(place[0]))
        found = [image for _, image in self._video.read([place[1]])]
        if not found:
            raise InputError(f"image {name}: the video ends before this frame, or is damaged there")
        return found[0]


class VideoReader:
    """Forward reader of a video, which starts again from the beginning when asked for an earlier frame."""

    def __init__(self, path: Path) -> None:
        """Open the video.

        Raises:
            InputError: The video is missing or cannot be decoded.
        """
        self.path, self._capture, self._next = path, _open_video(path), 0

    @property
    def passed(self) -> int:
        """Number of frames that have been passed."""
        return self._next

    def read(self, frames: Sequence[int], times: list[float] | None = None) -> Iterator[tuple[int, Image]]:
        """Yield the requested (frame number, RGB image) in increasing order, without frames after the video's end.

        Args:
            frames: Numbers of the requested frames.
            times: List to which the presentation time of every frame passed is appended, in seconds.
        """
        wanted = sorted(set(frames))
        if wanted and wanted[0] < self._next:
            self._capture, self._next = _open_video(self.path), 0
        for frame in wanted:
            while self._next <= frame:
                if not self._capture.grab():
                    return
                self._next += 1
                if times is not None:
                    times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            ok, image = self._capture.retrieve()
            if ok:
                yield frame, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[misc]


def read_images(names: Sequence[str]) -> Iterator[tuple[int, Image]]:
    """Yield (index into `names`, RGB image) for every named image; frames of one video are decoded in one pass.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    videos: dict[str, dict[int, list[int]]] = {}
    for i, name in enumerate(names):
        if place := frame_of_video(name):
            videos.setdefault(place[0], {}).setdefault(place[1], []).append(i)
        else:
            yield i, read_image(Path(name))
    for video, frames in videos.items():
        missing, reader = set(frames), VideoReader(Path(video))
        for frame, image in reader.read(list(frames)):
            missing.discard(frame)
            for i in frames[frame]:
                yield i, image
        if missing:
            raise InputError(
                f"video {video}: frame {min(missing)} cannot be decoded; it is damaged there, or ends before it:"
                f" {reader.passed} frames were found, counted from 0"
            )
