"""Files whose doubts a chain of commands has reported already, so that its further commands need not repeat them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "EPITOOL_REPORTED"  # what the commands of a chain, each a process of its own, inherit


@contextmanager
def reported(*paths: Path) -> Iterator[None]:
    """Count the doubts that these files state, or files in these folders, as reported to the user."""
    before = os.environ.get(_VARIABLE, "")
    os.environ[_VARIABLE] = os.pathsep.join([*filter(None, [before]), *(str(path.resolve()) for path in paths)])
    try:
        yield
    finally:
        os.environ[_VARIABLE] = before


def is_reported(path: Path) -> bool:
    """Return whether a command of the same chain has reported the doubts that this file states."""
    known = {Path(one) for one in os.environ.get(_VARIABLE, "").split(os.pathsep) if one}
    return not known.isdisjoint((path.resolve(), *path.resolve().parents))
