"""Reader and writer of `pss.npz`, and common parts for numpy's files. Pickled objects are never loaded."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError, first_line
from epitool.files import check_kind, writing
from epitool.io.files import check_format, damage_in, require_file
from epitool.pss import NORMALIZATION, Codebook, PssModel, Yaw, yaw_of
from epitool.skeleton import Skeleton, skeleton_of

PSS_BY = "epitool pss-fit"
PLAIN = "k-means, best of 10 runs"  # method of files that do not state it
_MOST_PACKED, _HARMLESS = 100, 1 << 28  # largest compression ratio, and unpacked bytes that are always allowed
_UNREADABLE = (
    OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError, SyntaxError,
    tokenize.TokenError,  # from array headers, which are Python literals
)  # fmt: skip


def write_pss(path: Path, model: PssModel) -> None:
    """Write `pss.npz`."""
    content: dict[str, Any] = {
        "format": "epitool.pss/1",
        "skeleton": model.skeleton.name,
        "joints": np.array(model.skeleton.joints),
        "root": model.skeleton.joints[model.skeleton.root],
        "unit": "none",
        "normalization": NORMALIZATION,
        "seed": model.seed,
        "method": model.method,
        "alignment": model.alignment,
        "fitted_on": model.fitted_on,
        "counted": model.counted,
        "skipped": model.skipped,
        "asked": np.array([codebook.asked for codebook in model.codebooks]),
    }
    centers = {f"centers_{codebook.asked}": codebook.centers for codebook in model.codebooks}
    write_arrays(path, {**content, **centers})


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write a `.npz` atomically.

    Raises:
        InputError: The file cannot be written.
    """
    packed = io.BytesIO()  # numpy's own file writer may report a full disk only when the interpreter exits
    np.savez(packed, **arrays)
    with writing(path) as temporary:
        temporary.write_bytes(packed.getvalue())  # a buffer view in an exception crashes Python 3.12.1's collector


def read_pss(path: Path) -> PssModel:
    """Read `pss.npz`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    require_file(path, PSS_BY)
    check_kind(path, ["pss"], PSS_BY)
    arrays = arrays_of(path, f"; make it anew with `{PSS_BY}`")
    check_format(str(arrays["format"]) if "format" in arrays else None, "pss", path, PSS_BY)
    with damage_in(path, "clusters of poses", f"make it anew with `{PSS_BY}`"):
        body = skeleton_of(str(arrays["skeleton"]), arrays["joints"].tolist())
        yaw = _yaw(str(arrays.get("alignment", "none")), body)
        codebooks = tuple(_codebook(arrays, int(k), len(body), yaw) for k in arrays["asked"])
        counted, skipped, seed = (int(arrays[key]) for key in ("counted", "skipped", "seed"))
        method = str(arrays.get("method", PLAIN))
        return PssModel(codebooks, body, seed, str(arrays["fitted_on"]), counted, skipped, method)


def _check_bomb(members: Sequence[zipfile.ZipInfo]) -> None:
    packed, unpacked = sum(m.compress_size for m in members), sum(m.file_size for m in members)
    if unpacked > max(_MOST_PACKED * packed, _HARMLESS):
        raise ValueError(f"{packed} bytes would unpack to {unpacked}")


def _yaw(alignment: str, body: Skeleton) -> Yaw | None:
    known = {str(yaw): yaw for yaw in (yaw_of(body, axis) for axis in range(3))} if alignment != "none" else {}
    if alignment != "none" and alignment not in known:
        raise ValueError(f"alignment '{alignment}' is none of none, {', '.join(known)}")
    return known.get(alignment)


def _codebook(arrays: Mapping[str, NDArray[Any]], k: int, joints: int, yaw: Yaw | None) -> Codebook:
    codebook = Codebook(k, arrays[f"centers_{k}"], yaw)
    if codebook.k == 0 or codebook.centers.shape[1] != joints or not np.isfinite(codebook.centers).all():
        raise ValueError(f"the centers of k = {k} are not numbers for {joints} joints")
    return codebook


def arrays_of(path: Path, advice: str = "") -> dict[str, NDArray[Any]]:
    """Read all arrays of a `.npz`, or the array of a `.npy` under the name "array".

    Args:
        path: The file.
        advice: End of the message, for a file that cannot be read.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"array": content}
            _check_bomb(content.zip.infolist())
            return {key: np.asarray(content[key]) for key in content}
    except _UNREADABLE as error:
        reason = first_line(error)
        if reason.startswith("Cannot load file containing pickled data"):  # what numpy takes all unknown files for
            reason = "neither .npz nor .npy"
        raise InputError(f"{path}: cannot be read as arrays ({reason}){advice}") from None
