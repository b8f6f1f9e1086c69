"""Where a command may write: under a name that fits the content, over no input, over nothing but its like of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from epitool.errors import UsageError
from epitool.files import STDIO

_OUTPUTS = ("out", "table", "overlay", "pictures")
_FORMAT = rb"epitool\.([a-z-]+)/\d"
_FOLDERS = ("train", "demo", "synth", "import_dataset")  # stages whose `out` is a folder, which they make
# What files of a stage hold, by their suffix; where it says so no other suffix will do.
_HOLDS: dict[str, dict[str, set[str]]] = {
    "detect2d": {".h5": {"keypoints"}}, "calibrate": {".toml": {"cameras"}}, "triangulate": {".h5": {"labels"}},
    "predict": {".json": {"poses"}}, "evaluate": {".json": {"metrics"}}, "pss_fit": {".npz": {"pss"}},
    "convert": {".h5": {"keypoints"}, ".toml": {"cameras"}, ".npz": {"poses"}},
    "import_dataset": {".h5": {"labels", "keypoints"}, ".npz": {"poses"}},
}  # fmt: skip
_MANY_KINDS = ("convert", "import_dataset")
# What our files of each suffix hold near their beginning or end; files of other suffixes are never replaced.
_MARKS = {
    **dict.fromkeys((".toml", ".json", ".h5", ".npz", ".pt", ".mp4", ".yml", ".yaml", ".xml", ".txt"), _FORMAT),
    ".onnx": rb"epitool\.card", ".rrd": rb"RRF", ".trc": rb"\APathFileType[^\n]*\tepitool\n", ".c3d": rb"epitool",
    ".html": rb"<title>epitool", ".png": rb"Matplotlib", ".md": rb"\A\| Methods \|", ".tex": rb"\A% Protocol ",
    ".csv": rb"\Arow,by,part,metric,|,1,0,0,0,1,0,0,0,1,0,0,0,\d+\s*\Z",  # Anipose states its axes as 1.0,0.0,...
}  # fmt: skip
_LOOKED_AT = 1 << 20  # bytes at either end


def check_outputs(options: Mapping[str, Any], further: Sequence[Path], stage: str = "") -> None:
    """Keeps a slip of the hand from replacing an input, or a file that is none of ours.

    Args:
        options: Of a stage.
        further: Files that it writes too, whose names follow from the options.
        stage: Its name, which tells what it writes.

    Raises:
        UsageError: An output is an input, or is there and was not made by epitool, as far as its content tells, or is
            a file of epitool's of another kind; its suffix does not fit the content; or its folder is not there.
    """
    outputs = [(f"--{name} ", options[name]) for name in _OUTPUTS if isinstance(options.get(name), Path)]
    _check_names(options, stage)
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
        wanted = _HOLDS.get(stage, {}).get(path.suffix.lower())
        if wanted and path.is_file() and (found := _kinds(path)) and not wanted & found:
            raise UsageError(
                f"{words}{path}: exists and holds {', '.join(sorted(found))}, not {' or '.join(sorted(wanted))}; name"
                " another, or remove it"
            )


def _check_names(options: Mapping[str, Any], stage: str) -> None:
    """Refuses names that a command's files cannot have; pipes and devices may be called as they like.

    Raises:
        UsageError: The suffix does not fit, or the folder is not there.
    """
    files = [name for name in ("out", "table") if isinstance(options.get(name), Path) and stage not in _FOLDERS]
    for name in files:
        path: Path = options[name]
        if path == STDIO or (path.exists() and not path.is_file()):
            continue
        suffixes = [] if name == "table" or stage in _MANY_KINDS else list(_HOLDS.get(stage, ()))
        if suffixes and path.suffix.lower() not in suffixes:
            raise UsageError(f"--{name} {path}: what is written is {suffixes[0]}; name the file so")
        if not path.parent.is_dir():
            raise UsageError(f"--{name} {path}: there is no folder {path.parent}; is it mistyped? else make it first")


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
    return any(re.search(mark, end) for end in _ends(path))


def _kinds(path: Path) -> set[str]:
    """Which formats of ours a file states."""
    return {kind.decode() for end in _ends(path) for kind in re.findall(_FORMAT, end)}


def _ends(path: Path) -> list[bytes]:
    """Beginning and end of a file, without noughts: numpy's letters have four bytes each."""
    with path.open("rb") as file:
        ends = [file.read(_LOOKED_AT)]
        file.seek(max(path.stat().st_size - _LOOKED_AT, 0))
        ends.append(file.read())
    return [end.replace(b"\0", b"") for end in ends]
