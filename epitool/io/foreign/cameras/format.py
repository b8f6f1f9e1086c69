"""What a format of cameras is: how its files are told from others', its reader, and its writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from epitool.camera import Rig
from epitool.io.foreign.cameras.storage import plain_keys, read_storage

Size = tuple[int, int]  # (width, height) of images, px
_HEAD = 4096  # bytes in which a file says what it is


class CameraFile:
    """A file or folder that may hold cameras of any format; what is in it is read once, when a format asks for it."""

    def __init__(self, path: Path) -> None:
        self.path, self.suffix = path, path.suffix.lower()

    @cached_property
    def is_storage(self) -> bool:
        """Whether a file is YAML, or XML of OpenCV's."""
        with self.path.open("rb") as file:
            return self.suffix in (".yaml", ".yml") or b"opencv_storage" in file.read(_HEAD)

    @cached_property
    def stored(self) -> dict[str, Any]:
        """The content of YAML, or XML of OpenCV's; ValueError where it is damaged. Of anything else nothing."""
        return read_storage(self.path) if self.is_storage else {}

    @cached_property
    def content(self) -> dict[str, Any]:
        """The same by keys without punctuation and case."""
        return plain_keys(self.stored)

    @cached_property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The parts of the content that have keys of their own, such as one camera each, by their names."""
        return {name: plain_keys(value) for name, value in self.stored.items() if isinstance(value, dict)}


def _none(path: Path) -> list[Path]:
    return []


@dataclass(frozen=True)
class CameraFormat:
    """A format of cameras.

    Attributes:
        words: Whose it is, and what its files are called, for messages.
        suffixes: Of its files; none of a folder.
        fits: Whether a file or folder is of it.
        read: The cameras of such a file; ValueError or InputError says what is wrong with it. Images have the size
            given where the file does not say.
        endings: Of names that ask for it when cameras are written; "" is any name, which then is that of a folder.
        write: Writes cameras under such a name, and returns the files.
        there: The files that are there already and that `write` may write over.
    """

    words: str
    suffixes: tuple[str, ...]
    fits: Callable[[CameraFile], bool]
    read: Callable[[CameraFile, Size | None], Rig]
    endings: tuple[str, ...] = ()
    write: Callable[[Path, Rig], list[Path]] | None = None
    there: Callable[[Path], list[Path]] = _none
