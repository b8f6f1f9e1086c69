"""Reader and writer of `labels.h5`, an extension of `keypoints.h5`.

The person who is seen most is at the file's top level, and each further one in a group of the same layout,
`people/person2` and so on, on frames of their own: from the first to the last in which they are solved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.errors import InputError
from epitool.io.cameras_h5 import read_rig, read_takes, write_rig, write_takes
from epitool.io.h5 import array, created, dataset, group_in, opened, readable, store, text, text_list, texts
from epitool.io.joints_h5 import FURTHER, StoredJoints, further_arrays, label_arrays
from epitool.io.keypoints_h5 import KeypointsFile, keypoint_arrays, write_header
from epitool.io.people_h5 import FIRST, PEOPLE, group_of, names_in
from epitool.labels import Further, Labels, RecordingDigest
from epitool.pose import Poses
from epitool.skeleton import skeleton_of

LABELS_BY = "epitool triangulate"
_LABEL_AXES = {"xyz": 3, "xyz_confidence": 2, "xyz_covariance": 3, "reprojection_px": 3, "swapped": 2, "used": 3}
_VERDICTS = ("", "pass", "warn", "fail")
_FURTHER_AXES = {"xyz": 3, "confidence": 2, "covariance": 3}
_SINCE = {"xyz_covariance", "used"}  # datasets that files of the first release lack


class LabelsFile:
    """One person's labels in an open `labels.h5`, which can be read in parts.

    Attributes:
        person: Name of the person.
        keypoints: Keypoints in the file.
        rig: The cameras; those of the first take if there are several.
        takes: Takes, as in `Labels.takes`.
        verdict: Verdict, as in `Labels.verdict`.
        reasons: Reasons, as in `Labels.reasons`.
        smoothed: How the poses were smoothed, as in `Labels.smoothed`.
    """

    def __init__(self, file: h5py.Group, path: Path, person: str = FIRST) -> None:
        self._file, self._path, self.person = file, path, person
        self.keypoints = KeypointsFile(file, path)
        self.rig = read_rig(file, self.keypoints.views)
        self.takes = read_takes(takes, self.rig) if (takes := group_in(file, "takes")) else ()
        self.verdict = text(file.attrs, "verdict")
        self.reasons = tuple(text_list(file.attrs, "reasons")) if "reasons" in file.attrs else ()
        self.smoothed = text(file.attrs, "smoothed")
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
        with readable(self._path, "labels" if self.person == FIRST else f"labels of {self.person}", LABELS_BY):
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
                reasons=self.reasons, smoothed=self.smoothed,
            )  # fmt: skip

    def read_further_joints(self) -> Further | None:
        """Read the joints that the detector found and the labels lack; None if there are none, as in older files.

        Raises:
            InputError: The file is damaged there.
        """
        with readable(self._path, "labels", LABELS_BY):
            if (group := group_in(self._file, FURTHER)) is None:
                return None
            joints = tuple(text_list(group.attrs, "joints"))
            xyz, confidence, covariance = (array(group, name, axes) for name, axes in _FURTHER_AXES.items())
            skeleton = skeleton_of(FURTHER, joints)
            poses = Poses(xyz, confidence, self.keypoints.frames, skeleton, self.rig.unit, "world")
            if covariance.shape != (*confidence.shape, 6):
                raise ValueError(f"'{FURTHER}/covariance' has shape {covariance.shape}")
            return Further(poses, covariance)


class LabelsWriter:
    """Unfinished labels of one person in a `labels.h5`, appended in the order of the frames.

    Attributes:
        person: Name of the person.
        frames: Numbers of the person's frames, `(F,)`.
    """

    def __init__(self, file: h5py.Group, path: Path, frames: NDArray[np.int64], person: str = FIRST) -> None:
        self._file, self._path, self.frames, self.person = file, path, frames, person
        self._written, self._digest = 0, RecordingDigest(frames, ())
        self._rigs: tuple[Rig, ...] = ()
        self._others: list[LabelsWriter] = []

    @property
    def everyone(self) -> tuple[LabelsWriter, ...]:
        """This person and the further people of the file."""
        return self, *self._others

    def another(self, frames: NDArray[np.int64]) -> LabelsWriter:
        """Begin the labels of a further person of this file, on frames `(F,)` of their own; it ends with the file."""
        person = f"person{len(self._others) + 2}"
        group = self._file.create_group(f"{PEOPLE}/{person}")
        self._others.append(LabelsWriter(group, self._path, frames, person))
        return self._others[-1]

    def take_back(self) -> None:
        """Remove the person begun last, whose labels are not to be kept."""
        del self._file[PEOPLE][self._others.pop().person]
        if not self._others:
            del self._file[PEOPLE]

    def append(self, labels: Labels, further: Further | None = None) -> None:
        """Append the labels of the next frames, and further joints; all labels have the same rig and skeleton."""
        if not self._written:
            self._digest = RecordingDigest(self.frames, labels.keypoints.views)
            write_header(self._file, labels.keypoints)
            write_rig(self._file, labels.rig)
            self._rigs = labels.rigs
            if labels.takes:
                write_takes(self._file.create_group("takes"), labels.takes)
        arrays = {**keypoint_arrays(labels.keypoints, self._path), **label_arrays(labels)}
        store(self._file, arrays, self._written, len(self.frames))
        if further:
            self._append_further(further)
        self._digest.add(labels.keypoints.images)
        self._written += len(labels.poses.frames)

    def _append_further(self, further: Further) -> None:
        group = self._file.require_group(FURTHER)
        group.attrs["joints"] = texts(list(further.joints))
        store(group, further_arrays(further), self._written, len(self.frames))

    @property
    def joints(self) -> StoredJoints:
        """The joints, after every frame has been appended."""
        return StoredJoints(self._file, self._rigs)

    def state_smoothed(self, how: str) -> None:
        """Write that the poses are smoothed, and how."""
        self._file.attrs["smoothed"] = texts(how)

    def judge(self, verdict: str, reasons: Sequence[str]) -> None:
        """Write the verdict on the labels, "pass", "warn" or "fail", and its reasons."""
        self._file.attrs["verdict"] = texts(verdict)
        self._file.attrs["reasons"] = texts(list(reasons))

    def finish(self) -> None:
        """Write the recording's identifier, after every frame has been appended, and names if there are several people.

        Raises:
            ValueError: Frames are missing.
        """
        if self._written != len(self.frames):
            raise ValueError(f"labels of {self._written} frames were appended, expected {len(self.frames)}")
        self._file.attrs["recording_id"] = texts(self._digest.value)
        for writer in self.everyone if self._others else ():
            writer._file.attrs["person"] = texts(writer.person)
        for other in self._others:
            other.finish()


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


def people_in(path: Path | str) -> tuple[str, ...]:
    """Return the names of the people whose labels a `labels.h5` holds, the one who is seen most first.

    Raises:
        InputError: The file is missing, damaged, or of another format.
    """
    path = Path(path)
    with opened(path, ("labels",), LABELS_BY) as file, readable(path, "labels", LABELS_BY):
        return names_in(file)


@contextmanager
def open_labels(path: Path, person: str | None = None) -> Iterator[LabelsFile]:
    """Open `labels.h5` for reading one person's labels in parts.

    Args:
        path: Path of the file.
        person: Name of the person; None for the one who is seen most.

    Raises:
        InputError: The file is missing, damaged, of another format, its arrays do not fit together, or it does not hold
            the person.
    """
    with opened(path, ("labels",), LABELS_BY) as file:
        with readable(path, "labels", LABELS_BY):
            labels = LabelsFile(file, path)
            known = (FIRST,) if person in (None, FIRST) else names_in(file)
        if person not in (None, *known):
            raise InputError(f"{path}: has no {person}; the people in it are {', '.join(known)}")
        if person not in (None, FIRST):
            with readable(path, f"labels of {person}", LABELS_BY):
                labels = _open_further_person(file, path, str(person), labels)
        yield labels


@contextmanager
def open_everyone(path: Path) -> Iterator[list[LabelsFile]]:
    """Open the labels of everyone in a `labels.h5`, the one who is seen most first.

    Raises:
        InputError: As in `open_labels`.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(open_labels(path, person)) for person in people_in(path)]


def read_labels(path: Path | str, person: str | None = None) -> Labels:
    """Read one person's labels of `labels.h5`: those of the one who is seen most, if no name is given.

    Raises:
        InputError: The file is missing, damaged, of another format, its arrays do not fit together, or it does not hold
            the person.
    """
    path = Path(path)
    with open_labels(path, person) as file:
        return file.read()


def write_labels(path: Path | str, labels: Labels) -> None:
    """Write `labels.h5`, with image paths relative to it."""
    path = Path(path)
    with writing_labels(path, labels.poses.frames) as writer:
        writer.append(labels)
        if labels.verdict:
            writer.judge(labels.verdict, labels.reasons)
        if labels.smoothed:
            writer.state_smoothed(labels.smoothed)


def _open_further_person(file: h5py.File, path: Path, person: str, first: LabelsFile) -> LabelsFile:
    """Open the labels of a further person, of the first person's views, joints and unit, on some of their frames.

    Raises:
        ValueError: They are not, or are damaged.
    """
    found = LabelsFile(group_of(file, person), path, person)
    if not len(found):
        raise ValueError(f"{person} is in no frame")
    for what, (own, others) in {
        "views": (found.keypoints.views, first.keypoints.views),
        "joints": (found.keypoints.skeleton, first.keypoints.skeleton),
        "unit": (found.rig.unit, first.rig.unit),
    }.items():
        if own != others:
            raise ValueError(f"{person} has other {what} than {FIRST}")
    if not np.isin(found.keypoints.frames, first.keypoints.frames).all():
        raise ValueError(f"{person} has frames that {FIRST} lacks")
    return found
