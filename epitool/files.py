"""Atomic writing of files, locks, and of what kind a file is; `-` is standard input or output."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from epitool.errors import EpitoolError, InputError, UsageError

STDIO = Path("-")
_TEMPORARY, _STALE_S = ".epitool-", 86_400
FORMAT = re.compile(rb"epitool\.([a-z-]+)/\d")  # as every file of ours states it
_LOOKED_AT = 1 << 20  # bytes searched at either end
_HELD = {
    "keypoints": "2D joints", "labels": "labels with 3D joints", "poses": "predicted poses", "cameras": "cameras",
    "live-poses": "poses of a stream", "metrics": "what `epitool evaluate` measured", "pss": "clusters of poses",
    "model": "a network", "refiner": "a refinement unit", "training": "the state of a training",
    "pss-stability": "how well runs of k-means agree",
}  # fmt: skip
_UMASK = os.umask(0o077)  # the umask can only be read by setting it, so this is done once, before threads start
os.umask(_UMASK)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` on success and removed on failure.

    If `path` is not a regular file, such as `-`, a pipe or /dev/null, it is not replaced; the content is copied into
    it at the end. If `path` is a link, the file that it points to is replaced.

    Raises:
        InputError: The folder cannot be written to, or the disk is full.
    """
    temporary, streamed = path, path == STDIO or (path.exists() and not path.is_file() and not path.is_dir())
    target = Path(os.path.realpath(path)) if path.is_symlink() else path  # a link to itself is replaced
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


def ends_of(path: Path) -> list[bytes]:
    """Read the beginning and end of a file, without zero bytes, because numpy stores each character in four bytes."""
    with path.open("rb") as file:
        ends = [file.read(_LOOKED_AT)]
        file.seek(max(path.stat().st_size - _LOOKED_AT, 0))
        ends.append(file.read())
    return [end.replace(b"\0", b"") for end in ends]


def kinds_in(path: Path) -> set[str]:
    """Return which epitool formats a file states."""
    return {kind.decode() for end in ends_of(path) for kind in FORMAT.findall(end)}


def in_words(kinds: Iterable[str]) -> str:
    """Return what files of these epitool formats hold.

    >>> in_words(["keypoints", "labels"])
    '2D joints or labels with 3D joints'
    """
    return " or ".join(_HELD.get(kind, kind) for kind in sorted(kinds))


def held_in(path: Path) -> str:
    """Return in words what a file of epitool holds, and "" of other files."""
    found = kinds_in(path)
    return "an array of poses" if found == {"poses"} and path.suffix.lower() == ".npz" else in_words(found)


def check_kind(path: Path, wanted: Iterable[str], made_by: str, words: str = "") -> None:
    """Refuse a file that evidently is of another kind: an epitool file of another format, or footage.

    Args:
        path: The file.
        wanted: Formats that are read, such as "labels".
        made_by: Command that makes such a file.
        words: What such a file holds, if the formats alone do not tell.

    Raises:
        InputError: It is of another kind; the message names both.
    """
    if not path.is_file() or kinds_in(path) & set(wanted):
        return
    media = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    footage = {"video": "is a video", "image": "is an image"}.get(media)
    if footage or (held := held_in(path)):
        found = footage or f"holds {held}"
        made_by += f" --views {path} ..." if footage and made_by.endswith("detect2d") else ""
        raise InputError(f"{path}: {found}, not {words or in_words(wanted)}; `{made_by}` makes such a file")


def require_folder(path: Path, option: str = "", advice: str = "") -> None:
    """Check that an input folder exists.

    Args:
        path: The folder.
        option: Option that names it, for the message.
        advice: What to do.

    Raises:
        InputError: It is missing, or a file.
    """
    if not path.is_dir():
        found = "is a file, a folder is expected" if path.exists() else "no such folder"
        raise InputError(f"{option} {path}: {found}".strip() + (f"; {advice}" if advice else ""))


def remove_stale(folder: Path) -> None:
    """Remove temporary files that killed runs left in a folder at least a day ago."""
    for file in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE_S:
                file.unlink()


@contextmanager
def alone_at(work: Path) -> Iterator[None]:
    """Lock unfinished work that is kept in or beside `work`, until this run ends or is killed.

    Raises:
        UsageError: Another run holds the lock.
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
            Path(lock.lock_file).unlink()  # removed before the release, while no other process can hold it
        lock.release()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is filling a folder, such as a cache that several processes may fill at once.

    Raises:
        InputError: The parent folder cannot be written to.
    """
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")  # never removed: others may be waiting for it
        lock.acquire()
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove the folders that the work makes, `folder` and those it lies in, if it is refused and leaves them empty."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    except EpitoolError:
        with suppress(OSError):  # the first that is not empty keeps all above it
            for one in filter(Path.exists, made):
                one.rmdir()
        raise


def read_stdin() -> bytes:
    """Return all of standard input, or nothing if it is closed."""
    return sys.stdin.buffer.read() if sys.stdin else b""


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as content:
        if path == STDIO:
            shutil.copyfileobj(content, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with path.open("wb") as stream:
                shutil.copyfileobj(content, stream)
