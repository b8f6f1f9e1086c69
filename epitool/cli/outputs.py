"""Checks of what a command may read, and where it may write.

Of an output, the name must fit the content, and neither an input nor a file that epitool did not write may be replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from epitool.errors import InputError, UsageError
from epitool.files import FORMAT, STDIO, ends_of, kinds_in
from epitool.options.flag import Input, Options, Output, fields_of

# Marks near the beginning or end of our files, by suffix; files with other suffixes are never replaced.
_MARKS: dict[str, bytes | re.Pattern[bytes]] = {
    **dict.fromkeys((".toml", ".json", ".h5", ".npz", ".pt", ".mp4", ".yml", ".yaml", ".xml", ".txt"), FORMAT),
    ".jsonl": FORMAT,
    ".onnx": rb"epitool\.card", ".rrd": rb"RRF", ".trc": rb"\APathFileType[^\n]*\tepitool\n", ".c3d": rb"epitool",
    # BVH has no room for a name; the bones of others do not begin with two that have no length.
    ".bvh": rb"\AHIERARCHY\nROOT Hips\n\{\n\tOFFSET( 0\.00000){3}\n.*\n\tJOINT Spine\n\t\{\n\t\tOFFSET( 0\.00000){3}\n",
    ".mot": rb"\nepitool: joint angles", ".sto": rb"\nepitool: joint angles",
    ".html": rb"<title>epitool", ".png": rb"Matplotlib", ".md": rb"\A\| Methods \|", ".tex": rb"\A% Protocol ",
    # Of `evaluate`, of angles, and of joints, where Anipose itself states its axes as 1.0,0.0,...
    ".csv": rb"\Arow,by,part,metric,|\Aframe,time,trunk_rotation|,1,0,0,0,1,0,0,0,1,0,0,0,\d+\s*\Z",
}  # fmt: skip


def check_inputs(options: Options) -> None:
    """Refuse files that exist and must not be read.

    Raises:
        InputError: There is such a file.
    """
    for _, value, role in _roles(options):
        if isinstance(role, Input) and os.path.exists(value) and not os.access(value, os.R_OK):  # noqa: PTH110
            raise InputError(f"{value}: Permission denied; whoever owns it must let you read it")


def check_stdout(options: Options, as_json: bool) -> bool:
    """Return whether a command writes its output to stdout.

    Raises:
        UsageError: The command cannot write to stdout, or `--json` would print the summary there too.
    """
    for option, path, role in _outputs(options):
        if path == STDIO and not role.stdout:
            raise UsageError(f"{option} -: this command cannot write to stdout; name a file")
        if path == STDIO and as_json:
            raise UsageError(f"--json and {option} -: both are for stdout; leave one out")
    return any(path == STDIO for _, path, _ in _outputs(options))


def check_outputs(options: Options, further: Iterable[Path]) -> None:
    """Protect inputs, and files that epitool did not write, from being replaced by mistake.

    Args:
        options: Options of a stage, which are marked as inputs and outputs.
        further: Other files that the stage writes, whose names follow from the options.

    Raises:
        UsageError: An output is also an input; it exists and, judging by its content, was not made by epitool or is
            an epitool file of another kind; its suffix does not fit the content; its folder does not exist; or it is
            a folder where a file is written, or the other way round.
        InputError: It cannot be written to.
    """
    named = list(_outputs(options))
    for option, path, role in named:
        _check_name(option, path, role)
        _check_place(path, role.folder)
    roles = [field.flag.role for field in fields_of(type(options))]
    holds = [one for role in roles if isinstance(role, Output) for one in role.holds]
    inputs = [Path(one) for _, one, role in _roles(options) if isinstance(role, Input) and str(one) not in ("", "-")]
    written = [(f"{option} ", path) for option, path, role in named if not role.shared]
    for words, path in [*written, *(("", path) for path in further)]:
        if path == STDIO:
            continue
        _check_place(path, folder=path.is_dir())
        real = os.path.realpath(path)
        if any(os.path.realpath(given) == real or _same_file(path, given) for given in inputs):
            raise UsageError(f"{words}{path}: is an input of this command; name another file")
        if path.is_file() and not _is_ours(path):
            raise UsageError(f"{words}{path}: exists and was not made by epitool; name another, or remove it")
        wanted = {kind for kind, suffix in map(_kind, holds) if suffix == path.suffix.lower()}
        if wanted and path.is_file() and (found := kinds_in(path)) and not wanted & found:
            raise UsageError(
                f"{words}{path}: exists and holds {', '.join(sorted(found))}, not {' or '.join(sorted(wanted))}; name"
                " another, or remove it"
            )


def _roles(options: Options) -> Iterator[tuple[str, Any, Input | Output | None]]:
    """Yield option, value and role of all given options, one value at a time."""
    for field in fields_of(type(options)):
        yield from ((field.option, value, field.flag.role) for value in field.given(options))


def _outputs(options: Options) -> Iterator[tuple[str, Path, Output]]:
    """Yield option, path and role of the given outputs."""
    for option, value, role in _roles(options):
        if isinstance(role, Output):
            yield option, value, role


def _kind(holds: str) -> tuple[str, str]:
    """Split a name such as "labels.h5" into kind and suffix."""
    kind, _, suffix = holds.rpartition(".")
    return kind, f".{suffix}"


def _check_name(option: str, path: Path, role: Output) -> None:
    """Reject names that a command's files cannot have; pipes and devices may have any name.

    Raises:
        UsageError: The suffix does not fit, the folder does not exist, or a folder has that name.
    """
    if path.is_dir() and not role.folder and (path.suffix or not role.or_folder):
        raise UsageError(f"{option} {path}: is a folder, a file is written; name another")
    if role.folder and path.is_file():
        raise UsageError(f"{option} {path}: is a file, a folder is written; name another")
    if role.folder or path == STDIO or (path.exists() and not path.is_file()):
        return
    suffixes = [suffix for _, suffix in map(_kind, role.holds)]
    if len(suffixes) == 1 and path.suffix.lower() != suffixes[0]:
        raise UsageError(f"{option} {path}: what is written is {suffixes[0]}; name the file so")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; is it mistyped? else make it first")


def _check_place(path: Path, folder: bool) -> None:
    """Refuse a place that cannot be written to before any work is done; a link is written through.

    Raises:
        InputError: The file, if it is a pipe or device, or the innermost folder that exists, cannot be written to.
        UsageError: That folder is a file.
    """
    if path == STDIO:
        return
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise InputError(f"cannot write {path}: it is a link that leads back to itself; name another place")
    place = real.parent if not folder and (real.is_file() or not real.exists()) else real
    while not os.path.exists(place):  # noqa: PTH110 - false where a folder cannot be searched, too
        place = place.parent
    if folder and place.is_file():
        raise UsageError(f"{path}: {place} is a file, no folder; name another place")
    if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0)):
        raise InputError(f"cannot write {path}: Permission denied in {place}; name another place")


def _same_file(path: Path, given: Path) -> bool:
    """Return whether two names refer to one existing file, as they may on a case-insensitive file system."""
    try:
        return path.samefile(given)
    except (OSError, ValueError):
        return False


def _is_ours(path: Path) -> bool:
    """Return whether a file is empty, or has the mark of our files with its suffix."""
    size, mark = path.stat().st_size, _MARKS.get(path.suffix.lower())
    if not size or mark is None:
        return not size
    return any(re.search(mark, end) for end in ends_of(path))
