"""Scenes that several tests share: cameras known, motion known, keypoints exact or with a detector's faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epitool.camera import Rig
from epitool.pose import Keypoints, Labels, Poses
from epitool.skeleton import skeleton
from epitool.synthetic import noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import ring_of_cameras


def exact_labels(frames: int = 120, seed: int = 0, rig: Rig | None = None) -> Labels:
    """A moving person before four cameras, nothing rendered; image names are made up."""
    rig = rig or ring_of_cameras()
    xyz = random_motion(frames, seed).xyz
    h36m, numbers, views = skeleton("h36m17"), np.arange(frames), len(rig)
    xy = rig.project(xyz)
    size = np.array([camera.image_size for camera in rig.cameras])
    inside = ((xy >= 0) & (xy <= size[None, :, None] - 1)).all(axis=-1)
    images = np.array([[f"{name}/{f:05d}.jpg" for name in rig.names] for f in numbers])
    keypoints = Keypoints(xy, inside.astype(float), numbers, rig.names, images, size, h36m)
    poses = Poses(xyz, np.ones(xyz.shape[:2]), numbers, h36m, rig.unit, "world")
    return Labels(poses, keypoints, rig, np.zeros((frames, views, 17)), np.zeros((frames, views), dtype=bool))


@pytest.fixture(scope="session")
def truth() -> Labels:
    return exact_labels()


@pytest.fixture(scope="session")
def detected(truth) -> Keypoints:
    """With noise of 2 px, 5% gross errors, missing limbs, and a view with swapped sides in a quarter of its frames."""
    return noisy_keypoints(truth, sigma_px=2.0, outliers=0.05, swap_share=0.25, seed=1)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
