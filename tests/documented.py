"""The command lines that README, docs and help texts show, as lists of words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from epitool.cli.commands import help_of, options_of
from epitool.options import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Dockerfile")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_PYTHON = re.compile(r"^```python\n.*?^```", re.DOTALL | re.MULTILINE)  # which test_python_api.py runs
_FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^(?:    |#     )(.*)$", re.MULTILINE)
_SPAN = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")


class Line(NamedTuple):
    """A command line of epitool, without the program's name, and the page that shows it."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def shown_in(text: str) -> tuple[list[str], list[str]]:
    """Lines of the blocks of a page, and its code spans."""
    text = _PYTHON.sub("", text)
    blocks = [*_FENCED.findall(text), *_INDENTED.findall(_FENCED.sub("", text))]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines, [" ".join(span.split()) for span in _SPAN.findall(_FENCED.sub("", text))]


def commands_in(line: str) -> list[tuple[str, ...]]:
    """The words after `epitool` of each command of a shell's line; () for the program's name alone."""
    if "epitool" not in line:
        return []
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        tokens = list(lexer)
    except ValueError:  # quotation marks that are left open: no shell's line
        return []
    found, start = [], 0
    for end in [i for i, token in enumerate(tokens) if set(token) <= set("|;&")] + [len(tokens)]:
        piece = tokens[start:end]
        for i, token in enumerate(piece):
            if Path(token).name == "epitool" and (i == 0 or (piece[i + 1 : i + 2] and piece[i + 1] in COMMANDS)):
                found.append(tuple(piece[i + 1 :]))
                break
        start = end + 1
    return found


def documented_lines() -> list[Line]:
    """All of them, each once a page."""
    texts = {str(page.relative_to(ROOT)): shown_in(page.read_text(encoding="utf-8")) for page in PAGES}
    lines = [
        Line(page, words) for page, (blocks, spans) in texts.items() for text in blocks + spans
        for words in commands_in(text)
    ]  # fmt: skip
    for name in COMMANDS:
        for part in help_of(options_of(name)).split("\n\n"):
            if part.startswith("Example: "):
                lines += [Line(f"{name} --help", words) for words in commands_in(part.removeprefix("Example: "))]
    return list(dict.fromkeys(lines))


def named_options() -> dict[tuple[str, ...], list[str]]:
    """Code spans that name options without the program (`calibrate --up people`, `--jobs 2`), and their pages."""
    found: dict[tuple[str, ...], list[str]] = {}
    for page in PAGES:
        for span in shown_in(page.read_text(encoding="utf-8"))[1]:
            words = tuple(span.split())
            if "--" in span and (words[0] in COMMANDS or words[0].startswith("--")):
                found.setdefault(words, []).append(str(page.relative_to(ROOT)))
    return found
