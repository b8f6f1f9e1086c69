"""Reader of SLEAP's analysis `.h5`, and of `.slp` projects and predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from epitool.errors import UsageError
from epitool.io.foreign.joints.format import FileFormat, JointFile
from epitool.io.foreign.joints.orders import view_of
from epitool.io.foreign.joints.seen_view import Array, SeenView, stacked, view_name
from epitool.io.h5 import array, dataset
from epitool.skeleton import Skeleton

_AXES = ("track", "xy", "node", "frame")


def _is_analysis(source: JointFile) -> bool:
    with h5py.File(source.path, "r") as file:
        return "tracks" in file


def _read_analysis(source: JointFile, given: Skeleton | None) -> list[SeenView]:
    """Read `tracks`, `point_scores` and `node_names`; the axes are SLEAP's `(P, 2, J, F)` or those stated by `dims`."""
    with h5py.File(source.path, "r") as file:
        tracks, scores, names = _arrays(file)
    rows = np.concatenate([tracks, scores[..., None]], axis=-1)
    people = {number: stacked(found, len(names)) for number, found in enumerate(rows)}
    return [view_of(view_name(source.path), "SLEAP", people, len(names), names, given)]


def _arrays(file: h5py.File) -> tuple[Array, Array, list[str]]:
    """Read positions `(F, P, J, 2)`, scores `(F, P, J)`, and the joint names."""
    axes = _dims(file)
    tracks = array(file, "tracks", 4).transpose([axes.index(axis) for axis in ("frame", "track", "node", "xy")])
    names = [str(name) for name in dataset(file, "node_names", 1).asstr()[()]]
    if tracks.shape[2:] != (len(names), 2):
        shape = ", ".join(f"{axis} {n}" for axis, n in zip(("frames", "tracks", "nodes", "xy"), tracks.shape))
        raise ValueError(f"'tracks' is of {shape}, but {len(names)} nodes are named; what its axes are is unknown")
    scores = np.ones(tracks.shape[:3])
    if "point_scores" in file:
        own = [axis for axis in axes if axis != "xy"]
        scores = array(file, "point_scores", 3).transpose([own.index(axis) for axis in ("frame", "track", "node")])
        if scores.shape != tracks.shape[:3]:
            raise ValueError(f"'point_scores' is of {scores.shape}, 'tracks' of {tracks.shape}")
    scores = np.where(np.isfinite(tracks[..., 0]) & np.isnan(scores), 1.0, scores)  # people labelled by hand
    return tracks, scores, names


def _dims(file: h5py.File) -> list[str]:
    """Return the names of the axes of `tracks`, which sleap-io states as JSON."""
    stated = file["tracks"].attrs.get("dims")
    axes = list(_AXES) if stated is None else [str(axis) for axis in json.loads(stated)]
    if sorted(axes) != sorted(_AXES):
        raise ValueError(f"'tracks' has the axes {', '.join(axes)[:80]}; expected are {', '.join(_AXES)}")
    return axes


def _read_project(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    """Read a project or its predictions, with a view for each video."""
    path = file.path
    try:
        import sleap_io
    except ImportError:
        raise UsageError(
            f"{path}: needs the extra [sleap], which wants numpy 2 and so an environment without [mediapipe]:"
            " pip install 'epitool[sleap]'; or export an analysis .h5 from SLEAP"
        ) from None
    labels = sleap_io.load_slp(str(path), open_videos=False)
    if len(labels.skeletons) != 1:
        said = ", ".join(str(body.name) for body in labels.skeletons) or "none"
        raise ValueError(f"a project with other than one skeleton ({said}); export what is of one")
    names = [node.name for node in labels.skeletons[0].nodes]
    views = []
    for number, video in enumerate(labels.videos):
        people = {
            int(frame.frame_idx): stacked(_rows(frame), len(names))
            for frame in labels.labeled_frames
            if frame.video is video
        }
        one = isinstance(video.filename, str) and len(labels.videos) > 1
        name = Path(video.filename).stem if one else view_name(path) + (f"_{number}" if number else "")
        size = tuple(video.shape[2:0:-1]) if video.shape else None
        views.append(view_of(name, "SLEAP", people, len(names), names, given, size))
    return views


def _rows(frame: Any) -> Iterator[Array]:
    """Yield joints (x, y, score) of people labelled by hand, and of predicted people that nobody corrected."""
    for one in frame.user_instances:
        yield np.column_stack([one.numpy(), np.isfinite(one.numpy()[:, 0])])
    for one in frame.unused_predictions:
        yield one.numpy(scores=True)


ANALYSIS = FileFormat(".h5", "'tracks', as SLEAP's analysis export has", _is_analysis, _read_analysis)
PROJECT = FileFormat(".slp", "a project of SLEAP's", lambda file: True, _read_project)
