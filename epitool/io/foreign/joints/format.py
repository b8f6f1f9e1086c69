"""What a format of 2D joints is: how its files are told from others', and its reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from epitool.io.foreign.joints.orders import view_of
from epitool.io.foreign.joints.seen_view import Array, SeenView, frames_of, view_name
from epitool.skeleton import Skeleton


class JointFile:
    """A file that may hold joints of any format."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def json(self) -> Any:
        """Its content; ValueError where it is no JSON."""
        return json.loads(self.path.read_bytes())


@dataclass(frozen=True)
class FileFormat:
    """A format with a file for each view, or for several.

    Attributes:
        suffix: Of its files.
        sign: What such a file is told by, in words.
        fits: Whether a file of this suffix is of it.
        read: The views of such a file, in the order of joints that someone stated; ValueError says what is wrong.
    """

    suffix: str
    sign: str
    fits: Callable[[JointFile], bool]
    read: Callable[[JointFile, Skeleton | None], list[SeenView]]


@dataclass(frozen=True)
class ImageFormat:
    """A format with a JSON file for each image, all of a view in one folder.

    Attributes:
        sign: What such a file is told by, in words.
        read: Of its content the program, each one's numbers (x, y, confidence of every joint), and the joints' names
            where it states them; None where it is not of this format. ValueError says what is wrong.
    """

    sign: str
    read: Callable[[Any], tuple[str, list[Array], Sequence[str] | None] | None]


def has(content: Any, *keys: str) -> bool:
    """Whether a part of JSON has all of these names."""
    return isinstance(content, dict) and content.keys() >= set(keys)


def everyone_has(content: Any, *keys: str) -> bool:
    """Whether a part of JSON is a list of parts that all have these names."""
    return isinstance(content, list) and bool(content) and all(has(one, *keys) for one in content)


def sketch(content: Any) -> str:
    """What a file's content is, in a few words."""
    if isinstance(content, dict):
        return f"named {', '.join(map(str, content))[:80]}" if content else "nothing that is named"
    if isinstance(content, list):
        return f"a list of {len(content)}, the first {sketch(content[0])}" if content else "an empty list"
    return repr(content)[:40]


def view_of_rows(
    path: Path, by_frame: Mapping[int, list[Array]], names: Sequence[str] | None, size: tuple[int, int] | None,
    program: str, given: Skeleton | None,
) -> SeenView:  # fmt: skip
    """A view of each one's numbers by frame; further arguments as of `view_of`.

    Raises:
        ValueError: The numbers do not make joints, or names are not so many; and as `view_of`.
    """
    people, joints = frames_of(by_frame, len(given or names or ()))
    if names is not None and len(names) != joints:
        raise ValueError(f"{len(names)} names for {joints} joints")
    return view_of(view_name(path), program, people, joints, names, given, size)
