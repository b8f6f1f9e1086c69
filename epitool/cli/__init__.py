"""The `epitool` command: converts flags to options, runs one stage and prints one summary on stdout.

Slow imports happen inside the commands.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from glob import glob, has_magic
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from epitool import __version__
from epitool.cli.commands import Commands, options_of
from epitool.cli.running import failing_in_one_line, handle_interrupts, interrupt, leave_at_once
from epitool.options import COMMANDS
from epitool.options.flag import fields_of

app = typer.Typer(
    name="epitool",
    cls=Commands,
    help="3D human pose from a few cameras, without a calibration board and without 3D ground truth.\n\n"
    "`epitool mocap` takes footage to a file for OpenSim and others. The commands in order: detect2d, calibrate,"
    " triangulate, train, predict; refine, pss-fit and evaluate;"
    " `epitool demo` runs them all on a sample recording, `epitool synth` renders one. Each reads what the one before"
    " it wrote; `epitool show` shows it.",
    epilog="Exit status: 0 done, 1 a process or cluster that was at work is lost, or memory ran out, 2 usage,"
    " 3 bad input file, 4 geometry that determines no answer, 5 checkpoint that does not fit, 130 interrupted,"
    " 143 terminated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"epitool {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Accept the options that stand before a command."""


def spread_variadic(arguments: Sequence[str]) -> list[str]:
    """Repeat a flag before each of its values, as typer requires, where several follow one flag (as from `cam*`).

    >>> spread_variadic(["calibrate", "--views", "cam1", "cam2", "--seed", "1"])
    ['calibrate', '--views', 'cam1', '--views', 'cam2', '--seed', '1']
    """
    out: list[str] = []
    option, has_value = "", True
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    variadic = _variadic(command) if command in COMMANDS else []
    pieces = [part for a in arguments for part in (a.split("=", 1) if a.split("=", 1)[0] in variadic else [a])]
    for argument in [*pieces, "--"]:
        if argument.startswith("-") and argument != "-":
            out += [] if has_value else [option]  # an option without a value, which typer then reports
            option = argument if argument in variadic else ""
            has_value = not option
            out += [] if option else [argument]
        else:
            out += [option, argument] if option else [argument]
            has_value = True
    return out[:-1]


def _variadic(command: str) -> list[str]:
    """Return the options of a command that take several values, each as a separate word."""
    return [
        field.option
        for field in fields_of(options_of(command))
        if field.many and not field.flag.reads and not field.flag.argument
    ]


def expand_patterns(arguments: Sequence[str]) -> list[str]:
    """Expand patterns such as `cam*`, which Windows leaves to programs; a pattern that matches nothing is kept."""
    matches = [sorted(glob(text)) if has_magic(text) and not Path(text).exists() else [] for text in arguments]  # noqa: PTH207
    return [name for text, found in zip(arguments, matches) for name in found or [text]]


def open_closed_streams() -> None:
    """Open standard streams that the shell has closed (`>&-`), because the next file that is opened would become one.

    Standard output then cannot be written to, which is an error as on a full disk; the others are empty.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR), number)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def main() -> None:
    """Run the `epitool` command."""
    open_closed_streams()
    gc.set_threshold(100_000)  # importing numba and others makes many objects that stay: looking for garbage is in vain
    handle_interrupts(leave_at_once, [signal.default_int_handler, signal.SIG_DFL])
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that stdout cannot encode
    try:
        arguments = expand_patterns(sys.argv[1:]) if os.name == "nt" else sys.argv[1:]
        with failing_in_one_line():  # of help, which no command prints
            app(args=spread_variadic(arguments), prog_name="epitool")
    except typer.Exit as end:
        sys.exit(end.exit_code)
    finally:
        handle_interrupts(signal.SIG_IGN, [leave_at_once, interrupt])  # everything is done and printed
        gc.freeze()  # a last look for garbage among PyTorch's objects would take most of a second
