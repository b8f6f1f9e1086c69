"""Several processes learn as one would, but for batch normalisation on CPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from test_cli import epitool
from torch import nn

from epitool.errors import InputError, UsageError
from epitool.io.labels_h5 import write_labels
from epitool.nn import distributed
from epitool.nn.distributed import Compute, agree_on_buffers, share_batch_norm, silent_unless_first
from epitool.nn.training import shares
from epitool.synthetic import render_scene

# `epitool` with batch normalisation that neither looks at a batch nor learns its statistics.
STILL = """
from torch import nn
nn.BatchNorm2d.forward = lambda self, x: nn.functional.batch_norm(
    x, self.running_mean, self.running_var, self.weight, self.bias)
from epitool.cli import main
main()
"""


def still(norm: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """The same for this process."""
    return nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_batch_norm_of_gpus_spans_them_and_keeps_the_names_of_weights():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    names = list(network.state_dict())
    for device, kind in (("cpu", nn.BatchNorm2d), ("cuda", nn.SyncBatchNorm)):
        share_batch_norm(network, torch.device(device))
        assert type(network[1]) is kind
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
        (Compute("cpu", nodes=2), "--nodes 2: torchrun or SLURM must start"),
    ],
)
def test_what_cannot_be_computed_is_refused(compute, message):
    with pytest.raises(UsageError, match=message):
        compute.start()


@pytest.mark.parametrize(("rank", "silent"), [(0, False), (1, True)])
def test_only_the_first_process_warns_before_they_are_joined(monkeypatch, rank, silent):
    said = []
    monkeypatch.setattr(distributed.rank_zero_only, "rank", rank)
    monkeypatch.setattr(distributed, "fall_silent", lambda: said.append("silent"))
    silent_unless_first()
    assert bool(said) == silent


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_labels(folder / "labels.h5", render_scene(folder / "scene", frames=6, seed=3))
    return folder


def arguments(name: str) -> list[str]:
    small = ["--preset", "small", "--image-size", "64", "--epochs", "2", "--precision", "32", "--device", "cpu"]
    return ["train", "--name", name, *small, "--json"]


def start(folder: Path, name: str, *options: str, program: tuple[str, ...] = ("-m", "epitool")) -> subprocess.Popen:
    """Starts training by the command line."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *program, *arguments(name), *options]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def train(folder: Path, name: str) -> SimpleNamespace:
    """Trains in this process, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = epitool(*arguments(name))
    torch.set_num_threads(threads)
    return result


def log_of(result: SimpleNamespace, folder: Path, name: str) -> list[dict]:
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 2  # and printed by one process alone
    return [json.loads(line) for line in (folder / "runs" / name / "log.jsonl").read_text().splitlines()]


def test_two_processes_have_the_loss_curve_of_one(footage, monkeypatch):
    (footage / "still.py").write_text(STILL)
    process = start(footage, "two", "--devices", "2", program=("still.py",))
    out, err = process.communicate(timeout=300)
    two = log_of(SimpleNamespace(returncode=process.returncode, stdout=out, stderr=err), footage, "two")
    monkeypatch.setattr(nn.BatchNorm2d, "forward", still)
    one = log_of(train(footage, "one of two"), footage, "one of two")
    for name in ("train_loss", "val_nmpjpe"):
        np.testing.assert_allclose(*([line[name] for line in curve] for curve in (two, one)), rtol=2e-3)


def test_what_the_first_process_refuses_is_said_once_and_ends_both(footage, tmp_path):
    (tmp_path / "labels.h5").write_bytes((footage / "labels.h5").read_bytes())  # without its images
    process = start(tmp_path, "refused", "--devices", "2")
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err.count("error:")) == (InputError.exit_status, 1), err
    assert "Traceback" not in err


def one_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    norm = nn.BatchNorm2d(4)
    norm(torch.full((2, 4, 3, 3), float(rank)))
    agree_on_buffers(norm, SimpleNamespace(world_size=2))
    torch.save(norm.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_with_their_own_batch_norm_measure_the_network_that_is_kept(tmp_path):
    torch.multiprocessing.start_processes(one_of_two, (str(tmp_path),), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.thorough  # the same of a run in this process is in test_training.py
def test_killed_run_ends_in_the_bits_of_an_undisturbed_one(footage):
    process = start(footage, "killed")
    assert any("epoch 1/" in line for line in process.stderr)  # while its files are being written
    process.kill()
    process.communicate()
    for name in ("killed", "one"):
        log_of(train(footage, name), footage, name)
    first, second = (torch.load(footage / "runs" / name / "last.pt")["weights"] for name in ("one", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
