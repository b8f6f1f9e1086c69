"""Runs a stage: the one place where errors become a line and an exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from epitool import console
from epitool.cli.outputs import check_outputs
from epitool.cli.stdin import standard_input
from epitool.errors import EpitoolError, InputError, UsageError
from epitool.files import STDIO, remove_stale

# A finalizer, weakref's dictionaries and sets, and what numba calls from compiled code.
_SWALLOWING = ("__del__", "remove", "_remove", "_numba_unpickle")
_INTERRUPTED = "interrupted; run the same command again"


def leave_at_once(*_: object) -> None:
    """What Ctrl-C does before a stage is at work: there is nothing to put away."""
    console.fail(_INTERRUPTED)
    os._exit(130)


def interrupt(_: int, frame: FrameType | None) -> None:
    """Ctrl-C while a stage is at work: as Python's own handler, but later where the exception would be swallowed.

    That is inside of what the interpreter calls when it frees an object.
    """
    while frame is not None and frame.f_code.co_name not in _SWALLOWING:
        frame = frame.f_back
    if frame is None or not hasattr(signal, "setitimer"):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def run(
    stage: Callable[..., console.Summary], quiet: bool, as_json: bool, *,
    further: Sequence[Path] = (), piped: bool = True, **options: Any,
) -> None:  # fmt: skip
    """Runs a stage and prints its summary: the one place where errors become a line and an exit status.

    Args:
        stage: What to run.
        quiet: Whether remarks and progress are left out.
        as_json: Whether the summary is for programs.
        further: Files that it writes besides its outputs, and whose names follow from the options.
        piped: Whether `--out -` can be standard output.
        options: Of the stage.
    """
    console.set_quiet(quiet)
    if signal.getsignal(signal.SIGINT) is leave_at_once:
        signal.signal(signal.SIGINT, interrupt)
    try:
        to_stdout = options.get("out") == STDIO
        if to_stdout and not piped:
            raise UsageError("--out -: this command cannot write to stdout; name a file")
        if to_stdout and as_json:
            raise UsageError("--json and --out -: both are for stdout; leave one out")
        with standard_input(options) as options:
            check_outputs(options, further, stage.__module__.rpartition(".")[2])
            if isinstance(options.get("out"), Path):
                remove_stale(options["out"].parent)
            summary = stage(**options)
        _print(summary, as_json, to_stdout)
    except EpitoolError as error:
        _leave(str(error), error.exit_status)
    except BrokenPipeError:  # the reader has had enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a disk that is full or read-only, a stream that cannot be written to
        _leave(f"{error.filename or 'output'}: {error.strerror or error}", InputError.exit_status)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing more to stop
        console.fail(_INTERRUPTED)
        os._exit(130)  # threads inside detectors would otherwise be waited for


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Reads "50,100"."""
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise typer.BadParameter(f"'{text}': expected whole numbers, as 50,100", param_hint=option) from None


def _print(summary: console.Summary, as_json: bool, to_stderr: bool) -> None:
    text = json.dumps(summary.values, allow_nan=False) if as_json else console.printable_lines(summary.text)
    typer.echo(text, err=to_stderr)
    sys.stdout.flush()
    if summary.failure:
        raise summary.failure


def _leave(message: str, status: int) -> None:
    console.fail(message)
    raise typer.Exit(status)
