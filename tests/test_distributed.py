"""Several processes learn as one would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn

from epitool.errors import UsageError
from epitool.io.labels import write_labels
from epitool.nn.distributed import Compute, SharedBatchNorm, share_batch_norm
from epitool.nn.training import shares
from epitool.synthetic import render_scene

COUNTS = (3, 5)


def images() -> torch.Tensor:
    return torch.randn(sum(COUNTS), 4, 6, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1


def layer(kind: type[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    norm = kind(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 3.0]))
    return norm


def normalise(norm: nn.BatchNorm2d, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What comes out, and the gradients of a loss that is a sum over images."""
    x = x.clone().requires_grad_(True)
    y = norm(x)
    (y * torch.arange(y[0].numel()).reshape(y[0].shape).sin()).pow(2).sum().backward()
    grads = {"x": x.grad, "weight_grad": norm.weight.grad, "bias_grad": norm.bias.grad}
    return {"y": y.detach(), **grads, **norm.state_dict()}


def half(rank: int, folder: str) -> None:
    """One of two processes."""
    address = f"file://{folder}/meet"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=len(COUNTS))
    torch.save(normalise(layer(SharedBatchNorm), images().split(COUNTS)[rank]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_batch_norm_of_two_processes_is_that_of_one(tmp_path):
    torch.multiprocessing.spawn(half, (str(tmp_path),), nprocs=len(COUNTS))
    whole, parts = normalise(layer(nn.BatchNorm2d), images()), [torch.load(tmp_path / f"{r}.pt") for r in (0, 1)]
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name], atol=1e-3, rtol=1e-4)
    for name in ("weight_grad", "bias_grad"):
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name], atol=1e-2, rtol=1e-4)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        for part in parts:
            torch.testing.assert_close(part[name], whole[name], atol=1e-5, rtol=1e-5)


def test_names_of_weights_stay_when_normalisation_is_shared():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    names = list(network.state_dict())
    assert isinstance(share_batch_norm(network, torch.device("cpu"))[1], SharedBatchNorm)
    assert list(network.state_dict()) == names


def test_every_image_of_a_batch_is_computed_once():
    batch = np.arange(17)
    pieces = [piece for rank in range(3) for piece in shares(batch, rank, 3, 2)]
    assert sorted(i for piece in pieces for i in piece) == batch.tolist()
    assert len(pieces) == 6


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (Compute("cpu", precision="8"), "none of auto, 32, bf16, 16"),
        (Compute("cpu", precision="16"), "needs a GPU"),
        (Compute("tpu"), "expected auto"),
    ],
)
def test_what_cannot_be_computed_is_refused(compute, message):
    with pytest.raises(UsageError, match=message):
        compute.start()


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_labels(folder / "labels.h5", render_scene(folder / "scene", frames=10, seed=3))
    return folder


@pytest.fixture(scope="module")
def undisturbed(footage) -> list[dict]:
    return finish(start(footage, "one"), footage, "one")


def start(folder: Path, name: str, *options: str) -> subprocess.Popen:
    """Starts training by the command line."""
    small = ["--preset", "small", "--image-size", "64", "--epochs", "3", "--precision", "32", "--device", "cpu"]
    command = [sys.executable, "-m", "epitool", "train", "--name", name, *small, *options, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def finish(process: subprocess.Popen, folder: Path, name: str) -> list[dict]:
    """Waits for the end, and returns the log."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out)["epochs"] == 3  # and printed by one process alone
    return [json.loads(line) for line in (folder / "runs" / name / "log.jsonl").read_text().splitlines()]


def test_two_processes_have_the_loss_curve_of_one(footage, undisturbed):
    two = finish(start(footage, "two", "--devices", "2"), footage, "two")
    for name in ("train_loss", "val_nmpjpe"):
        np.testing.assert_allclose(*([line[name] for line in curve] for curve in (two, undisturbed)), rtol=2e-3)


def test_killed_run_ends_in_the_bits_of_an_undisturbed_one(footage, undisturbed):
    process = start(footage, "killed")
    assert any("epoch 1/" in line for line in process.stderr)  # while its files are being written
    process.kill()
    process.communicate()
    finish(start(footage, "killed"), footage, "killed")
    first, second = (torch.load(footage / "runs" / name / "last.pt")["weights"] for name in ("one", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
