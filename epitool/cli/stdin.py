"""Standard input as `-` in place of files: names of images, or a `pose.json`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from epitool import console
from epitool.errors import InputError
from epitool.files import STDIO, read_stdin
from epitool.options.flag import Input, Options, fields_of


@contextmanager
def standard_input(options: Options) -> Iterator[Any]:
    """Yield the options with `-` replaced by the content of standard input, for options that accept it.

    Raises:
        InputError: Standard input holds no names, or no poses.
    """
    with ExitStack() as stack:
        changes = {}
        for field in fields_of(type(options)):
            role, given = field.flag.role, field.given(options)
            if isinstance(role, Input) and role.stdin and any(str(one) == "-" for one in given):
                held = _names() if role.stdin == "names" else [stack.enter_context(_poses())]
                put = [piece for one in given for piece in (held if str(one) == "-" else [one])]
                changes[field.name] = tuple(put) if field.many else put[0]
        yield replace(options, **changes)


def _names() -> list[str]:
    """Read names, one per line or separated by NUL as `find -print0` writes them."""
    content = read_stdin()
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    named = [os.fsdecode(name) for name in names if name.strip()]
    if any(map(_is_binary, names)):
        raise InputError("-: standard input holds no names; a video that comes through a pipe is named /dev/stdin")
    if not named:
        raise InputError("-: standard input names no image; one a line is expected")
    return named


def _is_binary(name: bytes) -> bool:
    """Return whether bytes are of no name: neither UTF-8 nor without control characters."""
    return min(name, default=32) < 32 and "\ufffd" in name.decode(errors="replace")


@contextmanager
def _poses() -> Iterator[Path]:
    """Yield a temporary file with the poses from standard input, with image paths adapted to its location."""
    from epitool.io.predictions import read_predictions, write_predictions

    with tempfile.TemporaryDirectory(prefix="epitool-") as folder:
        path = Path(folder) / "stdin.json"
        console.call(str(path), str(STDIO))
        write_predictions(path, read_predictions(STDIO))
        yield path
