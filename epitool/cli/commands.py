"""The commands, each of which is built from its options class when it is needed."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from inspect import Parameter, cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from epitool import console, options
from epitool.cli.config import Config, storing
from epitool.cli.running import failing_in_one_line, run
from epitool.options import COMMANDS, GROUPS
from epitool.options.flag import Field, Options, fields_of

_MORE = "More options"
_WORDS = {Path: "PATH", int: "N", float: "NUMBER", str: "TEXT", bool: ""}  # placeholders of values in the help
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", metavar="", help="No remarks or progress on stderr; warnings remain.", rich_help_panel=_MORE
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print the summary as JSON.", rich_help_panel=_MORE)]
_STORING = ("train", "refine")  # commands that store their options beside their output, and accept them as `--config`


class Commands(TyperGroup):
    """Group of all commands, which knows only the name and help of each until it runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _OnDemand()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with the name and help that completion shows."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(name=cmd_name, help=help_of(options_of(cmd_name)))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and command(str(name)), rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help as typer does, without typer's module for it, whose reader of Markdown is slow to import."""
        console.show_help(
            [self.get_usage(ctx), *str(self.help).split("\n\n")],
            {
                "Options": [(", ".join(each.opts), getattr(each, "help", "")) for each in self.get_params(ctx)],
                **{
                    group: [(name, help_of(options_of(name)).split("\n\n")[0]) for name in names]
                    for group, names in GROUPS.items()
                },
            },
            str(self.epilog),
        )


class _OnDemand(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Command(TyperCommand):
    """Command that says that views need their option, and which commands have an option that it lacks."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, of which none may be left over."""
        ctx.allow_extra_args = True
        if not ctx.resilient_parsing and (missing := self._without_value(args)):
            ctx.fail(missing)
        try:
            rest: list[str] = super().parse_args(ctx, args)
        except Exception as error:  # click's NoSuchOption, whose module differs between versions of typer
            option = getattr(error, "option_name", "") if hasattr(error, "possibilities") else ""
            if advice := _advice(str(self.name), option):
                ctx.fail(advice)
            raise
        if ctx.args and not ctx.resilient_parsing:
            words = shlex.join(ctx.args)
            has_views = any(field.option == "--views" for field in fields_of(options_of(str(self.name))))
            ctx.fail(f"unexpected extra {words}" + (f"; did you mean --views {words}?" if has_views else ""))
        return rest

    def _without_value(self, args: Sequence[str]) -> str:
        """Say which option lacks its value, which a parser would take from the option after it; "" if none does.

        An empty value, as that of a variable of the shell which is not set, would be a path to this folder.
        """
        valued = {name for one in self.params if not getattr(one, "is_flag", False) for name in one.opts}
        options = {name for one in self.params for name in one.opts if name.startswith("--")}
        lists = {field.option for field in fields_of(options_of(str(self.name))) if field.flag.reads and field.many}
        for before, word in itertools.pairwise(["", *args]):
            if before in valued and word in options:
                return f"{before} needs a value, and {word} follows it"
            name, equals, value = word.partition("=")
            joined = bool(equals) and name in valued  # --option=value
            option, given = (name, value) if joined else (before if before in valued else "", word)
            if not given and option not in lists:
                return f"{option} '' is empty; is a variable of the shell not set?".strip()
        return ""


def _advice(name: str, option: str) -> str:
    """Return what to do about an option that a command lacks; "" if no command has it."""
    owns = fields_of(options_of(name))
    if option == "--views" and any(field.name == "views" for field in owns):
        return f"{name} has no --views: leave it out, and name the views alone"
    others = [other for other in COMMANDS if any(field.option == option for field in fields_of(options_of(other)))]
    named = " and ".join(f"`epitool {other}`" for other in others)
    return f"{name} has no {option}, which is an option of {named}" if others else ""


def options_of(name: str) -> type[Options]:
    """Return the options class of a command."""
    return getattr(options, COMMANDS[name][1])


def help_of(kind: type[Options]) -> str:
    """Return a class's docstring with each paragraph on one line, to be wrapped at the width of the terminal."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(kind.__doc__ or "").split("\n\n"))


@functools.cache
def command(name: str) -> Any:
    """Build a command with typer."""
    if name not in COMMANDS:
        raise KeyError(name)
    alone = typer.Typer(add_completion=False)
    alone.command(name, cls=_Command, help=help_of(options_of(name)))(_function(name))
    return typer.main.get_command(alone)


def _function(name: str) -> Callable[..., None]:
    """Return the function of a command, with the signature that typer reads."""
    kind = options_of(name)

    def perform(*, quiet: bool, as_json: bool, ctx: Any = None, config: Any = None, **typed: Any) -> None:
        values = {field.name: _value(field, typed[field.name]) for field in fields_of(kind)}
        console.set_quiet(quiet)
        with failing_in_one_line():
            chosen = kind(**values)
            stage = importlib.import_module(f"epitool.stages.{COMMANDS[name][0]}")  # slow, so only with valid options
            also_writes = getattr(stage, "also_writes", lambda _: ())
            run(storing(stage.run, ctx) if ctx else stage.run, chosen, as_json, also_writes)

    parameters = [_parameter(field) for field in fields_of(kind)]
    if name in _STORING:
        parameters = [_keyword("ctx", typer.Context), *parameters, _keyword("config", Config, None)]
    parameters += [_keyword("quiet", Quiet, False), _keyword("as_json", Json, False)]
    perform.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    perform.__annotations__ = {}
    return perform


def _keyword(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _parameter(field: Field) -> Parameter:
    """Return an option as a function parameter that typer understands."""
    flag, kind, default = field.flag, field.kind, field.default
    if flag.reads:
        kind = str
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default
    elif field.many:
        kind = list[kind]  # type: ignore[valid-type]
        default = list(default) if isinstance(default, tuple) else default
    metavar = flag.metavar or _WORDS.get(str if flag.reads else field.kind)
    settings: dict[str, Any] = {
        "metavar": metavar,
        "min": None if flag.reads else flag.least,
        "show_default": flag.shown,
        "readable": False,
    }
    if flag.more:
        settings["rich_help_panel"] = _MORE
    names, told = ([], typer.Argument) if flag.argument else ([field.option], typer.Option)
    annotation: Any = Annotated[kind | None if field.optional else kind, told(*names, help=flag.help, **settings)]
    return _keyword(field.name, annotation, Parameter.empty if default is MISSING else default)


def _value(field: Field, typed: Any) -> Any:
    """Convert the typed text or texts of an option to its value."""
    if typed is None:
        return () if field.many and not field.optional else None
    if field.flag.reads is None:
        return tuple(typed) if field.many else typed
    try:
        return field.flag.reads(typed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=field.option) from None
