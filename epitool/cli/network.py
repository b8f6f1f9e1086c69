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
        Path | None,
        typer.Option(
            "--model", help="Checkpoint, or model.onnx.", show_default="the newest in runs/, where the unit wants it"
        ),
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
    height: Annotated[
        str | None, typer.Option("--height", metavar="LENGTH", help="Of the person, as 1.78m: gives poses their size.")
    ] = None,
    refiner: Annotated[
        Path | None,
        typer.Option("--refiner", help="Refinement unit.", show_default="the newest in runs/, or the shipped one"),
    ] = None,
    no_refiner: Annotated[bool, typer.Option("--no-refiner", help="The volumetric network alone.")] = False,
    smooth: Annotated[bool, typer.Option("--smooth", help="Average poses in videos over 0.1 s or so.")] = False,
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

    A detector finds the joints, and a refinement unit lifts them to 3D: one of your own (epitool refine), or the one
    that comes with epitool. In videos, poses of neighbouring frames must agree about left and right.

    Example: epitool predict img.jpg --out pose.json

    In a pipe: find shots -name '*.png' | epitool predict - --out - | epitool evaluate --predictions -
    """
    from epitool.stages import predict as stage

    run(
        stage.run, quiet, as_json,
        images=images, model=model, out=out, box=box, boxes=boxes, detector=detector, root_depth=root_depth,
        height=height, refiner=refiner, no_refiner=no_refiner, smooth=smooth, overlay=overlay, batch_size=batch_size,
        bf16=bf16, device=device,
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
    pairs: Annotated[
        list[Path], typer.Option("--pairs", metavar="FILE...", help="Labels; several only with --mocap.")
    ] = [Path("labels.h5")],  # noqa: B006 - typer wants a list
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", help="A network's poses, as a hint.", show_default="pose.json, if it fits"),
    ] = None,
    mocap: Annotated[
        Path | None, typer.Option("--mocap", help="Motion capture (.npz): train a unit for everybody from it.")
    ] = None,
    name: RunName = "default",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write.", show_default="runs/NAME/refiner.pt")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Batches to learn from.", show_default="400; 4000 with --mocap")
    ] = None,
    seed: Seed = 0,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a refinement unit on your own labels, in half a minute; predict then uses it.

    It goes on from the unit that comes with epitool, keeps to what the labels show, and is measured on frames that it
    has not seen. With --mocap a unit for everybody is trained anew; labels then only tell how the detector errs.

    Example: epitool refine --pairs labels.h5
    """
    from epitool.stages import refine as stage

    run(
        storing(stage.run, ctx), quiet, as_json,
        pairs=pairs, predictions=predictions, mocap=mocap, name=name, out=out, steps=steps, seed=seed,
    )  # fmt: skip
