"""Footage that `detect2d` reads: folders and videos, or the images that labels name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.files import held_in
from epitool.images import IMAGE_SUFFIXES, View, frame_rate, open_view
from epitool.labels import RecordingDigest
from epitool.pose import Keypoints
from epitool.stages.shared.reported import is_reported

# Suffixes of files that lie beside footage: epitool's, those that it reads and writes, and notes.
_DATA = frozenset({
    ".toml", ".h5", ".json", ".jsonl", ".npz", ".pt", ".onnx", ".html", ".md", ".trc", ".c3d", ".csv", ".mot", ".sto",
    ".bvh", ".rrd", ".txt", ".yml", ".yaml", ".xml", ".slp", ".pdf", ".zip",
})  # fmt: skip
_UNEVEN_GAP, _DRIFT_FRAMES = 0.5, 1.0  # tolerances in units of the mean time between frames
_EQUAL_RATES = 1.005  # 29.97 and 30 differ by one frame in 1000, which matters only in long recordings
_FINGERPRINT_BYTES = 1 << 16
_MATTERS = 0.5  # number of frames that views may drift apart


def footage_among(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the paths without files that are evidently no footage, as a pattern such as `cam*` catches them.

    These are files of data, a single image, and a folder of what epitool wrote. They are named in a warning. If nothing
    else is left, all paths are returned, and the error of the first says what it is.
    """
    others = [path for path in paths if _is_no_footage(path)]
    if not others or len(others) == len(paths):
        return tuple(paths)
    verb = "is no view (a video, or a folder of images) and is" if len(others) == 1 else "are no views and are"
    warn(f"{', '.join(map(str, others))}: {verb} left out")
    return tuple(path for path in paths if path not in others)


def _is_no_footage(path: Path) -> bool:
    if path.is_dir():
        files = [file.suffix.lower() for file in path.iterdir()]
        return not IMAGE_SUFFIXES & set(files) and ".h5" in files
    return path.is_file() and path.suffix.lower() in _DATA | IMAGE_SUFFIXES


def open_views(paths: Sequence[Path]) -> list[View]:
    """Open views and check that their names are distinct; what is evidently no footage is left out with a warning.

    Raises:
        UsageError: No view is given, or two have the same name or are the same footage.
        InputError: A view cannot be read.
    """
    if not paths:
        raise UsageError("no views are given; name folders or videos: --views cam1 cam2")
    opened = [open_footage(path) for path in footage_among(paths)]
    check_names([view.name for view in opened], [view.path for view in opened])
    first: dict[str, View] = {}
    for view in opened:
        same = first.setdefault(os.path.realpath((view.files or (view.path,))[0]), view)
        if same is not view:
            raise UsageError(f"{same.path} and {view.path} are the same footage; name each view once")
    return opened


def open_footage(path: Path) -> View:
    """Open a view as `open_view` does; an epitool file in its place is called what it is.

    Raises:
        InputError: The view cannot be read.
    """
    try:
        return open_view(path)
    except InputError:
        if path.is_file() and (held := held_in(path)):
            raise InputError(f"{path}: holds {held}, and no image or video") from None
        raise


def check_names(names: Sequence[str], paths: Sequence[Path] = ()) -> None:
    """Check that the names of views are distinct.

    Args:
        names: The names.
        paths: The views' files or folders, for the message.

    Raises:
        UsageError: Two views have the same name.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        same = [str(path) for name, path in zip(names, paths, strict=False) if name == twice[0]]
        if same and len(set(same)) == 1:
            raise UsageError(f"{same[0]}: is named twice; name each view once")
        where = f" ({', '.join(same)})" if same else ""
        raise UsageError(f"two views are named '{twice[0]}'{where}; rename a folder or file so that names differ")


def listed_views(listed: Keypoints) -> list[View]:
    """Return views of the images that keypoints name; each image has a search box around its keypoints.

    Raises:
        InputError: No image is named.
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
    """Return a hash that identifies the footage and the detector of a run."""
    lines = [detector]
    for view in views:
        files = view.files or (view.path,)
        lines += [view.name, *(f"{file.name} {_fingerprint(file)}" for file in files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _fingerprint(path: Path) -> str:
    """Return a digest of a file's size, beginning and end, which stays the same when the file is copied."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(size - _FINGERPRINT_BYTES, 0))
        digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()


def source_of_list(listed: Keypoints, detector: str) -> str:
    """Return a hash like `source_of`, computed from the images' names only, as there may be millions of images."""
    digest = RecordingDigest(listed.frames, (detector, *listed.views))
    digest.add(listed.images)
    return digest.value


def split_of(listed: Keypoints, rows: NDArray[np.intp]) -> tuple[int, int] | None:
    """Return the split of the listed keypoints, counted in those of their frames that have an image."""
    if listed.split is None:
        return None
    first, second = np.searchsorted(rows, listed.split).tolist()
    return first, second


def report_uneven_rate(view: View, times: Sequence[float]) -> None:
    """Warn if a video's frames are not evenly spaced in time, as in recordings of phones and screens.

    Views are matched by frame number, which does not measure time in such videos: after a dropped frame all others are
    early.

    Args:
        view: The video.
        times: Presentation time of each frame, in seconds.
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


def check_frame_rates(images: Mapping[str, str], frames: int, known: bool = False) -> None:
    """Compare the frame rates that the views' videos state; image folders and missing videos are skipped.

    Rates that differ by a thousandth, such as 59.94 and 60, raise a warning if the drift exceeds half a frame.

    Args:
        images: Name of one image of each view, by the view's name.
        frames: Number of frames of the recording.
        known: Whether the user has been warned.

    Raises:
        InputError: The frame rates are not equal.
    """
    rates = {view: frame_rate(image) for view, image in images.items()}
    rates = {view: rate for view, rate in rates.items() if np.isfinite(rate)}
    if not rates:
        return
    ratio, said = max(rates.values()) / min(rates.values()), ", ".join(f"{v} {rate:.5g}" for v, rate in rates.items())
    if ratio > _EQUAL_RATES:
        raise InputError(
            f"frames per second: {said}; record with equal frame rates, or convert the videos to one"
            f" (`ffmpeg -i VIDEO -r {min(rates.values()):.5g} even.mp4`)"
        )
    if (drift := (ratio - 1) * frames) > _MATTERS and not known:
        warn(
            f"frames per second: {said}; over {frames} frames the views drift {drift:.1f} frames apart, which puts"
            " joints in wrong places: convert the videos to one rate first (`ffmpeg -i VIDEO -r RATE even.mp4`)"
        )


def check_rates_of(keypoints: Keypoints, path: Path) -> None:
    """Compare the frame rates of the videos that keypoints name, as `check_frame_rates` does.

    Args:
        keypoints: The keypoints.
        path: File that they were read from; the command that made it may have warned.

    Raises:
        InputError: The frame rates are not equal.
    """
    first = [next((name for name in column if name), "") for column in keypoints.images.T.tolist()]
    span = int(np.ptp(keypoints.frames)) + 1 if len(keypoints.frames) else 0
    check_frame_rates(dict(zip(keypoints.views, first, strict=True)), span, is_reported(path))


def require_somebody(joints: Keypoints, path: Path, least: float | None) -> None:
    """Refuse keypoints of nobody.

    Args:
        joints: The keypoints.
        path: File that they were read from.
        least: Value of `--min-confidence`.

    Raises:
        GeometryError: No view has a joint.
    """
    if not joints.seen.any():
        why = "nobody was found in any view; is a person in view, and large enough?"
        why = why if len(joints.frames) else "there is no frame in it"
        raise GeometryError(f"{path}: {why if least is None else f'--min-confidence {least:g} leaves out all joints'}")


def report_lengths(frames: Mapping[str, Collection[int]]) -> None:
    """Warn if views have different lengths.

    Args:
        frames: Frame numbers by the view's name.

    Raises:
        GeometryError: The views have no frame number in common.
    """
    lengths = {name: len(numbers) for name, numbers in frames.items()}
    if len(set(lengths.values())) > 1:
        warn("views have different lengths: " + ", ".join(f"{name} {count}" for name, count in lengths.items()))
    if not set.intersection(*map(set, frames.values())):
        spans = ", ".join(
            f"{name} {min(numbers)}-{max(numbers)}" if numbers else f"{name} none" for name, numbers in frames.items()
        )
        raise GeometryError(f"the views have no frame number in common: {spans}; are the images numbered alike?")
