"""`epitool detect2d`: footage to `keypoints.h5`."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, progress, say
from epitool.detectors import BUILT_IN, Detector, default_detector, open_detector, people_in_box
from epitool.errors import GeometryError, UsageError
from epitool.files import alone_at
from epitool.geometry.people import Candidates
from epitool.images import View, read_view
from epitool.io.labels import read_keypoints, read_source
from epitool.io.npz import write_arrays
from epitool.parallel import run_parallel
from epitool.pose import Keypoints
from epitool.stages.assembling import People, assemble, report_people, write_people
from epitool.stages.footage import listed_views, open_views, report_lengths, source_of, source_of_list, split_of

Array = NDArray[np.float64]
_PATIENCE_S = 10.0
_PART_FRAMES = 50  # frames between two saved parts: what an interruption can cost


def run(
    *, views: Sequence[Path], images: Path | None = None, detector: str | None, out: Path, jobs: int, device: str,
    overwrite: bool,
) -> Summary:  # fmt: skip
    """Detects the joints of one person in every frame of every view.

    Views are matched by frame number. Where an image shows several people, all are kept as candidates, and the one
    whose legs swing most is followed through time. Finished frames are kept in a folder beside `out` until all are
    done, so that an interrupted run is continued by the next one.

    Args:
        views: Folders of images, or videos.
        images: In place of them a `labels.h5` or `keypoints.h5`: its images are looked at where its joints are.
        detector: Name of a built-in detector, path of a checkpoint, or None for the default.
        out: The `keypoints.h5` to write.
        jobs: Views at a time; -1 for one per core.
        device: Where networks of torch run.
        overwrite: Detect anew even where `out` or parts of it are there.

    Raises:
        UsageError: No detector is installed, or `out` is of other footage.
        InputError: A view cannot be read.
        GeometryError: Nobody is found in any image.
    """
    if images and views:
        raise UsageError("give either --views or --images, not both")
    listed = read_keypoints(images) if images else None
    opened = listed_views(listed) if listed else open_views(views)
    detector = detector or default_detector()
    detector = detector or open_detector(None).name  # says how to install one
    source = source_of_list(listed, detector) if listed else source_of(opened, detector)
    if out.exists() and not overwrite:
        return _finished(out, source, opened)
    parts = out.parent / f".{out.name}.parts"
    report_lengths(opened)
    with alone_at(parts):
        if overwrite and parts.exists():
            shutil.rmtree(parts)
        keypoints, candidates = _detect_all(opened, lambda: open_any_detector(detector, device), parts, source, jobs)
        if listed:
            rows = np.searchsorted(listed.frames, keypoints.frames)
            keypoints = replace(keypoints, take_of=listed.take_of[rows], split=split_of(listed, rows))
        if found := np.isfinite(keypoints.xy).any():
            report_people(keypoints)
            write_people(out, keypoints, candidates, source)
        shutil.rmtree(parts, ignore_errors=True)
    if not found:
        count = int((keypoints.images != "").sum())
        raise GeometryError(f"nobody was found in any of the {count} images; is a person in view, and large enough?")
    return _summary(keypoints, out, detector)


def open_any_detector(name: str, device: str) -> Detector:
    """A built-in detector by name, or a checkpoint of ours by path: the paper's frozen 2D branch."""
    if name not in BUILT_IN and (name.endswith((".pt", ".pth", ".tar")) or Path(name).is_file()):
        from epitool.nn.detector import CheckpointDetector

        return CheckpointDetector(Path(name), device)
    return open_detector(name, device)


def _finished(out: Path, source: str, views: Sequence[View]) -> Summary:
    if read_source(out) != source:
        raise UsageError(
            f"{out}: is of other footage or another detector; --overwrite replaces it, --out writes elsewhere"
        )
    say(f"{out} is already of this footage; --overwrite detects anew")
    return _summary(read_keypoints(out), out, "kept")


def _detect_all(
    views: Sequence[View], opener: Callable[[], Detector], parts: Path, source: str, jobs: int
) -> tuple[Keypoints, Candidates | None]:
    stop, working = threading.Event(), set[str]()
    with progress("detecting joints", sum(len(view.frames) for view in views)) as advance:

        def work(view: View) -> tuple[dict[int, People], Detector]:
            working.add(view.name)
            try:
                detector = opener()
                return _detect_view(view, detector, parts / source / view.name, stop, advance), detector
            except BaseException:
                stop.set()
                raise
            finally:
                working.discard(view.name)

        try:
            found = run_parallel(work, views, jobs)
        finally:
            _let_finish(stop, working)
    return assemble(views, [frames for frames, _ in found], found[0][1].skeleton)


def _let_finish(stop: threading.Event, working: set[str]) -> None:
    """After Ctrl-C or an error: lets the other threads end their image and save what they have."""
    stop.set()
    deadline = time.monotonic() + _PATIENCE_S
    while working and time.monotonic() < deadline:
        time.sleep(0.02)


def _detect_view(
    view: View, detector: Detector, folder: Path, stop: threading.Event, advance: Callable[[int], None]
) -> dict[int, People]:
    """Joints and confidence by frame; what a run before has saved is not detected again."""
    done = _load_parts(folder)
    advance(len(done))
    fresh: dict[int, People] = {}
    try:
        if len(done) < len(view.frames):
            boxes = np.full((len(view.frames), 4), np.nan) if view.boxes is None else view.boxes
            for box, (frame, image) in zip(boxes, read_view(view), strict=False):
                if stop.is_set():
                    break
                if frame not in done:
                    fresh[frame] = done[frame] = people_in_box(detector, image, box)
                    advance(1)
                if len(fresh) == _PART_FRAMES:
                    _save_part(folder, fresh)
                    fresh = {}
    finally:
        _save_part(folder, fresh)
    return done


def _save_part(folder: Path, fresh: dict[int, People]) -> None:
    if fresh:
        xy, confidence = (np.concatenate(each) for each in zip(*fresh.values(), strict=True))
        people = [len(found) for found, _ in fresh.values()]
        part = {"frames": list(fresh), "people": people, "xy": xy, "confidence": confidence}
        write_arrays(folder / f"{min(fresh):09d}.npz", part)


def _load_parts(folder: Path) -> dict[int, People]:
    done: dict[int, People] = {}
    for file in sorted(folder.glob("[0-9]*.npz")):
        with np.load(file, allow_pickle=False) as part:
            ends = np.cumsum(part["people"])[:-1]
            each = zip(np.split(part["xy"], ends), np.split(part["confidence"], ends), strict=True)
            done.update(zip(part["frames"].tolist(), each, strict=True))
    return done


def _summary(keypoints: Keypoints, out: Path, detector: str) -> Summary:
    found = np.isfinite(keypoints.xy[..., 0]).any(axis=-1)
    people = dict(zip(keypoints.views, found.sum(axis=0).tolist(), strict=True))
    frames, views, joints = keypoints.xy.shape[:3]
    mean = float(keypoints.confidence[found].mean())
    text = f"{out}: {frames} frames x {views} views, {joints} joints, a person in {int(found.sum())} images"
    values = {"out": str(out), "frames": frames, "views": people, "joints": joints, "detector": detector}
    return Summary(text + f", mean confidence {mean:.2f}", {**values, "mean_confidence": mean})
