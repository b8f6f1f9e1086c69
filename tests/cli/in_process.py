"""Commands run in the tests' own process, which has imported and compiled everything."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from epitool.cli import app, spread_variadic


def epitool(*arguments: Any, **options: Any) -> Any:
    """Runs a command in this process."""
    return CliRunner().invoke(app, spread_variadic(list(map(str, arguments))), **options)


def refused(status: int, *arguments: Any, **options: Any) -> str:
    """Stderr, in one line of words, of a command that must end in this status."""
    result = epitool(*arguments, **options)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return " ".join(result.stderr.split())
