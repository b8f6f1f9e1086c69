"""Running of a stage, where errors become one line and an exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from epitool import console
from epitool.cli.outputs import check_inputs, check_outputs, check_stdout
from epitool.cli.stdin import standard_input
from epitool.errors import EpitoolError, InputError, VerticalError
from epitool.files import remove_stale
from epitool.options.flag import Options

# Functions in which an exception is swallowed: finalizers, callbacks of weakref's dictionaries and sets, and what numba
# calls from compiled code and LLVM from its compiler.
_SWALLOWING = (
    "__del__", "remove", "_remove", "_numba_unpickle", "_raw_object_cache_notify", "_raw_object_cache_getbuffer",
)  # fmt: skip
_NO_MEMORY = "out of memory|insufficient memory|(not enough|can't allocate) memory"
_Handler = Callable[[int, FrameType | None], object] | signal.Handlers
_INTERRUPTED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_STATUS = 128  # plus the number of the signal, as shells count


def leave_at_once(number: int, _: FrameType | None = None) -> None:
    """Handle Ctrl-C and SIGTERM before a stage runs, when there is nothing to clean up."""
    if console.reports_end():
        console.fail(f"{_INTERRUPTED[signal.Signals(number)]}; run the same command again")
    os._exit(_STATUS + number)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C and SIGTERM while a stage runs: raise KeyboardInterrupt, but delay it where it would be swallowed.

    This happens inside functions that the interpreter calls when it frees an object. A timer then tries again.
    """
    while frame is not None and frame.f_code.co_name not in _SWALLOWING:
        frame = frame.f_back
    if frame is None or not hasattr(signal, "setitimer"):
        raise KeyboardInterrupt(number)
    signal.signal(signal.SIGALRM, lambda _, later: interrupt(number, later))
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def handle_interrupts(handler: _Handler, before: Sequence[_Handler]) -> None:
    """Let `handler` handle Ctrl-C and SIGTERM if one of the handlers in `before` does so now.

    Others are kept: a job in the background ignores Ctrl-C, for example.
    """
    for number in _INTERRUPTED:
        if signal.getsignal(number) in before:
            signal.signal(number, handler)


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Convert errors to one line on stderr and an exit status."""
    try:
        yield
    except VerticalError as error:
        _leave(str(error), error.status_of_step if console.is_step() else error.exit_status)
    except EpitoolError as error:
        _leave(str(error), error.exit_status)
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        _drop_stdout()
    except OSError as error:  # a full or read-only disk, or a stream that cannot be written to
        _leave(f"{error.filename or 'output'}: {error.strerror or error}", InputError.exit_status)
    except KeyboardInterrupt as stop:
        handle_interrupts(signal.SIG_IGN, [leave_at_once, interrupt])  # a second Ctrl-C has nothing left to stop
        leave_at_once(*(stop.args or (signal.SIGINT,)))  # a normal exit would wait for threads inside detectors
    except Exception as error:  # OpenCV and PyTorch have errors of their own for a lack of memory
        words = (str(error) or "none is left").splitlines()[0]
        if not isinstance(error, MemoryError) and not re.search(_NO_MEMORY, words, re.IGNORECASE):
            raise
        _leave(f"there is not enough memory: {words}; give less at a time", EpitoolError.exit_status)


def run(
    stage: Callable[[Any], console.Summary],
    options: Options,
    as_json: bool = False,
    also_writes: Callable[[Any], Iterable[Path]] = lambda _: (),
) -> None:
    """Run a stage and print its summary.

    Args:
        stage: Stage to run.
        options: Options of the stage.
        as_json: Whether to print the summary as JSON.
        also_writes: Function that lists the files written besides the outputs, whose names follow from the options.

    Raises:
        UsageError: An output cannot be written.
        EpitoolError: The stage failed.
    """
    handle_interrupts(interrupt, [leave_at_once])
    to_stdout = check_stdout(options, as_json)
    with standard_input(options) as read:
        check_inputs(read)
        check_outputs(read, also_writes(read))
        out = getattr(read, "out", None)
        if isinstance(out, Path):
            remove_stale(out.parent)
        summary = stage(read)
    _print(summary, as_json, to_stdout)


def _print(summary: console.Summary, as_json: bool, to_stderr: bool) -> None:
    text = json.dumps(summary.values, allow_nan=False) if as_json else console.printable_lines(summary.text)
    if to_stderr:
        console.say(summary.text)
    else:
        typer.echo(text)
    sys.stdout.flush()
    if summary.failure:
        raise summary.failure


def _leave(message: str, status: int) -> None:
    console.fail(message)
    try:
        sys.stdout.flush()
    except OSError:  # the interpreter would try once more, and end in another status
        _drop_stdout()
    raise typer.Exit(status)


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
