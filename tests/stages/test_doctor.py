"""`doctor` says what is there, and what does not work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_cli import epitool

from epitool.errors import GeometryError
from epitool.options import DoctorOptions
from epitool.stages import doctor


def test_everything_works_here():
    result = epitool("doctor", "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert all(trial.startswith("works") for trial in said["trials"].values())
    assert said["versions"]["numpy"]


def test_every_extra_of_users_is_looked_for():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    listed = set(
        re.findall(r"^(\w+) = \[", text.partition("[project.optional-dependencies]")[2].partition("\n[")[0], re.M)
    )
    assert listed - {"bench", "test", "docs", "dev"} == set(doctor.EXTRAS)


def test_what_is_broken_or_missing_is_named(monkeypatch):
    def broken():
        raise RuntimeError("no such symbol")

    monkeypatch.setattr(doctor, "TRIALS", {"network": broken, "files": lambda: None})
    monkeypatch.setattr(doctor, "CORE", ("numpy", "nothing-of-this-name"))
    monkeypatch.setattr(doctor, "EXTRAS", {"odd": ("nothing_of_this_name",)})
    said = doctor.run(DoctorOptions())
    assert "network: RuntimeError: no such symbol" in said.text
    assert "pip install 'epitool[odd]'" in said.text
    assert said.values["trials"]["network"] == "RuntimeError: no such symbol"
    assert isinstance(said.failure, GeometryError)
    assert str(said.failure).startswith("does not work: network (RuntimeError: no such symbol), nothing-of-this-name")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_what_was_found_is_printed_when_something_does_not_work(monkeypatch, arguments):
    monkeypatch.setattr(doctor, "TRIALS", {"files": lambda: 1 / 0})
    result = epitool("doctor", *arguments)
    assert result.returncode == 4
    assert "error: does not work: files (ZeroDivisionError: division by zero)" in result.stderr
    if arguments:
        assert json.loads(result.stdout)["trials"]["files"].startswith("ZeroDivisionError")
    else:
        assert "files: ZeroDivisionError" in result.stdout.splitlines()[-1]
