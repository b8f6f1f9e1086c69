"""Reading, without PyTorch, of files that `torch.save` wrote: PyTorch takes seconds to import.

Such a file is an uncompressed zip archive: a pickle of the content, in which each tensor names a member that holds its
numbers. Only tensors and plain values are read, so reading a file runs no code of its author.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from epitool.errors import CheckpointError, EpitoolError, InputError
from epitool.files import check_kind

Tensor = NDArray[Any]
_KINDS = {"HalfStorage": "<f2", "FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}


class _Reader(pickle.Unpickler):
    """Unpickler that knows tensors and plain values alone, and returns tensors as numpy arrays."""

    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _KINDS:
            return np.dtype(_KINDS[name])
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, kind, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), kind)


def _rebuilt(storage: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> Tensor:
    """Return the tensor of this shape and these strides, in numbers; it must lie inside its storage."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *strides, *shape)) < 0 or (0 not in shape and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor outside its storage")
    size = storage.itemsize
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, [size * step for step in strides]).copy()


def read_plain(path: Path, format_name: str, made_by: str) -> dict[str, Any]:
    """Read a file of tensors and plain values, and check its format; tensors become numpy arrays.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    require_checkpoint(path, format_name, made_by)
    content = dictionary_in(path, _arrays)
    check_format(path, content, format_name, made_by)
    return content


def _arrays(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(pickled) as values:
            return _Reader(values, archive, pickled.removesuffix("data.pkl")).load()


def dictionary_in(path: Path, read: Callable[[IO[bytes]], Any]) -> dict[str, Any]:
    """Return the dictionary that a function reads from a checkpoint.

    Raises:
        InputError: The file cannot be opened.
        CheckpointError: It is damaged, another kind of file, or holds more than tensors and plain values.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    with file:
        try:
            check_declared_size(path)
            content = read(file)
        except CheckpointError:
            raise
        except pickle.UnpicklingError:
            raise CheckpointError(f"{path}: no checkpoint, or it holds more than tensors and plain values") from None
        except Exception:  # a malicious file can make the parser raise any error
            raise CheckpointError(f"{path}: cannot be read as a checkpoint; damaged, or of another kind") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no checkpoint but a {type(content).__name__}")
    return content


def require_checkpoint(path: Path, format_name: str, made_by: str) -> None:
    """Refuse a path at which no checkpoint of this format can be.

    Raises:
        InputError: There is no such file.
        CheckpointError: It evidently is a file of another kind.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, a file is expected; `{made_by}` makes it")
    if not path.is_file():
        raise InputError(f"{path}: no such file; `{made_by}` makes it")
    kind = format_name.removeprefix("epitool.").partition("/")[0]
    try:
        check_kind(path, [kind], made_by)
    except InputError as error:
        raise CheckpointError(str(error)) from None


def check_format(path: Path, content: Mapping[str, Any], expected: str, made_by: str) -> None:
    """Raise CheckpointError if a file's content does not have the expected format."""
    found = content.get("format")
    if found != expected:
        raise CheckpointError(f"{path}: its format is {found!r:.80}, expected {expected}; `{made_by}` makes it")


def check_declared_size(path: Path) -> None:
    """Raise CheckpointError if an archive declares more bytes than the file has.

    `torch.save` does not compress, so such an archive is damaged or would unpack to a much larger size.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > path.stat().st_size:
        raise CheckpointError(f"{path}: declares {declared} bytes and holds {path.stat().st_size}; it is damaged")


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn any error that a readable file with invalid content causes into one line.

    Raises:
        CheckpointError: An error occurred inside.
    """
    try:
        yield
    except CheckpointError:
        raise
    except EpitoolError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:
        reason = str(error).replace("\n", " ")[:200]
        raise CheckpointError(f"{path}: the checkpoint does not fit together ({reason})") from None
