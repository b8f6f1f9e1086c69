"""2D joints of DeepLabCut (`.csv`, `.h5`) and SLEAP (`.slp`, analysis `.h5`)."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from epitool.console import say
from epitool.errors import UsageError
from epitool.io.files import read_text
from epitool.io.foreign.orders import view_of
from epitool.io.foreign.seen import Array, SeenView, frame_number, row_of, stacked, view_name
from epitool.io.h5 import array, dataset
from epitool.skeleton import Skeleton

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_UNIQUE = "single"  # what DeepLabCut calls the owner of parts that there are once, like a feeder
_SLEAP_AXES = ("track", "xy", "node", "frame")
_DLC_GROUP, _DLC_BLOCK = "df_with_missing", "values_block_0"


def deeplabcut_csv(path: Path, given: Skeleton | None) -> list[SeenView]:
    """Rows `scorer`, perhaps `individuals`, `bodyparts`, `coords`, then one row for each frame.

    Spreadsheets of some countries write semicolons between cells, and commas for points.
    """
    text = read_text(path)
    semicolons = text[:7] == "scorer;"
    rows = [row for row in csv.reader(text.splitlines(), delimiter=";" if semicolons else ",") if row]
    heads = {row[0]: row[1:] for row in rows[:4] if row[0] in _HEADS}
    if not {"scorer", "bodyparts", "coords"} <= heads.keys():
        found = ", ".join(rows[0])[:80] if rows else "nothing"
        hint = "; of SLEAP's export the analysis .h5 is read" if "frame_idx" in found else ""
        raise ValueError(f"not DeepLabCut's rows scorer, bodyparts and coords; the first row is: {found}{hint}")
    columns = list(zip(*heads.values(), strict=True))
    values = np.full((len(rows) - len(heads), len(columns)), np.nan)
    frames = []
    for n, row in enumerate(rows[len(heads) :]):
        if len(row) <= len(columns):
            raise ValueError(f"row {n + len(heads) + 1} has {len(row)} cells, expected {len(columns) + 1} or more")
        frames.append(frame_number(row[0] if len(row) == len(columns) + 1 else row[-len(columns) - 1]))
        cells = [cell.replace(",", ".") if semicolons else cell for cell in row[-len(columns) :]]
        values[n] = row_of([cell or np.nan for cell in cells])
    return [_deeplabcut(path, columns, frames, values, given)]


def hdf5(path: Path, given: Skeleton | None) -> list[SeenView]:
    """SLEAP's analysis export, or what DeepLabCut writes of a video."""
    with h5py.File(path, "r") as file:
        if "tracks" in file:
            return [_sleap_analysis(path, file, given)]
        if not isinstance(file.get(_DLC_GROUP, getlink=True), h5py.HardLink):
            raise ValueError(f"neither 'tracks', as SLEAP's analysis export has, nor DeepLabCut's '{_DLC_GROUP}'")
        return [_deeplabcut_h5(path, file, given)]


def _deeplabcut_h5(path: Path, file: h5py.File, given: Skeleton | None) -> SeenView:
    """A table of pandas: one column of frame numbers, one of all values, and the values' names pickled."""
    table = dataset(file, f"{_DLC_GROUP}/table", 1)
    named = table.dtype.fields or {}
    if not {"index", _DLC_BLOCK} <= named.keys() or table.dtype["index"].kind != "i":
        raise ValueError("a table of DeepLabCut's that is of no video: frames are no numbers; give the .csv")
    columns = _names_in(bytes(table.attrs[f"{_DLC_BLOCK}_kind"]))
    rows = table[()]
    values = rows[_DLC_BLOCK].astype(np.float64)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(columns)} names for values {values.shape}")
    return _deeplabcut(path, columns, rows["index"].tolist(), values, given)


def _names_in(packed: bytes) -> list[tuple[str, ...]]:
    try:
        columns = _OnlyPlain(io.BytesIO(packed)).load()
    except Exception as error:  # a damaged pickle raises whatever its instructions happen to
        raise ValueError(f"DeepLabCut's names of columns cannot be read ({error}); give the .csv") from None
    if not isinstance(columns, list) or any(not isinstance(c, tuple) or len(c) not in (3, 4) for c in columns):
        raise ValueError("columns that are not DeepLabCut's; give the .csv")
    return [tuple(map(str, column)) for column in columns]


class _OnlyPlain(pickle._Unpickler):
    """Reads lists, tuples, texts and numbers. It finds no class or function, so nothing in the file can be run.

    The unpickler in Python keeps what is numbered in a dict; the one in C takes as much memory as the number says.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"{module}.{name}"[:80])


def _deeplabcut(
    path: Path, columns: Sequence[tuple[str, ...]], frames: Sequence[int], values: Array, given: Skeleton | None
) -> SeenView:
    """Values of columns (scorer, perhaps individual, body part, coordinate) by frame."""
    place = {(column[-3] if len(column) > 3 else "", *column[-2:]): i for i, column in enumerate(columns)}
    if not {"x", "y", "likelihood"} <= (found := {column[-1] for column in place}):
        raise ValueError(f"columns {', '.join(sorted(found))[:80]}; those of a video's 2D joints are x, y, likelihood")
    who = list(dict.fromkeys(column[0] for column in place))
    if len(who) > 1 and _UNIQUE in who:
        unique = ", ".join(dict.fromkeys(column[1] for column in place if column[0] == _UNIQUE))
        say(f"{path}: the parts that belong to no individual ('{_UNIQUE}') are left out: {unique}")
        who.remove(_UNIQUE)
    parts_of = {w: list(dict.fromkeys(column[1] for column in place if column[0] == w)) for w in who}
    parts = list(dict.fromkeys(part for own in parts_of.values() for part in own))
    none = len(columns)  # an individual that lacks a part that others have
    order = [[[place.get((w, part, c), none) for c in ("x", "y", "likelihood")] for part in parts] for w in who]
    rows = np.column_stack([values, np.full(len(values), np.nan)])
    people = {frame: stacked(row[order], len(parts)) for frame, row in zip(frames, rows, strict=True)}
    name = path.stem.partition(str(columns[0][0]))[0]  # to the video's name that of the network is added
    return view_of(name or view_name(path), "DeepLabCut", people, len(parts), parts, given)


def _sleap_analysis(path: Path, file: h5py.File, given: Skeleton | None) -> SeenView:
    """`tracks`, `point_scores`, `node_names`; axes are as SLEAP has them, `(P, 2, J, F)`, or as `dims` says."""
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
    scores = np.where(np.isfinite(tracks[..., 0]) & np.isnan(scores), 1.0, scores)  # people marked by hand
    rows = np.concatenate([tracks, scores[..., None]], axis=-1)
    people = {number: stacked(found, len(names)) for number, found in enumerate(rows)}
    return view_of(view_name(path), "SLEAP", people, len(names), names, given)


def _dims(file: h5py.File) -> list[str]:
    """The names of the axes of `tracks`, which sleap-io states as JSON."""
    stated = file["tracks"].attrs.get("dims")
    axes = list(_SLEAP_AXES) if stated is None else [str(axis) for axis in json.loads(stated)]
    if sorted(axes) != sorted(_SLEAP_AXES):
        raise ValueError(f"'tracks' has the axes {', '.join(axes)[:80]}; expected are {', '.join(_SLEAP_AXES)}")
    return axes


def sleap(path: Path, given: Skeleton | None) -> list[SeenView]:
    """A project or its predictions: a view for each of its videos."""
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
            int(frame.frame_idx): stacked(_sleap_rows(frame), len(names))
            for frame in labels.labeled_frames
            if frame.video is video
        }
        one = isinstance(video.filename, str) and len(labels.videos) > 1
        name = Path(video.filename).stem if one else view_name(path) + (f"_{number}" if number else "")
        size = tuple(video.shape[2:0:-1]) if video.shape else None
        views.append(view_of(name, "SLEAP", people, len(names), names, given, size))
    return views


def _sleap_rows(frame: Any) -> Iterator[Array]:
    """Joints (x, y, score) of those whom someone marked, and of those predicted that nobody has put right."""
    for one in frame.user_instances:
        yield np.column_stack([one.numpy(), np.isfinite(one.numpy()[:, 0])])
    for one in frame.unused_predictions:
        yield one.numpy(scores=True)
