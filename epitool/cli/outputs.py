"""What a command may write over: no input of its own, and no file that epitool has not made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from epitool.errors import UsageError
from epitool.files import STDIO

_OUTPUTS = ("out", "table", "overlay", "pictures")
_FORMAT = rb"epitool\.[a-z-]+/\d"
# What our files of each suffix hold near their beginning or end; files of other suffixes are never replaced.
_MARKS = {
    **dict.fromkeys((".toml", ".json", ".h5", ".npz", ".pt", ".mp4", ".yml", ".yaml", ".xml", ".txt"), _FORMAT),
    ".onnx": rb"epitool\.card", ".rrd": rb"RRF", ".trc": rb"\APathFileType[^\n]*\tepitool\n", ".c3d": rb"epitool",
    ".html": rb"<title>epitool", ".png": rb"Matplotlib", ".md": rb"\A\| Methods \|", ".tex": rb"\A% Protocol ",
    ".csv": rb"\Arow,by,part,metric,|,1,0,0,0,1,0,0,0,1,0,0,0,\d+\s*\Z",  # Anipose states its axes as 1.0,0.0,...
}  # fmt: skip
_LOOKED_AT = 1 << 20  # bytes at either end


def check_outputs(options: Mapping[str, Any], further: Sequence[Path]) -> None:
    """Keeps a slip of the hand from replacing an input, or a file that is none of ours.

    Args:
        options: Of a stage.
        further: Files that it writes too, whose names follow from the options.

    Raises:
        UsageError: An output is an input, or is there and was not made by epitool, as far as its content tells.
    """
    outputs = [(f"--{name} ", options[name]) for name in _OUTPUTS if isinstance(options.get(name), Path)]
    outputs += [("", path) for path in further]
    inputs = list(_inputs(options))
    for words, path in outputs:
        if path == STDIO:
            continue
        real = os.path.realpath(path)
        if any(os.path.realpath(given) == real or _same_file(path, given) for given in inputs):
            raise UsageError(f"{words}{path}: is an input of this command; name another file")
        if path.is_file() and not _is_ours(path):
            raise UsageError(f"{words}{path}: exists and was not made by epitool; name another, or remove it")


def _inputs(options: Mapping[str, Any]) -> Iterator[str | Path]:
    for name, value in options.items():
        if name not in _OUTPUTS:
            yield from (item for item in (value if isinstance(value, list) else [value]) if _is_name(item))


def _is_name(item: object) -> bool:
    return isinstance(item, str | Path) and item not in ("", STDIO)


def _same_file(path: Path, given: str | Path) -> bool:
    """Whether two names, as where capitals do not count, are of one file that is there."""
    try:
        return path.samefile(given)
    except (OSError, ValueError):
        return False


def _is_ours(path: Path) -> bool:
    """Whether a file is empty, or holds what files of ours with its suffix hold."""
    size, mark = path.stat().st_size, _MARKS.get(path.suffix.lower())
    if not size or mark is None:
        return not size
    with path.open("rb") as file:
        ends = [file.read(_LOOKED_AT)]
        file.seek(max(size - _LOOKED_AT, 0))
        ends.append(file.read())
    return any(re.search(mark, end.replace(b"\0", b"")) for end in ends)  # numpy's letters have four bytes each
