"""The `epitool` command: flags to options, one stage, one summary on stdout. Heavy imports live inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from epitool import __version__, console
from epitool.errors import EpitoolError

app = typer.Typer(
    name="epitool",
    help="3D human pose from a few cameras, without a calibration board and without 3D ground truth.\n\n"
    "The commands in order: detect2d, calibrate, triangulate, train, predict; refine, pss-fit and evaluate;"
    " `epitool demo` runs them all on a sample recording. Each reads what the one before it wrote.",
    epilog="Exit status: 0 done, 2 usage, 3 bad input file, 4 geometry that determines no answer,"
    " 5 checkpoint that does not fit, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_VARIADIC = ("--views",)  # options that take several values after one flag, as a shell's `cam*` gives them


class PairMethod(str, Enum):
    """How two cameras are related."""

    essential = "essential"
    fundamental = "fundamental"


class PointMethod(str, Enum):
    """How joints are triangulated."""

    polynomial = "polynomial"
    dlt = "dlt"


Views = Annotated[
    list[Path],
    typer.Option("--views", metavar="VIEW...", help="Folders of images or videos, one a camera.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Jobs = Annotated[int, typer.Option("--jobs", help="Pieces of work at a time; -1: one per core.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No remarks or progress on stderr; warnings remain.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
DetectorName = Annotated[
    Optional[str],
    typer.Option(
        "--detector",
        help="mediapipe, keypointrcnn, or the path of a checkpoint.",
        show_default="mediapipe where it is installed",
    ),
]
Confidence = Annotated[
    float, typer.Option("--min-confidence", min=0.0, max=1.0, help="Joints less sure than this are left out.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do finished work again.")]
Labels = Annotated[Path, typer.Option("--pairs", help="Labels that `epitool triangulate` made.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"epitool {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Holds the options that stand before a command."""


@app.command()
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

    _run(
        stage.run, quiet, as_json,
        views=views, detector=detector, out=out, jobs=jobs, device=device, overwrite=overwrite,
    )  # fmt: skip


@app.command()
def calibrate(
    views: Views = [],  # noqa: B006 - typer wants a list
    keypoints: Annotated[
        Path, typer.Option("--keypoints", help="2D joints; detected in the views first where this is missing.")
    ] = Path("keypoints.h5"),
    intrinsics: Annotated[
        Optional[Path],
        typer.Option("--intrinsics", help="K and distortion: TOML, Qualisys .qca.txt, OpenCV YAML.", show_default="assumed"),
    ] = None,
    extrinsics: Annotated[
        Optional[Path], typer.Option("--extrinsics", help="Camera file whose places are used as they are.")
    ] = None,
    fov: Annotated[
        float, typer.Option("--fov", help="Degrees that the longer image side is assumed to span without --intrinsics.")
    ] = 60.0,
    method: Annotated[
        PairMethod,
        typer.Option("--method", help="essential: PoseLib's robust five-point. fundamental: the paper's RANSAC on F."),
    ] = PairMethod.essential,
    scale: Annotated[
        Optional[str],
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

    _run(
        stage.run, quiet, as_json,
        views=views, keypoints=keypoints, intrinsics=intrinsics, extrinsics=extrinsics, fov_deg=fov, method=method.value,
        scale=scale, min_confidence=min_confidence, detector=detector, device=device, out=out, seed=seed, jobs=jobs,
    )  # fmt: skip


@app.command()
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

    _run(
        stage.run, quiet, as_json,
        keypoints=keypoints, cameras=cameras, method=method.value, skeleton=skeleton, min_confidence=min_confidence,
        out=out, jobs=jobs,
    )  # fmt: skip


def _run(stage: Callable[..., console.Summary], quiet: bool, as_json: bool, **options: Any) -> None:
    """Runs a stage and prints its summary: the one place where errors become a line and an exit status."""
    console.set_quiet(quiet)
    try:
        summary = stage(**options)
    except EpitoolError as error:
        console.fail(str(error))
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        console.fail("interrupted; the same command goes on from here")
        os._exit(130)  # threads inside detectors would otherwise be waited for
    typer.echo(json.dumps(summary.values, allow_nan=False) if as_json else summary.text)


def spread_variadic(arguments: Sequence[str]) -> list[str]:
    """Repeats a variadic option before each of its values, as typer wants it.

    >>> spread_variadic(["calibrate", "--views", "cam1", "cam2", "--seed", "1"])
    ['calibrate', '--views', 'cam1', '--views', 'cam2', '--seed', '1']
    """
    out: list[str] = []
    option, has_value = "", True
    for argument in [*arguments, "-"]:
        if argument.startswith("-"):
            out += [] if has_value else [option]  # for typer to complain about
            option = argument if argument in _VARIADIC else ""
            has_value = not option
            out += [] if option else [argument]
        else:
            out += [option, argument] if option else [argument]
            has_value = True
    return out[:-1]


def main() -> None:
    """Entry point of the `epitool` command."""
    app(args=spread_variadic(sys.argv[1:]), prog_name="epitool")
