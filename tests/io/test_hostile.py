"""Damaged input to every reader, by the commands that use them: one line, a documented status, nothing else.

`EPITOOL_HOSTILE=40 pytest -m '' tests/io/test_hostile.py` tries forty damages of each kind instead of two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import exact_labels
from test_convert_animals import write_deeplabcut
from tiers import once
from typer.testing import CliRunner

from epitool.cli import app, spread_variadic
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.io.predictions import write_predictions
from epitool.pose import Predictions
from epitool.synthetic import noisy_keypoints

SEEDS = int(os.environ.get("EPITOOL_HOSTILE", "2"))
FINE = {0, 2, 3, 4, 5}
STRANGE = ["NaN", "Infinity", "-1e308", "1e999", "0", "-1", "null", '"x"', "[]", "99999999999999999999"]

COMMANDS = {  # by the file that is damaged
    "keypoints.h5": [["calibrate", "--intrinsics", "cameras.toml", "--out", "o.toml"], ["triangulate", "--out", "o.h5"],
                     ["show", "keypoints.h5", "--out", "o.html"]],
    "cameras.toml": [["triangulate", "--out", "o.h5"], ["calibrate", "--intrinsics", "cameras.toml", "--out", "o.toml"],
                     ["convert", "cameras.toml", "--out", "o"], ["show", "cameras.toml", "--out", "o.html"]],
    "Calib.qca.txt": [["triangulate", "--cameras", "Calib.qca.txt", "--out", "o.h5"]],
    "lens.yml": [["calibrate", "--intrinsics", "lens.yml", "--out", "o.toml"]],
    "labels.h5": [["evaluate", "--predictions", "pose.json", "--pss", "5", "--out", "o.json"],
                  ["show", "labels.h5", "--out", "o.html"],
                  ["pss-fit", "--k", "5", "--out", "o.npz"], ["convert", "labels.h5", "--fps", "30", "--out", "o.trc"]],
    "pose.json": [["evaluate", "--predictions", "pose.json", "--pss", "5", "--out", "o.json"],
                  ["show", "pose.json", "--out", "o.html"],
                  ["convert", "pose.json", "--fps", "30", "--out", "o.csv"]],
    "poses.npz": [["pss-fit", "--poses", "poses.npz", "--k", "5", "--out", "o.npz"]],
    "pss.npz": [["evaluate", "--predictions", "pose.json", "--pss-file", "pss.npz", "--pss", "5", "--out", "o.json"],
                ["show", "pss.npz", "--out", "o.png"]],
    "mocap/intri.yml": [["convert", "mocap", "--out", "o.toml"]],
    "alpha.json": [["convert", "alpha.json", "--skeleton", "coco17", "--size", "640x480", "--out", "o.h5"]],
    "coco.json": [["convert", "coco.json", "--skeleton", "coco17", "--size", "640x480", "--out", "o.h5"]],
    "dlc.csv": [["convert", "dlc.csv", "--size", "640x480", "--out", "o.h5"]],
    "dlc/cam2.h5": [["convert", "dlc/cam2.h5", "--size", "640x480", "--out", "o.h5"]],
    "sleap.h5": [["convert", "sleap.h5", "--size", "640x480", "--out", "o.h5"]],
    "pose_json/1.json": [["convert", "pose_json", "--skeleton", "coco17", "--size", "640x480", "--out", "o.h5"]],
    "log.jsonl": [["show", "log.jsonl", "--out", "o.png"]],
    "mpii/annot/train.json": [["import", "mpii", "mpii", "--out", "o"]],
}  # fmt: skip
KINDS = ("empty", "folder", "truncated", "flipped", "zeroed", "noise", "strange")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder in which every command above works."""
    folder = tmp_path_factory.mktemp("sound")
    labels = exact_labels(40)
    write_keypoints(
        folder / "keypoints.h5", noisy_keypoints(labels, sigma_px=1.0, outliers=0.02, swap_share=0.0, seed=0)
    )
    write_labels(folder / "labels.h5", labels)
    write_rig(folder / "cameras.toml", labels.rig)
    poses = labels.in_cameras[:, 0] - labels.in_cameras[:, 0, :1]
    names = tuple(str(folder / name) for name in labels.keypoints.images[:, 0].tolist())
    absolute = replace(labels.keypoints, images=np.char.add(f"{folder}/", labels.keypoints.images))
    write_labels(folder / "labels.h5", replace(labels, keypoints=absolute))
    boxes, xy = np.tile([0.0, 0, 99, 99], (40, 1)), labels.keypoints.xy[:, 0]
    seen = Predictions(names, boxes, poses, xy, np.ones((40, 17)), labels.poses.skeleton, "mm", {})
    write_predictions(folder / "pose.json", seen)
    np.savez(folder / "poses.npz", xyz_mm=poses, clip_index=np.zeros(40, int))
    rows = np.random.default_rng(0).uniform(5, 400, (4, 17, 3)) * [1, 1, 0.002]
    results = [{"image_id": f"{f}.jpg", "keypoints": rows[f].ravel().tolist()} for f in range(4)]
    (folder / "alpha.json").write_text(json.dumps(results))
    images = [{"id": f, "file_name": f"{f}.jpg", "width": 640, "height": 480} for f in range(4)]
    annotations = [{"image_id": f, "keypoints": rows[f].ravel().tolist()} for f in range(4)]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    head = [
        ["scorer", *["s"] * 9],
        ["bodyparts", *np.repeat(["nose", "a", "b"], 3)],
        ["coords", *["x", "y", "likelihood"] * 3],
    ]
    lines = [*head, *([f, *rows[f, :3].ravel()] for f in range(4))]
    (folder / "dlc.csv").write_text("\n".join(",".join(map(str, line)) for line in lines))
    (folder / "dlc").mkdir()
    write_deeplabcut(folder / "dlc", rows[:, None].repeat(2, axis=1))
    with h5py.File(folder / "sleap.h5", "w") as file:
        file["tracks"], file["point_scores"] = rows[..., :2].T[None], rows[..., 2].T[None]
        file["node_names"] = np.array([f"j{j}".encode() for j in range(17)])
    (folder / "pose_json").mkdir()
    person = {"pose_keypoints_2d": rows[0].ravel().tolist()}
    (folder / "pose_json" / "1.json").write_text(json.dumps({"people": [person]}))
    (folder / "log.jsonl").write_text(
        json.dumps({"epoch": 1, "train_loss": 0.1, "val_nmpjpe": 9.0, "val_2d_percent": 1.0})
    )
    people = [{"image": "a.jpg", "joints": (rows[0, :16, :2]).tolist(), "joints_vis": [1] * 16}]
    (folder / "mpii" / "annot").mkdir(parents=True)
    (folder / "mpii" / "images").mkdir()
    for part in ("train", "valid"):
        (folder / "mpii" / "annot" / f"{part}.json").write_text(json.dumps(people))
    cv2.imwrite(str(folder / "mpii" / "images" / "a.jpg"), np.zeros((9, 9, 3), np.uint8))
    for command in (
        ["convert", "cameras.toml", "--out", "Calib.qca.txt"], ["convert", "cameras.toml", "--out", "lens.yml"],
        ["convert", "cameras.toml", "--out", "mocap"],
        ["pss-fit", "--poses", "poses.npz", "--k", "5"],
    ):  # fmt: skip
        assert run(command, folder).exit_code == 0
    shutil.copy(folder / "lens_cam1.yml", folder / "lens.yml")
    return folder


def run(command: list[str], folder: Path):
    here = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, spread_variadic(command))
    finally:
        os.chdir(here)


def damaged(data: bytes, kind: str, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    if kind == "truncated":
        return data[: rng.integers(1, len(data))]
    if kind == "noise":
        return rng.bytes(min(len(data), 4096))
    content = bytearray(data)
    if kind == "flipped":
        for place in rng.integers(0, len(content), rng.integers(1, 20)):
            content[place] ^= 1 << int(rng.integers(0, 8))
    if kind == "zeroed":
        start = int(rng.integers(0, len(content)))
        content[start : start + 64] = bytes(len(content[start : start + 64]))
    if kind == "strange":  # numbers and words of a text
        tokens = list(re.finditer(rb"-?\d+\.?\d*(?:e[+-]?\d+)?|\"[^\"]*\"", data))
        for token in (
            sorted(rng.choice(len(tokens), min(3, len(tokens)), replace=False), reverse=True) if tokens else ()
        ):
            content[tokens[token].start() : tokens[token].end()] = STRANGE[rng.integers(len(STRANGE))].encode()
    return bytes(content)


CASES = [
    pytest.param(name, command, kind, seed, id=f"{command[0]}-{name.replace('/', '_')}-{kind}-{seed}")
    for name, commands in COMMANDS.items()
    for command in commands
    for kind in KINDS
    for seed in range(1 if kind in ("empty", "folder") else SEEDS)
]


def test_sound_files_work(sound):
    for commands in COMMANDS.values():
        for command in commands:
            result = run(command, sound)
            assert result.exit_code == 0, (command, result.output)
            for made in sound.glob("o*"):
                shutil.rmtree(made) if made.is_dir() else made.unlink()


def shown(name, command, kind, seed):
    """Every damage of every file, and every command that reads it."""
    return (name, kind), (name, *command)


@pytest.mark.parametrize(("name", "command", "kind", "seed"), once(CASES, shown))
def test_damage_ends_in_a_line_and_a_status(sound, tmp_path, name, command, kind, seed):
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder)
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if kind == "empty" else damaged(data, kind, seed))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    result = run(command, folder)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code in FINE
    if result.exit_code:
        assert "error:" in result.output or "Error" in result.output
        assert not list(folder.glob("o*")), "something half written"
    assert all(file.read_bytes() == content for file, content in before.items()), "an input has changed"
    assert not list(folder.glob(".epitool-*")), "a temporary file is left"
