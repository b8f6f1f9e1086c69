"""What a command shows while the core works, which prints nothing: that it is at work, and that it compiles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

from epitool.console import say, working

_once = threading.Lock()  # held for good once it was said that something is compiled


@contextmanager
def at_work(doing: str) -> Iterator[None]:
    """Show on a terminal that something is being done, and say once if that has to be compiled first."""
    with working(doing), saying_what_is_compiled():
        yield


@contextmanager
def saying_what_is_compiled() -> Iterator[None]:
    """Say once if numba compiles, which takes long the first time on a machine; later its cache has everything."""
    listener = _Compiling()
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]


class _Compiling(event.Listener):
    """Hears of what is compiled; what numba's cache holds is not."""

    def on_start(self, event: Any) -> None:
        """Say so, the first time."""
        if _once.acquire(blocking=False):
            say("compiling for this machine, once; this takes 5 to 10 s of processor time, more on slow machines")

    def on_end(self, event: Any) -> None:
        """Say nothing."""
