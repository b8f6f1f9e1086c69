"""The commands that show files and exchange them with other programs: `show`, `convert`."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from epitool.cli.flags import Json, Quiet, Views
from epitool.cli.running import run


class Unit(str, Enum):
    """Of lengths."""

    mm = "mm"
    cm = "cm"
    m = "m"


def convert(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT", help="2D joints of each view, cameras, labels.h5, or pose.json; -: that on stdin."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="What to write; the suffix says the format.", show_default=False)],
    views: Views = [],  # noqa: B006 - typer wants a list
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Of the images, where neither footage nor files tell.")
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option("--skeleton", help="Order of unnamed 2D joints.", show_default="judged by the people's bones"),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", min=0, help="Frames per second of poses; their video's, where not given.")
    ] = None,
    unit: Annotated[Unit | None, typer.Option("--unit", help="Of the other program's file.")] = None,
    inverse: Annotated[bool, typer.Option("--inverse", help="The cameras given are camera to world.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read files of other programs, and write files for them.

    2D joints (OpenPose, AlphaPose, MMPose, COCO, DeepLabCut, SLEAP) become a keypoints.h5; cameras (TOML of Anipose,
    Pose2Sim, caliscope; Qualisys; OpenCV; EasyMocap) and poses (to .trc, .c3d, .csv, .npz) go in and out. Cameras of
    ROS, Kalibr and MC-Calib come in.

    Example: epitool convert pose/cam1_json pose/cam2_json --views cam1.mp4 cam2.mp4 --out keypoints.h5

    Example: epitool convert labels.h5 --unit m --out walk.trc
    """
    from epitool.io.foreign.cameras import foreign_files
    from epitool.stages import convert as stage

    run(
        stage.run, quiet, as_json, further=foreign_files(out), piped=False,
        inputs=inputs, out=out, views=views, size=_size(size), fps=fps or None,
        unit=unit.value if unit else None, inverse=inverse, skeleton=skeleton,
    )  # fmt: skip


def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="labels.h5, keypoints.h5, pose.json (-: on stdin), cameras.toml, pss.npz, or a run's folder."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page or picture.", show_default="beside the file")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, help="At most so many, spread over all.")] = 150,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show a file: as a page that turns and plays in any browser, as a picture, or as a video.

    Example: epitool show labels.h5

    Example: epitool show labels.h5 --out overlay.mp4

    Example: epitool show labels.h5 --out labels.rrd (extra 'rerun')
    """
    from epitool.stages import show as stage

    further = [] if out else [stage.page_of(file)]
    run(stage.run, quiet, as_json, further=further, piped=False, file=file, out=out, frames=frames)


def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """Say what is installed and what the machine has, and try whether it works: for a report of a fault.

    Example: epitool doctor --json
    """
    from epitool.stages import doctor as stage

    run(stage.run, quiet, as_json)


def _size(text: str | None) -> tuple[int, int] | None:
    """Reads "1920x1080"."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise typer.BadParameter(f"'{text}': expected as 1920x1080", param_hint="--size")
    return int(found[1]), int(found[2])
