"""The `epitool` command: flags to options, one stage, one summary on stdout. Heavy imports live inside the commands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
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
    epilog="Exit status: 0 done, 1 a process of a distributed training lost, 2 usage, 3 bad input file, 4 geometry that"
    " determines no answer, 5 checkpoint that does not fit, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_VARIADIC = ("--views", "--predictions")  # options that take several values after one flag, as a shell's `cam*`
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
    app.command()(_command)
app.command(name="import")(footage.import_dataset)


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
    """Repeats a variadic option before each of its values, as typer wants it.

    >>> spread_variadic(["calibrate", "--views", "cam1", "cam2", "--seed", "1"])
    ['calibrate', '--views', 'cam1', '--views', 'cam2', '--seed', '1']
    """
    out: list[str] = []
    option, has_value = "", True
    pieces = [part for a in arguments for part in (a.split("=", 1) if a.split("=", 1)[0] in _VARIADIC else [a])]
    for argument in [*pieces, "-"]:
        if argument.startswith("-"):
            out += [] if has_value else [option]  # for typer to complain about
            option = argument if argument in _VARIADIC else ""
            has_value = not option
            out += [] if option else [argument]
        else:
            out += [option, argument] if option else [argument]
            has_value = True
    return out[:-1]


def main() -> None:
    """Entry point of the `epitool` command."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the background jobs of a shell ignore it
    if heeded:
        signal.signal(signal.SIGINT, leave_at_once)
    try:
        app(args=spread_variadic(sys.argv[1:]), prog_name="epitool")
    finally:
        if heeded:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and said
