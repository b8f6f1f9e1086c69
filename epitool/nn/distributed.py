"""Training on several devices or machines (Lightning Fabric)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from epitool.console import fall_silent, stream_redirected
from epitool.errors import EpitoolError, UsageError
from epitool.nn.device import computes_bfloat16, pick_device

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # `train` reports the devices in one line itself
warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of speed, at the first step
_LOST = ("connection", "timed out", "remote", "nccl", "gloo")  # words in the backends' errors after a process was lost
_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True)
class Compute:
    """Devices, and the precision they compute in.

    Attributes:
        device: "auto", "cpu", "cuda", or "cuda:N".
        devices: Number of devices on each machine.
        nodes: Number of machines.
        precision: Precision of products, "32", "bf16" or "16"; or "auto": bf16 where the device supports it natively.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"

    def start(self) -> Fabric:
        """Start the processes: this one, and one for each further device.

        Raises:
            UsageError: A device does not exist, the precision is unknown or not supported by the device, or there are
                several machines and no launcher that started the processes on them.
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
        environment = getattr(fabric.strategy, "cluster_environment", None)
        if self.nodes > 1 and not (environment and environment.creates_processes_externally):
            raise UsageError(  # the machines would wait for each other without end
                f"--nodes {self.nodes}: torchrun or SLURM must start the command on every machine, and neither has"
                f" started this one: torchrun --nnodes {self.nodes} ... $(which epitool) train --nodes {self.nodes} ..."
            )
        with stream_redirected(1, 2) if self.devices * self.nodes > 1 else nullcontext():
            fabric.launch()  # Gloo prints its connections on stdout
        if not fabric.is_global_zero:
            fall_silent()
        return fabric

    def precision_on(self, device: torch.device) -> str:
        """Return the precision on a device, with "auto" resolved.

        Raises:
            UsageError: It is unknown, or not supported by the device.
        """
        if self.precision == "auto":
            return "bf16" if computes_bfloat16(device) else "32"
        if self.precision not in _PRECISIONS:
            raise UsageError(f"precision {self.precision}: is none of auto, {', '.join(_PRECISIONS)}")
        if self.precision == "16" and device.type == "cpu":
            raise UsageError("precision 16: needs a GPU; a CPU computes in bf16 or 32")
        return self.precision


def silent_unless_first() -> None:
    """Stop the output of this process, except errors, if the launcher's environment says that another one is the first.

    `Compute.start` does so too, but a process may have something to warn of before.
    """
    if getattr(rank_zero_only, "rank", 0) > 0:
        fall_silent()


def do_first(fabric: Fabric, action: Callable[[], object]) -> None:
    """Do something in the first process while the others wait.

    Raises:
        EpitoolError: It was refused.
        SystemExit: It was refused; the other processes end with the error's status, for the first one says it.
    """
    refusal = None
    if fabric.is_global_zero:
        try:
            action()
        except EpitoolError as error:
            refusal = error
    if refusal := fabric.broadcast(refusal):
        raise refusal if fabric.is_global_zero else SystemExit(refusal.exit_status)


@contextmanager
def lost_process_reported(fabric: Fabric) -> Iterator[None]:
    """Report the loss of another process of the run in one line.

    Raises:
        EpitoolError: Another process has ended.
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
    """Let batch normalisation use the images of all processes, on GPUs; parameters keep their names.

    PyTorch has no such normalisation for CPUs, where every process normalises by its own images.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def agree_on_buffers(network: nn.Module, fabric: Fabric) -> None:
    """Copy the first process's means and variances to all, so that all evaluate the network that is saved."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
