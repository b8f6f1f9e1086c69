"""Reader of DeepLabCut's `.csv` or `.h5` of a video, with one or several animals."""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from epitool.console import say
from epitool.io.files import read_text
from epitool.io.foreign.joints.format import FileFormat, JointFile
from epitool.io.foreign.joints.orders import view_of
from epitool.io.foreign.joints.seen_view import Array, SeenView, frame_number, row_of, stacked, view_name
from epitool.io.h5 import dataset
from epitool.skeleton import Skeleton

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_UNIQUE = "single"  # DeepLabCut's name for the owner of unique parts, such as a feeder
_GROUP, _BLOCK = "df_with_missing", "values_block_0"


def _read_csv(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    """Read the rows `scorer`, optionally `individuals`, `bodyparts`, `coords`, and then one row per frame.

    Spreadsheets in some locales separate cells by semicolons and write decimal commas.
    """
    text = read_text(file.path)
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
    return [_view(file.path, columns, frames, values, given)]


def _is_video(file: JointFile) -> bool:
    with h5py.File(file.path, "r") as content:
        return isinstance(content.get(_GROUP, getlink=True), h5py.HardLink)


def _read_video(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    """Read a pandas table: one column of frame numbers, one of all values, and the pickled names of the values."""
    with h5py.File(file.path, "r") as content:
        table = dataset(content, f"{_GROUP}/table", 1)
        named = table.dtype.fields or {}
        if not {"index", _BLOCK} <= named.keys() or table.dtype["index"].kind != "i":
            raise ValueError("a table of DeepLabCut's that is of no video: frames are no numbers; give the .csv")
        columns = _names_in(bytes(table.attrs[f"{_BLOCK}_kind"]))
        rows = table[()]
    values = rows[_BLOCK].astype(np.float64)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(columns)} names for values {values.shape}")
    return [_view(file.path, columns, rows["index"].tolist(), values, given)]


def _names_in(packed: bytes) -> list[tuple[str, ...]]:
    try:
        columns = _OnlyPlain(io.BytesIO(packed)).load()
    except Exception as error:  # a damaged pickle can raise any exception
        raise ValueError(f"DeepLabCut's names of columns cannot be read ({error}); give the .csv") from None
    if not isinstance(columns, list) or any(not isinstance(c, tuple) or len(c) not in (3, 4) for c in columns):
        raise ValueError("columns that are not DeepLabCut's; give the .csv")
    return [tuple(map(str, column)) for column in columns]


class _OnlyPlain(pickle._Unpickler):
    """Unpickler of lists, tuples, texts and numbers only, which cannot run any code in a file.

    It rejects all classes and functions. It extends the Python unpickler, which stores memoized objects in a dict,
    because the C unpickler allocates as much memory as an index in the file asks for.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"{module}.{name}"[:80])


def _view(
    path: Path, columns: Sequence[tuple[str, ...]], frames: Sequence[int], values: Array, given: Skeleton | None
) -> SeenView:
    """Return a view from the values of columns (scorer, optionally individual, body part, coordinate) by frame."""
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
    none = len(columns)  # index of a column of NaN, for parts that an individual lacks
    order = [[[place.get((w, part, c), none) for c in ("x", "y", "likelihood")] for part in parts] for w in who]
    rows = np.column_stack([values, np.full(len(values), np.nan)])
    people = {frame: stacked(row[order], len(parts)) for frame, row in zip(frames, rows, strict=True)}
    name = path.stem.partition(str(columns[0][0]))[0]  # the file's name is the video's followed by the network's
    return view_of(name or view_name(path), "DeepLabCut", people, len(parts), parts, given)


CSV = FileFormat(".csv", "DeepLabCut's rows", lambda file: True, _read_csv)
VIDEO = FileFormat(".h5", f"DeepLabCut's '{_GROUP}'", _is_video, _read_video)
