"""Keys by which several programs' YAML and XML state camera matrix, distortion, lens model and image size.

Keys are in lower case and without punctuation, as made by `storage.plain_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from epitool.io.foreign.cameras.storage import find_first

_MATRIX = ("cameramatrix", "intrinsicmatrix", "k")
_DISTORTION = ("distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoeff", "distortionvector", "d", "dist")
_SIDES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), ("width", "height"))
_BOTH_SIDES = ("imagesize", "resolution", "size")
# Names of OpenCV's distortion model with 4, 5 or 8 coefficients in ROS, Kalibr and MC-Calib
_MODELS = ("", "none", "pinhole", "plumbbob", "radtan", "rationalpolynomial", "brown", "0", "0.0")


def matrix_of(content: Mapping[str, Any], number: int | None = None) -> Any:
    """Return the camera matrix, or None if there is none; `number` selects one of several cameras.

    OpenCV's stereo sample calls the camera matrices M1 and M2.
    """
    return find_first(content, *_numbered(_MATRIX if number is None else (*_MATRIX, "m"), number))


def distortion_of(content: Mapping[str, Any], number: int | None = None) -> Any:
    """Return the distortion coefficients, or None if there are none; `number` selects one of several cameras."""
    return find_first(content, *_numbered(_DISTORTION, number))


def size_of(content: Mapping[str, Any]) -> Any:
    """Return (width, height) of the images, or None if it is not stated."""
    sides = next((pair for pair in _SIDES if content.keys() >= set(pair)), None)
    return [content[side] for side in sides] if sides else find_first(content, *_BOTH_SIDES)


def place_of(content: Mapping[str, Any], R: str, t: str) -> dict[str, Any]:
    """Return those of R and t that are stated under the given keys."""
    return {key: content[word] for key, word in (("R", R), ("t", t)) if word in content}


def check_model(name: str, content: Mapping[str, Any]) -> None:
    """Reject lens models other than OpenCV's.

    Raises:
        ValueError: The named camera has another lens model.
    """
    for key in ("distortionmodel", "cameramodel", "distortiontype", "fisheyemodel"):
        model = str(content.get(key, ""))
        if re.sub(r"[\W_]+", "", model).lower() not in {re.sub(r"[\W_]+", "", one) for one in _MODELS}:
            kind = "a fisheye" if key == "fisheyemodel" or model[:1].isdigit() else f"a lens of the kind '{model[:40]}'"
            raise ValueError(f"camera {name} is {kind}, which is not supported; known are plumb_bob and radtan")


def _numbered(keys: Sequence[str], number: int | None) -> list[str]:
    return [key if number is None else f"{key}{number}" for key in keys]
