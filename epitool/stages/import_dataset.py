"""`epitool import`: converts a published dataset to `train.h5` and `test.h5`, or to poses of motion capture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, counted, progress, say
from epitool.errors import InputError, UsageError
from epitool.files import require_folder
from epitool.io.datasets import cmu
from epitool.io.datasets.common import DatasetTake, check_images
from epitool.io.datasets.h36m import read_h36m
from epitool.io.datasets.mpi_inf_3dhp import read_mpi_inf_3dhp
from epitool.io.datasets.photographs import read_coco, read_mpii
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import writing_labels
from epitool.io.pose_arrays import writing_pose_arrays
from epitool.labels import Labels, Take, labels_of
from epitool.options import ImportOptions

# Reader of each dataset of recordings, and the step between the frames of its test part (paper, section 4).
RECORDINGS = {"h36m": (read_h36m, 64), "mpi-inf-3dhp": (read_mpi_inf_3dhp, 1)}
PHOTOGRAPHS = {"mpii": read_mpii, "coco": read_coco}
MOCAP = "cmu"
FILES = ("train.h5", "test.h5", "poses.npz")
_EVERY, _EVERY_MOCAP = 5, 4  # default steps between frames; motion capture then has 30 frames per second
_CHOICE_SHARE = 0.05  # fraction at the end of every training take that is kept to choose the checkpoint
_CHUNK_FRAMES = 2048


@dataclass(frozen=True, eq=False)
class Piece:
    """A run of frames of a take that follow each other in a file."""

    source: DatasetTake
    number: int
    frames: NDArray[np.int64]


def run(options: ImportOptions) -> Summary:
    """Read and check a dataset from disk, and write it as labels with the paper's parts (section 4), or as poses.

    Raises:
        InputError: The folder does not hold the dataset, or a file in it is damaged or follows another convention.
        UsageError: An extra is missing, or there is no training recording of a subject.
    """
    dataset, root, every, subjects = options.dataset, options.root, options.every, options.subjects
    if dataset in PHOTOGRAPHS and subjects:
        raise UsageError(f"--subjects: {dataset} has photographs of many, and names none")
    if dataset in PHOTOGRAPHS and every:
        raise UsageError(f"--every: {dataset} has photographs, of which all are taken")
    require_folder(root, advice=f"name the one that {dataset} was unpacked in")
    folder = _folder(options)
    if dataset == MOCAP:
        return _import_mocap(root, folder / FILES[2], every or _EVERY_MOCAP, subjects)
    if dataset in PHOTOGRAPHS:
        return _import_photographs(dataset, root, folder)
    read, test_step = RECORDINGS[dataset]
    takes = _select_subjects(read(root), subjects)
    for take in takes:
        check_images(take)
    written: dict[str, int] = {}
    for name, test, step in zip(FILES, (False, True), (every or _EVERY, test_step)):
        if of_part := [take for take in takes if take.test == test]:
            written[str(folder / name)] = _write(folder / name, of_part, step, test)
        else:
            say(f"{root}: no recordings for {name}")
    said = ", ".join(f"{path} ({counted(frames, 'frame')})" for path, frames in written.items())
    return Summary(f"{said}: {counted(len(takes), 'recording')}", {"files": written, "recordings": len(takes)})


def also_writes(options: ImportOptions) -> list[Path]:
    """Return the files that may be written in the folder."""
    return [_folder(options) / name for name in FILES]


def _folder(options: ImportOptions) -> Path:
    return options.out or Path(options.dataset)


def _select_subjects(takes: list[DatasetTake], subjects: Sequence[int]) -> list[DatasetTake]:
    """Return the takes without the training recordings of other subjects."""
    if not subjects:
        return takes
    found = sorted({take.take.name.partition(" ")[0] for take in takes if not take.test})
    wanted = [f"S{number}" for number in subjects]
    if missing := [name for name in wanted if name not in found]:
        raise UsageError(f"--subjects: no training recording of {', '.join(missing)}; found {', '.join(found)}")
    return [take for take in takes if take.test or take.take.name.partition(" ")[0] in wanted]


def _import_mocap(root: Path, path: Path, every: int, subjects: Sequence[int]) -> Summary:
    clips = cmu.find_clips(root)
    found = sorted({clip.subject for clip in clips})
    if missing := sorted(set(subjects) - set(found)):
        raise UsageError(f"--subjects: no clip of {', '.join(map(str, missing))}; found {', '.join(map(str, found))}")
    clips = [clip for clip in clips if not subjects or clip.subject in subjects]
    fps, count = cmu.FRAMES_PER_SECOND / every, 0
    with writing_pose_arrays(path, cmu.H36M, fps) as append, progress(f"reading {root}", len(clips)) as done:
        for clip in clips:
            poses = cmu.read_poses(clip, every)
            append(poses, clip.path.stem, clip.subject)
            count += len(poses)
            done(1)
    people = len({clip.subject for clip in clips})
    size = f"{counted(count, 'pose')} of {counted(people, 'subject')} in {counted(len(clips), 'clip')}"
    text = f"{path}: {size}, {fps:g} a second"
    return Summary(text, {"poses_file": str(path), "poses": count, "subjects": people, "clips": len(clips), "fps": fps})


def _import_photographs(dataset: str, root: Path, folder: Path) -> Summary:
    keypoints = PHOTOGRAPHS[dataset](root)
    path, count = folder / FILES[0], len(keypoints.frames)
    folder.mkdir(parents=True, exist_ok=True)
    write_keypoints(path, keypoints, source=dataset)
    training = keypoints.split[0] if keypoints.split else count
    return Summary(
        f"{path}: {training} people to learn from, {count - training} to choose by",
        {"files": {str(path): count}, "training": training},
    )


def plan(takes: Sequence[DatasetTake], step: int, test: bool) -> tuple[list[Piece], tuple[int, int]]:
    """Return the frames of a file in their order, and its split.

    Args:
        takes: Takes that the file is made of.
        step: Step between the frames that are kept.
        test: Whether the whole file is for the test. Otherwise the end of every take is kept to choose a checkpoint.
    """
    chosen = [take.frames[::step] for take in takes]
    if test:
        return [Piece(take, n, frames) for n, (take, frames) in enumerate(zip(takes, chosen))], (0, 0)
    cuts = [len(frames) - max(round(len(frames) * _CHOICE_SHARE), 1 if len(frames) > 1 else 0) for frames in chosen]
    heads = [Piece(take, n, frames[:cut]) for n, (take, frames, cut) in enumerate(zip(takes, chosen, cuts))]
    tails = [Piece(take, n, frames[cut:]) for n, (take, frames, cut) in enumerate(zip(takes, chosen, cuts))]
    return heads + tails, (sum(cuts), sum(map(len, chosen)))


def _write(path: Path, takes: Sequence[DatasetTake], step: int, test: bool) -> int:
    """Write the labels of some takes, and return the number of frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces, split = plan(takes, step, test)
    count, named = sum(len(piece.frames) for piece in pieces), tuple(take.take for take in takes)
    _check_views(path, named)
    with writing_labels(path, np.arange(count)) as writer, progress(f"writing {path.name}", count) as done:
        start = 0
        for piece, frames in _chunks(pieces):
            numbers = np.arange(start, start + len(frames))
            writer.append(_labels_of_piece(piece, frames, numbers, named, split))
            start += len(frames)
            done(len(frames))
    return count


def _check_views(path: Path, takes: Sequence[Take]) -> None:
    if any(take.rig.names != takes[0].rig.names for take in takes):
        raise InputError(f"{path}: recordings with other cameras than {', '.join(takes[0].rig.names)}")


def _chunks(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, NDArray[np.int64]]]:
    for piece in pieces:
        for start in range(0, len(piece.frames), _CHUNK_FRAMES):
            yield piece, piece.frames[start : start + _CHUNK_FRAMES]


def _labels_of_piece(
    piece: Piece, frames: NDArray[np.int64], numbers: NDArray[np.int64], takes: tuple[Take, ...], split: tuple[int, int]
) -> Labels:  # fmt: skip
    """Return exact labels of some frames of a piece, with the frame numbers, takes and split that the file has."""
    xyz, images = piece.source.read(frames)
    labels = labels_of(xyz, takes[piece.number].rig, images, frames=numbers)
    keypoints = replace(labels.keypoints, take_of=np.full(len(frames), piece.number), split=split)
    return replace(labels, keypoints=keypoints, rig=takes[0].rig, takes=takes)
