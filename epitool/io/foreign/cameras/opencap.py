"""Reader of OpenCap's cameras, a `.pickle` file for each, or the same values as `.json`.

A pickle may run any program while it is read. Only arrays, numbers, texts and collections are therefore admitted.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Rig
from epitool.io.camera_numbers import numbers
from epitool.io.foreign.cameras.format import CameraFormat, Size
from epitool.io.foreign.cameras.lens_keys import place_of
from epitool.io.foreign.cameras.stated import Stated, cameras_of

_K = "intrinsicMat"
_HEAD = 1 << 16  # bytes in which that name is looked for; other JSON may be large
_USUAL_NAME = "camera"  # cameraIntrinsicsExtrinsics.pickle, in a folder that is named after the camera
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray[Any, Any]:
    return np.empty(0)  # what NumPy asks for before it fills in shape and numbers


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # the only one that pickles use for bytes


_MADE_OF: dict[str, Any] = {
    "ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": _empty_array,
    "scalar": np.float64(0).__reduce__()[0], "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
}  # fmt: skip


class _ArraysOnly(pickle.Unpickler):
    """Unpickler that admits what NumPy's arrays are made of, and nothing that could run as a program."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a constructor of arrays.

        Raises:
            ValueError: Something else is asked for.
        """
        if module in _MODULES and name in _MADE_OF:
            return _MADE_OF[name]
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise ValueError(
            f"asks for {module}.{name}, which OpenCap's cameras do not need and which might run as a program; store K,"
            " distortion, R and t as YAML of OpenCV instead"
        )


def read_opencap(path: Path, given: Size | None = None) -> Rig:
    """Read a camera, in mm, or a lens without a place.

    Raises:
        ValueError: The file is no camera of OpenCap, or a pickle that holds more than arrays.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.suffix.lower() == ".json" else _unpickled(path)
    if not isinstance(content, dict) or _K not in content:
        held = ", ".join(map(str, content))[:80] if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"no camera of OpenCap: lacks {_K}, and holds {held or 'nothing'}")
    name = path.parent.resolve().name if path.stem.lower().startswith(_USUAL_NAME) else path.stem
    K = numbers(content[_K], f"camera {name}: {_K}", 9).reshape(3, 3)
    size = _size(name, content["imageSize"], K) if "imageSize" in content else None
    stated = Stated(name, K, content.get("distortion"), size, **place_of(content, "rotation", "translation"))
    return Rig(cameras_of(path, [stated], given), "mm", "OpenCap calibration")


def is_opencap_json(path: Path) -> bool:
    """Return whether a file is JSON with OpenCap's name of the camera matrix."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"{_K}"'.encode() in file.read(_HEAD)


def _unpickled(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"no pickle of arrays: {type(error).__name__}") from None


def _size(name: str, values: Any, K: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """Return (width, height), which OpenCap states as rows and columns, and tools that write for it in either order.

    The principal point is near the middle of images of the right order.
    """
    found = numbers(values, f"camera {name}: imageSize", 2)
    turned = found[::-1]
    off, off_turned = (np.abs(K[:2, 2] / side - 0.5).sum() for side in (np.maximum(found, 1), np.maximum(turned, 1)))
    return (found if off < off_turned else turned).tolist()


OPENCAP = CameraFormat(
    "OpenCap (.pickle, .json)", (".pickle", ".pkl"),
    lambda file: file.suffix in (".pickle", ".pkl") or is_opencap_json(file.path),
    lambda file, size: read_opencap(file.path, size),
)  # fmt: skip
