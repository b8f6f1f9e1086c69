"""Names of images, with their frame numbers, and of views and cameras, which programs spell differently and extend."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NO_FILE = "view:"  # begins the name of a frame that has no image, `view:cam1#7`
_MOST_DIGITS = 18  # of a frame's number, which all fit into the files' int64


def image_key(name: str) -> str:
    """Return a key that is the same for all names of one image, relative or absolute."""
    return os.path.realpath(name) if names_file(name) else name


def names_file(image: str) -> bool:
    """Return whether a name is that of a file, which is relative to a folder, and not of a frame without an image."""
    return bool(image) and not image.startswith(NO_FILE)


def images_or_frames(images: NDArray[np.str_], frames: NDArray[np.int64], views: Sequence[str]) -> NDArray[np.str_]:
    """Return the names of images `(F, V)`, or of the frames if none has a name: OpenPose's JSON comes without images.

    >>> images_or_frames(np.full((1, 2), ""), np.array([7]), ("cam1", "cam2")).tolist()
    [['view:cam1#7', 'view:cam2#7']]
    """
    if (images != "").any():
        return images
    return np.array([[f"{NO_FILE}{view}#{frame}" for view in views] for frame in frames.tolist()], dtype=np.str_)


def frame_of_video(name: str) -> tuple[str, int] | None:
    """Split a name `video.mp4#12` into video and frame number; return None for an image file."""
    video, _, number = name.rpartition("#")
    stated = video and number.isdecimal() and len(number) <= _MOST_DIGITS and not Path(name).exists()
    return (video, int(number)) if stated else None


def frame_number(name: str) -> int | None:
    """Return the number of a frame `video.mp4#12`, or the last number in the name of an image file.

    Returns:
        The number; None if the name has none.

    Raises:
        ValueError: It is too large for our files.

    >>> frame_number("cam2.mp4#12"), frame_number("cam2/img_0007.png"), frame_number("cam2/crown.png")
    (12, 7, None)
    """
    if place := frame_of_video(name):
        return place[1]
    numbers = re.findall(r"\d+", Path(name).stem)
    if numbers and len(numbers[-1].lstrip("0")) > _MOST_DIGITS:
        raise ValueError(f"'{name[:80]}' ends in a number too large for a frame's")
    return int(numbers[-1]) if numbers else None


def number_frames(names: Sequence[str]) -> list[int]:
    """Return the frame numbers of images of one view: those in their names, or 0, 1, 2, ... if a name has none.

    Raises:
        ValueError: A number is too large, or two images have the same.
    """
    found = dict[int, str]()
    for name in names:
        if (number := frame_number(name)) is None:
            return list(range(len(names)))
        if number in found:
            raise ValueError(f"frame {number} is there twice, {found[number]} and {name}")
        found[number] = name
    return list(found)


def plain_name(name: str) -> str:
    """Return a name without punctuation, upper case and leading zeros of numbers, in which spellings differ.

    >>> [plain_name(name) for name in ("Cam_01", "cam1", "cam105")]
    ['cam1', 'cam1', 'cam105']
    """
    return re.sub(r"[\W_]+", "", re.sub(r"(?<!\d)0+(?=\d)", "", name)).lower()


def differing_parts(names: Sequence[str]) -> list[str]:
    """Return plain names without their common beginning and ending; numbers are not cut.

    >>> differing_parts(["cam10DLC_el", "cam11DLC_el"])
    ['10', '11']
    """
    plain = [plain_name(name) for name in names]
    ends = []
    for words in (plain, [name[::-1] for name in plain]):
        common = os.path.commonprefix(words)  # noqa: RUF071 - common letters, not common folders
        ends.append(len(re.sub(r"\d+$", "", common)))
    return [name[ends[0] : len(name) - ends[1]] for name in plain]


def named_among(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return for each name the only one of `others` that contains it as whole words, or that it contains.

    The result is "" for a name with no such match, or with an ambiguous one.

    >>> named_among(["35441", "35442", "7"], ["walk_Miqus_7_35441", "walk_Miqus_7_35442"])
    ['walk_Miqus_7_35441', 'walk_Miqus_7_35442', '']
    """
    runs, their = [_runs(name) for name in names], [_runs(name) for name in others]
    among = np.array(
        [
            [plain_name(a) in of_b or plain_name(b) in of_a for b, of_b in zip(others, their)]
            for a, of_a in zip(names, runs)
        ],
        dtype=bool,
    ).reshape(len(names), len(others))
    among &= among.sum(axis=1, keepdims=True) == 1
    among &= among.sum(axis=0) == 1
    return [others[int(row.argmax())] if row.any() else "" for row in among]


def _runs(name: str) -> set[str]:
    """Return every run of consecutive words of a name, as a plain name."""
    words = [plain_name(word) for word in re.split(r"[\W_]+", name) if word]
    return {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
