"""Commands from footage to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.flags import (
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
    Views,
)
from epitool.cli.running import run


def detect2d(
    views: Views,
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
        views=views, detector=detector, out=out, jobs=jobs, device=device, overwrite=overwrite,
    )  # fmt: skip


def calibrate(
    views: Views = [],  # noqa: B006 - typer wants a list
    keypoints: Annotated[
        Path, typer.Option("--keypoints", help="2D joints; detected in the views first where this is missing.")
    ] = Path("keypoints.h5"),
    intrinsics: Annotated[
        Path | None,
        typer.Option(
            "--intrinsics", help="K and distortion: TOML, Qualisys .qca.txt, OpenCV YAML.", show_default="estimated"
        ),
    ] = None,
    refine_intrinsics: Annotated[
        bool, typer.Option("--refine-intrinsics", help="Adjust the focal lengths of --intrinsics too.")
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
        typer.Option("--method", help="essential: all pairs, then adjusted together. fundamental: the paper's chain."),
    ] = PairMethod.essential,
    scale: Annotated[
        str | None,
        typer.Option("--scale", help="height=1.78m, femur=400mm or baseline:cam1,cam2=3.2m.", show_default="arbitrary"),
    ] = None,
    min_confidence: Confidence = 0.5,
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
        extrinsics=extrinsics, fov_deg=fov, method=method.value, scale=scale, min_confidence=min_confidence,
        detector=detector, device=device, out=out, seed=seed, jobs=jobs,
    )  # fmt: skip


def triangulate(
    keypoints: Annotated[Path, typer.Option("--keypoints", help="2D joints.")] = Path("keypoints.h5"),
    cameras: Annotated[Path, typer.Option("--cameras", help="Calibrated cameras.")] = Path("cameras.toml"),
    method: Annotated[
        PointMethod,
        typer.Option("--method", help="polynomial: optimal pairs and their vector median. dlt: linear, all views."),
    ] = PointMethod.polynomial,
    skeleton: Annotated[str, typer.Option("--skeleton", help="Joints that the labels shall have.")] = "h36m17",
    min_confidence: Confidence = 0.5,
    out: Out = Path("labels.h5"),
    jobs: Jobs = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn 2D joints and cameras into 3D poses: labels to train on.

    Example: epitool triangulate --method dlt
    """
    from epitool.stages import triangulate as stage

    run(
        stage.run, quiet, as_json,
        keypoints=keypoints, cameras=cameras, method=method.value, skeleton=skeleton, min_confidence=min_confidence,
        out=out, jobs=jobs,
    )  # fmt: skip
