"""The two tiers of the tests: what proves something for the first time runs always, what repeats it is `thorough`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any

import pytest

_FILES, _TESTS = 16, 8  # a commit runs thorough tests of one file in sixteen, and of these one test in eight


def thorough_but(values: Iterable[Any], *always: Any) -> list[Any]:
    """Values of a parameter, thorough but for those named."""
    return [value if value in always else pytest.param(value, marks=pytest.mark.thorough) for value in values]


def once(cases: Sequence[Any], shows: Callable[..., Iterable[Hashable]]) -> list[Any]:
    """Sets of parameters (`pytest.param`), thorough where a case shows nothing that none before it has shown.

    Args:
        cases: In the order in which they are to be taken.
        shows: What a case shows, by its values.
    """
    seen, made = set[Hashable](), []
    for case in cases:
        new = set(shows(*case.values)) - seen
        seen |= new
        made.append(case if new else pytest.param(*case.values, id=case.id, marks=pytest.mark.thorough))
    return made


def drawn(nodeids: Iterable[str], seed: str) -> set[str]:
    """The tests that a commit draws: never none, where there are any.

    Files are drawn first, because most of a file's time may go into what its tests share.
    """
    files: dict[str, list[str]] = {}
    for nodeid in nodeids:
        files.setdefault(nodeid.partition("::")[0], []).append(nodeid)
    return {nodeid for file in _share(files, seed, _FILES) for nodeid in _share(files[file], seed, _TESTS)}


def _share(names: Collection[str], seed: str, one_of: int) -> list[str]:
    """One of so many names, rounded up."""
    by_chance = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return by_chance[: math.ceil(len(names) / one_of)]
