"""Options from a file: `--config`, and the file in which a run stores its options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from epitool.cli.running import failing_in_one_line
from epitool.console import Summary
from epitool.errors import InputError, first_line
from epitool.options.shared import run_folder

_NOT_STORED = ("config", "quiet", "as_json", "overwrite")


def _use(ctx: typer.Context, path: Path | None) -> Path | None:
    """Use the file's values as defaults; options on the command line take precedence."""
    if path is not None:
        with failing_in_one_line():
            ctx.default_map = {**(ctx.default_map or {}), **_read(path, ctx)}
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        is_eager=True,
        callback=_use,
        readable=False,
        help="TOML of these options, by their names.",
    ),
]


def _read(path: Path, ctx: typer.Context) -> dict[str, Any]:
    """Read the file's options as parameters of the command; they may be in a table named after the command.

    Raises:
        InputError: The file is missing or is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    from epitool.io.files import read_text

    try:
        content = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(f"--config {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"--config {path}: cannot be read as TOML ({first_line(error)})") from None
    content = content.get(ctx.info_name or "", content)
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{path}: '{ctx.info_name}' is no table of options", param_hint="--config")
    names = {option.removeprefix("--"): p.name for p in ctx.command.params for option in p.opts if p.name != "config"}
    unknown = [key for key in content if key.replace("_", "-") not in names]
    if unknown:
        known = ", ".join(sorted(set(names) - {"help", "h"}))
        raise typer.BadParameter(f"{path}: no option '{unknown[0]}'; there are {known}", param_hint="--config")
    return {str(names[key.replace("_", "-")]): _format_as_typed(value) for key, value in content.items()}


def _format_as_typed(value: Any) -> Any:
    """Return a value of the file as it would be typed, for typer to parse."""
    if isinstance(value, list):
        return [_format_as_typed(one) for one in value]
    return value if isinstance(value, bool) else str(value)


def storing(stage: Callable[..., Summary], ctx: typer.Context) -> Callable[..., Summary]:
    """Return the stage extended to store its options in the folder of its run, unless `--out` names another place."""

    def run_and_store(options: Any) -> Summary:
        summary = stage(options)
        if options.out is None:
            store_config(ctx, run_folder(options.name) / f"{ctx.info_name}.toml")
        return summary

    return run_and_store


def _convert_for_toml(value: Any) -> Any:
    """Convert a parameter's value to a type that TOML has."""
    if isinstance(value, (list, tuple)):
        return [_convert_for_toml(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def store_config(ctx: typer.Context, path: Path) -> None:
    """Write all options of the command as resolved, for use with `--config`; paths of images and labels are kept."""
    import tomli_w  # only needed after a run

    from epitool.files import writing

    named = {p.name: p.opts[0].removeprefix("--") for p in ctx.command.params}
    values = {
        named[name]: _convert_for_toml(value)
        for name, value in ctx.params.items()
        if value is not None and name not in _NOT_STORED
    }
    with writing(path) as temporary:
        temporary.write_text(tomli_w.dumps({str(ctx.info_name): values}), encoding="utf-8")
