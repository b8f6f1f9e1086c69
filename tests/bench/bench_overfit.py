"""The network can learn 32 images by heart, to under 10 mm: nothing between label and pose is lost or moved.

Run with `pytest -m bench -s tests/bench/bench_overfit.py`; some minutes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epitool.metrics import mpjpe
from epitool.nn.crops import volume_to_pose
from epitool.nn.dataset import CropDataset
from epitool.nn.distributed import Compute
from epitool.nn.network import build_network
from epitool.nn.recording import Recording
from epitool.nn.run import LAST
from epitool.nn.torch_engine import infer
from epitool.nn.training import train
from epitool.nn.training_set import open_training_set
from epitool.options.network import SMALL
from epitool.synthetic import render_scene

MOST_MM = 10.0
BY_HEART = replace(
    SMALL,
    epochs=450,
    learning_rate=2e-3,
    rotation_deg=0.0,
    scale_range=(1.0, 1.0),
    colour_range=(1.0, 1.0),
)


@pytest.mark.bench
def test_32_images_are_learned_by_heart(tmp_path: Path):
    labels = render_scene(tmp_path / "scene", frames=11, seed=3)
    train(Recording.of(labels), BY_HEART, tmp_path, Compute("cpu", precision="32").start(), None)
    network = build_network(17, BY_HEART)
    network.load_state_dict(torch.load(tmp_path / LAST, weights_only=True)["weights"])
    samples, store = open_training_set(labels.poses.skeleton, tmp_path)
    part, data = samples.part("train"), CropDataset(store, samples, BY_HEART, augment=False)
    volume, _ = infer(network.eval(), np.stack([data[i][0].numpy() for i in part]))
    K = np.stack([camera.K for camera in labels.rig.cameras])[samples.views[part]]
    poses, _ = volume_to_pose(volume, samples.boxes[part], K, samples.bone_lengths, samples.skeleton)
    error = float(np.nanmean(mpjpe(poses, samples.pose[part].astype(float), samples.skeleton.root)))
    print(f"\n{len(part)} images: MPJPE {error:.1f} mm after {BY_HEART.epochs} epochs")
    assert len(part) == 32
    assert error < MOST_MM
