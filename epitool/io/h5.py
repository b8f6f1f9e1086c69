"""Arrays in HDF5 files, and what can be wrong with such a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.io.files import check_format, require_file


def store(file: h5py.File, arrays: dict[str, NDArray[Any]], start: int, frames: int) -> None:
    """Writes arrays `(N, ...)` as those of the frames from `start` on, of a file of so many frames."""
    for name, values in arrays.items():
        if name not in file:
            dtype = h5py.string_dtype() if values.dtype == object else values.dtype
            file.create_dataset(name, (frames, *values.shape[1:]), dtype)
        file[name][start : start + len(values)] = values


def renamed(names: Sequence[str], place: Callable[[str], str]) -> list[str]:
    """`place` of every image name, looked up once per folder: a long recording has millions of names."""
    if os.altsep:  # where names can be separated in two ways
        return [place(name) for name in names]
    parts = [name.rpartition(os.sep) for name in names]
    placed = {folder: place(f"{folder}x")[:-1] for folder in {folder + slash for folder, slash, _ in parts}}
    return [placed[folder + slash] + last if last else "" for folder, slash, last in parts]


def dataset(file: h5py.File, name: str, axes: int) -> h5py.Dataset:
    """A dataset that lies in this file itself: links and external storage could read any file of the user."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"dataset '{name}'")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or found.ndim != axes:
        raise ValueError(f"'{name}' is not a dataset of {axes} axes")
    return found


def array(file: h5py.File, name: str, axes: int, part: slice = slice(None)) -> NDArray[np.float64]:
    """A part of a dataset of numbers."""
    stored = dataset(file, name, axes)
    if stored.dtype.kind not in "fiub":
        raise ValueError(f"'{name}' holds no numbers")
    return stored[part].astype(np.float64)


@contextmanager
def opened(path: Path, kinds: tuple[str, ...], made_by: str) -> Iterator[h5py.File]:
    """Opens a file of one of these kinds."""
    require_file(path, made_by)
    with ExitStack() as stack:
        with readable(path, kinds[0], made_by):
            file = stack.enter_context(h5py.File(path, "r"))
            found = file.attrs.get("format")
            if found not in [f"epitool.{kind}/1" for kind in kinds]:
                check_format(found, kinds[0], path, made_by)
        yield file


@contextmanager
def readable(path: Path, kind: str, made_by: str) -> Iterator[None]:
    """Whatever turns out to be wrong inside a file becomes one line."""
    try:
        yield
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}; make it anew with `{made_by}`") from None
    except (OSError, ValueError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0].removeprefix("Unable to synchronously open file ").strip("()")[:200]
        raise InputError(f"{path}: cannot be read as {kind} ({reason}); make it anew with `{made_by}`") from None
