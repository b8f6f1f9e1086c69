"""`keypoints.h5` and its extension `labels.h5`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.io.files import stored_image, usable_image
from epitool.io.h5 import array, created, dataset, integers, opened, readable, renamed, store, text, text_list, texts
from epitool.io.h5_rigs import read_rig, read_takes, write_rig, write_takes
from epitool.labels import Labels, RecordingDigest
from epitool.pose import Keypoints, Poses
from epitool.skeleton import skeleton_of

KEYPOINTS_BY = "epitool detect2d"
LABELS_BY = "epitool triangulate"
_LABEL_AXES = {"xyz": 3, "xyz_confidence": 2, "xyz_covariance": 3, "reprojection_px": 3, "swapped": 2, "used": 3}
_SINCE = {"xyz_covariance", "used"}  # absent from files of the first release


class KeypointsFile:
    """An open `keypoints.h5`, of which parts can be read.

    Attributes:
        frames: All frame numbers `(F,)`, strictly increasing.
        views: Names of the V views.
        image_size: (width, height) per view, `(V, 2)`.
        skeleton: Names and order of the joints.
        source: What footage and detector the file says that it is of.
        split: As `Keypoints.split`.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
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
        for name, axes in (("xy", 4), ("confidence", 3), ("images", 2), *((("take", 1),) if "take" in file else ())):
            shape = dataset(file, name, axes).shape
            if shape[0] != len(self.frames):
                raise ValueError(f"{name} has shape {shape}, expected {len(self.frames)} frames")

    def __len__(self) -> int:
        return len(self.frames)

    def take_of(self, part: slice = slice(None)) -> NDArray[np.int64]:
        """As `Keypoints.take_of`, of a part of the frames."""
        if "take" not in self._file:
            return np.zeros(len(self.frames[part]), dtype=np.int64)
        with readable(self._path, "keypoints", KEYPOINTS_BY):
            return integers(self._file, "take", 1, part)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Keypoints:
        """The keypoints of every `step`-th frame from index `start` to before `stop`.

        Raises:
            InputError: The file is damaged there.
        """
        part = slice(start, stop, step)
        with readable(self._path, "keypoints", KEYPOINTS_BY):
            stored = dataset(self._file, "images", 2).asstr()[part]
            if any("\0" in name for name in stored.ravel().tolist()):
                raise ValueError("'images' holds names that no file can have")
            names = renamed(stored.ravel().tolist(), lambda name: usable_image(name, self._path))
            return Keypoints(
                xy=array(self._file, "xy", 4, part),
                confidence=array(self._file, "confidence", 3, part),
                frames=self.frames[part],
                views=self.views,
                images=np.array(names, dtype=np.str_).reshape(stored.shape),
                image_size=self.image_size,
                skeleton=self.skeleton,
                take_of=self.take_of(part),
                split=self.split,
            )


class LabelsFile:
    """An open `labels.h5`, of which parts can be read.

    Attributes:
        keypoints: The keypoints in it.
        rig: The cameras; those of the first take, where there are several.
        takes: As `Labels.takes`.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self.keypoints = KeypointsFile(file, path)
        self.rig = read_rig(file, self.keypoints.views)
        self.takes = read_takes(file["takes"], self.rig) if "takes" in file else ()
        self._stored = [name for name in _LABEL_AXES if name in file or name not in _SINCE]
        for name in self._stored:
            if len(dataset(file, name, _LABEL_AXES[name])) != len(self.keypoints):
                raise ValueError(f"{name} is not of {len(self.keypoints)} frames")

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def rigs(self) -> tuple[Rig, ...]:
        """The cameras of every take."""
        return tuple(take.rig for take in self.takes) or (self.rig,)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Labels:
        """The labels of every `step`-th frame from index `start` to before `stop`.

        Raises:
            InputError: The file is damaged there.
        """
        part = slice(start, stop, step)
        with readable(self._path, "labels", LABELS_BY):
            keypoints = self.keypoints.read(start, stop, step)
            arrays: dict[str, NDArray[Any]] = {
                name: array(self._file, name, _LABEL_AXES[name], part) for name in self._stored
            }
            frames, skeleton, unit = keypoints.frames, keypoints.skeleton, self.rig.unit
            poses = Poses(arrays["xyz"], arrays["xyz_confidence"], frames, skeleton, unit, "world")
            newer = {"covariance": arrays["xyz_covariance"], "used": arrays["used"]} if arrays.keys() >= _SINCE else {}
            given = arrays["reprojection_px"], arrays["swapped"]
            return Labels(poses, keypoints, self.rig, *given, **newer, takes=self.takes)


class LabelsWriter:
    """A `labels.h5` in the making, to which labels are appended in the frames' order."""

    def __init__(self, file: h5py.File, path: Path, frames: NDArray[np.int64]) -> None:
        self._file, self._path, self._frames = file, path, frames
        self._written, self._digest = 0, RecordingDigest(frames, ())

    def append(self, labels: Labels) -> None:
        """Writes the labels of the next frames; all of a file are of one rig and skeleton."""
        if not self._written:
            self._digest = RecordingDigest(self._frames, labels.keypoints.views)
            _write_header(self._file, labels.keypoints)
            write_rig(self._file, labels.rig)
            if labels.takes:
                write_takes(self._file.create_group("takes"), labels.takes)
        arrays = {**_keypoint_arrays(labels.keypoints, self._path), **_label_arrays(labels)}
        store(self._file, arrays, self._written, len(self._frames))
        self._digest.add(labels.keypoints.images)
        self._written += len(labels.poses.frames)

    def finish(self) -> None:
        """Says what recording the file is of; every frame must have been appended."""
        if self._written != len(self._frames):
            raise ValueError(f"labels of {self._written} frames were appended, expected {len(self._frames)}")
        self._file.attrs["recording_id"] = texts(self._digest.value)


@contextmanager
def open_keypoints(path: Path) -> Iterator[KeypointsFile]:
    """Opens `keypoints.h5`, to read a part at a time; a `labels.h5` has keypoints too.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        with readable(path, "keypoints", KEYPOINTS_BY):
            keypoints = KeypointsFile(file, path)
        yield keypoints


@contextmanager
def writing_labels(path: Path, frames: NDArray[np.int64]) -> Iterator[LabelsWriter]:
    """Writes `labels.h5` for frames `(F,)` a part at a time: whole or not at all, with images relative to the file."""
    with created(path) as file:
        file.attrs["format"] = texts("epitool.labels/1")
        writer = LabelsWriter(file, path, frames)
        yield writer
        writer.finish()


def read_keypoints(path: Path | str) -> Keypoints:
    """Reads `keypoints.h5`; a `labels.h5` has keypoints too.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    path = Path(path)
    with open_keypoints(path) as file:
        return file.read()


def write_keypoints(path: Path | str, keypoints: Keypoints, source: str = "") -> None:
    """Writes `keypoints.h5`; images are stored relative to it, `source` says what footage and detector they are of."""
    path = Path(path)
    with created(path) as file:
        file.attrs["format"] = texts("epitool.keypoints/1")
        file.attrs["source"] = texts(source)
        _write_header(file, keypoints)
        store(file, _keypoint_arrays(keypoints, path), 0, len(keypoints.frames))


def has_poses(path: Path) -> bool:
    """Whether a file is a `labels.h5`, rather than a `keypoints.h5`.

    Raises:
        InputError: It is neither.
    """
    with opened(path, ("labels", "keypoints"), LABELS_BY) as file:
        return text(file.attrs, "format") == "epitool.labels/1"


def read_source(path: Path) -> str:
    """What footage and detector a `keypoints.h5` says that it is of.

    Raises:
        InputError: As `read_keypoints`.
    """
    with opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        return text(file.attrs, "source")


@contextmanager
def open_labels(path: Path) -> Iterator[LabelsFile]:
    """Opens `labels.h5`, to read a part at a time.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with opened(path, ("labels",), LABELS_BY) as file:
        with readable(path, "labels", LABELS_BY):
            labels = LabelsFile(file, path)
        yield labels


def read_labels(path: Path | str) -> Labels:
    """Reads `labels.h5`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    path = Path(path)
    with open_labels(path) as file:
        return file.read()


def write_labels(path: Path | str, labels: Labels) -> None:
    """Writes `labels.h5`; images are stored relative to it."""
    path = Path(path)
    with writing_labels(path, labels.poses.frames) as writer:
        writer.append(labels)


def _write_header(file: h5py.File, keypoints: Keypoints) -> None:
    file.attrs["skeleton"] = texts(keypoints.skeleton.name)
    file.attrs["joints"] = texts(keypoints.skeleton.joints)
    file.attrs["views"] = texts(keypoints.views)
    file.attrs["image_size"] = keypoints.image_size
    if keypoints.split:
        file.attrs["split"] = keypoints.split


def _keypoint_arrays(keypoints: Keypoints, path: Path) -> dict[str, NDArray[Any]]:
    names = renamed(keypoints.images.ravel().tolist(), lambda name: stored_image(name, path))
    return {
        "xy": keypoints.xy.astype(np.float32),
        "confidence": keypoints.confidence.astype(np.float32),
        "frames": keypoints.frames,
        "images": np.array(names, dtype=object).reshape(keypoints.images.shape),
        "take": keypoints.take_of,
    }


def _label_arrays(labels: Labels) -> dict[str, NDArray[Any]]:
    return {
        "xyz": labels.poses.xyz.astype(np.float32),
        "xyz_confidence": labels.poses.confidence.astype(np.float32),
        "xyz_covariance": labels.covariance.astype(np.float32),
        "reprojection_px": labels.reprojection_px.astype(np.float32),
        "swapped": labels.swapped,
        "used": labels.used,
    }


def _split(file: h5py.File, frames: int) -> tuple[int, int] | None:
    """What the file says of its parts, if it says it."""
    if "split" not in file.attrs:
        return None
    first, second = (int(end) for end in file.attrs["split"])
    if not 0 <= first <= second <= frames:
        raise ValueError(f"split {first}, {second} of {frames} frames")
    return first, second
