"""The two tiers of the tests: what proves something for the first time runs always, what repeats it is `thorough`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pytest

_FILES, _TESTS = 6, 4  # a commit runs thorough tests of one file in six, and of these one test in four


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


def in_sample(nodeid: str, seed: str) -> bool:
    """Whether a test is one of those that a commit draws.

    Files are drawn first, because most of a file's time may go into what its tests share.
    """
    return _drawn(nodeid.partition("::")[0], seed, _FILES) and _drawn(nodeid, seed, _TESTS)


def _drawn(name: str, seed: str, one_of: int) -> bool:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") % one_of == 0
