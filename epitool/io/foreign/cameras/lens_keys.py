"""What YAML and XML of several programs call a lens: its matrix, its distortion, its kind, its images' size.

Keys are without punctuation and case, as `storage.plain_keys` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from epitool.io.foreign.cameras.storage import first_of

_MATRIX = ("cameramatrix", "intrinsicmatrix", "k")
_DISTORTION = ("distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoeff", "distortionvector", "d", "dist")
_SIDES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), ("width", "height"))
_BOTH_SIDES = ("imagesize", "resolution", "size")
# What ROS, Kalibr and MC-Calib call OpenCV's lens of 4 or 5 coefficients, and of 8
_MODELS = ("", "none", "pinhole", "plumbbob", "radtan", "rationalpolynomial", "brown", "0", "0.0")


def matrix_of(content: Mapping[str, Any], number: int | None = None) -> Any:
    """The camera matrix, that of one of several cameras where a number is given; None where there is none.

    OpenCV's stereo sample says M1 for a camera matrix.
    """
    return first_of(content, *_numbered(_MATRIX if number is None else (*_MATRIX, "m"), number))


def distortion_of(content: Mapping[str, Any], number: int | None = None) -> Any:
    """The distortion's coefficients, likewise."""
    return first_of(content, *_numbered(_DISTORTION, number))


def size_of(content: Mapping[str, Any]) -> Any:
    """(width, height) of images; None where it is not stated."""
    sides = next((pair for pair in _SIDES if content.keys() >= set(pair)), None)
    return [content[side] for side in sides] if sides else first_of(content, *_BOTH_SIDES)


def place_of(content: Mapping[str, Any], R: str, t: str) -> dict[str, Any]:
    """What is stated of R and t under these keys."""
    return {key: content[word] for key, word in (("R", R), ("t", t)) if word in content}


def check_model(name: str, content: Mapping[str, Any]) -> None:
    """Refuses lenses that are bent in another way than OpenCV's.

    Raises:
        ValueError: The camera of this name has such a lens.
    """
    for key in ("distortionmodel", "cameramodel", "distortiontype", "fisheyemodel"):
        model = str(content.get(key, ""))
        if re.sub(r"[\W_]+", "", model).lower() not in {re.sub(r"[\W_]+", "", one) for one in _MODELS}:
            kind = "a fisheye" if key == "fisheyemodel" or model[:1].isdigit() else f"a lens of the kind '{model[:40]}'"
            raise ValueError(f"camera {name} is {kind}, which is not supported; known are plumb_bob and radtan")


def _numbered(keys: Sequence[str], number: int | None) -> list[str]:
    return [key if number is None else f"{key}{number}" for key in keys]
