"""What `detect2d` looks at: folders and videos, or the images that labels name."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import View, fingerprint, frame_rate, open_view
from epitool.labels import RecordingDigest
from epitool.pose import Keypoints

_UNEVEN_GAP, _DRIFT_FRAMES = 0.5, 1.0  # in mean distances between frames
_EQUAL_RATES = 1.005  # 29.97 and 30 differ by a frame in 1000, which matters in long recordings only
_MATTERS = 0.5  # frames that views may drift apart


def open_views(paths: Sequence[Path]) -> list[View]:
    """Opens views and checks that their names tell them apart.

    Raises:
        UsageError: None is given, or two have the same name.
        InputError: One cannot be read.
    """
    if not paths:
        raise UsageError("no views are given; name folders or videos: --views cam1 cam2")
    opened = [open_view(path) for path in paths]
    check_names([view.name for view in opened])
    return opened


def check_names(names: Sequence[str]) -> None:
    """Checks that views are told apart by their names.

    Raises:
        UsageError: Two have the same one.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two views are named '{twice[0]}'; rename a folder or file so that names differ")


def listed_views(listed: Keypoints) -> list[View]:
    """Views of the images that keypoints name, wherever these are; to be looked at where the keypoints are.

    Raises:
        InputError: None is named.
    """
    views, boxes = [], listed.boxes()
    for v, name in enumerate(listed.views):
        there = np.flatnonzero(listed.images[:, v] != "")
        files = tuple(Path(image) for image in listed.images[there, v].tolist())
        width, height = listed.image_size[v].tolist()
        frames = tuple(listed.frames[there].tolist())
        views.append(View(name, Path(), frames, files, (width, height), boxes[there, v]))
    if not any(view.files for view in views):
        raise InputError("--images: the file names no images")
    return views


def source_of(views: Sequence[View], detector: str) -> str:
    """What tells one run's footage and detector from another's."""
    lines = [detector]
    for view in views:
        files = view.files or (view.path,)
        lines += [view.name, *(f"{file.name} {fingerprint(file)}" for file in files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def source_of_list(listed: Keypoints, detector: str) -> str:
    """As `source_of`, by the images' names alone: there may be millions."""
    digest = RecordingDigest(listed.frames, (detector, *listed.views))
    digest.add(listed.images)
    return digest.value


def split_of(listed: Keypoints, rows: NDArray[np.intp]) -> tuple[int, int] | None:
    """The list's split, counted in those of its frames that have an image."""
    if listed.split is None:
        return None
    first, second = np.searchsorted(rows, listed.split).tolist()
    return first, second


def report_uneven_rate(view: View, times: Sequence[float]) -> None:
    """Says where a video's frames are not evenly spaced in time, as phones record and screens are captured.

    Views are matched by frame number, which then is not time: after a frame that was dropped all others are early.

    Args:
        view: The video.
        times: When its frames are shown, in seconds.
    """
    if len(times) < 3 or (step := (times[-1] - times[0]) / (len(times) - 1)) <= 0:
        return
    gaps = np.diff(times) / step
    drift = (np.asarray(times) - times[0]) / step - np.arange(len(times))
    if np.abs(gaps - 1).max() > _UNEVEN_GAP or np.abs(drift).max() > _DRIFT_FRAMES:
        shortest, longest = 1000 * step * gaps.min(), 1000 * step * gaps.max()
        warn(
            f"{view.path}: frames follow each other after {shortest:.0f} to {longest:.0f} ms, so that its frame numbers"
            f" do not match other views'; give all videos one constant rate first:"
            f" ffmpeg -i {view.path.name} -fps_mode cfr -r {max(round(float(1 / step / np.median(gaps))), 1)} even.mp4"
        )


def check_frame_rates(images: Mapping[str, str], frames: int) -> None:
    """Compares the frame rates that the views' videos state; views that are images, or have moved away, pass.

    Rates that differ by a thousandth, as 59.94 and 60, are warned of where they come to half a frame.

    Args:
        images: By the view's name, that of one of its images.
        frames: How many the recording has.

    Raises:
        GeometryError: They are not equal.
    """
    rates = {view: frame_rate(image) for view, image in images.items()}
    known = {view: rate for view, rate in rates.items() if np.isfinite(rate)}
    if not known:
        return
    ratio, said = max(known.values()) / min(known.values()), ", ".join(f"{v} {rate:.5g}" for v, rate in known.items())
    if ratio > _EQUAL_RATES:
        raise GeometryError(f"frames per second: {said}; record with equal frame rates, or convert the videos to one")
    if (drift := (ratio - 1) * frames) > _MATTERS:
        warn(
            f"frames per second: {said}; over {frames} frames the views drift {drift:.1f} frames apart, which puts"
            " joints in wrong places: convert the videos to one rate first (`ffmpeg -i VIDEO -r RATE even.mp4`)"
        )


def check_rates_of(keypoints: Keypoints) -> None:
    """As `check_frame_rates`, of the videos that keypoints name.

    Raises:
        GeometryError: Their rates are not equal.
    """
    first = [next((name for name in column if name), "") for column in keypoints.images.T.tolist()]
    span = int(np.ptp(keypoints.frames)) + 1 if len(keypoints.frames) else 0
    check_frame_rates(dict(zip(keypoints.views, first, strict=True)), span)


def report_lengths(frames: Mapping[str, Collection[int]]) -> None:
    """Says where views are of different lengths.

    Args:
        frames: Frame numbers by the view's name.

    Raises:
        GeometryError: They have no frame number in common.
    """
    lengths = {name: len(numbers) for name, numbers in frames.items()}
    if len(set(lengths.values())) > 1:
        warn("views have different lengths: " + ", ".join(f"{name} {count}" for name, count in lengths.items()))
    if not set.intersection(*map(set, frames.values())):
        spans = ", ".join(
            f"{name} {min(numbers)}-{max(numbers)}" if numbers else f"{name} none" for name, numbers in frames.items()
        )
        raise GeometryError(f"the views have no frame number in common: {spans}; are the images numbered alike?")
