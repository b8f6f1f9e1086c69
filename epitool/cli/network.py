"""Commands that train and run networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.config import Config, storing
from epitool.cli.flags import (
    DetectorName,
    Device,
    Json,
    Labels,
    Out,
    Overwrite,
    Precision,
    Preset,
    Quiet,
    RunName,
    Seed,
    Supervision,
)
from epitool.cli.running import run


def train(
    ctx: typer.Context,
    pairs: Labels = Path("labels.h5"),
    name: RunName = "default",
    supervision: Annotated[
        Supervision,
        typer.Option("--supervision", help="self: triangulated poses. full: true poses. 2d: x and y of keypoints."),
    ] = Supervision.self,
    preset: Annotated[
        Preset,
        typer.Option("--preset", help="paper: ResNet-50 at 256 px. small: for a few CPU cores. auto: by device."),
    ] = Preset.auto,
    backbone: Annotated[str | None, typer.Option("--backbone", help="resnet18, 34, 50, 101, 152.")] = None,
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the crop in px.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the training frames.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Images in a step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate at the start.")] = None,
    loss: Annotated[str | None, typer.Option("--loss", help="smooth_l1 (the paper's) or l1.")] = None,
    occluders: Annotated[
        Path | None, typer.Option("--occluders", help="Folder of cut-outs with alpha to paste over the crops.")
    ] = None,
    initial: Annotated[
        str | None, typer.Option("--initial", metavar="FILE", help="Weights to start from: a checkpoint, or imagenet.")
    ] = None,
    device: Device = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="How many of them, on each machine.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="How many machines.")] = 1,
    precision: Annotated[
        Precision, typer.Option("--precision", help="Bits of the products; auto: bf16 where the device has it.")
    ] = Precision.auto,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, help="Pieces of a batch that a device computes one after the other.")
    ] = 1,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the volumetric network on labels; an interrupted run goes on where it stopped.

    What is not given comes from the preset. Writes runs/NAME/model.pt, and train.toml, which --config reads.

    Example: epitool train --pairs labels.h5 --preset small --epochs 40
    """
    from epitool.stages import train as stage

    run(
        storing(stage.run, ctx), quiet, as_json,
        pairs=pairs, name=name, supervision=supervision.value, preset=preset.value, backbone=backbone,
        image_size=image_size, epochs=epochs, batch_size=batch_size, learning_rate=lr, loss=loss,
        occluders=str(occluders) if occluders else None, occlusion=True if occluders else None, initial=initial,
        device=device, devices=devices, nodes=nodes, precision=precision.value, accumulate=accumulate, seed=seed,
        overwrite=overwrite,
    )  # fmt: skip


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="Images, folders, videos, video.mp4#12; labels, for their images; -: named on stdin."
        ),
    ],
    model: Annotated[
        Path | None, typer.Option("--model", help="Checkpoint, or model.onnx.", show_default="the newest in runs/")
    ] = None,
    out: Out = Path("pose.json"),
    box: Annotated[str | None, typer.Option("--box", help="Where the person is: x,y,w,h in px, or image.")] = None,
    boxes: Annotated[
        Path | None, typer.Option("--boxes", help="Where people are, from 2D joints that detect2d has found.")
    ] = None,
    detector: DetectorName = None,
    root_depth: Annotated[
        float | None,
        typer.Option("--root-depth", min=0, help="Distance of the root from the camera, in the model's unit."),
    ] = None,
    refiner: Annotated[Path | None, typer.Option("--refiner", help="Refinement unit to apply.")] = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="Folder for images with the pose drawn.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images at a time.")] = 16,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Faster where the processor has it; joints move by a tenth of a voxel.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict the 3D pose of a person from single images.

    Example: epitool predict img.jpg --out pose.json

    In a pipe: find shots -name '*.png' | epitool predict - --out - | epitool evaluate --predictions -
    """
    from epitool.stages import predict as stage

    run(
        stage.run, quiet, as_json,
        images=images, model=model, out=out, box=box, boxes=boxes, detector=detector, root_depth=root_depth,
        refiner=refiner, overlay=overlay, batch_size=batch_size, bf16=bf16, device=device,
    )  # fmt: skip


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("model.onnx"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as an ONNX graph, which predict --model takes on machines without PyTorch.

    Example: epitool export runs/default/model.pt --out model.onnx
    """
    from epitool.stages import export as stage

    run(stage.run, quiet, as_json, piped=False, model=model, out=out)


def refine(
    ctx: typer.Context,
    predictions: Annotated[Path, typer.Option("--predictions", help="Poses that the network predicted.")] = Path(
        "pose.json"
    ),
    pairs: Labels = Path("labels.h5"),
    mocap: Annotated[
        Path | None,
        typer.Option("--mocap", help="Motion capture poses (.npz) to learn from, with errors like the network's."),
    ] = None,
    name: RunName = "default",
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the poses.", show_default="200; 60 with --mocap")
    ] = None,
    seed: Seed = 0,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a refinement unit that corrects the network's poses; `predict --refiner` applies it.

    It learns from the labels, or, with --mocap, from other people's poses, as far as the labels tell how the network
    errs.

    Example: epitool refine --predictions pose.json --pairs labels.h5
    """
    from epitool.stages import refine as stage

    run(
        storing(stage.run, ctx), quiet, as_json,
        predictions=predictions, pairs=pairs, mocap=mocap, name=name, epochs=epochs, seed=seed,
    )  # fmt: skip
