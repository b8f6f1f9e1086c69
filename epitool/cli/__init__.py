"""The `epitool` command: flags to options, one stage, one summary on stdout. Heavy imports live inside the commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from glob import glob, has_magic
from inspect import cleandoc
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from epitool import __version__
from epitool.cli import exchange, footage, labels, measure, network
from epitool.cli.running import leave_at_once

app = typer.Typer(
    name="epitool",
    help="3D human pose from a few cameras, without a calibration board and without 3D ground truth.\n\n"
    "The commands in order: detect2d, calibrate, triangulate, train, predict; refine, pss-fit and evaluate;"
    " `epitool demo` runs them all on a sample recording, `epitool synth` renders one. Each reads what the one before"
    " it wrote; `epitool show` shows it.",
    epilog="Exit status: 0 done, 1 a process or cluster that was at work is lost, 2 usage, 3 bad"
    " input file, 4 geometry that determines no answer, 5 checkpoint that does not fit, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Options that take several values after one flag, as a shell's `cam*`, and the commands in which they do.
_VARIADIC = {
    "--views": ("detect2d", "calibrate", "convert", "demo"),
    "--predictions": ("evaluate",),
    "--pairs": ("refine",),
}


def _paragraphs(text: str | None) -> str:
    """A docstring whose lines end where its paragraphs do: the width of the terminal breaks them."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text or "").split("\n\n"))


for _command in (
    labels.detect2d,
    labels.calibrate,
    labels.triangulate,
    network.train,
    network.predict,
    network.export,
    network.refine,
    measure.pss_fit,
    measure.evaluate,
    footage.synth,
    exchange.convert,
    exchange.show,
    exchange.doctor,
    measure.demo,
):
    app.command(help=_paragraphs(_command.__doc__))(_command)
app.command(name="import", help=_paragraphs(footage.import_dataset.__doc__))(footage.import_dataset)


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
    """Holds the options that stand before a command."""


def spread_variadic(arguments: Sequence[str]) -> list[str]:
    """Repeats an option that is variadic in the command before each of its values, as typer wants it.

    >>> spread_variadic(["calibrate", "--views", "cam1", "cam2", "--seed", "1"])
    ['calibrate', '--views', 'cam1', '--views', 'cam2', '--seed', '1']
    """
    out: list[str] = []
    option, has_value = "", True
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    variadic = [name for name, commands in _VARIADIC.items() if command in commands]
    pieces = [part for a in arguments for part in (a.split("=", 1) if a.split("=", 1)[0] in variadic else [a])]
    for argument in [*pieces, "--"]:
        if argument.startswith("-") and argument != "-":
            out += [] if has_value else [option]  # for typer to complain about
            option = argument if argument in variadic else ""
            has_value = not option
            out += [] if option else [argument]
        else:
            out += [option, argument] if option else [argument]
            has_value = True
    return out[:-1]


def expand_patterns(arguments: Sequence[str]) -> list[str]:
    """What a shell makes of `cam*`, for Windows, where that is left to programs; what matches nothing stays."""
    matches = [sorted(glob(text)) if has_magic(text) and not Path(text).exists() else [] for text in arguments]  # noqa: PTH207
    return [name for text, found in zip(arguments, matches) for name in found or [text]]


def main() -> None:
    """Entry point of the `epitool` command."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the background jobs of a shell ignore it
    if heeded:
        signal.signal(signal.SIGINT, leave_at_once)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal and pipe has letters for every name
    try:
        arguments = expand_patterns(sys.argv[1:]) if os.name == "nt" else sys.argv[1:]
        app(args=spread_variadic(arguments), prog_name="epitool")
    finally:
        if heeded:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and said
