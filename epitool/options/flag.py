"""How a command's options are described: one class a command, whose fields state type, default and flag."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable
from dataclasses import KW_ONLY, dataclass, fields
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

from epitool.errors import UsageError


@dataclass(frozen=True)
class Input:
    """Marks an option that names what a command reads.

    Attributes:
        stdin: What `-` stands for where the command line puts it in place: "names" of images, or "poses"; "" where the
            command itself reads standard input, or nothing does.
    """

    stdin: Literal["", "names", "poses"] = ""


@dataclass(frozen=True)
class Output:
    """Marks an option that names what a command writes.

    Attributes:
        holds: What may be written, each as kind and suffix of a format of ours, "labels.h5": of these suffixes nothing
            else of ours is replaced. Where there is one, no other suffix will do.
        folder: Whether it is a folder, which the command makes.
        stdout: Whether `-` may stand for standard output.
        shared: Whether it may be a folder that is read, too.
    """

    holds: tuple[str, ...] = ()
    folder: bool = False
    stdout: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Flag:
    """How an option stands on the command line; its name there is the field's, with hyphens.

    Attributes:
        help: What it does.
        metavar: What stands for its value in the help.
        least: The lowest number that it takes.
        shown: The default in words; False where the help shows none.
        role: Whether it names what is read or written; every option that holds a path has one.
        reads: What makes the value of the text that is typed, where that is one word; it raises ValueError.
        argument: Whether it stands without a flag.
    """

    help: str
    _: KW_ONLY
    metavar: str | None = None
    least: float | None = None
    shown: str | bool = True
    role: Input | Output | None = None
    reads: Callable[[str], Any] | None = None
    argument: bool = False


class Field(NamedTuple):
    """An option of a command.

    Attributes:
        name: Of the field.
        flag: How it stands on the command line.
        kind: Type of the value, or of each of several.
        many: Whether there may be several.
        optional: Whether it may be None.
        default: `dataclasses.MISSING` where it must be given.
    """

    name: str
    flag: Flag
    kind: Any
    many: bool
    optional: bool
    default: Any

    def given(self, options: Options) -> list[Any]:
        """The values that it has in some options: none where that is None."""
        value = getattr(options, self.name)
        return [] if value is None else list(value) if self.many else [value]

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.name.upper() if self.flag.argument else f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that it may have; none where any will do."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all classes of options share; their docstrings are the commands' help.

    Raises:
        UsageError: A value is none of the choices, or too low.
    """

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            for one in field.given(self):
                if field.choices and one not in field.choices:
                    raise UsageError(f"{field.option} {one}: is none of {', '.join(field.choices)}")
                if field.flag.least is not None and not one >= field.flag.least:
                    raise UsageError(f"{field.option} {one}: expected {field.flag.least:g} or more")


def fields_of(options: type[Options]) -> tuple[Field, ...]:
    """The fields of a class that are options on the command line, in its order."""
    return _fields_of(cast(Hashable, options))  # mypy doubts that classes are


@functools.cache
def _fields_of(options: Any) -> tuple[Field, ...]:
    hints = get_type_hints(options, include_extras=True)
    return tuple(
        _field(field.name, hints[field.name], field.default)
        for field in fields(options)
        if get_origin(hints[field.name]) is Annotated
    )


def _field(name: str, annotation: Any, default: Any) -> Field:
    kind, flag = get_args(annotation)
    optional = get_origin(kind) in (Union, types.UnionType)
    if optional:
        kind = next(one for one in get_args(kind) if one is not type(None))
    many = get_origin(kind) is tuple
    return Field(name, flag, get_args(kind)[0] if many else kind, many, optional, default)


def numbers(text: str) -> tuple[int, ...]:
    """Reads "50,100".

    >>> numbers("50,100")
    (50, 100)
    """
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise ValueError(f"'{text}': expected whole numbers, as 50,100") from None


def words(text: str) -> tuple[str, ...]:
    """Reads "joint,axis".

    >>> words("joint, axis")
    ('joint', 'axis')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def width_and_height(text: str) -> tuple[int, int]:
    """Reads "1920x1080".

    >>> width_and_height("1920x1080")
    (1920, 1080)
    """
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and side[0] != "0" for side in sides):
        raise ValueError(f"'{text}': expected as 1920x1080")
    return int(sides[0]), int(sides[1])
