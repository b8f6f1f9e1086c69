"""Training samples of single images, collected from labels part by part and kept on disk as plain arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from epitool.camera import LENS, Array
from epitool.errors import GeometryError, InputError
from epitool.files import writing
from epitool.labels import Labels, RecordingDigest, split_frames
from epitool.nn.crops import labels_to_volume, median_bone_lengths
from epitool.nn.recording import Chunk, Part, Recording
from epitool.pose import Keypoints, square_boxes
from epitool.skeleton import Skeleton

MIN_JOINTS = 3
MIN_IMAGES = 8
_FRAMES_FOR_BONES = 20_000  # enough for a median, and bounds memory
_META = "samples.json"
_COLUMNS: dict[str, tuple[type, int]] = {  # type, and how many numbers an image or a joint has
    "frames": (np.int64, 1),
    "views": (np.int64, 1),
    "people": (np.int64, 1),
    "boxes": (np.float64, 4),
    "volume": (np.float32, 3),
    "weight": (np.float32, 3),
    "pose": (np.float32, 3),
    "K": (np.float32, 9),
    "lenses": (np.float64, LENS),
}
_TOLD = {"lenses", "people"}  # not in the digest: other columns differ with the lens and the person already


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of people that can be trained on, in the order of frames, within a frame of views, and there of people.

    The arrays are memory-mapped.

    Attributes:
        frames: Index of each image's frame in the labels, `(N,)`.
        views: Index of its view, `(N,)`.
        people: Index of the person in `Recording.people`, `(N,)`.
        boxes: Square boxes px, `(N, 4)`.
        volume: Volume coordinates of the joints, `(N, J, 3)`.
        weight: Weight of each coordinate in the loss, `(N, J, 3)`; 0 where it is unknown or outside the volume.
        pose: Joints in the camera's axes, root-relative, `(N, J, 3)`; NaN where unknown.
        K: Intrinsics, `(N, 3, 3)`; NaN if there are only keypoints.
        lenses: OpenCV's distortion coefficients, `(N, 14)`; 0 if there are only keypoints.
        skeleton: Skeleton of the joints.
        frame_count: Number of frames F of the recording.
        split: As `Keypoints.split`.
        bone_lengths: Medians over the training part, `(B,)`; NaN for bones never seen.
        recording_id: Identifier of the recording.
        digest: Digest of the arrays.
    """

    frames: NDArray[np.int64]
    views: NDArray[np.int64]
    people: NDArray[np.int64]
    boxes: Array
    volume: NDArray[np.float32]
    weight: NDArray[np.float32]
    pose: NDArray[np.float32]
    K: NDArray[np.float32]
    lenses: Array
    skeleton: Skeleton
    frame_count: int
    split: tuple[int, int] | None
    bone_lengths: Array
    recording_id: str
    digest: str

    def part(self, name: str) -> NDArray[np.intp]:
        """Return indices `(n,)` of the samples whose frames belong to a part of `split_frames`."""
        frames = split_frames(self.frame_count, self.split)[name]
        first, last = (frames[0], frames[-1]) if len(frames) else (0, -1)
        return np.arange(*np.searchsorted(self.frames, [first, last + 1]))


def check_poses(recording: Recording, supervision: str) -> None:
    """Refuse keypoints where poses are to be learned.

    Raises:
        InputError: The recording has no poses.
    """
    if not recording.rigs and supervision != "2d":
        raise InputError(
            "these are 2D joints, and no poses to learn: `epitool triangulate` makes labels of them, or"
            " --supervision 2d learns x and y alone"
        )


def collect_samples(recording: Recording, folder: Path, supervision: str) -> Samples:
    """Collect the images of each person that have a box, a root and at least MIN_JOINTS joints to learn.

    Args:
        recording: The recording, which is read once.
        folder: Folder where the arrays are written; those of an earlier call are overwritten.
        supervision: "self" or "full" for poses, in boxes around the keypoints or around the poses themselves; "2d" for
            keypoints, of which only x and y are learned.

    Raises:
        GeometryError: The training or the validation part has too few samples.
        InputError: The labels are damaged, the folder cannot be written to, or the recording has no poses, and poses
            are to be learned.
    """
    check_poses(recording, supervision)
    digest, seen, skeleton = RecordingDigest(recording.frames, recording.views), list[Array](), recording.skeleton
    with _columns(folder) as columns:
        for _, parts in recording.chunks():
            found = [_rows(part, supervision) for part in parts]
            joined = [np.concatenate(values) for values in zip(*found, strict=True)]
            frames, views, people = joined[:3]
            order = np.lexsort((people, views, frames))
            columns.append(*(values[order] for values in joined))
            for part in parts:
                if isinstance(part.chunk, Labels) and supervision != "2d":
                    seen.append(_select_spread(part.chunk.poses.xyz, part.frames, recording))
                if part.person == 0:  # the recording is the first person's, as for all who read labels
                    digest.add(part.keypoints.images)
    poses = np.concatenate([np.full((1, len(skeleton), 3), np.nan), *seen])
    meta = {
        "count": columns.count,
        "frame_count": len(recording.frames),
        "split": recording.split,
        "bone_lengths": median_bone_lengths(poses, skeleton).tolist(),
        "recording_id": digest.value,
        "digest": columns.digest,
    }
    with writing(folder / _META) as temporary:
        temporary.write_text(json.dumps(meta))
    samples = open_samples(folder, skeleton)
    _check_count(samples)
    return samples


def open_samples(folder: Path, skeleton: Skeleton) -> Samples:
    """Open the samples that `collect_samples` wrote to a folder."""
    meta = json.loads((folder / _META).read_text())
    count, shapes = meta.pop("count"), {1: (), 4: (4,), 3: (len(skeleton), 3), 9: (3, 3), LENS: (LENS,)}
    mapped: dict[str, Any] = {
        name: np.memmap(folder / f"{name}.bin", dtype, "r", shape=(count, *shapes[size]))
        if count
        else np.empty((0, *shapes[size]), dtype)
        for name, (dtype, size) in _COLUMNS.items()
    }
    lengths, split = np.array(meta.pop("bone_lengths"), dtype=float), meta.pop("split")
    meta["split"] = tuple(split) if split else None
    return Samples(**mapped, **meta, bone_lengths=lengths, skeleton=skeleton)


def image_chunks(recording: Recording, samples: Samples) -> Iterator[tuple[list[str], Array, NDArray[np.int64]]]:
    """Yield names `(n,)`, boxes `(n, 4)` and stated sizes `(n, 2)` of the samples' images.

    They come part by part, in the order of the samples.
    """
    for window, parts in recording.chunks():
        first, last = np.searchsorted(samples.frames, [window.start, window.stop])
        frames, views, people = (column[first:last] for column in (samples.frames, samples.views, samples.people))
        names, sizes = np.full(len(frames), "", dtype=object), np.zeros((len(frames), 2), dtype=np.int64)
        for part in parts:
            own = people == part.person
            at = np.searchsorted(part.frames, frames[own]), views[own]
            names[own] = part.keypoints.images[at]
            sizes[own] = _image_sizes(part.chunk)[at]
        yield names.tolist(), samples.boxes[first:last], sizes


def _rows(part: Part, supervision: str) -> tuple[NDArray[Any], ...]:
    """Return the columns of a person's samples, by frame and view."""
    chunk, keypoints = part.chunk, part.keypoints
    if supervision == "2d" or isinstance(chunk, Keypoints):
        targets = _flat_targets(keypoints)
    else:
        targets = _targets(chunk, supervision == "full")
    boxes, _, weight, *_ = targets
    learned = (weight[..., 0] > 0).sum(axis=-1) >= MIN_JOINTS
    frames, views = np.nonzero(learned & (keypoints.images != "") & np.isfinite(boxes[..., 0]))
    people = np.full(len(frames), part.person)
    return part.frames[frames], views, people, *(values[frames, views] for values in targets)


def _image_sizes(chunk: Chunk) -> NDArray[np.int64]:
    """Return the stated size (width, height) of every frame's and view's image, `(F, V, 2)`."""
    return chunk.image_sizes if isinstance(chunk, Labels) else np.tile(chunk.image_size, (len(chunk.frames), 1, 1))


def _targets(labels: Labels, own_boxes: bool) -> tuple[NDArray[Any], ...]:
    """Return boxes, volume coordinates, weights, root-relative poses, intrinsics and lenses of every frame and view."""
    in_cameras, skeleton, K = labels.in_cameras, labels.poses.skeleton, labels.intrinsics
    pixels = labels.project_own(in_cameras)
    boxes = square_boxes(pixels) if own_boxes else labels.boxes()
    volume, inside = labels_to_volume(in_cameras, pixels, K, boxes, skeleton)
    relative = in_cameras - in_cameras[:, :, [skeleton.root]]
    return boxes, volume, inside[..., None] * np.ones(3), relative, K, labels.lenses


def _flat_targets(keypoints: Keypoints) -> tuple[NDArray[Any], ...]:
    """Return targets as `_targets` does, for x and y of keypoints; z has weight 0 and poses are NaN."""
    boxes, seen = keypoints.boxes(), keypoints.seen
    xy = (keypoints.xy - boxes[..., None, :2]) / boxes[..., None, 2:3] - 0.5
    volume = np.concatenate([np.where(seen[..., None], xy, 0), np.zeros((*seen.shape, 1))], axis=-1)
    weight = seen[..., None] * np.array([1.0, 1.0, 0.0])
    cells = seen.shape[:2]
    K, lenses = np.full((*cells, 3, 3), np.nan), np.zeros((*cells, LENS))
    return boxes, volume, weight, np.full(volume.shape, np.nan), K, lenses


def _check_count(samples: Samples) -> None:
    parts = split_frames(samples.frame_count, samples.split)
    for part, enough in (("train", MIN_IMAGES), ("val", 1)):
        if (found := len(samples.part(part))) < enough:
            raise GeometryError(
                f"only {found} images of the {part} part ({len(parts[part])} of {samples.frame_count} frames) have a"
                f" pose to learn, {enough} are needed; label more frames"
            )


def _select_spread(xyz: Array, frames: NDArray[np.intp], recording: Recording) -> Array:
    """Return a subset of the training poses among those of the frames with these indices in the recording.

    It is spread evenly so that all parts together give at most _FRAMES_FOR_BONES poses of each person.
    """
    count = len(split_frames(len(recording.frames), recording.split)["train"])
    step = max(1, -(-count // _FRAMES_FOR_BONES))
    return xyz[(frames < count) & (frames % step == 0)]


class _Columns:
    """Arrays that grow at their ends, each in a file of its own."""

    def __init__(self, files: dict[str, BinaryIO]) -> None:
        self._files, self._hashes, self.count = files, {name: hashlib.sha256() for name in files}, 0

    def append(self, *columns: NDArray[Any]) -> None:
        for (name, (dtype, _)), column in zip(_COLUMNS.items(), columns, strict=True):
            stored = column.astype(dtype).tobytes()
            self._hashes[name].update(stored)
            self._files[name].write(stored)
        self.count += len(columns[0])

    @property
    def digest(self) -> str:
        """Digest of the columns' content, independent of how it was divided into parts."""
        whole = "".join(part.hexdigest() for name, part in self._hashes.items() if name not in _TOLD)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@contextmanager
def _columns(folder: Path) -> Iterator[_Columns]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            yield _Columns({name: stack.enter_context((folder / f"{name}.bin").open("wb")) for name in _COLUMNS})
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
