"""The demo's report of footage on which not everything is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.io.cameras import write_rig
from epitool.io.labels_h5 import write_labels
from epitool.io.predictions import write_predictions
from epitool.pose import Predictions
from epitool.stages.demo.report import Step, write_report


@pytest.fixture
def upper_body(here, truth):
    """What the demo's commands leave of 20 frames in which no leg below the hip is ever seen."""
    labels = truth.between(0, 20)
    legs = [labels.poses.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    xyz, xy = labels.poses.xyz.copy(), labels.keypoints.xy.copy()
    xyz[:, legs] = xy[:, :, legs] = np.nan
    poses, keypoints = replace(labels.poses, xyz=xyz), replace(labels.keypoints, xy=xy)
    labels = replace(labels, poses=poses, keypoints=keypoints)
    for name in keypoints.images.ravel().tolist():
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, np.full((100, 100, 3), 90, np.uint8))
    write_labels(Path("labels.h5"), labels)
    write_rig(Path("cameras.toml"), labels.rig)
    Path("metrics.json").write_text('{"rows": []}')
    Path("runs/default").mkdir(parents=True)
    Path("runs/default/log.jsonl").write_text('{"epoch": 1, "train_loss": 0.1, "val_nmpjpe": 9.0}\n')
    return labels


def predicted(labels, frames: slice) -> None:
    """`pose.json` of the first view's images."""
    poses, images = labels.in_cameras[frames, 0], labels.keypoints.images[frames, 0]
    n, j = poses.shape[:2]
    found = Predictions(
        tuple(images), np.tile([0.0, 0, 9, 9], (n, 1)), poses - poses[:, :1], np.zeros((n, j, 2)), np.ones((n, j)),
        labels.poses.skeleton, "mm", {},
    )  # fmt: skip
    write_predictions(Path("pose.json"), found)


def test_lengths_that_are_never_seen_are_not_available(upper_body, here):
    predicted(upper_body, slice(None))
    text, values = write_report(here, "t", [Step("epitool train", "said", 1.0)], None, None)
    assert (values["stature"], values["lengths"]["left femur"]) == (None, None)
    assert "left femur n/a (never seen)" in text
    assert "shoulders " in text
    json.dumps(values, allow_nan=False)
    assert "pictures/poses.png" in (here / "report.md").read_text()


@pytest.mark.parametrize(
    ("frames", "caption"),
    [
        (slice(17, 20), "best, median and worst answers to one image"),
        (slice(18, 20), "best and worst answers to one image"),
        (slice(19, 20), "the only answer to one image"),
        (slice(0, 5), None),
    ],
)
def test_poses_are_pictured_where_images_of_the_test_have_predictions(upper_body, here, frames, caption):
    predicted(upper_body, frames)
    write_report(here, "t", [], None, None)
    assert (here / "pictures/poses.png").exists() == (caption is not None)
    report = (here / "report.md").read_text()
    assert ("predictions from one image: n/a" in report) == (caption is None)
    assert ("pictures/poses.png" in report) == (caption is not None)
    assert caption is None or caption in report
