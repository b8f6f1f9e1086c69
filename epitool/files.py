"""Files that are written whole or not at all; `-` is standard input or output."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from epitool.errors import InputError, UsageError

STDIO = Path("-")
_TEMPORARY, _STALE_S = ".epitool-", 86_400
_UMASK = os.umask(0o077)  # which can only be read by setting it: once, before there are threads
os.umask(_UMASK)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed over it on success and removed on failure.

    What is no regular file, as `-`, a pipe or /dev/null, is not replaced: the content is copied into it in the end.
    Where `path` is a link the file that it leads to is replaced.

    Raises:
        InputError: The folder cannot be written to, or the disk is full.
    """
    temporary, streamed = path, path == STDIO or (path.exists() and not path.is_file() and not path.is_dir())
    target = path.resolve() if path.is_symlink() else path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.gettempdir()) if streamed else target.parent
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=path.suffix, dir=folder)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_UMASK)
        yield temporary
        if streamed:
            _copy(temporary, path)
        else:
            temporary.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Removes what a killed run was writing in a folder a day ago or earlier."""
    for file in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE_S:
                file.unlink()


@contextmanager
def alone_at(work: Path) -> Iterator[None]:
    """Keeps other runs away from unfinished work that is kept beside or in `work`, until this one ends or is killed.

    Raises:
        UsageError: Another run is at it.
        InputError: The folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(work.parent / f".{work.name.lstrip('.')}.lock", timeout=0)
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        for folder in (work.parent, work):
            remove_stale(folder)
    except Timeout:
        raise UsageError(f"{work}: another run is at work there; wait for it, or name another") from None
    except OSError as error:
        raise InputError(f"cannot write {work}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink()  # before it is released: then nobody else can hold it
        lock.release()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process makes what is kept in a folder, as a cache that several may fill at once.

    Raises:
        InputError: The folder above cannot be written to.
    """
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")  # it stays: others may wait for this very file
        lock.acquire()
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def read_stdin() -> bytes:
    """All of standard input; nothing where it is closed."""
    return sys.stdin.buffer.read() if sys.stdin else b""


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as content:
        if path == STDIO:
            shutil.copyfileobj(content, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with path.open("wb") as stream:
                shutil.copyfileobj(content, stream)
