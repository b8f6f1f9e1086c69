"""Definition of a camera format: recognition of its files, reader and writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from epitool.camera import Rig
from epitool.io.foreign.cameras.storage import plain_keys, read_storage

Size = tuple[int, int]  # (width, height) of images, px
_HEAD = 4096  # bytes at the beginning that identify a file


class CameraFile:
    """File or folder that may hold cameras of any format; its content is read once, on first use."""

    def __init__(self, path: Path) -> None:
        self.path, self.suffix = path, path.suffix.lower()

    @cached_property
    def is_storage(self) -> bool:
        """Whether the file is YAML or OpenCV's XML."""
        with self.path.open("rb") as file:
            return self.suffix in (".yaml", ".yml") or b"opencv_storage" in file.read(_HEAD)

    @cached_property
    def stored(self) -> dict[str, Any]:
        """Content of YAML or OpenCV's XML, empty for other files; raises ValueError if the file is damaged."""
        return read_storage(self.path) if self.is_storage else {}

    @cached_property
    def content(self) -> dict[str, Any]:
        """The stored content, with keys in lower case and without punctuation."""
        return plain_keys(self.stored)

    @cached_property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Parts of the content that have keys themselves, by name, such as one per camera."""
        return {name: plain_keys(value) for name, value in self.stored.items() if isinstance(value, dict)}


def _none(path: Path) -> list[Path]:
    return []


@dataclass(frozen=True)
class CameraFormat:
    """Camera format of another program.

    Attributes:
        words: Names of the program and its files, for messages.
        suffixes: Suffixes of its files; empty for a folder.
        fits: Function that returns whether a file or folder has this format.
        read: Function that reads the cameras of such a file. It raises ValueError or InputError if the file is invalid.
            The given image size is used if the file does not state it.
        endings: Endings of names for which cameras are written in this format; "" matches any name, taken as a folder.
        write: Function that writes cameras under such a name and returns the paths of the files.
        there: Function that returns the files that `write` may overwrite.
    """

    words: str
    suffixes: tuple[str, ...]
    fits: Callable[[CameraFile], bool]
    read: Callable[[CameraFile, Size | None], Rig]
    endings: tuple[str, ...] = ()
    write: Callable[[Path, Rig], list[Path]] | None = None
    there: Callable[[Path], list[Path]] = _none
