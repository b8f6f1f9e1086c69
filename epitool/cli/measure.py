"""Commands that measure, and the one that runs them all."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.flags import Device, Jobs, Json, Out, Protocol, Quiet, Seed, Split, Views
from epitool.cli.running import numbers, run


class Joints(str, Enum):
    """Which joints count."""

    all = "all"
    fourteen = "14"
    seventeen = "17"


class Align(str, Enum):
    """What of a pose's orientation the score leaves out."""

    none = "none"
    yaw = "yaw"


def pss_fit(
    poses: Annotated[
        Path, typer.Option("--poses", help="Labels, pose.json, or an array (N, J, 3) in .npz or .npy.")
    ] = Path("labels.h5"),
    k: Annotated[
        str | None, typer.Option("--k", help="Numbers of clusters.", show_default="50,100, or what the poses allow")
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Which part of the poses.")] = Split.train,
    align: Annotated[
        Align, typer.Option("--align", help="yaw: turn poses about the vertical to face one way.")
    ] = Align.none,
    consensus: Annotated[
        int, typer.Option("--consensus", min=0, help="Runs of k-means that are made one; 0: the best of 10.")
    ] = 20,
    stability: Annotated[bool, typer.Option("--stability", help="Measure how far runs of k-means agree.")] = False,
    runs: Annotated[int, typer.Option("--runs", min=2, help="Of k-means, for --stability.")] = 100,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", help="Of the poses: how far does their mPSS move? For --stability."),
    ] = None,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="Folder for pictures of the clusters.")] = None,
    out: Out = Path("pss.npz"),
    jobs: Jobs = -1,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cluster poses for the Pose Structure Score.

    Example: epitool pss-fit --poses labels.h5 --k 50,100 --pictures pss
    """
    from epitool.stages import pss_fit as stage

    further = [stage.stability_file(out)] if stability else []
    run(
        stage.run, quiet, as_json, further=further, piped=not stability,
        poses=poses, ks=numbers("--k", k) if k else None, out=out, seed=seed, split=split.value, align=align.value,
        consensus=consensus, stability=stability, runs=runs, predictions=predictions, pictures=pictures, jobs=jobs,
    )  # fmt: skip


def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Option(
            "--predictions",
            metavar="FILE...",
            help="pose.json files, labels or arrays.",
            show_default="pose.json, or else the newest model is run",
        ),
    ] = [],  # noqa: B006 - typer wants a list
    truth: Annotated[Path, typer.Option("--truth", help="Labels, or an array of true poses.")] = Path("labels.h5"),
    model: Annotated[Path | None, typer.Option("--model", help="Checkpoint to run on the truth's images.")] = None,
    pss: Annotated[str, typer.Option("--pss", help="Numbers of clusters of the Pose Structure Score.")] = "50,100",
    pss_file: Annotated[
        Path | None, typer.Option("--pss-file", help="Fitted clusters.", show_default="pss.npz, or fitted here")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option("--protocol", help="standard, or as the EpipolarPose release computes it.")
    ] = Protocol.standard,
    joints: Annotated[
        Joints, typer.Option("--joints", help="Those that count: 14 or 17 that many data sets share.")
    ] = Joints.all,
    by: Annotated[str, typer.Option("--by", help="Further tables: joint, axis, action.", show_default=False)] = "",
    split: Annotated[
        Split | None,
        typer.Option(
            "--split", help="Part of the truth's frames.", show_default="test where trained on them, else all"
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Also write a .csv of all numbers, or .md or .tex rows.")
    ] = None,
    out: Out = Path("metrics.json"),
    device: Device = "auto",
    jobs: Jobs = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure predicted poses: MPJPE, NMPJPE, PMPJPE, PCK, NPCK, AUC and the Pose Structure Score.

    Example: epitool evaluate --pss 50,100

    Two models compared: epitool evaluate --predictions a.json b.json --table ab.tex
    """
    from epitool.stages import evaluate as stage

    run(
        stage.run, quiet, as_json,
        predictions=predictions, truth=truth, model=model, pss_ks=numbers("--pss", pss), pss_file=pss_file,
        protocol=protocol.value, split=split.value if split else None, out=out, device=device, joints=joints.value,
        by=[part.strip() for part in by.split(",") if part.strip()], table=table, jobs=jobs,
    )  # fmt: skip


def demo(
    views: Views = [],  # noqa: B006 - typer wants a list
    synthetic: Annotated[bool, typer.Option("--synthetic", help="A rendered person; needs no network.")] = False,
    intrinsics: Annotated[Path | None, typer.Option("--intrinsics", help="Of the views, see calibrate.")] = None,
    scale: Annotated[str | None, typer.Option("--scale", help="Of the views, see calibrate.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to work in.")] = Path("epitool-demo"),
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Of train.", show_default="8, to show the step")
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the whole chain, printing each command, on a sample recording, on own views, or on a rendered person.

    Example: epitool demo --views cam1.mp4 cam2.mp4 --scale height=1.78m
    """
    from epitool.stages import demo as stage

    run(
        stage.run, quiet, as_json, piped=False,
        views=views, synthetic=synthetic, intrinsics=intrinsics, scale=scale, out=out, epochs=epochs, seed=seed,
    )  # fmt: skip
