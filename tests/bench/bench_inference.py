"""How close inference on the CPU comes to what the machine can do, and what each step of it costs.

Run with `pytest -m bench -s tests/bench/bench_inference.py`. All ratios are of times taken in this process on one
thread, one after the other, the least of several: processor time, which other work on the machine hardly touches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model
from epitool.nn.crops import bones
from epitool.nn.device import computes_bfloat16
from epitool.nn.export import export_onnx
from epitool.nn.inference import predict_images
from epitool.nn.network import build_network, convert_crops
from epitool.nn.onnx_engine import OnnxEngine
from epitool.nn.soft_argmax import soft_argmax
from epitool.nn.torch_engine import TorchEngine
from epitool.options.network import PAPER
from epitool.skeleton import skeleton

pytestmark = pytest.mark.usefixtures("one_thread")
CPU, H36M, BATCH = torch.device("cpu"), skeleton("h36m17"), 8
GFLOP_AN_IMAGE = 16.7  # ResNet-50 with its head at 256 px
FLOORS = {"of the sgemm bound": 0.95, "bf16": 1.6, "end to end": 0.85, "soft-argmax": 1.0}


def least(function: Callable[[], object], rounds: int = 5, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of a call, the least of several."""
    function()
    times = []
    for _ in range(rounds):
        begin = clock()
        function()
        times.append(clock() - begin)
    return min(times)


@pytest.fixture(scope="module")
def model() -> Model:
    lengths = np.full(len(bones(H36M)), 300.0)
    card = ModelCard(PAPER, H36M, np.full(17, True), lengths, 1.2, "mm", "made up", "abc", 1, 80.0, 0.9)
    return Model(build_network(17, PAPER).state_dict(), card)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, 256, 256, 3)).astype(np.uint8)


@pytest.mark.bench
def test_network_computes_at_the_speed_of_matrix_products(model, crops, tmp_path):
    square = torch.randn(3072, 3072)
    bound = 2 * 3072**3 / least(lambda: square @ square) / (GFLOP_AN_IMAGE * 1e9)
    engine, plain, inputs = TorchEngine(model, CPU), model.network(CPU), convert_crops(torch.from_numpy(crops), CPU)
    half = TorchEngine(model, CPU, bf16=True)
    export_onnx(model, tmp_path / "model.onnx")
    graph = OnnxEngine(tmp_path / "model.onnx", torch.get_num_threads())
    with torch.inference_mode():
        folded = BATCH / least(lambda: engine._network(inputs))
        eager = BATCH / least(lambda: plain(inputs))
    whole, halved, onnx = (BATCH / least(lambda e=e: e(crops)) for e in (engine, half, graph))
    print(
        f"\n{torch.get_num_threads()} threads, images/s: sgemm bound {bound:.1f}; network {folded:.1f}"
        f" ({folded / bound:.2f} of it), before folding {eager:.1f}; with soft-argmax {whole:.1f},"
        f" bf16 {halved:.1f} ({halved / whole:.2f}x), ONNX Runtime {onnx:.1f} ({onnx / whole:.2f}x)"
    )
    assert folded / bound > FLOORS["of the sgemm bound"]
    if computes_bfloat16(CPU):
        assert halved / whole > FLOORS["bf16"]


@pytest.mark.bench
def test_reading_and_cropping_hide_behind_the_network(model, crops, tmp_path: Path):
    engine, names = TorchEngine(model, CPU), [str(tmp_path / f"{i}.jpg") for i in range(4 * BATCH)]
    for name in names:
        cv2.imwrite(name, cv2.resize(crops[0], (1920, 1080)))
    boxes = np.tile([500.0, 100.0, 800.0, 800.0], (len(names), 1))
    bare = len(names) * least(lambda: engine(crops), 5, time.perf_counter) / BATCH
    whole = least(lambda: predict_images(engine, names, boxes, BATCH), 5, time.perf_counter)
    print(f"\nfiles of 1920 x 1080 to poses: {len(names) / whole:.1f} images/s, {bare / whole:.2f} of the engine alone")
    assert bare / whole > FLOORS["end to end"]


def naive(volume: Tensor) -> Tensor:
    p = volume.flatten(2).softmax(dim=-1).reshape(volume.shape)
    index = torch.arange(volume.shape[-1], dtype=p.dtype)
    return torch.stack([(p.sum(dim=axes) * index).sum(dim=-1) for axes in ((2, 3), (2, 4), (3, 4))], dim=-1)


@pytest.mark.bench
@pytest.mark.parametrize("batch", [1, 4, 16, 32])
def test_soft_argmax_is_no_slower_than_naive(batch):
    volume = torch.randn(batch, 17, 64, 64, 64)

    def learn(function: Callable[[Tensor], Tensor]) -> None:
        function(volume.requires_grad_(True)).sum().backward()
        volume.grad = None

    ways = (naive, lambda v: soft_argmax(v)[0])
    with torch.inference_mode():
        slow, fast = (least(lambda f=f: f(volume)) for f in ways)
    slow_both, fast_both = (least(lambda f=f: learn(f)) for f in ways)
    print(
        f"\nbatch {batch}: {1e3 * fast / batch:.1f} ms an image, naive {slow / fast:.2f}x;"
        f" with gradient {1e3 * fast_both / batch:.1f} ms, naive {slow_both / fast_both:.2f}x"
    )
    assert slow / fast > FLOORS["soft-argmax"]
    assert slow_both / fast_both > FLOORS["soft-argmax"]
