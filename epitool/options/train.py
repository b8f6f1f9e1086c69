"""Options of `epitool train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.options.flag import Flag, Input, Options
from epitool.options.shared import Device, Overwrite, RunName, Seed


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train the volumetric network on labels; an interrupted run goes on where it stopped.

    What is not given comes from the preset. Writes runs/NAME/model.pt, and train.toml, which --config reads.

    Example: epitool train --pairs labels.h5 --preset small --epochs 40
    """

    pairs: Annotated[Path, Flag("Labels that `epitool triangulate` made.", role=Input())] = Path("labels.h5")
    name: RunName = "default"
    supervision: Annotated[
        Literal["self", "full", "2d"],
        Flag("self: triangulated poses. full: true poses. 2d: x and y of keypoints."),
    ] = "self"
    preset: Annotated[
        Literal["auto", "paper", "small"],
        Flag("paper: ResNet-50 at 256 px. small: for a few CPU cores. auto: by device."),
    ] = "auto"
    backbone: Annotated[str | None, Flag("resnet18, 34, 50, 101, 152.")] = None
    image_size: Annotated[int | None, Flag("Side of the crop in px.")] = None
    epochs: Annotated[int | None, Flag("Passes over the training frames.", least=1)] = None
    batch_size: Annotated[int | None, Flag("Images in a step.")] = None
    lr: Annotated[float | None, Flag("Learning rate at the start.")] = None
    loss: Annotated[str | None, Flag("smooth_l1 (the paper's) or l1.")] = None
    occluders: Annotated[Path | None, Flag("Folder of cut-outs with alpha to paste over the crops.", role=Input())] = (
        None
    )
    initial: Annotated[
        str | None, Flag("Weights to start from: a checkpoint, or imagenet.", metavar="FILE", role=Input())
    ] = None
    device: Device = "auto"
    devices: Annotated[int, Flag("How many of them, on each machine.", least=1)] = 1
    nodes: Annotated[int, Flag("How many machines.", least=1)] = 1
    precision: Annotated[
        Literal["auto", "32", "bf16", "16"],
        Flag("Bits of the products; auto: bf16 where the device has it."),
    ] = "auto"
    accumulate: Annotated[int, Flag("Pieces of a batch that a device computes one after the other.", least=1)] = 1
    seed: Seed = 0
    overwrite: Overwrite = False
    out: Path | None = None  # the run's folder, for programs; on the command line it follows from the name
