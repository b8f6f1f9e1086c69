"""Every command line that README, docs and help texts show is one that epitool takes."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from documented import PAGES, ROOT, Line, documented_lines, named_options, shown_in

from epitool.cli import commands, spread_variadic
from epitool.console import is_quiet, set_quiet
from epitool.errors import UsageError
from epitool.options import COMMANDS

_CLICK = typer.BadParameter.__mro__[2]  # typer has a copy of click within it, or click itself
if not (ROOT / "README.md").exists():
    pytest.skip("not in a checkout: installed packages have no README beside them", allow_module_level=True)

PLACEHOLDER = re.compile(r"[A-Z]+(\.\w+)?|[A-Z]+\.\.\.|\.\.\.")  # VIEW..., FILE.csv
REQUIRED = {
    "predict": ("a.jpg",), "export": ("model.pt",), "convert": ("labels.h5", "--out", "walk.trc"),
    "show": ("labels.h5",), "mocap": ("a.mp4", "b.mp4"), "import": ("h36m", "."),
}  # fmt: skip
OF_OTHERS = {
    "--user": "docker", "--format": "AlphaPose", "--picture": "tests/bench/bench_scale.py",
    "--count": "tests/bench/identities.py",
}  # fmt: skip


@pytest.fixture
def take(here, monkeypatch):
    """Reads a command line up to the point where its stage would run, and returns the options that it would get."""
    taken = []
    monkeypatch.setattr(commands, "run", lambda stage, options, *_: taken.append(options))
    stage = SimpleNamespace(import_module=lambda name: SimpleNamespace(run=None))
    monkeypatch.setattr(commands, "importlib", stage)  # stages import what is slow
    Path("run.toml").touch()  # `--config` is read with the options

    def read(words):
        name, *rest = spread_variadic(words)
        monkeypatch.setattr(commands, "failing_in_one_line", nullcontext)  # errors as they are
        if name not in COMMANDS:
            raise UsageError(f"{name}: no such command")
        commands.command(name).main(rest, standalone_mode=False)
        return taken[-1]

    quiet = is_quiet()
    yield read
    set_quiet(quiet)  # which lines with --quiet change


def is_prose(line: Line) -> bool:
    """Whether a line is a bare command's name, or says with a placeholder what is to be put there."""
    return len(line.words) < 2 or line.words[0] == "COMMAND" or "--help" in line.words


def test_documented_command_lines_are_taken(take):
    refused = []
    for line in documented_lines():
        if is_prose(line):
            assert not line.words or line.words[0] in {*COMMANDS, "COMMAND", "--help"}, line
            continue
        try:
            take(line.words)
        except (_CLICK, UsageError) as error:
            refused.append(f"{line.page}: epitool {line}: {error}")
    assert refused == []


def accepts(take, words) -> bool:
    """Whether a command takes words that are a part of a command line."""
    try:
        take(["1" if PLACEHOLDER.fullmatch(word) else word for word in words])
    except _CLICK as error:
        return "requires an argument" in error.message  # named alone
    except UsageError as error:  # options that need another
        return re.search("is none of|expected", str(error)) is None
    return True


def commands_with(option: str) -> list[str]:
    own = {name: {opt for p in commands.command(name).params for opt in p.opts} for name in COMMANDS}
    return [name for name in COMMANDS if option in own[name]]


def test_options_that_are_named_exist_and_take_their_values(take):
    unknown = []
    for words, pages in named_options().items():
        rest = [word.strip("[]") for word in words]
        names = [rest.pop(0)] if rest[0] in COMMANDS else commands_with(rest[0])
        ways = [(name, *more, *rest) for name in names for more in ((), REQUIRED.get(name, ()))]
        if OF_OTHERS.keys().isdisjoint(rest) and not any(accepts(take, way) for way in ways):
            unknown.append(f"{pages[0]}: {' '.join(words)}")
    assert unknown == []


def test_files_of_this_repository_that_are_named_are_there():
    """Links are checked by mkdocs; these are names in code, as of examples and benchmarks."""
    absent = []
    for page in PAGES:
        blocks, spans = shown_in(page.read_text(encoding="utf-8"))
        for word in " ".join(blocks + spans).split():
            path = word.partition("::")[0].strip("`'\",;()")
            inside = re.match(r"(tests|examples|epitool|docs)/", path) and not re.search("NAME|[*<{]", path)
            if inside and not (ROOT / path).exists():
                absent.append(f"{page.name}: {path}")
    assert absent == []
