"""Where a command may write: under a name that fits the content, over no input, over nothing but its like of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from epitool.errors import UsageError
from epitool.files import STDIO
from epitool.options.flag import Input, Options, Output, fields_of

_FORMAT = rb"epitool\.([a-z-]+)/\d"
# What our files of each suffix hold near their beginning or end; files of other suffixes are never replaced.
_MARKS = {
    **dict.fromkeys((".toml", ".json", ".h5", ".npz", ".pt", ".mp4", ".yml", ".yaml", ".xml", ".txt"), _FORMAT),
    ".onnx": rb"epitool\.card", ".rrd": rb"RRF", ".trc": rb"\APathFileType[^\n]*\tepitool\n", ".c3d": rb"epitool",
    ".html": rb"<title>epitool", ".png": rb"Matplotlib", ".md": rb"\A\| Methods \|", ".tex": rb"\A% Protocol ",
    ".csv": rb"\Arow,by,part,metric,|,1,0,0,0,1,0,0,0,1,0,0,0,\d+\s*\Z",  # Anipose states its axes as 1.0,0.0,...
}  # fmt: skip
_LOOKED_AT = 1 << 20  # bytes at either end


def check_stdout(options: Options, as_json: bool) -> bool:
    """Whether what a command writes is for standard output.

    Raises:
        UsageError: It cannot be, or the summary is to go there too.
    """
    for option, path, role in _outputs(options):
        if path == STDIO and not role.stdout:
            raise UsageError(f"{option} -: this command cannot write to stdout; name a file")
        if path == STDIO and as_json:
            raise UsageError(f"--json and {option} -: both are for stdout; leave one out")
    return any(path == STDIO for _, path, _ in _outputs(options))


def check_outputs(options: Options, further: Iterable[Path]) -> None:
    """Keeps a slip of the hand from replacing an input, or a file that is none of ours.

    Args:
        options: Of a stage; which of them are inputs and outputs is marked on them.
        further: Files that it writes too, whose names follow from the options.

    Raises:
        UsageError: An output is an input, or is there and was not made by epitool, as far as its content tells, or is
            a file of epitool's of another kind; its suffix does not fit the content; or its folder is not there.
    """
    named = list(_outputs(options))
    for option, path, role in named:
        _check_name(option, path, role)
    roles = [field.flag.role for field in fields_of(type(options))]
    holds = [one for role in roles if isinstance(role, Output) for one in role.holds]
    inputs = [Path(one) for _, one, role in _roles(options) if isinstance(role, Input) and str(one) not in ("", "-")]
    written = [(f"{option} ", path) for option, path, role in named if not role.shared]
    for words, path in [*written, *(("", path) for path in further)]:
        if path == STDIO:
            continue
        real = os.path.realpath(path)
        if any(os.path.realpath(given) == real or _same_file(path, given) for given in inputs):
            raise UsageError(f"{words}{path}: is an input of this command; name another file")
        if path.is_file() and not _is_ours(path):
            raise UsageError(f"{words}{path}: exists and was not made by epitool; name another, or remove it")
        wanted = {kind for kind, suffix in map(_kind, holds) if suffix == path.suffix.lower()}
        if wanted and path.is_file() and (found := _kinds(path)) and not wanted & found:
            raise UsageError(
                f"{words}{path}: exists and holds {', '.join(sorted(found))}, not {' or '.join(sorted(wanted))}; name"
                " another, or remove it"
            )


def _roles(options: Options) -> Iterator[tuple[str, Any, Input | Output | None]]:
    """Option, value and mark of all that are given, each of several by itself."""
    for field in fields_of(type(options)):
        yield from ((field.option, value, field.flag.role) for value in field.given(options))


def _outputs(options: Options) -> Iterator[tuple[str, Path, Output]]:
    """Option, path and mark of the outputs that are given."""
    for option, value, role in _roles(options):
        if isinstance(role, Output):
            yield option, value, role


def _kind(holds: str) -> tuple[str, str]:
    """Kind and suffix of "labels.h5"."""
    kind, _, suffix = holds.rpartition(".")
    return kind, f".{suffix}"


def _check_name(option: str, path: Path, role: Output) -> None:
    """Refuses names that a command's files cannot have; pipes and devices may be called as they like.

    Raises:
        UsageError: The suffix does not fit, or the folder is not there.
    """
    if role.folder or path == STDIO or (path.exists() and not path.is_file()):
        return
    suffixes = [suffix for _, suffix in map(_kind, role.holds)]
    if len(suffixes) == 1 and path.suffix.lower() != suffixes[0]:
        raise UsageError(f"{option} {path}: what is written is {suffixes[0]}; name the file so")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; is it mistyped? else make it first")


def _same_file(path: Path, given: Path) -> bool:
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
