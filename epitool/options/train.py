"""Options of `epitool train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.options.flag import Flag, Input, Options
from epitool.options.shared import Device, Overwrite, RunName, Seed


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train the volumetric network on labels; an interrupted run continues where it stopped.

    Options that are not given come from the preset. The command writes runs/NAME/model.pt, and train.toml, which
    --config reads.

    Example: epitool train --pairs labels.h5 --preset small --epochs 40
    """

    pairs: Annotated[Path, Flag("Labels made by `epitool triangulate`, of everyone.", role=Input())] = Path("labels.h5")
    name: RunName = "default"
    supervision: Annotated[
        Literal["self", "full", "2d"],
        Flag("self: triangulated poses. full: true poses. 2d: x and y of the keypoints."),
    ] = "self"
    preset: Annotated[
        Literal["auto", "paper", "small"],
        Flag("paper: ResNet-50 at 256 px. small: for a few CPU cores. auto: by the device."),
    ] = "auto"
    backbone: Annotated[str | None, Flag("resnet18, resnet34, resnet50, resnet101 or resnet152.", more=True)] = None
    image_size: Annotated[int | None, Flag("Side length of the crop in px.", least=64, most=1024, more=True)] = None
    epochs: Annotated[int | None, Flag("Number of passes over the training frames.", least=1, most=100_000)] = None
    batch_size: Annotated[int | None, Flag("Number of images in a training step.", least=2, most=65_536, more=True)] = (
        None
    )
    lr: Annotated[float | None, Flag("Initial learning rate.", more=True)] = None
    loss: Annotated[str | None, Flag("Loss: smooth_l1 (the paper's) or l1.", more=True)] = None
    occluders: Annotated[
        Path | None, Flag("Folder of cut-outs with alpha, pasted over the crops as occluders.", role=Input(), more=True)
    ] = None
    initial: Annotated[
        str | None, Flag("Initial weights: a checkpoint, or imagenet.", metavar="FILE", role=Input(), more=True)
    ] = None
    device: Device = "auto"
    devices: Annotated[int, Flag("Number of devices on each machine.", least=1, most=1024, more=True)] = 1
    nodes: Annotated[int, Flag("Number of machines.", least=1, most=65_536, more=True)] = 1
    precision: Annotated[
        Literal["auto", "32", "bf16", "16"],
        Flag("Precision of the multiplications. auto: bf16 if the device has it.", more=True),
    ] = "auto"
    accumulate: Annotated[
        int,
        Flag("Number of pieces that a device splits a batch into, one after another.", least=1, most=65_536, more=True),
    ] = 1
    seed: Seed = 0
    overwrite: Overwrite = False
    out: Path | None = None  # the run's folder, for Python only; on the command line it follows from the name
