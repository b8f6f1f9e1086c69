"""Commands that run other commands, each as the command line that a user would type."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epitool.console import AS_STEP, is_quiet, say
from epitool.errors import EpitoolError

_INTERRUPTED = 130
_LOST = 1  # exit status where a signal has killed the command
_PATIENCE_S = 15.0  # a command that was interrupted saves what it has; longer than `detect2d` takes for that


@dataclass(frozen=True)
class Step:
    """A command that was run.

    Attributes:
        command: Command line as a user would type it.
        said: Text that it printed on stdout.
        seconds: Run time.
    """

    command: str
    said: str
    seconds: float

    @property
    def values(self) -> dict[str, Any]:
        """Its summary, of a command that printed it as JSON."""
        values: dict[str, Any] = json.loads(self.said)
        return values


class StepFailedError(EpitoolError):
    """A command failed and has reported why.

    Attributes:
        said: Text that it printed on stdout, if any.
    """

    def __init__(self, message: str, exit_status: int, said: str = "") -> None:
        super().__init__(message)
        self.exit_status, self.said = exit_status, said


def command_line(arguments: Sequence[str]) -> str:
    """Return the command line that a user would type.

    >>> command_line(["show", "my labels.h5"])
    "epitool show 'my labels.h5'"
    """
    return shlex.join(["epitool", *arguments])


def run_step(arguments: Sequence[str], folder: Path | None = None, as_json: bool = False) -> Step:
    """Print and run one command; its progress and remarks go to the terminal.

    Args:
        arguments: Arguments of `epitool`.
        folder: Folder to run it in; the current one by default.
        as_json: Whether it prints its summary as JSON, for the caller; else the summary is printed for people.

    Raises:
        StepFailedError: The command failed. Its exit status is that of the command.
        KeyboardInterrupt: It was interrupted, and has saved what it had.
    """
    command = command_line(arguments)
    say("")
    say(f"$ {command}")
    started = time.monotonic()
    unseen = ["--quiet"] * is_quiet() + ["--json"] * as_json
    typed = [sys.executable, "-m", "epitool", *arguments, *unseen]
    environment = {**os.environ, AS_STEP: "1"}
    with subprocess.Popen(typed, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            said, _ = process.communicate()
        except KeyboardInterrupt as stop:  # a terminal has interrupted the command too, but SIGTERM reaches one process
            if signal.SIGTERM in stop.args:
                process.terminate()
            _let_finish(process)
            raise
    status = process.returncode
    if status in (_INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    if status:
        words = f"`{command}` ended with status {status}; see above"
        raise StepFailedError(words, status if status > 0 else _LOST, said)
    if not as_json:
        say(said.strip("\n"))  # a table's first line may begin with spaces
    return Step(command, said.strip("\n"), time.monotonic() - started)


def _let_finish(process: subprocess.Popen[str]) -> None:
    """Wait until an interrupted command has saved what it has; interrupt it where only this process was."""
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
