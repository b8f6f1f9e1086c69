"""Descriptions of a command's options: one class per command, whose fields state type, default and flag."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable
from dataclasses import KW_ONLY, dataclass, fields
from math import isfinite
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

from epitool.errors import UsageError

_LONGEST_SIDE = 100_000  # of an image, px


@dataclass(frozen=True)
class Input:
    """A mark of an option that names what a command reads.

    Attributes:
        stdin: What the command line replaces `-` with: "names" of images, or "poses". It is "" if the command reads
            standard input itself, or if `-` is not read at all.
    """

    stdin: Literal["", "names", "poses"] = ""


@dataclass(frozen=True)
class Output:
    """A mark of an option that names what a command writes.

    Attributes:
        holds: What may be written, each as the kind and suffix of one of epitool's formats, such as "labels.h5". An
            existing epitool file with one of these suffixes is replaced only if it is of that kind. If there is only
            one entry, no other suffix is accepted.
        folder: Whether it is a folder, which the command creates.
        or_folder: Whether it may be a folder, if its name has no suffix.
        stdout: Whether `-` may stand for standard output.
        shared: Whether it may be a folder that the command also reads.
    """

    holds: tuple[str, ...] = ()
    folder: bool = False
    or_folder: bool = False
    stdout: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Flag:
    """The form of an option on the command line, where its name is the field's with hyphens.

    Attributes:
        help: Help text of the option.
        metavar: Placeholder of its value in the help.
        least: Lowest number that it accepts.
        most: Highest number that it accepts.
        nonzero: Whether it refuses 0.
        shown: Default in words; False if the help shows none.
        role: Whether it names what is read or written. Every option that holds a path has a role.
        check: Function that raises UsageError if a value has another form than it must.
        reads: Function that converts the typed text, where that is one word, to the value. It raises ValueError.
        argument: Whether it is positional, without a flag.
        more: Whether the help shows it among those that few people need.
    """

    help: str
    _: KW_ONLY
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    nonzero: bool = False
    shown: str | bool = True
    role: Input | Output | None = None
    check: Callable[[Any], None] | None = None
    reads: Callable[[str], Any] | None = None
    argument: bool = False
    more: bool = False


class Field(NamedTuple):
    """An option of a command.

    Attributes:
        name: Name of the field.
        flag: Form of the option on the command line.
        kind: Type of the value, or of each value if there may be several.
        many: Whether there may be several values.
        optional: Whether it may be None.
        default: Default value; `dataclasses.MISSING` if the option is required.
    """

    name: str
    flag: Flag
    kind: Any
    many: bool
    optional: bool
    default: Any

    def given(self, options: Options) -> list[Any]:
        """Return the values of this field in some options; an empty list if it is None."""
        value = getattr(options, self.name)
        return [] if value is None else list(value) if self.many else [value]

    @property
    def option(self) -> str:
        """The option's name on the command line."""
        return self.name.upper() if self.flag.argument else f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that it may have; empty if any value is allowed."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """The base of all classes of options, whose docstrings are the commands' help.

    Raises:
        UsageError: A value is not one of the choices, or is not among the numbers that the option accepts.
    """

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            for one in field.given(self):
                if field.choices and one not in field.choices:
                    raise UsageError(f"{field.option} {one}: is none of {', '.join(field.choices)}")
                if field.flag.check:
                    field.flag.check(one)
                if isinstance(one, (int, float)) and (expected := _unmet(field.flag, one)):
                    raise UsageError(f"{field.option} {one}: expected {expected}")


def _unmet(flag: Flag, number: float) -> str:
    """Return what an option expects instead of this number; empty if it accepts the number."""
    if flag.least is not None and not number >= flag.least:
        return f"{flag.least:.10g} or more"
    if flag.most is not None and not number <= flag.most:
        return f"{flag.most:.10g} or less"
    if flag.nonzero and not number:
        return "another number than 0"
    return "" if isfinite(number) else "a number"


def fields_of(options: type[Options]) -> tuple[Field, ...]:
    """Return the fields of a class that are options on the command line, in the order of the class."""
    return _fields_of(cast(Hashable, options))  # mypy does not accept that classes are hashable


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
    """Read whole numbers from a text such as "50,100", each of them once.

    >>> numbers("50,100")
    (50, 100)
    """
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",") if number.strip()))
    except ValueError:
        raise ValueError(f"'{text}': expected whole numbers, as 50,100") from None


def words(text: str) -> tuple[str, ...]:
    """Read words from a text such as "joint,axis".

    >>> words("joint, axis")
    ('joint', 'axis')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def width_and_height(text: str) -> tuple[int, int]:
    """Read a width and a height from a text such as "1920x1080".

    >>> width_and_height("1920x1080")
    (1920, 1080)
    """
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and side[0] != "0" for side in sides):
        raise ValueError(f"'{text}': expected as 1920x1080")
    if max(map(int, sides)) > _LONGEST_SIDE:
        raise ValueError(f"'{text}': expected sides of {_LONGEST_SIDE} px or less")
    return int(sides[0]), int(sides[1])
