"""Runs a stage: the one place where errors become a line and an exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from epitool import console
from epitool.errors import EpitoolError, InputError, UsageError
from epitool.files import STDIO, remove_stale

_OWN_SUFFIXES = frozenset({".h5", ".toml", ".json", ".npz", ".pt", ".onnx", ".html", ".rrd"})


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


def run(stage: Callable[..., console.Summary], quiet: bool, as_json: bool, **options: Any) -> None:
    """Runs a stage and prints its summary: the one place where errors become a line and an exit status."""
    console.set_quiet(quiet)
    if signal.getsignal(signal.SIGINT) is leave_at_once:
        signal.signal(signal.SIGINT, interrupt)
    try:
        _check_out(options)
        if isinstance(options.get("out"), Path):
            remove_stale(options["out"].parent)
        to_stdout = options.get("out") == STDIO
        if to_stdout and as_json:
            raise UsageError("--json and --out -: both are for stdout; leave one out")
        summary = stage(**options)
        typer.echo(json.dumps(summary.values, allow_nan=False) if as_json else summary.text, err=to_stdout)
        sys.stdout.flush()
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


def _leave(message: str, status: int) -> None:
    console.fail(message)
    raise typer.Exit(status)


def _check_out(options: dict[str, Any]) -> None:
    """Keeps a slip of the hand from replacing an input, or a file that is none of ours.

    Raises:
        UsageError: `--out` is an input, or exists and has a name that none of our files has.
    """
    out = options.get("out")
    if not isinstance(out, Path):
        return
    values = [value for name, value in options.items() if name != "out"]
    inputs = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if any(isinstance(item, str | Path) and Path(item).resolve() == out.resolve() for item in inputs if item):
        raise UsageError(f"--out {out}: is an input of this command; name another file")
    if out.is_file() and out.suffix.lower() not in _OWN_SUFFIXES:
        raise UsageError(f"--out {out}: exists and is no file of epitool's; name another, or remove it")
