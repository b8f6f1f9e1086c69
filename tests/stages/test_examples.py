"""The scripts in `examples/` for data sets that nobody may pass on: command lines that epitool takes, in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# Reads a command line as epitool would, notes it, and leaves the files that it would have made.
RECORDER = """#!{python}
import sys
from pathlib import Path
import typer
from epitool.cli import app, spread_variadic
group = typer.main.get_command(app)
name, *rest = spread_variadic(sys.argv[1:])
options = group.commands[name].make_context(name, list(rest)).params
with open("ran.txt", "a") as file:
    print(name, *rest, file=file)
absent = [word for word in rest if Path(word).suffix and not Path(word).exists() and word != str(options.get("out"))]
if absent:
    sys.exit(f"{{name}} reads {{absent}}, which nothing has made")
made = [Path(options["out"])] if options.get("out") else []
made += [Path("runs", options["name"], "model.pt")] if name == "train" else []
made += [Path("runs", options["name"], "refiner.pt")] if name == "refine" else []
for path in made:
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)
        for part in ("train.h5", "test.h5"):
            (path / part).touch()
"""


@pytest.mark.parametrize(
    ("script", "rows", "geometry"),
    [
        ("h36m", 12, "paper"),
        ("mpi_inf_3dhp", 4, "epitool"),
        pytest.param("h36m", 12, "epitool", marks=pytest.mark.thorough),
        pytest.param("mpi_inf_3dhp", 4, "paper", marks=pytest.mark.thorough),
    ],
)
def test_scripts_of_the_tables_are_command_lines_of_ours(here, script, rows, geometry):
    recorder = here / "bin" / "epitool"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)
    environment = {**os.environ, "PATH": f"{recorder.parent}:{os.environ['PATH']}", "GEOMETRY": geometry, "EPOCHS": "1"}
    command = ["bash", str(EXAMPLES / script / "tables.sh"), "/data/set", "/data/mpii"]
    for _ in range(2 if script == "mpi_inf_3dhp" else 1):  # what is there is not made again
        result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("== Table") == rows
    ran = (here / "ran.txt").read_text().splitlines()
    for line in ran:
        if not line.startswith("evaluate"):
            assert ran.count(line) == 1
