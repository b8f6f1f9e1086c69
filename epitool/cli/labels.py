"""Commands from footage to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.flags import (
    CombineMethod,
    Confidence,
    DetectorName,
    Device,
    Jobs,
    Json,
    Out,
    Overwrite,
    PairMethod,
    PointMethod,
    Quiet,
    Seed,
    Up,
    Views,
)
from epitool.cli.running import run


def detect2d(
    views: Views = [],  # noqa: B006 - typer wants a list
    images: Annotated[
        Path | None,
        typer.Option("--images", help="In place of views: labels, for their images, looked at where their joints are."),
    ] = None,
    detector: DetectorName = None,
    out: Out = Path("keypoints.h5"),
    jobs: Jobs = -1,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the 2D joints of one person in every frame of every view.

    Example: epitool detect2d --views cam1.mp4 cam2.mp4
    """
    from epitool.stages import detect2d as stage

    run(
        stage.run, quiet, as_json,
        views=views, images=images, detector=detector, out=out, jobs=jobs, device=device, overwrite=overwrite,
    )  # fmt: skip


def calibrate(
    views: Views = [],  # noqa: B006 - typer wants a list
    keypoints: Annotated[
        Path, typer.Option("--keypoints", help="2D joints; detected in the views first where this is missing.")
    ] = Path("keypoints.h5"),
    intrinsics: Annotated[
        Path | None,
        typer.Option(
            "--intrinsics",
            help="K and distortion: TOML, Qualisys .qca.txt, OpenCV YAML or XML.",
            show_default="estimated",
        ),
    ] = None,
    refine_intrinsics: Annotated[
        bool, typer.Option("--refine-intrinsics", help="Adjust the lenses of --intrinsics too.")
    ] = False,
    extrinsics: Annotated[
        Path | None, typer.Option("--extrinsics", help="Camera file whose places are used as they are.")
    ] = None,
    fov: Annotated[
        float | None,
        typer.Option(
            "--fov",
            help="Degrees that the longer image side is known to span, where there are no --intrinsics.",
            show_default="estimated from three views on, else 60",
        ),
    ] = None,
    method: Annotated[
        PairMethod,
        typer.Option(
            "--method",
            metavar="NAME",
            help="essential: all pairs, then adjusted together. fundamental: the paper's chain.",
        ),
    ] = PairMethod.essential,
    sync: Annotated[bool, typer.Option("--sync", help="Find the views' offsets in time, and allow for them.")] = False,
    sync_reach: Annotated[
        int | None,
        typer.Option("--sync-reach", min=1, metavar="FRAMES", help="How far --sync looks.", show_default="30"),
    ] = None,
    moving: Annotated[
        int | None,
        typer.Option(
            "--moving", metavar="WINDOW", help="Cameras move: solve windows of so many frames each.", show_default=False
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            help="height=1.78m, femur=400mm or baseline:a,b=3.2m, of cameras a and b.",
            show_default="arbitrary",
        ),
    ] = None,
    up: Annotated[
        Up | None,
        typer.Option("--up", help="people: z up and floor at 0, from people who walk.", show_default="first camera"),
    ] = None,
    min_confidence: Confidence = None,
    detector: DetectorName = None,
    device: Device = "auto",
    out: Out = Path("cameras.toml"),
    seed: Seed = 0,
    jobs: Jobs = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Recover the cameras from the joints of the person that they see.

    Example: epitool calibrate --views cam1 cam2 --scale height=1.78m
    """
    from epitool.stages import calibrate as stage

    run(
        stage.run, quiet, as_json,
        views=views, keypoints=keypoints, intrinsics=intrinsics, refine_intrinsics=refine_intrinsics,
        extrinsics=extrinsics, fov_deg=fov, method=method.value, sync=sync, moving=moving, sync_reach=sync_reach,
        scale=scale, up=up.value if up else None, min_confidence=min_confidence, detector=detector, device=device,
        out=out, seed=seed, jobs=jobs,
    )  # fmt: skip


def triangulate(
    keypoints: Annotated[Path, typer.Option("--keypoints", help="2D joints.")] = Path("keypoints.h5"),
    cameras: Annotated[Path, typer.Option("--cameras", help="Calibrated cameras.")] = Path("cameras.toml"),
    method: Annotated[
        PointMethod | None,
        typer.Option(
            "--method",
            help="How --combine vector-median solves a pair of views. polynomial: optimal. dlt: linear.",
            show_default="polynomial",
        ),
    ] = None,
    combine: Annotated[
        CombineMethod,
        typer.Option("--combine", help="robust: all views but gross errors. vector-median: the paper's, of pairs."),
    ] = CombineMethod.robust,
    bones: Annotated[
        bool, typer.Option("--bones", help="Let constant lengths of bones, estimated first, count.")
    ] = False,
    skeleton: Annotated[
        str | None,
        typer.Option(
            "--skeleton", help="Joints that the labels shall have.", show_default="h36m17, or an animal's own"
        ),
    ] = None,
    min_confidence: Confidence = None,
    out: Out = Path("labels.h5"),
    backend: Annotated[
        str, typer.Option("--backend", help="threads, or a Dask cluster: dask (as configured), dask:tcp://HOST:PORT.")
    ] = "threads",
    jobs: Jobs = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn 2D joints and cameras into 3D poses: labels to train on.

    Example: epitool triangulate --skeleton h36m17
    """
    from epitool.stages import triangulate as stage

    if method and combine is not CombineMethod.vector_median:
        raise typer.BadParameter(
            "is of pairs of views, which --combine vector-median solves and robust does not", param_hint="--method"
        )
    pairwise = method or PointMethod.polynomial
    run(
        stage.run, quiet, as_json,
        keypoints=keypoints, cameras=cameras, method=pairwise.value, combine=combine.value, bones=bones,
        skeleton=skeleton, min_confidence=min_confidence, out=out, backend=backend, jobs=jobs,
    )  # fmt: skip
