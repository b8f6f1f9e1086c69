"""People that other programs found in a view, by frame number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool import names
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
People = tuple[Array, Array]  # joints (P, J, 2) px and confidence (P, J) in one image
_LARGEST_PX = 1e7
_SUFFIXES = ("_json", "_keypoints", "_poses", ".analysis")
_ALPHAPOSE = "alphapose-results"  # AlphaPose's file name for every video


@dataclass(frozen=True, eq=False)
class SeenView:
    """People that another program found in a view.

    Attributes:
        name: Name of the view.
        people: Joints and confidence of all people, by frame number.
        skeleton: Skeleton of the joints.
        size: (width, height) of the images, or None if the file does not state it.
        program: Name of the program that wrote the file.
        judged: Whether the order of the joints was inferred from the people alone.
        left_out: Number of each person's joints of face and hands that were left out.
    """

    name: str
    people: dict[int, People]
    skeleton: Skeleton
    size: tuple[int, int] | None
    program: str
    judged: bool = False
    left_out: int = 0

    def __post_init__(self) -> None:
        strange = next((frame for frame in self.people if not 0 <= frame <= np.iinfo(np.int64).max), None)
        if strange is not None:
            raise ValueError(f"{str(strange)[:80]} is no frame number")


def frame_number(name: str) -> int:
    """Return the last number in a file name.

    Raises:
        ValueError: There is no number, or it is too large.

    >>> frame_number("cam01_000000000012_keypoints.json")
    12
    """
    if (number := names.frame_number(name)) is None:
        raise ValueError(f"'{name[:80]}' has no frame number")
    return number


def view_name(path: Path) -> str:
    """Return the view's name: the name of the file or folder without the suffixes that programs add.

    AlphaPose uses the same file name for every video, so the folder's name is returned.
    """
    if path.stem == _ALPHAPOSE:
        return path.resolve().parent.name
    name = path.stem if path.is_file() else path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def stacked(found: Iterable[Array], joints: int) -> People:
    """Return people from arrays of x, y and confidence of each joint; joints with confidence 0 are missing.

    Raises:
        ValueError: A person has another number of joints, or joints far outside any image.
    """
    found = list(found)
    strange = next((one for one in found if one.size != 3 * joints), None)
    if strange is not None:
        raise ValueError(f"{strange.size} numbers for someone's joints, which are {joints} of 3 numbers each")
    rows = np.array([one.reshape(joints, 3) for one in found], dtype=float).reshape(-1, joints, 3)
    if (np.abs(np.nan_to_num(rows)) > _LARGEST_PX).any():
        raise ValueError("joints that lie in no image")
    seen = np.isfinite(rows).all(axis=-1) & (rows[..., 2] > 0)
    xy = np.where(seen[..., None], rows[..., :2], np.nan)
    someone = seen.any(axis=-1)
    return xy[someone], np.where(seen, rows[..., 2], 0.0)[someone]


def row_of(values: Any) -> Array:
    """Return one person's numbers from a file as a flat array, with NaN for missing ones (`null`).

    Raises:
        ValueError: The values are not numbers.
    """
    try:
        return np.array(values, dtype=float).ravel()
    except (TypeError, ValueError):
        raise ValueError(f"joints that are no numbers: {str(values)[:60]}") from None


def frames_of(by_frame: Mapping[int, Sequence[Array]], joints: int | None) -> tuple[dict[int, People], int]:
    """Return people by frame number from each person's numbers, and their number of joints.

    Without people, the number of joints is `joints`, or 17 if that is None or 0.

    Raises:
        ValueError: People differ in the number of joints, or do not have three numbers per joint.
    """
    sizes = {row.size for found in by_frame.values() for row in found}
    if len(sizes) > 1 or any(size % 3 for size in sizes):
        said = " and ".join(f"{size / 3:.3g}" for size in sorted(sizes))
        raise ValueError(f"people with different numbers of joints, or not 3 numbers for each: {said} joints")
    count = sizes.pop() // 3 if sizes else joints or 17
    return {number: stacked(found, count) for number, found in sorted(by_frame.items())}, count
