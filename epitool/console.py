"""Output of a command: progress and remarks on stderr, and the summary that the command line prints on stdout."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, cast

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from epitool.errors import EpitoolError


class _Stderr:
    """Standard error of the moment. What it cannot take, as on a full disk, is lost: work goes on without remarks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


_stderr = Console(file=cast(IO[str], _Stderr()), highlight=False, soft_wrap=True, emoji=False)
_silent = threading.Event()
AS_STEP = "EPITOOL_STEP"  # is set for commands that another one runs
_called: dict[str, str] = {}
_WHOLE = 32  # names up to this length are kept on one line of a table


@dataclass(frozen=True)
class Summary:
    """Result of a command.

    Attributes:
        text: Summary for people, printed on stdout.
        values: Summary for programs, printed with `--json`; plain values only.
        failure: Error to raise once the summary has been printed; None on success.
    """

    text: str
    values: dict[str, Any] = field(default_factory=dict)
    failure: EpitoolError | None = None


def counted(count: int, what: str) -> str:
    """Return a number of things in words, whose plural is formed with an s.

    >>> counted(1, "frame"), counted(20, "frame")
    ('1 frame', '20 frames')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def named(what: str, names: Sequence[str]) -> str:
    """Return names of things in words, whose plural is formed with an s.

    >>> named("view", ["cam1"]), named("view", ["cam1", "cam2"])
    ('view cam1', 'views cam1, cam2')
    """
    return f"{what if len(names) == 1 else f'{what}s'} {', '.join(names)}"


def set_quiet(quiet: bool) -> None:
    """Switch remarks and progress off or on; warnings and errors are always printed."""
    _stderr.quiet = quiet


def is_quiet() -> bool:
    """Return whether remarks and progress are switched off."""
    return _stderr.quiet


def fall_silent() -> None:
    """Stop all output of this process except errors, because another process reports for all."""
    set_quiet(True)
    _silent.set()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends


def is_step() -> bool:
    """Return whether another command runs this one."""
    return AS_STEP in os.environ


def reports_end() -> bool:
    """Return whether this process, and not another one that it belongs to, tells the user that it was stopped."""
    return not _silent.is_set() and not is_step()


@contextmanager
def stream_redirected(stream: int, target: int) -> Iterator[None]:
    """Redirect one file descriptor to another, including the output of C libraries."""
    kept = os.dup(stream)
    os.dup2(target, stream)
    try:
        yield
    finally:
        os.dup2(kept, stream)
        os.close(kept)


def say(message: str) -> None:
    """Print a remark of one or more lines on stderr."""
    _stderr.print(escape(printable_lines(message)))


def warn(message: str) -> None:
    """Print a warning on stderr, also when quiet."""
    if not _silent.is_set():
        _loudly(f"[yellow]warning:[/] {escape(printable(message))}")


def fail(message: str) -> None:
    """Print the one-line error of a failing command on stderr, also when quiet."""
    _loudly(f"[red]error:[/] {escape(printable(message))}")


def call(path: str, name: str) -> None:
    """Name a file in all messages from now on, such as `-` for a copy of standard input."""
    _called[path] = name


def printable(text: str) -> str:
    r"""Escape the control characters of a text, because names from files could otherwise control the terminal.

    >>> print(printable("cam\x1b[2J\n1.mp4"))
    cam\x1b[2J\n1.mp4
    """
    for path, name in _called.items():
        text = text.replace(path, name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Escape control characters as `printable` does, but keep line ends."""
    return "\n".join(map(printable, text.split("\n")))


def _loudly(markup: str) -> None:
    quiet, _stderr.quiet = _stderr.quiet, False
    _stderr.print(markup)
    _stderr.quiet = quiet


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of short texts on stderr, with the first column left-aligned and the others right-aligned."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    whole = max(len(row[0]) for row in rows) <= _WHOLE if rows else True
    for n, column in enumerate(columns):
        words = max(map(len, column.split()), default=1)
        heading, held = escape(printable_lines(column)), whole and not n
        table.add_column(heading, justify="right" if n else "left", no_wrap=held, min_width=words, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    _stderr.print(f"[bold]{escape(printable(title))}[/]")
    _stderr.print(table)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if it is a terminal; yield a function to call with the number of units done."""
    if _stderr.quiet or not _stderr.is_terminal:
        yield lambda done: None
        return
    from rich import progress as rp

    columns = (rp.TextColumn("{task.description}"), rp.BarColumn(), rp.MofNCompleteColumn(), rp.TimeRemainingColumn())
    with rp.Progress(*columns, console=_stderr) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show on stderr, if it is a terminal, that work of unknown length goes on, and for how long it has."""
    if _stderr.quiet or not _stderr.is_terminal:
        yield
        return
    from rich import progress as rp

    columns = (rp.SpinnerColumn("line"), rp.TextColumn("{task.description}"), rp.TimeElapsedColumn())
    with rp.Progress(*columns, console=_stderr, transient=True) as bar:
        bar.add_task(description, total=None)
        yield


def show_help(paragraphs: Sequence[str], panels: Mapping[str, Sequence[tuple[str, str]]], end: str) -> None:
    """Print a help text on stdout.

    Args:
        paragraphs: Paragraphs at the beginning.
        panels: Names and explanations in each panel, by its title.
        end: Paragraph at the end.
    """
    out = Console(markup=False, highlight=False, emoji=False)
    widest = max(len(name) for rows in panels.values() for name, _ in rows)
    for text in paragraphs:
        out.print(Padding(text, (1, 1, 0, 1)))
    out.print()
    for title, rows in panels.items():
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False, expand=True)
        table.add_column(style="bold cyan", no_wrap=True, min_width=widest)
        table.add_column(ratio=1)
        for row in rows:
            table.add_row(*row)
        # as a plain string, the title would be searched for emojis, whose names take long to import
        out.print(Panel(table, title=Text(title), title_align="left", border_style="dim"))
    out.print(Padding(end, 1))
