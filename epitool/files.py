"""Files that are written whole or not at all; `-` is standard input or output."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epitool.errors import InputError

STDIO = Path("-")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed over it on success and removed on failure.

    What is no regular file, as `-`, a pipe or /dev/null, is not replaced: the content is copied into it in the end.

    Raises:
        InputError: The folder cannot be written to, or the disk is full.
    """
    temporary, streamed = path, path == STDIO or (path.exists() and not path.is_file() and not path.is_dir())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.gettempdir()) if streamed else path.parent
        handle, name = tempfile.mkstemp(prefix=".epitool-", suffix=path.suffix, dir=folder)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        if streamed:
            _copy(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as content:
        if path == STDIO:
            shutil.copyfileobj(content, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with path.open("wb") as stream:
                shutil.copyfileobj(content, stream)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
