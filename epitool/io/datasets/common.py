"""Common result and checks of the dataset readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from epitool.camera import Array, Rig
from epitool.errors import InputError
from epitool.files import require_folder
from epitool.labels import Take
from epitool.names import frame_of_video

_AGREE_PX = 2.0  # largest distance of a dataset's 2D joints from its projected 3D joints; rounding causes less than 1


@dataclass(frozen=True, eq=False)
class DatasetTake:
    """Recording of a dataset.

    Attributes:
        take: Name, action and cameras of the recording.
        test: Whether the recording belongs to the test part.
        frames: Numbers of the usable frames, increasing.
        read: Function that returns world joints `(n, J, 3)` in mm and image names `(n, V)` of n of these frames.
    """

    take: Take
    test: bool
    frames: NDArray[np.int64]
    read: Callable[[NDArray[np.int64]], tuple[Array, NDArray[np.str_]]]


def read_matlab(path: Path, **options: Any) -> dict[str, Any]:
    """Read the variables of a Matlab file of a version before 7.3.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return dict(loadmat(path, **options))
    except MatReadError as error:
        raise ValueError(str(error)) from None


def check_projections(path: Path, rig: Rig, xyz: Array, xy: Array) -> None:
    """Check that a dataset's 2D joints `(n, V, J, 2)` agree with the projections of its 3D joints `(n, J, 3)`.

    Raises:
        InputError: They disagree: cameras and joints are of different recordings, or of different conventions.
    """
    off = np.nanmedian(np.linalg.norm(rig.project(xyz) - xy, axis=-1), axis=(0, 2))
    if not (off <= _AGREE_PX).all():
        worst = int(np.nanargmax(np.where(np.isfinite(off), off, np.inf)))
        raise InputError(
            f"{path}: its 2D joints are {off[worst]:.0f} px from the projections of the 3D joints in camera"
            f" {rig.names[worst]}; the calibration must be of the same recording"
        )


def check_images(take: DatasetTake) -> None:
    """Check that the images of the first frame, or the videos that hold it, exist.

    Raises:
        InputError: An image or video is missing.
    """
    for name in take.read(take.frames[:1])[1].ravel().tolist():
        place = frame_of_video(name)
        if not Path(place[0] if place else name).is_file():
            raise InputError(f"{place[0] if place else name}: no such file, but {take.take.name} needs it")


def select_existing(root: Path, names: Sequence[str], what: str) -> list[str]:
    """Return which of the named subfolders exist.

    Raises:
        InputError: None of them exists, or `root` does not.
    """
    require_folder(root)
    found = [name for name in names if (root / name).is_dir()]
    if not found:
        raise InputError(f"{root}: has none of {', '.join(names)}; it should be {what}")
    return found
