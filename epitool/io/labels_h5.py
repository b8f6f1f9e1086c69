"""Reader and writer of `labels.h5`, an extension of `keypoints.h5`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.io.cameras_h5 import read_rig, read_takes, write_rig, write_takes
from epitool.io.h5 import LARGEST, array, created, dataset, opened, readable, store, text, text_list, texts
from epitool.io.keypoints_h5 import KeypointsFile, keypoint_arrays, write_header
from epitool.labels import Further, Labels, RecordingDigest
from epitool.pose import Poses
from epitool.skeleton import skeleton_of

LABELS_BY = "epitool triangulate"
_LABEL_AXES = {"xyz": 3, "xyz_confidence": 2, "xyz_covariance": 3, "reprojection_px": 3, "swapped": 2, "used": 3}
_VERDICTS = ("", "pass", "warn", "fail")
_FURTHER, _FURTHER_AXES = "further", {"xyz": 3, "confidence": 2, "covariance": 3}
_SINCE = {"xyz_covariance", "used"}  # datasets that files of the first release lack


class LabelsFile:
    """An open `labels.h5`, which can be read in parts.

    Attributes:
        keypoints: Keypoints in the file.
        rig: The cameras; those of the first take if there are several.
        takes: Takes, as in `Labels.takes`.
        verdict: Verdict, as in `Labels.verdict`.
        reasons: Reasons, as in `Labels.reasons`.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self.keypoints = KeypointsFile(file, path)
        self.rig = read_rig(file, self.keypoints.views)
        self.takes = read_takes(file["takes"], self.rig) if "takes" in file else ()
        self.verdict = text(file.attrs, "verdict")
        self.reasons = tuple(text_list(file.attrs, "reasons")) if "reasons" in file.attrs else ()
        if self.verdict not in _VERDICTS:
            raise ValueError(f"verdict '{self.verdict[:40]}' is none of {', '.join(_VERDICTS[1:])}")
        self._stored = [name for name in _LABEL_AXES if name in file or name not in _SINCE]
        for name in self._stored:
            if len(dataset(file, name, _LABEL_AXES[name])) != len(self.keypoints):
                raise ValueError(f"{name} is not of {len(self.keypoints)} frames")

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def rigs(self) -> tuple[Rig, ...]:
        """Cameras of every take."""
        return tuple(take.rig for take in self.takes) or (self.rig,)

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Labels:
        """Read the labels of every `step`-th frame from index `start` up to, but not including, `stop`.

        Raises:
            InputError: The file is damaged.
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
            return Labels(
                poses, keypoints, self.rig, *given, **newer, takes=self.takes, verdict=self.verdict,
                reasons=tuple(self.reasons),
            )  # fmt: skip

    def further(self) -> Further | None:
        """Read the joints that the detector found and the labels lack; None if there are none, as in older files.

        Raises:
            InputError: The file is damaged there.
        """
        if _FURTHER not in self._file:
            return None
        with readable(self._path, "labels", LABELS_BY):
            group = self._file[_FURTHER]
            joints = tuple(text_list(group.attrs, "joints"))
            xyz, confidence, covariance = (array(group, name, axes) for name, axes in _FURTHER_AXES.items())
            skeleton = skeleton_of(_FURTHER, joints)
            poses = Poses(xyz, confidence, self.keypoints.frames, skeleton, self.rig.unit, "world")
            if covariance.shape != (*confidence.shape, 6):
                raise ValueError(f"'{_FURTHER}/covariance' has shape {covariance.shape}")
            return Further(poses, covariance)


class LabelsWriter:
    """Unfinished `labels.h5`, to which labels are appended in the order of the frames."""

    def __init__(self, file: h5py.File, path: Path, frames: NDArray[np.int64]) -> None:
        self._file, self._path, self._frames = file, path, frames
        self._written, self._digest = 0, RecordingDigest(frames, ())

    def append(self, labels: Labels, further: Further | None = None) -> None:
        """Append the labels of the next frames, and further joints; all labels have the same rig and skeleton."""
        if not self._written:
            self._digest = RecordingDigest(self._frames, labels.keypoints.views)
            write_header(self._file, labels.keypoints)
            write_rig(self._file, labels.rig)
            if labels.takes:
                write_takes(self._file.create_group("takes"), labels.takes)
        arrays = {**keypoint_arrays(labels.keypoints, self._path), **_label_arrays(labels)}
        store(self._file, arrays, self._written, len(self._frames))
        if further:
            self._append_further(further)
        self._digest.add(labels.keypoints.images)
        self._written += len(labels.poses.frames)

    def _append_further(self, further: Further) -> None:
        group = self._file.require_group(_FURTHER)
        group.attrs["joints"] = texts(list(further.joints))
        arrays = {
            "xyz": further.poses.xyz.astype(np.float32), "confidence": further.poses.confidence.astype(np.float32),
            "covariance": _stored(further.covariance),
        }  # fmt: skip
        store(group, arrays, self._written, len(self._frames))

    def judge(self, verdict: str, reasons: Sequence[str]) -> None:
        """Write the verdict on the labels, "pass", "warn" or "fail", and its reasons."""
        self._file.attrs["verdict"] = texts(verdict)
        self._file.attrs["reasons"] = texts(list(reasons))

    def finish(self) -> None:
        """Write the recording's identifier, after every frame has been appended.

        Raises:
            ValueError: Frames are missing.
        """
        if self._written != len(self._frames):
            raise ValueError(f"labels of {self._written} frames were appended, expected {len(self._frames)}")
        self._file.attrs["recording_id"] = texts(self._digest.value)


@contextmanager
def writing_labels(path: Path, frames: NDArray[np.int64]) -> Iterator[LabelsWriter]:
    """Write `labels.h5` for frames `(F,)` in parts, atomically, with image paths relative to the file."""
    with created(path) as file:
        file.attrs["format"] = texts("epitool.labels/1")
        writer = LabelsWriter(file, path, frames)
        yield writer
        writer.finish()


def has_poses(path: Path) -> bool:
    """Return whether a file is a `labels.h5` rather than a `keypoints.h5`.

    Raises:
        InputError: The file is neither.
    """
    with opened(path, ("labels", "keypoints"), LABELS_BY) as file:
        return text(file.attrs, "format") == "epitool.labels/1"


@contextmanager
def open_labels(path: Path) -> Iterator[LabelsFile]:
    """Open `labels.h5` for reading in parts.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with opened(path, ("labels",), LABELS_BY) as file:
        with readable(path, "labels", LABELS_BY):
            labels = LabelsFile(file, path)
        yield labels


def read_labels(path: Path | str) -> Labels:
    """Read `labels.h5`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    path = Path(path)
    with open_labels(path) as file:
        return file.read()


def write_labels(path: Path | str, labels: Labels) -> None:
    """Write `labels.h5`, with image paths relative to it."""
    path = Path(path)
    with writing_labels(path, labels.poses.frames) as writer:
        writer.append(labels)
        if labels.verdict:
            writer.judge(labels.verdict, labels.reasons)


def _label_arrays(labels: Labels) -> dict[str, NDArray[Any]]:
    return {
        "xyz": labels.poses.xyz.astype(np.float32),
        "xyz_confidence": labels.poses.confidence.astype(np.float32),
        "xyz_covariance": _stored(labels.covariance),
        "reprojection_px": _stored(labels.reprojection_px),
        "swapped": labels.swapped,
        "used": labels.used,
    }


def _stored(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convert to float32, with NaN for values too large for a reader, such as those of a joint at infinity."""
    return np.where(np.abs(values) < LARGEST, values, np.nan).astype(np.float32)
