"""What `-` means where a stage reads files: names of images, or a `pose.json`, on standard input."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epitool.errors import InputError, UsageError
from epitool.files import STDIO, read_stdin


@contextmanager
def standard_input(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A stage's options, in which `-` among `images`, `inputs` and `file` has become what standard input holds.

    Raises:
        InputError: It holds no names, or no poses.
        UsageError: Nothing says what to call the output.
    """
    images, inputs = options.get("images"), options.get("inputs")
    if isinstance(images, list) and "-" in images:
        named = [name for given in images for name in (_names() if given == "-" else [given])]
        yield {**options, "images": named}
    elif options.get("file") == STDIO:
        if options.get("out") is None:
            raise UsageError("-: what comes through a pipe has no name; give --out FILE")
        with _poses() as path:
            yield {**options, "file": path}
    elif isinstance(inputs, list) and STDIO in inputs:
        with _poses() as path:
            yield {**options, "inputs": [path if given == STDIO else given for given in inputs]}
    else:
        yield dict(options)


def _names() -> list[str]:
    """Names, one a line, or with NUL between them as `find -print0` writes them."""
    content = read_stdin()
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    named = [os.fsdecode(name) for name in names if name.strip()]
    if not named:
        raise InputError("-: standard input names no image; one a line is expected")
    return named


@contextmanager
def _poses() -> Iterator[Path]:
    """A file with the poses that come in, whose images are found from where it lies."""
    from epitool.io.predictions import read_predictions, write_predictions

    with tempfile.TemporaryDirectory(prefix="epitool-") as folder:
        path = Path(folder) / "stdin.json"
        write_predictions(path, read_predictions(STDIO))
        yield path
