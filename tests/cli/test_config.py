"""Options from a file, and the file that a run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from epitool.cli.config import Config, store_config

app = typer.Typer()


@app.command()
def show(
    ctx: typer.Context,
    image_size: int = 1,
    precision: Literal["auto", "32", "bf16", "16"] = "auto",
    fast: bool = False,
    name: str | None = None,
    config: Config = None,
) -> None:
    """A command with options of every kind."""
    typer.echo(f"{image_size} {precision} {fast} {name}")
    store_config(ctx, Path("stored.toml"))


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_file_sets_defaults_and_options_win(here):
    Path("run.toml").write_text('image-size = 96\nprecision = 32\nfast = true\nname = "a"\n')
    assert said() == "1 auto False None"
    assert said("--config", "run.toml") == "96 32 True a"
    assert said("--image-size", "64", "--config", "run.toml", "--name", "b") == "64 32 True b"


def test_a_runs_own_file_repeats_it(here):
    first = said("--image-size", "64", "--precision", "bf16", "--name", 'odd "name"')
    assert said("--config", "stored.toml") == first


def test_table_of_the_commands_name_counts(here):
    Path("run.toml").write_text("[other]\nx = 1\n[show]\nimage_size = 5\n")
    assert said("--config", "run.toml").startswith("5 ")


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ("size = 1", 2, "no option 'size'"),
        ('config = "other.toml"', 2, "no option 'config'"),
        ('image-size = "x"', 2, "--image-size"),
        ("= 1", 3, "error: --config run.toml: cannot be read as TOML (Invalid"),
        (None, 3, "error: --config run.toml: no such file"),
    ],
)
def test_bad_files_are_named(here, content, status, message):
    if content is not None:
        Path("run.toml").write_text(content)
    result = CliRunner().invoke(app, ["--config", "run.toml"])
    assert result.exit_code == status
    assert message.lower() in result.output.lower().replace("\n", " ")


@pytest.mark.parametrize("content", ["show = 1", 'show = "x"', "show = [1]"])
def test_a_commands_name_that_is_no_table_is_a_usage_error(here, content):
    Path("run.toml").write_text(content)
    result = CliRunner().invoke(app, ["--config", "run.toml"])
    assert result.exit_code == 2
    assert "is no table of options" in " ".join(result.output.split())


def test_a_disk_that_is_full_after_training_is_said_in_one_line(here, monkeypatch):
    from epitool.cli import app as whole
    from epitool.console import Summary
    from epitool.stages import refine

    monkeypatch.setattr(refine, "run", lambda _: Summary("trained"))
    Path("runs/default/refine.toml").mkdir(parents=True)  # where the file is to be
    result = CliRunner().invoke(whole, ["refine"])
    assert result.exit_code == 3
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: cannot write runs/default/refine.toml")
    assert result.stderr.count("\n") == 1


def test_options_are_left_beside_what_was_written_in_the_runs_folder_and_nowhere_else(here, monkeypatch):
    from epitool.cli import app as whole
    from epitool.console import Summary
    from epitool.stages import refine

    monkeypatch.setattr(refine, "run", lambda _: Summary("trained"))
    Path("elsewhere").mkdir()
    assert CliRunner().invoke(whole, ["refine", "--out", "elsewhere/x.pt"]).exit_code == 0
    assert [str(path) for path in Path().rglob("*")] == ["elsewhere"]
    assert CliRunner().invoke(whole, ["refine", "--name", "own"]).exit_code == 0
    assert Path("runs/own/refine.toml").exists()
