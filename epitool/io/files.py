"""What all readers and writers share: checks of a file's format, image paths relative to the file, JSON."""

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

from epitool.errors import InputError
from epitool.files import STDIO, read_stdin, writing

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# What readers of JSON, CSV, XML, HDF5, Matlab and CDF files raise for damaged files.
_DAMAGE = (
    OSError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, OverflowError, EOFError, MemoryError,
    SystemError, struct.error, zlib.error, csv.Error,
)  # fmt: skip
# Words of Python and numpy about their own values, which say nothing of the file
_OF_CODE = re.compile(
    r"exception set|broadcast|reshape|inhomogeneous|could not convert|invalid literal|setting an array|not supported"
    r" between|to unpack|out of bounds|ufunc|unhashable|not iterable|zero-size"
)
_OPENING = "Unable to synchronously open file "  # as h5py begins, whatever the reason


def require_file(path: Path, made_by: str) -> None:
    """Checks that an input exists, and names the command that makes it otherwise.

    Raises:
        InputError: It is missing, a folder, or empty.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; `{made_by}` makes it")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, a file is expected; `{made_by}` makes it")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; make it anew with `{made_by}`")


def stored_image(image: str, file: Path) -> str:
    """An image's name as a file stores it: relative to the folder that the file really lies in, with `/` between."""
    return _relative(image, file.resolve().parent).replace(os.sep, "/") if image else ""


def usable_image(stored: str, file: Path) -> str:
    """A stored image name as one that can be opened from the current directory; relative where the file's is."""
    if not stored:
        return ""
    folder = file.resolve().parent
    start = folder if file.is_absolute() else _relative(str(folder), Path.cwd())
    return os.path.normpath(os.path.join(start, stored))  # noqa: PTH118 - keeps `#frame`


def _relative(path: str, folder: Path) -> str:
    """The path from a folder on; the absolute one where there is none, as between drives of Windows."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return os.path.abspath(path)  # noqa: PTH100 - keeps `#frame`


def read_text(path: Path) -> str:
    """The text of a file of another program: UTF-8, with or without a mark at its start, or UTF-16 with one.

    Raises:
        ValueError: It is neither.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("no text in UTF-8 or UTF-16") from None


def read_xml(path: Path) -> Element:
    """The root of an XML file of another program, in any encoding that it states.

    Raises:
        ValueError: It is no XML, or has a document type, whose entities could fill the memory.
    """
    from defusedxml import DefusedXmlException, ElementTree  # few files are XML

    try:
        return ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException:
        raise ValueError("XML with a document type is not read") from None
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"no XML: {error}") from None


def read_json(path: Path, kind: str, made_by: str) -> dict[str, Any]:
    """A JSON file of the format `epitool.<kind>/1`, or standard input for `-`.

    Raises:
        InputError: It is missing, no JSON, or of another format.
    """
    if path != STDIO:
        require_file(path, made_by)
    try:
        content = json.loads(read_stdin() if path == STDIO else path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON; make it anew with `{made_by}`") from None
    check_format(content.get("format") if isinstance(content, dict) else None, kind, path, made_by)
    return dict(content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON; NaN must have been replaced by None."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def damage_in(path: Path, what: str, advice: str = "") -> Iterator[None]:
    """Whatever turns out to be wrong inside a file becomes one line.

    Args:
        path: The file.
        what: What it should be.
        advice: What to do, if that is known.

    Raises:
        InputError: Something was wrong.
    """
    end = f"; {advice}" if advice else ""
    try:
        yield
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}{end}") from None
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}{end or f'; it should be {what}'}") from None
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].removeprefix(_OPENING).strip("()")[:200]
        if isinstance(error, (TypeError, IndexError, AttributeError, SystemError)) or _OF_CODE.search(reason):
            reason = "its content is laid out in another way, or holds other things than numbers"
        raise InputError(f"{path}: cannot be read as {what} ({reason}){end}") from None


@contextmanager
def foreign_file(path: Path, what: str) -> Iterator[None]:
    """Whatever is wrong inside a file of another program becomes one line.

    Raises:
        InputError: It is missing, or not what it should be.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; it should be {what}")
    with damage_in(path, what):
        yield


def check_format(found: object, kind: str, path: Path, made_by: str) -> None:
    """Checks a file's statement of what it is.

    Raises:
        InputError: It is something else.
    """
    if found != f"epitool.{kind}/1":
        stated = f"states format '{found}'" if found else "states no epitool format"
        raise InputError(f"{path}: {stated}, 'epitool.{kind}/1' is expected; `{made_by}` makes it")
