"""Reader and writer of `keypoints.h5`, and of the same content in `labels.h5`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.io.files import stored_image, usable_image
from epitool.io.h5 import array, created, dataset, integers, opened, readable, renamed, store, text, text_list, texts
from epitool.pose import Keypoints
from epitool.skeleton import skeleton_of

KEYPOINTS_BY = "epitool detect2d"
_LATER = {"take": 1, "detected_xyz": 4}  # number of axes of optional datasets


class KeypointsFile:
    """An open `keypoints.h5`, which can be read in parts.

    Attributes:
        path: Path of the file.
        frames: All frame numbers `(F,)`, strictly increasing.
        views: Names of the V views.
        image_size: (width, height) per view, `(V, 2)`.
        skeleton: Names and order of the joints.
        source: Footage and detector that the file states.
        split: Split, as in `Keypoints.split`.
        least_confidence: Joints with a lower confidence are read as missing; None keeps all joints.
    """

    def __init__(self, file: h5py.Group, path: Path, least_confidence: float | None = None) -> None:
        self._file, self.path, self.least_confidence = file, path, least_confidence
        self.frames: NDArray[np.int64] = integers(file, "frames", 1)
        self.views = tuple(text_list(file.attrs, "views"))
        self.image_size = np.asarray(file.attrs["image_size"])
        if self.image_size.dtype.kind not in "iu":
            raise ValueError("'image_size' holds no whole numbers")
        self.skeleton = skeleton_of(text(file.attrs, "skeleton"), text_list(file.attrs, "joints"))
        self.source = text(file.attrs, "source")
        self.split = _split(file, len(self.frames))
        if (np.diff(self.frames) <= 0).any():
            raise ValueError("frames are not strictly increasing")
        later = {name: axes for name, axes in _LATER.items() if name in file}
        for name, axes in ({"xy": 4, "confidence": 3, "images": 2} | later).items():
            shape = dataset(file, name, axes).shape
            if shape[0] != len(self.frames):
                raise ValueError(f"{name} has shape {shape}, expected {len(self.frames)} frames")
        self.read(0, 0)  # checks that the arrays fit together before any frame is used

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of frames, views and joints."""
        return len(self), len(self.views), len(self.skeleton)

    def take_of(self, part: slice = slice(None)) -> NDArray[np.int64]:
        """Read `Keypoints.take_of` for a part of the frames, `(n,)`."""
        if "take" not in self._file:
            return np.zeros(len(self.frames[part]), dtype=np.int64)
        with readable(self.path, "keypoints", KEYPOINTS_BY):
            return integers(self._file, "take", 1, part)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Keypoints:
        """Read the keypoints of every `step`-th frame from index `start` up to, but not including, `stop`.

        Raises:
            InputError: The file is damaged.
        """
        part = slice(start, stop, step)
        with readable(self.path, "keypoints", KEYPOINTS_BY):
            stored = dataset(self._file, "images", 2).asstr()[part]
            if any("\0" in name for name in stored.ravel().tolist()):
                raise ValueError("'images' holds names that no file can have")
            names = renamed(stored.ravel().tolist(), lambda name: usable_image(name, self.path))
            found = Keypoints(
                xy=array(self._file, "xy", 4, part),
                confidence=array(self._file, "confidence", 3, part),
                frames=self.frames[part],
                views=self.views,
                images=np.array(names, dtype=np.str_).reshape(stored.shape),
                image_size=self.image_size,
                skeleton=self.skeleton,
                take_of=self.take_of(part),
                split=self.split,
                detected_xyz=self._detected_xyz(part),
            )
        return found.without_unsure(self.least_confidence)

    def _detected_xyz(self, part: slice) -> NDArray[np.float64]:
        return array(self._file, "detected_xyz", 4, part) if "detected_xyz" in self._file else np.empty(0)


class KeypointsWriter:
    """Unfinished `keypoints.h5`, to which keypoints are appended in the order of the frames."""

    def __init__(self, file: h5py.File, path: Path, frames: int) -> None:
        self._file, self._path, self._frames = file, path, frames
        self._written = 0

    def append(self, keypoints: Keypoints) -> None:
        """Append the keypoints of the next frames; all keypoints of a file have the same views and skeleton."""
        if not self._written:
            write_header(self._file, keypoints)
        store(self._file, keypoint_arrays(keypoints, self._path), self._written, self._frames)
        self._written += len(keypoints.frames)

    def finish(self) -> None:
        """Check that every frame was appended.

        Raises:
            ValueError: Frames are missing.
        """
        if self._written != self._frames:
            raise ValueError(f"keypoints of {self._written} frames were appended, expected {self._frames}")


@contextmanager
def open_keypoints(path: Path, least_confidence: float | None = None) -> Iterator[KeypointsFile]:
    """Open `keypoints.h5`, or the keypoints of `labels.h5`, for reading in parts.

    Args:
        path: Path of the file.
        least_confidence: Joints with a lower confidence are read as missing; None keeps all joints.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        with readable(path, "keypoints", KEYPOINTS_BY):
            keypoints = KeypointsFile(file, path, least_confidence)
        yield keypoints


@contextmanager
def writing_keypoints(path: Path, frames: int, source: str = "") -> Iterator[KeypointsWriter]:
    """Write `keypoints.h5` in parts, atomically, with image paths relative to the file.

    Args:
        path: Path of the file.
        frames: Number of frames that will be appended.
        source: Footage and detector of the keypoints.
    """
    with created(path) as file:
        file.attrs["format"] = texts("epitool.keypoints/1")
        file.attrs["source"] = texts(source)
        writer = KeypointsWriter(file, path, frames)
        yield writer
        writer.finish()


def read_keypoints(path: Path | str) -> Keypoints:
    """Read `keypoints.h5`, or the keypoints of `labels.h5`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    path = Path(path)
    with open_keypoints(path) as file:
        return file.read()


def write_keypoints(path: Path | str, keypoints: Keypoints, source: str = "") -> None:
    """Write `keypoints.h5`, with image paths relative to it; `source` states the footage and detector."""
    with writing_keypoints(Path(path), len(keypoints.frames), source) as writer:
        writer.append(keypoints)


def read_source(path: Path) -> str:
    """Read which footage and detector a `keypoints.h5` states.

    Raises:
        InputError: The file cannot be read, as in `read_keypoints`.
    """
    with opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        return text(file.attrs, "source")


def write_header(file: h5py.Group, keypoints: Keypoints) -> None:
    """Write the attributes that are common to all frames."""
    file.attrs["skeleton"] = texts(keypoints.skeleton.name)
    file.attrs["joints"] = texts(keypoints.skeleton.joints)
    file.attrs["views"] = texts(keypoints.views)
    file.attrs["image_size"] = keypoints.image_size
    if keypoints.split:
        file.attrs["split"] = keypoints.split


def keypoint_arrays(keypoints: Keypoints, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays stored for every frame, with image paths relative to the file at `path`."""
    names = renamed(keypoints.images.ravel().tolist(), lambda name: stored_image(name, path))
    # half precision stores positions within a body to about a millimetre
    own = {"detected_xyz": keypoints.detected_xyz.astype(np.float16)} if keypoints.detected_xyz.size else {}
    return {
        "xy": keypoints.xy.astype(np.float32),
        "confidence": keypoints.confidence.astype(np.float32),
        "frames": keypoints.frames,
        "images": np.array(names, dtype=object).reshape(keypoints.images.shape),
        "take": keypoints.take_of,
        **own,
    }


def _split(file: h5py.Group, frames: int) -> tuple[int, int] | None:
    """Read the split of the frames; None if the file does not state it."""
    if "split" not in file.attrs:
        return None
    first, second = (int(end) for end in file.attrs["split"])
    if not 0 <= first <= second <= frames:
        raise ValueError(f"split {first}, {second} of {frames} frames")
    return first, second
