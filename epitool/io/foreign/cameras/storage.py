"""Reader of YAML and XML files with cameras, written by OpenCV or not, as plain values and arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import yaml

from epitool.io.camera_numbers import floats
from epitool.io.files import read_text

_NUMBERS = (cv2.FileNode_INT, cv2.FileNode_REAL)
_MATRIX = {"rows", "cols", "data"}


def read_storage(path: Path) -> dict[str, Any]:
    """Read the content of a file by key: numbers, texts, lists, dicts, and an array for each matrix.

    Raises:
        ValueError: The file cannot be read.
    """
    text = read_text(path)
    if text.startswith("%YAML:") or path.suffix.lower() not in (".yaml", ".yml"):
        return _read_opencv(text)
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(content, dict):
        raise ValueError("no YAML of named values")
    return {str(key): _with_arrays(value) for key, value in content.items()}


def plain_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with keys in lower case and without punctuation, in which spellings differ.

    >>> plain_keys({"Camera_Matrix": 1, "distCoeffs": 2})
    {'cameramatrix': 1, 'distcoeffs': 2}
    """
    return {re.sub(r"[\W_]+", "", key).lower(): value for key, value in content.items()}


def find_first(content: Mapping[str, Any], *keys: str) -> Any:
    """Return the value of the first of these keys that is present and not None; None if there is none."""
    return next((content[key] for key in keys if content.get(key) is not None), None)


def _read_opencv(text: str) -> dict[str, Any]:
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        try:
            found = _value(storage.root())
        finally:
            storage.release()
    except (cv2.error, SystemError) as error:  # the binding may wrap its own error in a SystemError
        said = re.findall(r"error: \([^)]*\) (.*)", str(error.__cause__ or error))
        raise ValueError(f"no YAML or XML of OpenCV: {(said or ['damaged'])[0][:120]}") from None
    if not isinstance(found, dict):
        raise ValueError("no YAML or XML of OpenCV: holds no named values")
    return found


def _value(node: cv2.FileNode) -> Any:
    if node.isMap():
        return _with_arrays({key: _value(node.getNode(key)) for key in node.keys()})  # noqa: SIM118 - not a dict
    if node.isSeq():
        return [_value(node.at(i)) for i in range(node.size())]
    if node.type() in _NUMBERS:
        return node.real()
    return node.string() if node.isString() else None


def _with_arrays(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() >= _MATRIX:
        shape = [int(value[side]) for side in ("rows", "cols")]
        return floats(value["data"], "a matrix", shape[0] * shape[1]).reshape(shape)
    return {str(key): _with_arrays(one) for key, one in value.items()}
