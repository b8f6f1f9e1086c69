"""Arrays in HDF5 files, with checks for damaged and malicious files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.files import check_kind, in_words, writing
from epitool.io.files import check_format, damage_in, require_file

LARGEST = 1e30  # largest number in our files
_MOST_PACKED = 1100  # largest compression ratio of gzip


def store(file: h5py.Group, arrays: dict[str, NDArray[Any]], start: int, frames: int) -> None:
    """Write arrays `(N, ...)` of the frames from index `start` on, into datasets of `frames` frames."""
    for name, values in arrays.items():
        values = texts(values) if values.dtype == object else values
        if name not in file:
            file.create_dataset(name, (frames, *values.shape[1:]), values.dtype)
        elif values.dtype.kind == "S" and values.dtype.itemsize > file[name].dtype.itemsize:
            shorter = file[name][()]
            del file[name]
            file.create_dataset(name, data=shorter.astype(values.dtype), dtype=values.dtype)
        file[name][start : start + len(values)] = values


def texts(values: Sequence[str] | NDArray[Any]) -> NDArray[np.bytes_]:
    """Return strings as HDF5 strings of one fixed length.

    HDF5 keeps strings of variable length in a heap, and its library can loop forever in a damaged one.
    """
    names = np.asarray(values, dtype=np.str_)
    encoded = np.char.encode(names, "utf-8") if names.size else np.zeros(names.shape, dtype="S1")
    return encoded.astype(h5py.string_dtype("utf-8", max(encoded.dtype.itemsize, 1)))


def text(attributes: h5py.AttributeManager, name: str, default: str = "") -> str:
    """Return a string attribute, stored as bytes or text."""
    return _decoded(attributes[name]) if name in attributes else default


def text_list(attributes: h5py.AttributeManager, name: str) -> list[str]:
    """Return an attribute that is a list of strings, stored as bytes or text.

    Raises:
        KeyError: The attribute does not exist.
    """
    return [_decoded(value) for value in np.ravel(attributes[name])]


def _decoded(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def renamed(names: Sequence[str], place: Callable[[str], str]) -> list[str]:
    """Apply `place` to every image name, but only once per folder, as a long recording has millions of names."""
    if os.altsep:  # there are two path separators, so names cannot be split simply
        return [place(name) for name in names]
    parts = [name.rpartition(os.sep) for name in names]
    placed = {folder: place(f"{folder}x")[:-1] for folder in {folder + slash for folder, slash, _ in parts}}
    return [placed[folder + slash] + last if last else "" for folder, slash, last in parts]


def group_in(file: h5py.Group, name: str) -> h5py.Group | None:
    """Return a group that is stored in this file itself; None if there is nothing of that name.

    Raises:
        ValueError: It is no group, or a link, which could read any file of the user.
    """
    link = file.get(name, getlink=True)
    if link is None:
        return None
    found = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Group):
        raise ValueError(f"'{name}' is no group of this file")
    return found


def dataset(file: h5py.Group, name: str, axes: int) -> h5py.Dataset:
    """Return a dataset that is stored in this file itself, with a given number of axes.

    Links and external storage are rejected because they could read any file of the user.

    Raises:
        KeyError: There is no such dataset.
        ValueError: It has other axes, is stored elsewhere, or claims more bytes than the file can hold.
    """
    where = f"{file.name}/{name}".strip("/")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"dataset '{where}'")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or found.ndim != axes:
        raise ValueError(f"'{where}' is not a dataset of {axes} axes")
    if found.nbytes > _MOST_PACKED * Path(file.file.filename).stat().st_size:
        raise ValueError(f"'{where}' claims {found.nbytes:.2g} bytes, more than the file can hold")
    return found


def array(file: h5py.Group, name: str, axes: int, part: slice = slice(None)) -> NDArray[np.float64]:
    """Read a part of a dataset of numbers.

    Raises:
        KeyError: There is no such dataset.
        ValueError: It holds no numbers, or numbers that are too large.
    """
    stored = dataset(file, name, axes)
    if stored.dtype.kind not in "fiub":
        raise ValueError(f"'{name}' holds no numbers")
    values: NDArray[np.float64] = stored[part].astype(np.float64)
    if (np.abs(np.nan_to_num(values, posinf=np.inf)) > LARGEST).any():
        raise ValueError(f"'{name}' holds numbers that are of no recording; NaN marks what is missing")
    return values


def integers(file: h5py.Group, name: str, axes: int, part: slice = slice(None)) -> NDArray[np.int64]:
    """Read a part of a dataset of integers.

    Raises:
        KeyError: There is no such dataset.
        ValueError: It holds no integers.
    """
    stored = dataset(file, name, axes)
    if stored.dtype.kind not in "iu":
        raise ValueError(f"'{name}' holds no whole numbers")
    return stored[part].astype(np.int64)


@contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file atomically.

    Raises:
        InputError: The file cannot be written.
    """
    with writing(path) as temporary, written(temporary, "w") as file:
        yield file


@contextmanager
def written(path: Path, mode: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for creating ("w") or adding to ("r+").

    Raises:
        OSError: The disk is full or fails.
    """
    with _OnceFailing(path, {"w": "w+", "r+": "r+"}[mode]) as disk:
        try:
            with h5py.File(disk, mode) as file:
                yield file
        except (OSError, RuntimeError):
            if disk.error:
                raise disk.error from None
            raise
        if disk.error:
            raise disk.error


class _OnceFailing(io.FileIO):
    """File that fails at most once, for example on a full disk, and discards everything written after that.

    HDF5 writes again when it is closed after a failure, and ends the whole process if that fails too.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all data; raise on the first failure only, and discard the data after that."""
        rest = memoryview(data).cast("B")
        try:
            while len(rest) and not self.error:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the size; raise on the first failure only, as where a file system has no files so large."""
        try:
            return self.tell() if self.error else super().truncate(size)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def opened(path: Path, kinds: tuple[str, ...], made_by: str) -> Iterator[h5py.File]:
    """Open a file of one of the given kinds.

    Raises:
        InputError: The file is missing, damaged, or of another kind.
    """
    require_file(path, made_by)
    with ExitStack() as stack:
        with readable(path, kinds[0], made_by):
            if not h5py.is_hdf5(path):
                check_kind(path, kinds, made_by)
                raise InputError(
                    f"{path}: is no .h5 file of {in_words(kinds)}, or its beginning is damaged; `{made_by}` makes one"
                )
            file = stack.enter_context(h5py.File(path, "r"))
            found = text(file.attrs, "format")
            if found not in [f"epitool.{kind}/1" for kind in kinds]:
                check_kind(path, kinds, made_by)
                check_format(found or None, kinds[0], path, made_by)
        yield file


def readable(path: Path, kind: str, made_by: str) -> AbstractContextManager[None]:
    """Convert errors from damaged content of our files to a one-line `InputError`."""
    return damage_in(path, kind, f"make it anew with `{made_by}`")
