"""Training on several devices or machines (Lightning Fabric)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import nn

from epitool.console import fall_silent, stream_redirected
from epitool.errors import EpitoolError, UsageError
from epitool.nn.device import computes_bfloat16, pick_device

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it says of devices, `train` says in one line
_LOST = ("connection", "timed out", "remote", "nccl", "gloo")  # in what PyTorch's backends say then
_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True)
class Compute:
    """What computes, and how.

    Attributes:
        device: "auto", "cpu", "cuda", or "cuda:N".
        devices: How many of them on each machine.
        nodes: How many machines.
        precision: "32", "bf16" or "16" of the products, or "auto": bf16 where the device is made for it.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"

    def start(self) -> Fabric:
        """Starts the processes: this one, and where several devices are asked for, one for each of the others.

        Raises:
            UsageError: A device is not there, or the precision is unknown or not the device's.
        """
        device = pick_device(self.device)
        if device.type == "cuda" and self.devices > torch.cuda.device_count():
            raise UsageError(f"devices {self.devices}: PyTorch finds {torch.cuda.device_count()} CUDA devices")
        fabric = Fabric(
            accelerator=device.type,
            devices=[device.index] if device.index is not None and self.devices == 1 else self.devices,
            num_nodes=self.nodes,
            precision=_PRECISIONS[self.precision_on(device)],
        )
        with stream_redirected(1, 2) if self.devices * self.nodes > 1 else nullcontext():
            fabric.launch()  # Gloo prints on stdout that it is connected
        if not fabric.is_global_zero:
            fall_silent()
        return fabric

    def precision_on(self, device: torch.device) -> str:
        """The precision on a device, "auto" resolved.

        Raises:
            UsageError: It is unknown, or not the device's.
        """
        if self.precision == "auto":
            return "bf16" if computes_bfloat16(device) else "32"
        if self.precision not in _PRECISIONS:
            raise UsageError(f"precision {self.precision}: is none of auto, {', '.join(_PRECISIONS)}")
        if self.precision == "16" and device.type == "cpu":
            raise UsageError("precision 16: needs a GPU; a CPU computes in bf16 or 32")
        return self.precision


@contextmanager
def lost_process_reported(fabric: Fabric) -> Iterator[None]:
    """That another process of the run has ended becomes one line.

    Raises:
        EpitoolError: It has.
    """
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        if fabric.world_size == 1 or not any(word in words for word in _LOST):
            raise
        raise EpitoolError(
            f"process {fabric.global_rank} of {fabric.world_size} has lost another one, which was killed or has failed;"
            " the same command goes on after the last whole epoch"
        ) from None


def share_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Lets batch normalisation see the images of all processes, on GPUs; parameters and their names stay.

    PyTorch has no such normalisation for CPUs: there every process normalises by its own images.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def agree_on_buffers(network: nn.Module, fabric: Fabric) -> None:
    """Gives every process the first one's means and variances, so that all measure the network that is kept."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
