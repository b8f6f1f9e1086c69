"""`doctor` says what is there, and what does not work."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
from test_cli import epitool

from epitool.errors import GeometryError
from epitool.stages import doctor


def test_everything_works_here():
    result = epitool("doctor", "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert all(trial.startswith("works") for trial in said["trials"].values())
    assert said["versions"]["numpy"]


def test_every_extra_of_users_is_looked_for():
    listed = set(importlib.metadata.metadata("epitool").get_all("Provides-Extra"))
    assert listed - {"bench", "test", "docs", "dev"} == set(doctor.EXTRAS)


def test_what_is_broken_or_missing_is_named(monkeypatch):
    def broken():
        raise RuntimeError("no such symbol")

    monkeypatch.setattr(doctor, "TRIALS", {"network": broken, "files": lambda: None})
    monkeypatch.setattr(doctor, "CORE", ("numpy", "nothing-of-this-name"))
    monkeypatch.setattr(doctor, "EXTRAS", {"odd": ("nothing_of_this_name",)})
    with pytest.raises(GeometryError) as raised:
        doctor.run()
    said = str(raised.value)
    assert "network: RuntimeError: no such symbol" in said
    assert "does not work: network (RuntimeError: no such symbol), nothing-of-this-name" in said
    assert "pip install 'epitool[odd]'" in said
