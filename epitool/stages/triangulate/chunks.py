"""Chunks of keypoints of neighbouring frames with their cameras, all views resampled to the first view's times."""

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
from epitool.pose import Keypoints, join_keypoints
from epitool.stages.shared.people import Chosen


@dataclass(frozen=True, eq=False)
class Chunk:
    """The keypoints of neighbouring frames and their cameras.

    Frames outside `inner` only serve to resample the others in time. Without cameras (`rig` is None) the frames get no
    poses.
    """

    keypoints: Keypoints
    inner: slice
    window: int | None
    rig: Rig | None


def resampled(rig: Rig) -> Rig:
    """Return the rig for synchronized keypoints, without time offsets."""
    return replace(rig, cameras=tuple(replace(camera, time_offset=0.0) for camera in rig.cameras))


def resample_in_sync(chunk: Chunk) -> Keypoints:
    """Return the chunk's inner frames, with all views resampled to the first view's times."""
    offsets = [camera.time_offset for camera in chunk.rig.cameras] if chunk.rig else []
    in_sync = synchronized(chunk.keypoints, offsets) if any(offsets) else chunk.keypoints
    return in_sync.select_frames(np.arange(len(chunk.keypoints.frames))[chunk.inner])


def sample_of(source: KeypointsFile | Chosen, windows: Sequence[Window]) -> Keypoints:
    """Return joints that determine a recording's settings, synchronized.

    They are spread over the recording, or of the first window if cameras move.
    """
    bounds = sample_bounds(len(source))
    if len(windows) > 1:
        first, last = np.searchsorted(source.frames, [windows[0].first, windows[0].last + 1]).tolist()
        bounds = [(first, last)]
    return join_keypoints([resample_in_sync(chunk) for chunk in chunks_of(source, windows, bounds)])


def chunks_of(
    source: KeypointsFile | Chosen, windows: Sequence[Window], bounds: Sequence[tuple[int, int]]
) -> Iterator[Chunk]:
    """Yield chunks of frames within one window, with as many frames around them as the time offsets require."""
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
    """Yield runs of frames cut where windows begin and end, with the index of their window; None between windows."""
    edges = np.searchsorted(frames, [edge for window in windows for edge in (window.first, window.last + 1)])
    for start, stop in bounds:
        cuts = [start, *sorted({int(edge) for edge in edges if start < edge < stop}), stop]
        for begin, end in pairwise(cuts):
            number = int(frames[begin]) if begin < len(frames) else 0
            yield begin, end, next((i for i, w in enumerate(windows) if w.first <= number <= w.last), None)
