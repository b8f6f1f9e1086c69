"""Images a second that one core prepares for training, against those that the network learns from on all cores.

Run with `pytest -m bench -s tests/bench/bench_loader.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scenes import timed as timed_once

from epitool.nn.augment import draw_turn, recolour, warp
from epitool.nn.crop_store import CACHE_MARGIN, CropStore, cut_crops
from epitool.nn.dataset import CropDataset
from epitool.nn.distributed import Compute
from epitool.nn.network import build_network, convert_crops
from epitool.nn.soft_argmax import soft_argmax
from epitool.options.network import PAPER, SMALL, NetworkOptions
from epitool.skeleton import skeleton
from epitool.synthetic import render_scene

H36M = skeleton("h36m17")
LEAST = 2.0  # times as many images as the network takes on the same machine


def crops_of_a_scene(folder: Path, options: NetworkOptions) -> CropStore:
    keypoints = render_scene(folder / "scene", frames=4, seed=0).keypoints
    sizes = np.tile(keypoints.image_size, (len(keypoints.frames), 1))
    part = keypoints.images.ravel().tolist(), keypoints.boxes().reshape(-1, 4), sizes
    cut_crops([part], folder / "crops.jpgs", round(options.image_size * CACHE_MARGIN))
    return CropStore(folder / "crops.jpgs")


def timed(function: Callable[[], object], rounds: int = 30) -> float:
    """Processor seconds of a call, the least of several."""
    return min(timed_once(function)[1] for _ in range(rounds))


def network_seconds(options: NetworkOptions, batch: int) -> float:
    """Of one step of training on an image, in the precision that the machine's training takes."""
    fabric, network = Compute("cpu").start(), build_network(17, options)
    network, optimizer = fabric.setup(network, torch.optim.Adam(network.parameters(), fused=True))
    crops = torch.zeros((batch, options.image_size, options.image_size, 3), dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad()
        fabric.backward(soft_argmax(network(convert_crops(crops, fabric.device)))[0].square().sum())
        optimizer.step()

    return timed(step, 4) / batch


@pytest.mark.bench
@pytest.mark.parametrize(("options", "batch"), [(SMALL, 8), (replace(PAPER, backbone="resnet50"), 8)])
def test_images_are_prepared_faster_than_learned(tmp_path, options, batch):
    cv2.setNumThreads(1)
    store = crops_of_a_scene(tmp_path, options)
    samples = SimpleNamespace(
        volume=np.zeros((len(store), 17, 3), np.float32),
        weight=np.ones((len(store), 17, 3), np.float32),
        skeleton=H36M,
    )
    dataset, rng = CropDataset(store, samples, options, augment=True), np.random.default_rng(0)
    turn, scale = draw_turn(rng, options)
    cut = warp(store[0], turn / scale, options.image_size, CACHE_MARGIN)
    stages = {
        "decode": lambda: store[0],
        "warp": lambda: warp(store[0], turn / scale, options.image_size, CACHE_MARGIN),
        "colour": lambda: recolour(cut, rng, options),
    }
    seconds = {name: timed(stage) for name, stage in stages.items()}
    seconds["warp"] -= seconds["decode"]
    whole = timed(lambda: [dataset[i] for i in range(len(store))]) / len(store)
    learn = network_seconds(options, batch)
    each = ", ".join(f"{name} {1e3 * value:.2f}" for name, value in seconds.items())
    print(
        f"\n{options.backbone} at {options.image_size} px: loader {1 / whole:.0f} images/s on one core"
        f" ({1e3 * whole:.2f} ms: {each}), {store.path.stat().st_size / len(store) / 1024:.0f} KB a crop;"
        f" network {1 / learn:.1f} images/s on {torch.get_num_threads()} threads: ratio {learn / whole:.0f}"
    )
    assert learn / whole > LEAST
