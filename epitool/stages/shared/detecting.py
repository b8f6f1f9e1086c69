"""Detection of people in footage, frame by frame, into `keypoints.h5`; an interrupted run can be continued."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, counted, progress, say, warn
from epitool.detectors import DETECTORS, default_detector, known_detector, open_detector
from epitool.detectors.finding import Detector, Follower, looks_in_box
from epitool.errors import GeometryError, UsageError
from epitool.files import alone_at
from epitool.images import View, read_view
from epitool.io.keypoints_h5 import open_keypoints, read_keypoints, read_source
from epitool.io.npz import arrays_of, write_arrays
from epitool.options import Detect2dOptions
from epitool.parallel import run_parallel
from epitool.pose import Keypoints, People
from epitool.skeleton import Skeleton
from epitool.stages.shared.assembling import Assembly, Found, Tally, found_of
from epitool.stages.shared.footage import (
    check_frame_rates,
    listed_views,
    open_views,
    report_lengths,
    report_uneven_rate,
    source_of,
    source_of_list,
    split_of,
)

Array = NDArray[np.float64]
_PATIENCE_S = 10.0
_PART_FRAMES = 50  # number of frames in a saved part, which is what an interruption can lose
_STRETCH_FRAMES = 500  # through which people are followed; a run that is continued begins at the start of one
_READ_FRAMES = 10_000


def detect(options: Detect2dOptions) -> Summary:
    """Detect the joints of one person in every frame of every view.

    Views are matched by frame number. If an image shows several people, all are kept as candidates, and the one whose
    legs swing most is followed through time. Finished frames are kept in a folder beside `out` until all are done, so
    that the next run continues an interrupted one.

    Raises:
        UsageError: No detector is installed, or `out` belongs to other footage.
        InputError: A view cannot be read.
        GeometryError: Nobody is found in any image, or the views have no frame in common.
    """
    listed, out = read_keypoints(options.images) if options.images else None, options.out
    opened = listed_views(listed) if listed else open_views(options.views)
    detector = check_detector(options.detector)
    source = source_of_list(listed, detector) if listed else source_of(opened, detector)
    if out.is_file() and not options.overwrite:
        return _finished(out, source, detector)
    folder = Path() if out.exists() and not out.is_file() else out.parent  # nothing is kept beside a device or a pipe
    parts = folder / f".{out.name}.parts"
    report_lengths({view.name: view.frames for view in opened})
    if not listed:  # listed images have been checked before, or belong to several takes
        longest = max(len(view.frames) for view in opened)
        check_frame_rates({view.name: view.image_name(view.frames[0]) for view in opened}, longest)
    if detector in DETECTORS and DETECTORS[detector].cpu_only and options.device not in ("auto", "cpu"):
        warn(f"--device {options.device}: {detector} computes on the CPU only; --detector rtmpose can use a GPU")
    with alone_at(parts):
        if options.overwrite and parts.exists():
            shutil.rmtree(parts)
        people = _detect_all(opened, lambda: open_detector(detector, options.device), parts, source, options.jobs)
        if people.anybody:
            tally = _write(people, out, source, listed)
        shutil.rmtree(parts, ignore_errors=True)
    if not people.anybody:
        count = sum(len(view.frames) for view in opened)
        raise GeometryError(f"nobody was found in {counted(count, 'image')}; is a person in view, and large enough?")
    tally.report()
    return _summary(tally, out, detector)


def check_detector(name: str | None) -> str:
    """Return the name of a detector, or the path of a checkpoint; None stands for the default.

    Raises:
        UsageError: There is none of that name, or no default one is installed.
    """
    chosen = known_detector(name) or default_detector()
    return chosen or open_detector(None).name  # raises an error that says how to install a detector


def _finished(out: Path, source: str, detector: str) -> Summary:
    if read_source(out) != source:
        raise UsageError(
            f"{out}: is of other footage or another detector; --overwrite replaces it, --out writes elsewhere"
        )
    say(f"{out} is already of this footage and kept; without it, joints are detected anew")
    with open_keypoints(out) as file:
        tally = Tally.empty(file.views, len(file.skeleton))
        for start in range(0, len(file), _READ_FRAMES):
            tally.add(file.read(start, start + _READ_FRAMES))
    return _summary(tally, out, detector)


def _detect_all(views: Sequence[View], opener: Callable[[], Detector], parts: Path, source: str, jobs: int) -> Assembly:
    stop, working = threading.Event(), set[str]()
    with progress("detecting joints", sum(len(view.frames) for view in views)) as advance:

        def work(view: View) -> Skeleton:
            working.add(view.name)
            try:
                detector = opener()
                _detect_view(view, detector, parts / source / view.name, stop, advance)
                return detector.skeleton
            except BaseException:
                stop.set()
                raise
            finally:
                working.discard(view.name)

        try:
            body = run_parallel(work, views, jobs)[0]
        finally:
            _let_finish(stop, working)
    found = [_load_parts(parts / source / view.name, len(body)) for view in views]
    for view, seen in zip(views, found, strict=True):
        if len(seen.frames) < len(view.frames):
            warn(f"view {view.name}: only {len(seen.frames)} of its {len(view.frames)} frames could be decoded")
    return Assembly(views, found, body)


def _write(people: Assembly, out: Path, source: str, listed: Keypoints | None) -> Tally:
    if not listed:
        return people.write(out, source)
    rows = np.searchsorted(listed.frames, people.frames)
    return people.write(out, source, take_of=listed.take_of[rows], split=split_of(listed, rows))


def _let_finish(stop: threading.Event, working: set[str]) -> None:
    """Let the other threads finish their image and save what they have, after Ctrl-C or an error."""
    stop.set()
    deadline = time.monotonic() + _PATIENCE_S
    while working and time.monotonic() < deadline:
        time.sleep(0.02)


def _detect_view(
    view: View, detector: Detector, folder: Path, stop: threading.Event, advance: Callable[[int], None]
) -> None:
    """Save the people of every frame in parts; what an earlier run has saved is kept."""
    done = _saved_frames(folder)
    advance(len(done))
    if len(done) == len(view.frames):
        return
    fresh: dict[int, People] = {}
    times: list[float] = []
    try:
        for frame, people in _searched(view, detector, done, times):
            if people is not None:
                fresh[frame] = people
                advance(1)
            if len(fresh) == _PART_FRAMES:
                _save_part(folder, fresh, len(detector.skeleton))
                fresh = {}
            if stop.is_set():
                break
        else:
            report_uneven_rate(view, times)
    finally:
        _save_part(folder, fresh, len(detector.skeleton))


def _searched(
    view: View, detector: Detector, done: set[int], times: list[float]
) -> Iterator[tuple[int, People | None]]:  # fmt: skip
    """Yield every frame of a view with the people in its image, or None for frames that are done.

    A detector that follows people does so through consecutive frames of one stretch. Once these have shown several, it
    looks at each of them alone, as the joints of one may otherwise be another's. In a stretch that is not complete it
    begins at the start, so that a run that was interrupted finds the same people as one that was not.
    """
    follows = isinstance(detector, Follower) and view.boxes is None
    missing = {i // _STRETCH_FRAMES for i, frame in enumerate(view.frames) if frame not in done}
    boxes = np.full((len(view.frames), 4), np.nan) if view.boxes is None else view.boxes
    before: Any = None
    last, crowded = -1, False
    for i, (box, (frame, image)) in enumerate(zip(boxes, read_view(view, times), strict=False)):
        people = None
        if i // _STRETCH_FRAMES in missing if follows else frame not in done:
            if not follows or i % _STRETCH_FRAMES == 0 or frame != last + 1:
                before, crowded = None, False
            (people,), before = looks_in_box(detector, image, box, before, alone=crowded, turned=False)
            crowded |= follows and len(people.xy) > 1
        last = frame
        yield frame, None if frame in done else people


def _save_part(folder: Path, fresh: Mapping[int, People], joints: int) -> None:
    if fresh:
        found = found_of(fresh, joints)
        write_arrays(folder / f"{found.frames[0]:09d}.npz", asdict(found))


def _saved_frames(folder: Path) -> set[int]:
    return {frame for file in _parts_in(folder) for frame in _frames_of(file)}


def _frames_of(part: Path) -> list[int]:
    """Read the frame numbers only, because the people take hundreds of times as many bytes."""
    try:
        with np.load(part, allow_pickle=False) as arrays:
            return arrays["frames"].tolist()
    except Exception:  # damaged files raise many types; `arrays_of` turns them into an error of one line
        return arrays_of(part)["frames"].tolist()


def _load_parts(folder: Path, joints: int) -> Found:
    """Load all saved parts and sort them by frame; a resumed run fills gaps, so the files are not in order."""
    parts = [found_of({}, joints), *(Found(**arrays_of(file)) for file in _parts_in(folder))]
    frames, people, xy, confidence, xyz = (
        np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Found)
    )
    of_people = np.argsort(np.repeat(frames, people), kind="stable")
    of_images = np.argsort(frames)
    own = xyz[of_people] if len(xyz) else xyz
    return Found(frames[of_images], people[of_images], xy[of_people], confidence[of_people], own)


def _parts_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.npz"))


def _summary(tally: Tally, out: Path, detector: str) -> Summary:
    images, people = (dict(zip(tally.views, count.tolist(), strict=True)) for count in (tally.images, tally.found))
    found = sum(people.values())
    size = f"{counted(tally.frames, 'frame')} x {counted(len(tally.views), 'view')}, {tally.joints} joints"
    values = {
        "out": str(out), "frames": tally.frames, "views": people, "images": images, "joints": tally.joints,
        "detector": detector,
    }  # fmt: skip
    text = f"{out}: {size}, a person in {counted(found, 'image')}, mean confidence {tally.mean_confidence:.2f}"
    return Summary(text, {**values, "mean_confidence": tally.mean_confidence})
