"""Common parts of readers and writers: checks of a file's format, image paths relative to the file, JSON."""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epitool.errors import InputError, first_line
from epitool.files import STDIO, check_kind, read_stdin, writing
from epitool.names import names_file

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Exceptions that readers of JSON, CSV, XML, HDF5, Matlab and CDF files raise for damaged files.
_DAMAGE = (
    OSError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, OverflowError, EOFError, MemoryError,
    SystemError, struct.error, zlib.error, csv.Error,
)  # fmt: skip
# Messages of Python and numpy about their own values, which do not describe the file to the user
_OF_CODE = re.compile(
    r"exception set|broadcast|reshape|inhomogeneous|could not convert|invalid literal|setting an array|not supported"
    r" between|to unpack|out of bounds|ufunc|unhashable|not iterable|zero-size"
)
_MAKERS = {
    ".h5": "epitool detect2d` or `epitool triangulate", ".json": "epitool predict", ".npz": "epitool pss-fit",
    ".jsonl": "epitool train", "": "epitool train", ".toml": "epitool calibrate",
}  # fmt: skip
_OPENING = "Unable to synchronously open file "  # start of h5py's messages, whatever the reason


def maker_of(path: Path) -> str:
    """Return the command that makes files with this suffix, and "" if none does."""
    return _MAKERS.get(path.suffix.lower(), "")


def require_file(path: Path, made_by: str) -> None:
    """Check that an input file exists; the error names the command that makes it, if it is given.

    Raises:
        InputError: The file is missing, a folder, or empty.
    """
    makes, anew = (f"; `{made_by}` makes it", f"; make it anew with `{made_by}`") if made_by else ("", "")
    if not path.exists():
        raise InputError(f"{path}: no such file{makes}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, a file is expected{makes}")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty{anew}")


def stored_image(image: str, file: Path) -> str:
    """Return an image name for storing in a file: relative to the file's folder, links resolved, with `/`."""
    return _relative(image, file.resolve().parent).replace(os.sep, "/") if names_file(image) else image


def usable_image(stored: str, file: Path) -> str:
    """Return a stored image name as a path from the current directory; relative if the file's path is relative."""
    if not names_file(stored):
        return stored
    folder = file.resolve().parent
    start = folder if file.is_absolute() else _relative(str(folder), Path.cwd())
    return os.path.normpath(os.path.join(start, stored))  # noqa: PTH118 - keeps `#frame`


def _relative(path: str, folder: Path) -> str:
    """Return a path relative to a folder, or the absolute path if there is none, as between Windows drives."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return os.path.abspath(path)  # noqa: PTH100 - keeps `#frame`


def read_text(path: Path) -> str:
    """Read a text file of another program, in UTF-8 with or without byte order mark, or in UTF-16 with one.

    Raises:
        ValueError: The file is neither.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("no text in UTF-8 or UTF-16") from None


def read_xml(path: Path) -> Element:
    """Read the root of an XML file of another program, in the encoding that it states.

    Raises:
        ValueError: The file is not XML, or has a document type, whose entities could fill the memory.
    """
    from defusedxml import DefusedXmlException, ElementTree  # rarely needed

    try:
        return ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException:
        raise ValueError("XML with a document type is not read") from None
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"no XML: {error}") from None


def read_json(path: Path, kind: str, made_by: str) -> dict[str, Any]:
    """Read a JSON file of the format `epitool.<kind>/1`, or standard input for `-`.

    Raises:
        InputError: The file is missing, not JSON, or of another format.
    """
    if path != STDIO:
        require_file(path, made_by)
    try:
        content = json.loads(read_stdin() if path == STDIO else path.read_bytes())
    except (ValueError, RecursionError):
        check_kind(path, [kind], made_by)
        raise InputError(f"{path}: is not JSON; make it anew with `{made_by}`") from None
    check_kind(path, [kind], made_by)
    check_format(content.get("format") if isinstance(content, dict) else None, kind, path, made_by)
    return dict(content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file; NaN must have been replaced by None."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def damage_in(path: Path, what: str, advice: str = "") -> Iterator[None]:
    """Convert errors from the content of a file to a one-line `InputError`.

    Args:
        path: File that is read inside the context.
        what: Description of the expected content.
        advice: Advice to the user; "" for none.

    Raises:
        InputError: The content is invalid.
    """
    end = f"; {advice}" if advice else ""
    try:
        yield
    except InputError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}{end}") from None
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}{end or f'; it should be {what}'}") from None
    except _DAMAGE as error:
        reason = first_line(error).removeprefix(_OPENING).strip("()")
        if isinstance(error, (TypeError, IndexError, AttributeError, SystemError)) or _OF_CODE.search(reason):
            reason = "its content is laid out in another way, or holds other things than numbers"
        raise InputError(f"{path}: cannot be read as {what} ({reason}){end}") from None


@contextmanager
def foreign_file(path: Path, what: str) -> Iterator[None]:
    """Convert errors from a missing or invalid file of another program to a one-line `InputError`.

    Raises:
        InputError: The file is missing, or its content is not what it should be.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; it should be {what}")
    with damage_in(path, what):
        yield


def check_format(found: object, kind: str, path: Path, made_by: str) -> None:
    """Check the format that a file states.

    Raises:
        InputError: The file states another format, or none.
    """
    if found != f"epitool.{kind}/1":
        stated = f"states format '{found}'" if found else "states no epitool format"
        raise InputError(f"{path}: {stated}, 'epitool.{kind}/1' is expected; `{made_by}` makes it")
