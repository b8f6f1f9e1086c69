"""2D joints of DeepLabCut (`.csv`, `.h5`) and SLEAP (`.slp`, analysis `.h5`)."""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from epitool.errors import UsageError
from epitool.io.foreign.seen import Array, SeenView, body_of, frame_number, stacked, view_name
from epitool.io.h5 import array, dataset
from epitool.skeleton import Skeleton

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_DLC_GROUP, _DLC_BLOCK = "df_with_missing", "values_block_0"


def deeplabcut_csv(path: Path, given: Skeleton | None) -> list[SeenView]:
    """Rows `scorer`, perhaps `individuals`, `bodyparts`, `coords`, then one row for each frame."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    heads = {row[0]: row[1:] for row in rows[:4] if row and row[0] in _HEADS}
    if not {"scorer", "bodyparts", "coords"} <= heads.keys():
        raise ValueError("not DeepLabCut's rows scorer, bodyparts and coords")
    columns = list(zip(*heads.values(), strict=True))
    body = rows[len(heads) :]
    values = [[float(x) if x else np.nan for x in row[-len(columns) :]] for row in body]
    frames = [frame_number(row[0]) for row in body]
    return [_deeplabcut(path, columns, frames, np.array(values).reshape(-1, len(columns)), given)]


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
    who, parts = (list(dict.fromkeys(column[k] for column in place)) for k in (0, 1))
    if "likelihood" not in (found := {column[-1] for column in place}) and {"x", "y"} <= found:
        raise ValueError(f"columns {', '.join(sorted(found))[:80]}; those of a video's 2D joints are x, y, likelihood")
    order = [[[place[w, part, c] for c in ("x", "y", "likelihood")] for part in parts] for w in who]
    people = {frame: stacked(row[order], len(parts)) for frame, row in zip(frames, values, strict=True)}
    return SeenView(view_name(path), people, body_of(len(parts), parts, people, given), None, "DeepLabCut")


def _sleap_analysis(path: Path, file: h5py.File, given: Skeleton | None) -> SeenView:
    """`tracks (P, 2, J, F)`, `point_scores`, `node_names`."""
    tracks = array(file, "tracks", 4)
    scores = array(file, "point_scores", 3) if "point_scores" in file else np.ones_like(tracks[:, 0])
    scores = np.where(np.isfinite(tracks[:, 0]) & np.isnan(scores), 1.0, scores)  # people whom someone marked by hand
    names = [str(name) for name in dataset(file, "node_names", 1).asstr()[()]]
    rows = np.concatenate([tracks, scores[:, None]], axis=1).transpose(3, 0, 2, 1)
    people = {number: stacked(found, len(names)) for number, found in enumerate(rows)}
    return SeenView(view_name(path), people, body_of(len(names), names, people, given), None, "SLEAP")


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
        views.append(SeenView(name, people, body_of(len(names), names, people, given), size, "SLEAP"))
    return views


def _sleap_rows(frame: Any) -> Iterator[Array]:
    """Joints (x, y, score) of those whom someone marked, and of those predicted that nobody has put right."""
    for one in frame.user_instances:
        yield np.column_stack([one.numpy(), np.isfinite(one.numpy()[:, 0])])
    for one in frame.unused_predictions:
        yield one.numpy(scores=True)
