"""Times of images, and which parts of a body are in them; this module needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.images import frame_rate
from epitool.names import frame_of_video
from epitool.nn.times import Times, smoothed
from epitool.pose import Predictions, square_boxes
from epitool.skeleton import convert_joints
from epitool.stages.shared.looking import Looking

SMOOTH_S = 0.05  # standard deviation of the smoothing window, in seconds
_EDGE = 0.02  # joints up to this fraction of the box side beyond the edge count as inside the image
_FPS = 30.0  # assumed frame rate of videos that do not state one


def times_of(names: Sequence[str]) -> Times:
    """Return when images were taken: frames of one video form a sequence; all other images are unrelated."""
    places = [frame_of_video(name) for name in names]
    rates: dict[str, float] = {}
    numbers: dict[str, int] = {}
    sequence, seconds = np.arange(len(names)), np.zeros(len(names))
    for i, (name, place) in enumerate(zip(names, places)):
        if place is None:
            continue
        video, frame = place
        if video not in rates:
            found = frame_rate(name)
            rates[video] = found if np.isfinite(found) else _FPS
        sequence[i] = numbers.setdefault(video, len(names) + len(numbers))
        seconds[i] = frame / rates[video]
    return Times(sequence, seconds)


def inside(xy: Array, image_size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which joints `(N, J, 2)` px are in the image of size `(N, 2)`, or just beyond its edge, `(N, J)`."""
    reach = _EDGE * np.nan_to_num(square_boxes(xy)[:, 2])[:, None, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy >= -0.5 - reach) & (xy <= image_size[:, None] - 0.5 + reach)).all(axis=-1))


def rows_of(names: Sequence[str], by_network: Predictions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices `(n,)` of the images that a network has predictions for, and of these predictions."""
    place = {name: i for i, name in enumerate(by_network.images)}
    known = np.array([i for i, name in enumerate(names) if name in place], dtype=np.intp)
    return known, np.array([place[names[i]] for i in known], dtype=np.intp)


def without_unseen(
    by_network: Predictions, names: Sequence[str], looking: Looking, smooth: bool
) -> Predictions:  # fmt: skip
    """Return a network's predictions without the joints that it, or the detector, locates outside the image."""
    known, rows = rows_of(names, by_network)
    size = looking.image_size[known]
    shown = inside(by_network.joints_2d[rows], size)
    if looking.found is not None:
        seen = looking.found
        detected, _ = convert_joints(seen.xy[known, 0], seen.confidence[known, 0], seen.skeleton, by_network.skeleton)
        shown &= inside(np.asarray(detected), size) | ~np.isfinite(detected).all(axis=-1)
    out = by_network.joints_3d[rows].copy()
    root = by_network.skeleton.root
    out[~shown & (np.arange(out.shape[1]) != root)] = np.nan
    if smooth:
        out = smoothed(out, times_of(by_network.images).of_people(by_network.boxes), SMOOTH_S)
    return replace(by_network, joints_3d=out, confidence=np.where(shown, by_network.confidence[rows], 0.0))
