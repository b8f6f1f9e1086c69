"""Peak memory and time as files grow: more frames, more cameras, more threads.

`python tests/bench/bench_load.py FOLDER` prints the tables of docs/benchmarks.md; FOLDER takes some 10 GB. Each row is
one command in a process of its own; memory is the most that it ever held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from epitool.io.cameras import write_rig
from epitool.io.h5 import texts
from epitool.io.keypoints import write_keypoints
from epitool.synthetic import labels_of, noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.rigs import studio_rig

BLOCK = 2000


def recording(folder: Path, cameras: int, frames: int) -> None:
    """`cameras.toml`, and a `keypoints.h5` of 2000 frames over and over, with image names of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rig = studio_rig("ring", cameras, 1000, 0)
    write_rig(folder / "cameras.toml", rig)
    block = labels_of(random_motion(BLOCK, 0).xyz, rig)
    write_keypoints(
        folder / "keypoints.h5", noisy_keypoints(block, sigma_px=2.0, outliers=0.05, swap_share=0.0, seed=1)
    )
    with h5py.File(folder / "keypoints.h5", "r+") as file:
        for name in ("xy", "confidence", "take"):
            values = file[name][:]
            del file[name]
            stored = file.create_dataset(name, (frames, *values.shape[1:]), values.dtype)
            for start in range(0, frames, BLOCK):
                stored[start : start + BLOCK] = values[: frames - start]
        del file["images"], file["frames"]
        file["frames"] = np.arange(frames)
        file["images"] = texts([[f"{view}/{f:07d}.jpg" for view in rig.names] for f in range(frames)])


def poses(path: Path, count: int, noise: float) -> None:
    """Poses in clips of 1000, with an error."""
    xyz = np.tile(random_motion(BLOCK, 0).xyz, (-(-count // BLOCK), 1, 1))[:count]
    rng = np.random.default_rng(0)
    np.savez(
        path,
        xyz_mm=(xyz - xyz[:, :1] + noise * rng.standard_normal(xyz.shape)).astype(np.float32),
        clip_index=np.arange(count) // 1000,
    )


def measure(folder: Path, *arguments: str) -> None:
    """Runs a command and prints a row."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "epitool", *arguments, "--quiet"], cwd=folder, stdout=-1, text=True
    )
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, megabytes = time.perf_counter() - begin, used.ru_maxrss / 1000
    state = "" if process.returncode == 0 else f"status {process.returncode} {out}"
    print(
        f"| {folder.name} | {' '.join(arguments)} | {seconds:.1f} | {used.ru_utime + used.ru_stime:.1f}"
        f" | {megabytes:.0f} | {state}",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--video", type=Path, help="a long one, for detect2d")
    parser.add_argument("--only", default="", help="rows whose command starts so")
    options = parser.parse_args()
    print("| file | command | s | processor s | MB at most | |\n|---|---|---|---|---|---|")
    for cameras, frames in ((4, 1000), (4, 10_000), (4, 100_000), (4, 1_000_000), (2, 100_000), (8, 100_000)):
        folder = options.folder / f"{cameras} x {frames}"
        if not (folder / "keypoints.h5").exists():
            recording(folder, cameras, frames)
        for command in (
            ["calibrate", "--intrinsics", "cameras.toml", "--out", "found.toml"],
            *(["triangulate", "--jobs", jobs] for jobs in ("1", "2", "4")),
            ["show", "labels.h5"],
        ):
            if command[0].startswith(options.only):
                measure(folder, *command)
    for count in (10_000, 100_000, 1_000_000):
        folder = options.folder / f"{count} poses"
        if not folder.exists():
            folder.mkdir(parents=True)
            poses(folder / "truth.npz", count, 0.0)
            poses(folder / "poses.npz", count, 40.0)
        for command in (
            ["pss-fit", "--poses", "truth.npz", "--k", "50,100", "--split", "all"],
            ["evaluate", "--predictions", "poses.npz", "--truth", "truth.npz"],
        ):
            if command[0].startswith(options.only):
                measure(folder, *command)
    if options.video:
        measure(options.folder, "detect2d", "--views", str(options.video), "--overwrite")


if __name__ == "__main__":
    main()
