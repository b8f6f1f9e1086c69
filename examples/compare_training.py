"""What each choice in training gains: networks trained on a rendered person's labels, measured against the exact truth.

First `epitool demo --synthetic`; then, for all of docs/training.md's table (hours on a CPU; rows already in the file
are not trained again):

    python compare_training.py epitool-demo results.jsonl --seeds 0 1 2
    python compare_training.py epitool-demo results.jsonl --seeds 0 --only base full 2d --picture curves.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epitool.io.labels_h5 import read_labels
from epitool.labels import split_frames
from epitool.metrics import nmpjpe, pmpjpe
from epitool.nn.distributed import Compute
from epitool.nn.inference import open_engine, predict_images
from epitool.nn.recording import Recording
from epitool.nn.training import train
from epitool.options.network import SMALL
from epitool.viz.plots import compare_learning_curves

CHOICES: dict[str, dict[str, Any]] = {
    "base": {},
    "mixed": {"together": False},
    "l1": {"loss": "l1"},
    "full": {"supervision": "full"},
    "2d": {"supervision": "2d"},
}


def measure(demo: Path, choice: str, seed: int) -> dict[str, Any]:
    """Trains one network, and measures it on the last frames, which it has not seen."""
    truth, options = read_labels(demo / "truth.h5"), replace(SMALL, seed=seed, **CHOICES[choice])
    labels = truth if options.supervision == "full" else read_labels(demo / "labels.h5")
    folder = demo / "compared" / f"{choice}-{seed}"
    train(Recording.of(labels), options, folder, Compute().start(), None)
    part = split_frames(len(truth.poses.frames))["test"]
    boxes = read_labels(demo / "labels.h5").keypoints.boxes()[part].reshape(-1, 4)
    seen = np.isfinite(boxes[:, 0])
    images = truth.keypoints.images[part].ravel()[seen].tolist()
    found = predict_images(open_engine(folder / "model.pt", "auto"), images, boxes[seen])
    xyz = truth.in_cameras[part].reshape(-1, *truth.poses.xyz.shape[1:])[seen]
    px = np.linalg.norm(found.joints_2d - truth.keypoints.xy[part].reshape(-1, xyz.shape[1], 2)[seen], axis=-1)
    row = {"name": choice, "seed": seed, "px": float(np.nanmean(px))}
    if options.supervision != "2d":
        row["nmpjpe"] = float(np.nanmean(nmpjpe(found.joints_3d, xyz, truth.poses.skeleton.root)))
        row["pmpjpe"] = float(np.nanmean(pmpjpe(found.joints_3d, xyz, truth.poses.skeleton.root)))
    return row


def show(rows: Iterable[dict[str, Any]]) -> None:
    """Prints a Markdown table: mean over the seeds, and each seed's value."""
    print("| | seeds | NMPJPE mm | PMPJPE mm | 2D error px |\n|---|---|---|---|---|")
    for name in CHOICES:
        found = sorted((row for row in rows if row["name"] == name), key=lambda row: row["seed"])
        cells = []
        for key, digits in (("nmpjpe", 0), ("pmpjpe", 0), ("px", 1)):
            values = [row[key] for row in found if key in row]
            each = ", ".join(f"{value:.{digits}f}" for value in values)
            cells.append(f"{np.mean(values):.{digits}f} ({each})" if values else "-")
        if found:
            print(f"| {name} | {len(found)} | {' | '.join(cells)} |")


def main() -> None:
    """Trains what is missing from the file of results, and prints all."""
    parser = argparse.ArgumentParser(description="What each choice in training gains.")
    parser.add_argument("demo", type=Path, help="folder of `epitool demo --synthetic`")
    parser.add_argument("results", type=Path, help="rows are appended to this file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--picture", type=Path, help="PNG for the learning curves of the first seed")
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["name"], row["seed"]) for row in rows}
    for seed in arguments.seeds:
        for choice in arguments.only:
            if (choice, seed) not in done:
                rows.append(measure(arguments.demo, choice, seed))
                with arguments.results.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    show(rows)
    if arguments.picture:
        runs = {name: arguments.demo / "compared" / f"{name}-{arguments.seeds[0]}" for name in arguments.only}
        logs = {name: [json.loads(line) for line in (run / "log.jsonl").open()] for name, run in runs.items()}
        compare_learning_curves(arguments.picture, logs)


if __name__ == "__main__":
    main()
