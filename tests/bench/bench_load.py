"""Peak memory and time as files grow: more frames, more cameras, more threads.

`python tests/bench/bench_load.py FOLDER` prints the tables of docs/benchmarks.md; FOLDER takes some 10 GB. Each row is
one command in a process of its own; memory is the most that it ever held. The rows are also kept in FOLDER/rows.jsonl:
`--picture FILE.png` draws them; with `--drawn` nothing is measured, and those that are there are drawn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.geometry.people.candidates import Candidates
from epitool.io.cameras import write_rig
from epitool.io.candidates_h5 import add_candidates
from epitool.io.h5 import texts
from epitool.io.keypoints_h5 import write_keypoints
from epitool.pose import Keypoints
from epitool.synthetic import labels_of, noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.rigs import studio_rig

BLOCK = 2000
ROWS = "rows.jsonl"
CAMERAS, JOBS = 4, 1  # unless a curve is over them


def recording(folder: Path, cameras: int, frames: int, people: int = 1) -> None:
    """`cameras.toml`, and a `keypoints.h5` of 2000 frames forth and back, over and over, with image names of their own.

    People go on from where they are, so that nobody is anywhere else in the next frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rig = studio_rig("ring", cameras, 1000, 0)
    write_rig(folder / "cameras.toml", rig)
    block = [detected(rig, person) for person in range(people)]
    write_keypoints(folder / "keypoints.h5", block[0])
    if people > 1:
        add_candidates(folder / "keypoints.h5", everyone(block, frames))
    with h5py.File(folder / "keypoints.h5", "r+") as file:
        for name in ("xy", "confidence", "take"):
            values = file[name][:]
            del file[name]
            stored = file.create_dataset(name, (frames, *values.shape[1:]), values.dtype)
            for start in range(0, frames, BLOCK):
                stored[start : start + BLOCK] = values[forth_and_back(np.arange(start, min(start + BLOCK, frames)))]
        del file["images"], file["frames"]
        file["frames"] = np.arange(frames)
        file["images"] = texts([[f"{view}/{f:07d}.jpg" for view in rig.names] for f in range(frames)])


def detected(rig: Rig, person: int) -> Keypoints:
    """What is seen of one of several people in the first 2000 frames; the second stands 1.2 m off, and so on."""
    xyz = random_motion(BLOCK, person).xyz + np.array([1200.0 * person, 0.0, 0.0])
    return noisy_keypoints(labels_of(xyz, rig), sigma_px=2.0, outliers=0.05, swap_share=0.0, seed=1 + person)


def everyone(block: Sequence[Keypoints], frames: int) -> Candidates:
    """All people in all frames, in the order that `detect2d` has them: view by view."""
    shape = (len(block[0].views), frames, len(block))
    view, frame, person = (axis.ravel() for axis in np.indices(shape, dtype=np.int32))
    xy, confidence = (
        np.stack([getattr(each, name) for each in block]).astype(np.float32) for name in ("xy", "confidence")
    )
    of_block = forth_and_back(frame)
    return Candidates(xy[person, of_block, view], confidence[person, of_block, view], frame, view)


def forth_and_back(frames: NDArray[np.integer]) -> NDArray[np.integer]:
    """Frames of the block that these frames of the recording show."""
    turn, there = np.divmod(frames, BLOCK)
    return np.where(turn % 2 == 0, there, BLOCK - 1 - there)


def poses(path: Path, count: int, noise: float) -> None:
    """Poses in clips of 1000, with an error."""
    xyz = np.tile(random_motion(BLOCK, 0).xyz, (-(-count // BLOCK), 1, 1))[:count]
    rng = np.random.default_rng(0)
    np.savez(
        path,
        xyz_mm=(xyz - xyz[:, :1] + noise * rng.standard_normal(xyz.shape)).astype(np.float32),
        clip_index=np.arange(count) // 1000,
    )


def elsewhere(make: Callable[..., None], *arguments: Any) -> None:
    """In a process of its own, for Linux counts the most that this one ever held as held by those that it starts."""
    process = multiprocessing.get_context("spawn").Process(target=make, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def measure(folder: Path, *arguments: str, **about: int) -> None:
    """Runs a command, prints a row, and keeps it in the folder above, with what it is about: cameras, frames, poses."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "epitool", *arguments, "--quiet"], cwd=folder, stdout=-1, text=True
    )
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    row = {
        "folder": folder.name, "command": " ".join(arguments), **about, "seconds": time.perf_counter() - begin,
        "processor_seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1000,
        "status": process.returncode,
    }  # fmt: skip
    with (folder.parent / ROWS).open("a") as file:
        file.write(json.dumps(row) + "\n")
    state = "" if process.returncode == 0 else f"status {process.returncode} {out}"
    print(
        f"| {folder.name} | {row['command']} | {row['seconds']:.1f} | {row['processor_seconds']:.1f}"
        f" | {row['megabytes']:.0f} | {state}",
        flush=True,
    )


def measured(path: Path) -> list[dict[str, Any]]:
    """The rows of commands that did what they should; of several of one command on one file the last."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return list({(row["folder"], row["command"]): row for row in rows if row["status"] == 0}.values())


def curve(rows: list[dict[str, Any]], command: str, over: str, **fixed: int) -> list[tuple[int, float, float]]:
    """(value of `over`, seconds, MB) of the rows of a command in which all else is as stated."""
    own = [row for row in rows if row["command"].startswith(command) and "frames" in row]
    own = [row for row in own if row.get("people", 1) == 1]
    own = [row for row in own if all(row.get(name, value) == value for name, value in fixed.items()) and over in row]
    return sorted((row[over], row["seconds"], row["megabytes"]) for row in own)


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Seconds (above) and MB (below) over frames, cameras and jobs, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    most = max((row["frames"] for row in rows if "jobs" in row), default=0)
    of_cameras = [row["frames"] for row in rows if row.get("cameras", CAMERAS) != CAMERAS]
    panels = (
        ("frames", f"{CAMERAS} cameras", {"cameras": CAMERAS, "jobs": JOBS}),
        (
            "cameras",
            f"{max(of_cameras, default=most):,} frames",
            {"frames": max(of_cameras, default=most), "jobs": JOBS},
        ),
        ("jobs", f"{most:,} frames, {CAMERAS} cameras", {"frames": most, "cameras": CAMERAS}),
    )
    figure = Figure(figsize=(10.5, 6.2), dpi=110, layout="constrained")
    axes = figure.subplots(2, 3, sharex="col", sharey="row")
    for column, (over, title, fixed) in enumerate(panels):
        for command, color in (("calibrate", "#0072b2"), ("triangulate", "#d55e00"), ("show", "#009e73")):
            points = np.array(curve(rows, command, over, **fixed)).reshape(-1, 3)
            for row in (0, 1):
                if len(points):
                    axes[row, column].plot(points[:, 0], points[:, row + 1], "o-", color=color, label=command)
        ticks = sorted({row[over] for row in rows if "frames" in row and over in row})
        for panel in axes[:, column]:
            panel.set(xscale="log", yscale="log")
            panel.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            panel.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        axes[0, column].set_title(title, fontsize=10)
        axes[1, column].set_xlabel(over)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("MB at most")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, format="png")


def measure_recordings(options: argparse.Namespace) -> None:
    """Rows of the commands on recordings of ever more frames and cameras."""
    several = options.people > 1
    others = [] if several else [(cameras, min(100_000, max(options.frames))) for cameras in (2, 8)]
    for cameras, frames in [*((CAMERAS, frames) for frames in options.frames), *others]:
        folder = options.folder / f"{cameras} x {frames}{f' x {options.people} people' * several}"
        if not (folder / "keypoints.h5").exists():
            elsewhere(recording, folder, cameras, frames, options.people)
        for command in (
            ["calibrate", "--intrinsics", "cameras.toml", "--out", "found.toml"],
            *(["triangulate", "--jobs", jobs] for jobs in ("1", "2", "4")[: 1 if several else 3]),
            ["show", "labels.h5"],
        ):
            if command[0].startswith(options.only):
                jobs = {"jobs": int(command[-1])} if "--jobs" in command else {}
                measure(folder, *command, cameras=cameras, frames=frames, people=options.people, **jobs)


def measure_poses(options: argparse.Namespace) -> None:
    """Rows of the commands on arrays of ever more poses."""
    for count in options.poses:
        folder = options.folder / f"{count} poses"
        if not folder.exists():
            folder.mkdir(parents=True)
            elsewhere(poses, folder / "truth.npz", count, 0.0)
            elsewhere(poses, folder / "poses.npz", count, 40.0)
        for command in (
            ["pss-fit", "--poses", "truth.npz", "--k", "50,100", "--split", "all"],
            ["evaluate", "--predictions", "poses.npz", "--truth", "truth.npz"],
        ):
            if command[0].startswith(options.only):
                measure(folder, *command, poses=count)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--video", type=Path, help="a long one, for detect2d")
    parser.add_argument("--only", default="", help="rows whose command starts so")
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--people", type=int, default=1, help="in every image")
    parser.add_argument("--poses", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--picture", type=Path, help="PNG for the curves of all rows in FOLDER/rows.jsonl")
    parser.add_argument("--drawn", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.drawn:
        print("| file | command | s | processor s | MB at most | |\n|---|---|---|---|---|---|")
        measure_recordings(options)
        measure_poses(options)
        if options.video:
            (options.folder / "video").mkdir(exist_ok=True)
            measure(options.folder / "video", "detect2d", "--views", str(options.video.resolve()), "--overwrite")
    if options.picture:
        draw(options.picture, measured(options.folder / ROWS))


if __name__ == "__main__":
    main()
