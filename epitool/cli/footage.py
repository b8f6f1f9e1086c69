"""The commands that bring footage: `synth` makes it, `import` takes it from published datasets."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.flags import Jobs, Json, Quiet, Seed
from epitool.cli.running import numbers, run


class Dataset(str, Enum):
    """What `import` reads."""

    h36m = "h36m"
    mpi_inf_3dhp = "mpi-inf-3dhp"
    mpii = "mpii"
    coco = "coco"
    cmu = "cmu"


class Layout(str, Enum):
    """Where cameras stand."""

    ring = "ring"
    arc = "arc"
    random = "random"


def synth(
    out: Annotated[Path, typer.Option("--out", help="Folder for images and truth.")] = Path("synth"),
    frames: Annotated[int, typer.Option("--frames", min=1, help="Images of each camera.")] = 200,
    cameras: Annotated[int, typer.Option("--cameras", min=1, help="How many.")] = 4,
    layout: Annotated[
        Layout, typer.Option("--layout", help="All around, 30 degrees apart, or anywhere.")
    ] = Layout.ring,
    rig: Annotated[
        Path | None, typer.Option("--rig", help="Cameras of your own: mm, z up, the person about the origin.")
    ] = None,
    motion: Annotated[
        Path | None, typer.Option("--motion", help="Motion capture (.npz) to play.", show_default="made up")
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the images, px; --rig has its own.")] = 512,
    jobs: Jobs = -1,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Render a person before cameras, with exact joints: to try a layout before building it, or to learn from.

    Needs the extra 'synth'. Run again, it goes on where it stopped.

    Example: epitool synth --cameras 4 --out synth && epitool detect2d --views synth/cam*
    """
    from epitool.stages import synth as stage

    run(
        stage.run, quiet, as_json, further=[out / name for name in stage.FILES], piped=False,
        out=out, frames=frames, cameras=cameras, layout=layout.value, rig=rig, motion=motion, size=size, seed=seed,
        jobs=jobs,
    )  # fmt: skip


def import_dataset(
    dataset: Annotated[Dataset, typer.Argument(metavar="DATASET", help="h36m, mpi-inf-3dhp, mpii, coco or cmu.")],
    root: Annotated[Path, typer.Argument(help="Folder that it was unpacked in.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for train.h5 and test.h5, or for poses.npz.", show_default="the dataset's name"
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--every", min=1, help="Take every Nth frame of training recordings.", show_default="5; cmu 4"),
    ] = None,
    subjects: Annotated[
        str, typer.Option("--subjects", help="Only these training subjects, as 1,5.", show_default="all")
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read a published dataset from disk, and check it: labels with the paper's parts, or 2D joints of photographs.

    Of CMU's motion capture (ASF and AMC) it makes poses, for `refine --mocap`, `synth --motion` and `pss-fit`.

    Example: epitool import h36m /data/h36m --out h36m

    Example: epitool import cmu /data/all_asfamc --out cmu
    """
    from epitool.stages import import_dataset as stage

    only = numbers("--subjects", subjects)
    further = [(out or Path(dataset.value)) / name for name in stage.FILES]
    run(
        stage.run, quiet, as_json, further=further,
        dataset=dataset.value, root=root, folder=out, every=every, subjects=only,
    )  # fmt: skip
