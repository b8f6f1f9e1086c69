"""The classes of options: what is marked on them, what they refuse, and that they cost nothing to look at."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from epitool import options
from epitool.cli.commands import command
from epitool.errors import UsageError
from epitool.options import COMMANDS
from epitool.options.flag import Input, Output, fields_of, width_and_height

CLASSES = [getattr(options, name) for _, name in COMMANDS.values()]
GIVEN = {
    "PredictOptions": {"images": ("a.jpg",)},
    "ExportOptions": {"model": Path("model.pt")},
    "ConvertOptions": {"inputs": (Path("labels.h5"),), "out": Path("walk.trc")},
    "ShowOptions": {"file": Path("labels.h5")},
    "MocapOptions": {"views": (Path("a.mp4"), Path("b.mp4"))},
    "ImportOptions": {"dataset": "h36m", "root": Path()},
}


@pytest.mark.parametrize("kind", CLASSES)
def test_whatever_holds_a_path_is_marked_as_read_or_written(kind):
    """An option without a mark would not be kept from being written over, or from writing over others."""
    for field in fields_of(kind):
        assert field.kind is not Path or isinstance(field.flag.role, Input | Output), f"{kind.__name__}.{field.name}"


def test_options_that_no_flag_stands_for_are_known():
    hidden = {(k.__name__, f.name) for k in CLASSES for f in fields(k) if f.name not in {o.name for o in fields_of(k)}}
    assert hidden == {("TrainOptions", "out")}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_lines_have_the_defaults_of_the_class(name, monkeypatch):
    """What the stage gets of a bare command line is what Python gets of a bare class."""
    module, kind = COMMANDS[name][0], getattr(options, COMMANDS[name][1])
    given = GIVEN.get(kind.__name__, {})
    words = [part for key, value in given.items() for part in ([f"--{key}"] if key == "out" else []) + [value]]
    words = [str(word) for part in words for word in (part if isinstance(part, tuple) else [part])]
    found = []
    monkeypatch.setattr("epitool.cli.commands.run", lambda stage, options, *_: found.append(options))
    command(name).main(words, standalone_mode=False)
    assert found == [kind(**given)], module


@pytest.mark.parametrize("kind", CLASSES)
def test_values_that_cannot_be_are_refused(kind):
    given = GIVEN.get(kind.__name__, {})
    for field in fields_of(kind):
        if field.choices:
            with pytest.raises(UsageError, match=f"{field.option} odd: is none of {get_args(field.kind)[0]}"):
                kind(**{**given, field.name: ("odd",) if field.many else "odd"})
        if field.flag.least is not None:
            with pytest.raises(UsageError, match=f"{field.option} -7: expected {field.flag.least:g} or more"):
                kind(**{**given, field.name: (-7,) if field.many else -7})
        if field.flag.most is not None:
            with pytest.raises(UsageError, match=f"{field.option} 1e\\+99: expected {field.flag.most:.10g} or less"):
                kind(**{**given, field.name: (1e99,) if field.many else 1e99})
        if field.kind is float:
            for number in (np.nan, np.inf):
                with pytest.raises(UsageError, match=f"{field.option} {number}: expected"):
                    kind(**{**given, field.name: number})
        if field.name == "jobs":
            with pytest.raises(UsageError, match="--jobs 0: expected another number than 0"):
                kind(**{**given, field.name: 0})


@pytest.mark.parametrize("kind", CLASSES)
def test_whole_numbers_have_an_upper_bound(kind):
    """More than any machine can hold is refused at once, not by what runs out of memory."""
    unbounded = [field.option for field in fields_of(kind) if field.kind is int and field.flag.most is None]
    assert unbounded == [option for option in unbounded if option == "--size"]  # of images, which its reader bounds


def test_looking_at_all_options_imports_nothing_heavy():
    code = "import sys; from epitool import options; [getattr(options, name) for _, name in options.COMMANDS.values()];"
    code += "print([m for m in ('numpy', 'torch', 'typer', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["640", "640x", "0x480", "640x480x3", "640x1000000", "6 40x480", "²x3"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"expected as 1920x1080|expected sides of 100000 px or less"):
        width_and_height(text)
