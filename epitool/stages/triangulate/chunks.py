"""Keypoints in chunks of neighbouring frames with their cameras, all views at the first view's times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig, Window
from epitool.geometry.timing.sync import synchronized
from epitool.geometry.triangulation.labels import sample_bounds
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.pose import Keypoints
from epitool.stages.shared.one_person import Chosen


@dataclass(frozen=True, eq=False)
class Chunk:
    """Keypoints of neighbouring frames, those outside `inner` only to resample the others in time; and their cameras.

    Without cameras there are no poses.
    """

    keypoints: Keypoints
    inner: slice
    window: int | None
    rig: Rig | None


def resampled(rig: Rig) -> Rig:
    """The rig for keypoints that have been brought in sync."""
    return replace(rig, cameras=tuple(replace(camera, time_offset=0.0) for camera in rig.cameras))


def in_sync(chunk: Chunk) -> Keypoints:
    """The chunk's inner frames, all views at the first view's times."""
    offsets = [camera.time_offset for camera in chunk.rig.cameras] if chunk.rig else []
    if not any(offsets):
        return chunk.keypoints.select_frames(np.arange(len(chunk.keypoints.frames))[chunk.inner])
    frames = np.arange(len(chunk.keypoints.frames))[chunk.inner]
    return synchronized(chunk.keypoints, offsets).select_frames(frames)


def sampled(source: KeypointsFile | Chosen, windows: Sequence[Window]) -> Iterator[Chunk]:
    """Frames that tell a recording's settings: spread over it, or from the first window of cameras that move."""
    if len(windows) == 1:
        return chunks_of(source, windows, sample_bounds(len(source)))
    first, last = np.searchsorted(source.frames, [windows[0].first, windows[0].last + 1]).tolist()
    return chunks_of(source, windows, [(first, last)])


def chunks_of(
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
