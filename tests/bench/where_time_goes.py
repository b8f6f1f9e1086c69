"""Where the time of a command goes: imports, compiling, reading and computing; a table for docs/benchmarks.md.

Whole processes are timed, each several times, and the fastest counts: what else a machine does only adds. Processor
seconds (user and system) are given too, because other work adds less to them; several threads add up. "New machine" has
an empty cache of compiled functions. Python's own bytecode is kept, as an installation does, wherever this runs.
Run as `python tests/bench/where_time_goes.py`, with nothing else running.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.synthetic import labels_of, noisy_keypoints, walking_room
from epitool.synthetic.motion import random_motion

FRAMES, REPEATS = 1000, 5
COMMANDS = {
    "calibrate, 4 x 1000 frames": ["calibrate", "--intrinsics", "lenses.toml", "--scale", "height=1.78m"],
    "triangulate, 4 x 1000 frames": ["triangulate", "--cameras", "cameras.toml"],
    "evaluate, 2800 poses with PSS": ["evaluate", "--predictions", "p.h5", "--truth", "t.h5", "--pss", "50,100"],
}
IMPORTS = "import sys; import epitool.cli; import epitool.stages.{} as stage"


def seconds(arguments: list[str], folder: Path, cache: Path) -> np.ndarray:
    """Of a process of Python: on the clock, and of the processor."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = clocks()
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    return clocks() - begin


def clocks() -> np.ndarray:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])


def fastest(arguments: list[str], folder: Path, cache: Path) -> np.ndarray:
    return np.min([seconds(arguments, folder, cache) for _ in range(REPEATS)], axis=0)


def prepare(folder: Path) -> None:
    """Files that the commands read: a person before four cameras, and labels of 700 frames, 2800 poses."""
    truth = labels_of(random_motion(FRAMES, 1).xyz, walking_room())
    seen = noisy_keypoints(truth, sigma_px=3.0, outliers=0.02, swap_share=0.0, seed=1)
    write_rig(folder / "lenses.toml", truth.rig)
    write_keypoints(folder / "keypoints.h5", seen)
    write_keypoints(folder / "short.h5", seen.select_frames(np.arange(700)))
    run = ["-m", "epitool"]
    cache = folder / "warm"
    seconds([*run, *COMMANDS["calibrate, 4 x 1000 frames"]], folder, cache)
    for out, further in (("t.h5", ["--bones"]), ("p.h5", [])):
        command = ["triangulate", "--keypoints", "short.h5", "--out", out, *further]
        seconds([*run, *command], folder, cache)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        nothing = fastest(["-c", ""], folder, folder / "warm")
        typed = fastest(["-c", "import typer, rich.console, rich.table, rich.panel"], folder, folder / "warm")
        shown = fastest(["-m", "epitool", "--help"], folder, folder / "warm")
        print(f"Python alone {nothing[0]:.2f} s; importing typer and rich {typed[0]:.2f} s;", end=" ")
        print(f"epitool --help {shown[0]:.2f} s, {shown[0] / typed[0]:.2f} times as long", end=" ")
        print(f"(processor seconds: {shown[1] / typed[1]:.2f} times as many)")
        print(
            "| s | new machine | warm | of it Python | imports | reading, computing, writing | processor, new / warm |"
        )
        print("|---|---|---|---|---|---|---|")
        for words, command in COMMANDS.items():
            caches = (folder / f"{command[0]}{i}" for i in range(2))
            new = np.min([seconds(["-m", "epitool", *command], folder, cache) for cache in caches], axis=0)
            warm = fastest(["-m", "epitool", *command], folder, folder / "warm")
            loaded = fastest(["-c", IMPORTS.format(command[0])], folder, folder / "warm")
            parts = [new, warm, nothing, loaded - nothing, warm - loaded]
            cells = " | ".join(f"{part[0]:.2f}" for part in parts)
            print(f"| {words} | {cells} | {new[1]:.1f} / {warm[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
