"""The commands: each is made from the class of its options when it is asked for."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING
from inspect import Parameter, cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from epitool import console, options
from epitool.cli.config import Config, storing
from epitool.cli.running import failing_in_one_line, run
from epitool.options import COMMANDS
from epitool.options.flag import Field, Options, fields_of

Quiet = Annotated[bool, typer.Option("--quiet", help="No remarks or progress on stderr; warnings remain.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
_STORING = ("train", "refine")  # commands that leave their options beside what they made, and take them back


class Commands(TyperGroup):
    """The group of all commands, which knows each by name and help alone until it is to run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _OnDemand()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a list of commands shows of one."""
        return TyperCommand(name=cmd_name, help=help_of(options_of(cmd_name))) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to run."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and command(str(name)), rest


class _OnDemand(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def options_of(name: str) -> type[Options]:
    """The class of a command's options."""
    return getattr(options, COMMANDS[name][1])


def help_of(kind: type[Options]) -> str:
    """A class's docstring whose lines end where its paragraphs do: the width of the terminal breaks them."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(kind.__doc__ or "").split("\n\n"))


@functools.cache
def command(name: str) -> Any:
    """A command as typer makes it."""
    if name not in COMMANDS:
        raise KeyError(name)
    alone = typer.Typer(add_completion=False)
    alone.command(name, help=help_of(options_of(name)))(_function(name))
    return typer.main.get_command(alone)


def _function(name: str) -> Callable[..., None]:
    """What a command does, with the signature that typer reads."""
    kind = options_of(name)

    def perform(*, quiet: bool, as_json: bool, ctx: Any = None, config: Any = None, **typed: Any) -> None:
        values = {field.name: _value(field, typed[field.name]) for field in fields_of(kind)}
        console.set_quiet(quiet)
        with failing_in_one_line():
            chosen = kind(**values)
            stage = importlib.import_module(f"epitool.stages.{COMMANDS[name][0]}")  # numpy and all, once that is well
            run(storing(stage.run, ctx) if ctx else stage.run, chosen, as_json, _also_written(stage))

    parameters = [_parameter(field) for field in fields_of(kind)]
    if name in _STORING:
        parameters = [_keyword("ctx", typer.Context), *parameters, _keyword("config", Config, None)]
    parameters += [_keyword("quiet", Quiet, False), _keyword("as_json", Json, False)]
    perform.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    perform.__annotations__ = {}
    return perform


def _keyword(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _also_written(stage: Any) -> Callable[[Any], Any]:
    """What names the files that a stage writes besides its outputs, as its `also_writes` does where it has one."""
    return getattr(stage, "also_writes", lambda _: ())


def _parameter(field: Field) -> Parameter:
    """An option as typer reads it of a function."""
    flag, kind, default = field.flag, field.kind, field.default
    if flag.reads:
        kind = str
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
    elif field.many:
        kind = list[kind]  # type: ignore[valid-type]
        default = list(default) if isinstance(default, tuple) else default
    settings: dict[str, Any] = {"metavar": flag.metavar, "min": flag.least, "show_default": flag.shown}
    names, told = ([], typer.Argument) if flag.argument else ([field.option], typer.Option)
    annotation: Any = Annotated[kind | None if field.optional else kind, told(*names, help=flag.help, **settings)]
    return _keyword(field.name, annotation, Parameter.empty if default is MISSING else default)


def _value(field: Field, typed: Any) -> Any:
    """What an option's text, or texts, stand for."""
    if typed is None:
        return () if field.many and not field.optional else None
    if field.flag.reads is None:
        return tuple(typed) if field.many else typed
    try:
        return field.flag.reads(typed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=field.option) from None
