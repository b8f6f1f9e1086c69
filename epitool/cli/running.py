"""Runs a stage: the one place where errors become a line and an exit status."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import typer

from epitool import console
from epitool.errors import EpitoolError


def run(stage: Callable[..., console.Summary], quiet: bool, as_json: bool, **options: Any) -> None:
    """Runs a stage and prints its summary: the one place where errors become a line and an exit status."""
    console.set_quiet(quiet)
    try:
        summary = stage(**options)
    except EpitoolError as error:
        console.fail(str(error))
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        console.fail("interrupted; the same command goes on from here")
        os._exit(130)  # threads inside detectors would otherwise be waited for
    typer.echo(json.dumps(summary.values, allow_nan=False) if as_json else summary.text)
