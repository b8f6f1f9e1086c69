"""Definition of a format of 2D joints: recognition of its files, and reader."""

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
    """File that may hold joints of any format."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def json(self) -> Any:
        """Content of the file; raises ValueError if it is not JSON."""
        return json.loads(self.path.read_bytes())


@dataclass(frozen=True)
class FileFormat:
    """Format with one file for one or several views.

    Attributes:
        suffix: Suffix of the files.
        sign: Description of what identifies such a file, for messages.
        fits: Function that returns whether a file with this suffix has this format.
        read: Function that reads the views of such a file, given the order of joints or None. It raises ValueError if
            the file is invalid.
    """

    suffix: str
    sign: str
    fits: Callable[[JointFile], bool]
    read: Callable[[JointFile, Skeleton | None], list[SeenView]]


@dataclass(frozen=True)
class ImageFormat:
    """Format with one JSON file per image, and all files of a view in one folder.

    Attributes:
        sign: Description of what identifies such a file, for messages.
        read: Function that returns for a file's content the program, each person's numbers (x, y, confidence of every
            joint), and the joint names or None. It returns None if the content is of another format, and raises
            ValueError if it is invalid.
    """

    sign: str
    read: Callable[[Any], tuple[str, list[Array], Sequence[str] | None] | None]


def has(content: Any, *keys: str) -> bool:
    """Return whether a JSON value is an object with all of the given keys."""
    return isinstance(content, dict) and content.keys() >= set(keys)


def have_keys(content: Any, *keys: str) -> bool:
    """Return whether a JSON value is a non-empty list of objects that all have the given keys."""
    return isinstance(content, list) and bool(content) and all(has(one, *keys) for one in content)


def sketch(content: Any) -> str:
    """Describe a file's content in a few words."""
    if isinstance(content, dict):
        return f"named {', '.join(map(str, content))[:80]}" if content else "nothing that is named"
    if isinstance(content, list):
        return f"a list of {len(content)}, the first {sketch(content[0])}" if content else "an empty list"
    return repr(content)[:40]


def view_of_rows(
    path: Path, by_frame: Mapping[int, list[Array]], names: Sequence[str] | None, size: tuple[int, int] | None,
    program: str, given: Skeleton | None,
) -> SeenView:  # fmt: skip
    """Return a view from each person's numbers by frame; the other arguments are as in `view_of`.

    Raises:
        ValueError: The numbers are not three per joint, or the names differ from them in number; also as in `view_of`.
    """
    people, joints = frames_of(by_frame, len(given or names or ()))
    if names is not None and len(names) != joints:
        raise ValueError(f"{len(names)} names for {joints} joints")
    return view_of(view_name(path), program, people, joints, names, given, size)
