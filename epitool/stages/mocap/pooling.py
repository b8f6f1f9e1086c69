"""The 2D joints of several trials in one file, from which their cameras are calibrated once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.errors import InputError
from epitool.files import writing
from epitool.geometry.people.candidates import Candidates
from epitool.io.candidates_h5 import add_candidates, read_candidates
from epitool.io.keypoints_h5 import KeypointsFile, open_keypoints, writing_keypoints
from epitool.pose import Keypoints

_FRAMES = 20_000  # taken of all trials together; calibration chooses the telling ones among them
_GAP = 1_000  # frame numbers between two trials, which no track of a person bridges


def write_pooled(paths: Sequence[Path], out: Path) -> None:
    """Write the keypoints of several trials one after the other, with everyone whom their images show.

    Of long trials the middle is taken. Frames are numbered anew.

    Args:
        paths: Keypoints of the trials, which have the same views.
        out: File to write.

    Raises:
        InputError: A file is damaged, or of another detector or other image sizes than the others.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_keypoints(path)) for path in paths]
        for file in files[1:]:
            _check_alike(file, files[0])
        spans = [_span(file, _FRAMES // len(files)) for file in files]
        with writing(out) as temporary:
            with writing_keypoints(temporary, sum(map(len, spans))) as writer:
                parts, start = [], 0
                for file, span in zip(files, spans, strict=True):
                    part, start = _renumbered(file.read(span.start, span.stop), files[0].views, start)
                    writer.append(part)
                    parts.append(_read_everyone(file, span, part))
            if any(people is not None for _, people in parts):
                add_candidates(temporary, _join_trials(parts))


def _check_alike(file: KeypointsFile, first: KeypointsFile) -> None:
    if file.skeleton.joints != first.skeleton.joints:
        raise InputError(f"{file.path}: has other joints than {first.path}; is it of another detector?")
    for name, size in zip(first.views, first.image_size.tolist()):
        own = file.image_size[file.views.index(name)].tolist()
        if own != size:
            raise InputError(
                f"{file.path}: images of {name} have {own[0]}x{own[1]} px, and {size[0]}x{size[1]} px in {first.path};"
                " one calibration is for one size, so film all trials alike, or run `epitool mocap` on each by itself"
            )


def _span(file: KeypointsFile, most: int) -> range:
    start = max(len(file) - most, 0) // 2
    return range(start, min(start + most, len(file)))


def _renumbered(part: Keypoints, views: Sequence[str], start: int) -> tuple[Keypoints, int]:
    """Return a trial's keypoints with frame numbers from `start` on, and the number to start the next one at."""
    frames = part.frames - part.frames[0] + start
    return replace(part.select_views(views), frames=frames, detected_xyz=np.empty(0)), int(frames[-1]) + _GAP


def _read_everyone(file: KeypointsFile, span: range, part: Keypoints) -> tuple[Keypoints, Candidates | None]:
    """Return a trial's keypoints, and all people in its frames; None where no image of it shows two."""
    people = read_candidates(file.path, file.shape)
    if people is None:
        return part, None
    return part, people.select_views([file.views.index(name) for name in part.views]).select_frames(np.array(span))


def _join_trials(parts: Sequence[tuple[Keypoints, Candidates | None]]) -> Candidates:
    """Return all people of all trials; in a trial without candidates they are those of its keypoints."""
    before = np.cumsum([0, *(len(part.frames) for part, _ in parts)])
    people = [_convert_keypoints(part) if found is None else found for part, found in parts]
    return Candidates(
        np.concatenate([own.xy for own in people]),
        np.concatenate([own.confidence for own in people]),
        np.concatenate([own.frame_index + first for own, first in zip(people, before)]),
        np.concatenate([own.view_index for own in people]),
    )


def _convert_keypoints(keypoints: Keypoints) -> Candidates:
    frame, view = np.nonzero(keypoints.seen.any(axis=-1))
    xy, confidence = keypoints.xy[frame, view], keypoints.confidence[frame, view]
    return Candidates(xy.astype(np.float32), confidence.astype(np.float32), frame, view)
