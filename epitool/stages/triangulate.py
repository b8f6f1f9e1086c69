"""`epitool triangulate`: `keypoints.h5` and `cameras.toml` to `labels.h5`, a chunk of frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig, Window
from epitool.console import Summary, progress, say, warn
from epitool.errors import GeometryError, InputError
from epitool.geometry.facing import facing_of
from epitool.geometry.labels import (
    LabelSettings,
    chunk_bounds,
    convert_labels,
    frames_solved,
    label_chunk,
    label_settings,
    sample_bounds,
)
from epitool.geometry.sync import synchronized
from epitool.io.cameras import read_windows
from epitool.io.keypoints import KeypointsFile, open_keypoints
from epitool.io.labels import writing_labels
from epitool.labels import Labels, Take
from epitool.parallel import backend as working_on
from epitool.parallel import stream_parallel
from epitool.pose import Keypoints, Poses, join_keypoints
from epitool.skeleton import Skeleton
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.calibrate_inputs import warn_of_people
from epitool.stages.camera_checks import check_foreign, check_stature, fit_rigs
from epitool.stages.choosing import Chosen, chosen_by_geometry
from epitool.stages.footage import check_rates_of

_DOUBTFUL_ERROR = 0.025  # of the person's box; detectors are off by about 0.01
_USUAL_SKELETON, _MOST_OF_A_PERSON = "h36m17", 0.5
_JUDGED_FRAMES = 20_000  # at most, evenly spread, that the summary's medians are over
_JUDGED_POSES = 200  # by which a body's sides and stature are looked at


@dataclass(frozen=True, eq=False)
class Chunk:
    """Keypoints of neighbouring frames, those outside `inner` only to resample the others in time; and their cameras.

    Without cameras there are no poses.
    """

    keypoints: Keypoints
    inner: slice
    window: int | None
    rig: Rig | None


@dataclass
class Tally:
    """What the summary says, added up while chunks of labels go by."""

    frames: int
    views: int
    solved: int = 0
    swaps: NDArray[np.int64] = field(init=False)
    errors_px: list[NDArray[np.float64]] = field(default_factory=list)
    sides_px: list[NDArray[np.float64]] = field(default_factory=list)
    _measured: int = 0

    def __post_init__(self) -> None:
        self.swaps = np.zeros(self.views, dtype=np.int64)

    def add(self, labels: Labels) -> None:
        """Counts the labels of the next frames."""
        self.solved += int(frames_solved(labels).sum())
        self.swaps += labels.swapped.sum(axis=0)
        measured = np.flatnonzero(np.isfinite(labels.reprojection_px).any(axis=(1, 2)))
        step = max(ceil(self.frames / _JUDGED_FRAMES), 1)
        judged = measured[(self._measured + np.arange(len(measured))) % step == 0]
        self._measured += len(measured)
        self.errors_px.append(labels.reprojection_px[judged])
        self.sides_px.append(labels.keypoints.select_frames(judged).boxes()[..., 2])

    def medians(self) -> tuple[float, float]:
        """Median reprojection error and median side of the person's box, px."""
        return float(np.nanmedian(np.concatenate(self.errors_px))), float(np.nanmedian(np.concatenate(self.sides_px)))


def run(
    *, keypoints: Path, cameras: Path, method: str, combine: str, bones: bool, skeleton: str | None,
    min_confidence: float, out: Path, backend: str, jobs: int,
) -> Summary:  # fmt: skip
    """Triangulates world poses: labels for training (paper, section 3.1).

    Args:
        keypoints: The `keypoints.h5`.
        cameras: The `cameras.toml`, or another camera file with places.
        method: How "vector-median" solves a pair of views: "polynomial" (optimal) or "dlt" (linear).
        combine: How what the views say becomes one place: "robust", or "vector-median" of pairs (paper).
        bones: Whether lengths of bones, estimated from the recording, shall count.
        skeleton: Joints that the labels shall have; by default h36m17, or an animal's own.
        min_confidence: Joints under it are left out.
        out: The `labels.h5` to write.
        backend: Where chunks of frames are worked on: "threads", "dask", or "dask:ADDRESS".
        jobs: Chunks at a time.

    Raises:
        UsageError: The backend does not exist or does not answer.
        InputError: A file cannot be read, or the cameras are not those of the views.
        GeometryError: No frame can be solved.
    """
    with open_keypoints(keypoints) as source, working_on(backend):
        target = named_skeleton(skeleton) if skeleton else _own_or_usual(source.skeleton)
        windows = _windows(source, keypoints, cameras)
        rig, moving = windows[0].rig, len(windows) > 1
        takes = tuple(map(_take, windows)) if moving else ()
        chosen = None
        if moving or any(camera.time_offset for camera in rig.cameras):
            warn_of_people(keypoints, "cameras that move" if moving else "cameras that are out of sync")
        else:
            chosen = chosen_by_geometry(source, rig, min_confidence)
        reader = source if chosen is None else chosen
        sample = join_keypoints([in_sync(chunk) for chunk in _sample(reader, windows)])
        check_rates_of(sample)
        settings = label_settings(
            sample, rig, method=method, combine=combine, min_confidence=min_confidence, bones=bones
        )
        bounds = chunk_bounds(len(source), len(source.views), len(source.skeleton))
        chunks, tally = _chunks(reader, windows, bounds), Tally(len(source), len(rig))
        with writing_labels(out, source.frames) as writer, progress("triangulate", len(source)) as done:
            for labels in stream_parallel(labeller(rig, settings, target, takes), chunks, jobs):
                writer.append(labels)
                tally.add(labels)
                done(len(labels.poses.frames))
            if not tally.solved:
                raise GeometryError(f"{keypoints}: no frame has enough joints seen by two views")
    _judge(_some_poses(sample, resampled(rig), settings), rig, keypoints, cameras)
    return _summary(tally, rig, target, settings, out)


def _own_or_usual(own: Skeleton) -> Skeleton:
    """The joints that networks learn; where not half of them can be made of those given, as of an animal's, these."""
    usual = named_skeleton(_USUAL_SKELETON)
    possible = np.isfinite(usual.weights_from(own)).all(axis=-1).mean()
    if possible >= _MOST_OF_A_PERSON:
        return usual
    say(f"the joints are no person's ({', '.join(own.joints[:3])}, ...): labels have them as they are")
    return own


def labeller(rig: Rig, settings: LabelSettings, target: Skeleton, takes: tuple[Take, ...]) -> Callable[[Chunk], Labels]:
    """What makes labels of one chunk: a function that can be sent to another process.

    Args:
        rig: Cameras that the labels' file shall name.
        settings: Of the whole recording.
        target: Joints that the labels shall have.
        takes: Where cameras stand elsewhere in other chunks.
    """

    def work(chunk: Chunk) -> Labels:
        joints = in_sync(chunk)
        if chunk.rig is None:
            joints = replace(joints, confidence=np.zeros_like(joints.confidence))
        labels = label_chunk(joints, resampled(chunk.rig or rig), settings)
        if takes:
            numbered = replace(labels.keypoints, take_of=np.full(len(joints.frames), chunk.window or 0))
            labels = replace(labels, rig=resampled(rig), takes=takes, keypoints=numbered)
        return convert_labels(labels, target)

    return work


def resampled(rig: Rig) -> Rig:
    """The rig for keypoints that have been brought in sync."""
    return replace(rig, cameras=tuple(replace(camera, time_offset=0.0) for camera in rig.cameras))


def _take(window: Window) -> Take:
    return Take(window.name or f"frames {window.first}-{window.last}", resampled(window.rig), window.action)


def in_sync(chunk: Chunk) -> Keypoints:
    """The chunk's inner frames, all views at the first view's times."""
    offsets = [camera.time_offset for camera in chunk.rig.cameras] if chunk.rig else []
    if not any(offsets):
        return chunk.keypoints.select_frames(np.arange(len(chunk.keypoints.frames))[chunk.inner])
    frames = np.arange(len(chunk.keypoints.frames))[chunk.inner]
    return synchronized(chunk.keypoints, offsets).select_frames(frames)


def _windows(source: KeypointsFile, keypoints: Path, cameras: Path) -> list[Window]:
    """The cameras of the views that the keypoints are of, by frames."""
    if len(source.views) < 2:
        raise GeometryError(f"{keypoints}: one view ({', '.join(source.views)}); triangulation needs two or more")
    windows = [replace(window, rig=window.rig.named_as(source.views)) for window in read_windows(cameras)]
    if len(windows) == 1:
        check_foreign(cameras, windows[0].rig)
    names = windows[0].rig.names
    order = [name for name in names if name in source.views]  # the calibration's order says who is whose neighbour
    if len(order) < 2:
        raise InputError(
            f"{cameras}: has cameras {', '.join(names)}, but {keypoints} has views {', '.join(source.views)};"
            " at least two must have the same name"
        )
    sizes = dict(zip(source.views, map(tuple, source.image_size.tolist()), strict=True))
    rigs = fit_rigs([window.rig.select(order) for window in windows], [sizes[name] for name in order], cameras)
    return [replace(window, rig=rig) for window, rig in zip(windows, rigs, strict=True)]


def _some_poses(sample: Keypoints, rig: Rig, settings: LabelSettings) -> Poses:
    """Poses of some of the sample's frames, with all joints that were detected."""
    step = max(ceil(len(sample.frames) / _JUDGED_POSES), 1)
    return label_chunk(sample.select_frames(np.arange(len(sample.frames))[::step]), rig, settings).poses


def _judge(poses: Poses, rig: Rig, keypoints: Path, cameras: Path) -> None:
    """Warns where bodies say that left and right are exchanged in all views, or that the unit is metres or cm."""
    facing = facing_of(poses)
    if facing.exchanged:
        warn(
            f"{keypoints}: left and right seem to be exchanged in all views: in {facing.backward} of {facing.frames}"
            " frames looked at, faces look, feet point or knees bend backward; do not train on these labels: are the"
            " joints in another order than was said (`epitool convert --skeleton`), or named as a mirror shows them?"
        )
    if rig.unit != "mm" and rig.scale_source == "none":
        check_stature(cameras, poses)


def _sample(source: KeypointsFile | Chosen, windows: Sequence[Window]) -> Iterator[Chunk]:
    """Frames that tell a recording's settings: spread over it, or from the first window of cameras that move."""
    if len(windows) == 1:
        return _chunks(source, windows, sample_bounds(len(source)))
    first, last = np.searchsorted(source.frames, [windows[0].first, windows[0].last + 1]).tolist()
    return _chunks(source, windows, [(first, last)])


def _chunks(
    source: KeypointsFile | Chosen, windows: Sequence[Window], bounds: Sequence[tuple[int, int]]
) -> Iterator[Chunk]:
    """Chunks of frames within one window, each with as many around it as the views' offsets in time reach."""
    names = windows[0].rig.names
    furthest = max(abs(camera.time_offset) for window in windows for camera in window.rig.cameras)
    margin = ceil(furthest) + 1 if furthest else 0
    for start, stop, number in _cut(source.frames, windows, bounds):
        first = max(start - margin, 0)
        keypoints = source.read(first, stop + margin)
        if keypoints.views != names:
            keypoints = keypoints.select_views(names)
        rig = None if number is None else windows[number].rig
        yield Chunk(keypoints, slice(start - first, stop - first), number, rig)


def _cut(
    frames: NDArray[np.int64], windows: Sequence[Window], bounds: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, int | None]]:
    """Runs of frames cut where windows begin and end, and the window of each; None between windows."""
    edges = np.searchsorted(frames, [edge for window in windows for edge in (window.first, window.last + 1)])
    for start, stop in bounds:
        cuts = [start, *sorted({int(edge) for edge in edges if start < edge < stop}), stop]
        for begin, end in pairwise(cuts):
            number = int(frames[begin]) if begin < len(frames) else 0
            yield begin, end, next((i for i, w in enumerate(windows) if w.first <= number <= w.last), None)


def _summary(tally: Tally, rig: Rig, target: Skeleton, settings: LabelSettings, out: Path) -> Summary:
    swaps = {view: int(n) for view, n in zip(rig.names, tally.swaps, strict=True) if n}
    if swaps:
        found = ", ".join(f"{view} in {n} frames" for view, n in swaps.items())
        say(f"left and right were exchanged by the detector and are put right: {found}")
    error, side = tally.medians()
    if error > _DOUBTFUL_ERROR * side:
        warn(
            f"the median reprojection error of {error:.1f} px is {error / side:.0%} of the person's size in the images;"
            " do not trust these labels: are the views in sync, of one person, and calibrated?"
        )
    text = f"{out}: {tally.solved} of {tally.frames} frames, {len(target)} joints"
    text += f", median reprojection error {error:.1f} px, unit {rig.unit}"
    values = {
        "out": str(out), "frames": tally.frames, "solved": tally.solved, "unit": rig.unit,
        "method": settings.method if settings.combine == "vector-median" else None,  # robust solves no pairs
        "combine": settings.combine, "noise_px": settings.noise.sigma_px,
        "median_reprojection_px": error, "frames_with_left_and_right_swapped": swaps,
    }  # fmt: skip
    return Summary(text, values)
