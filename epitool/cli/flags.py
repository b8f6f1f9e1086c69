"""Flags that several commands share, and the choices that some of them offer."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from epitool.detectors import DETECTORS


class PairMethod(str, Enum):
    """How two cameras are related."""

    essential = "essential"
    fundamental = "fundamental"


class Up(str, Enum):
    """What tells where up is."""

    people = "people"


class PointMethod(str, Enum):
    """How joints are triangulated from two views."""

    polynomial = "polynomial"
    dlt = "dlt"


class CombineMethod(str, Enum):
    """How what pairs of views say of a joint becomes one place."""

    robust = "robust"
    vector_median = "vector-median"


class Preset(str, Enum):
    """Sizes of the network."""

    auto = "auto"
    paper = "paper"
    small = "small"


class Supervision(str, Enum):
    """What the network learns."""

    self = "self"
    full = "full"
    flat = "2d"


class Precision(str, Enum):
    """Of the products in training."""

    auto = "auto"
    single = "32"
    bf16 = "bf16"
    half = "16"


class Split(str, Enum):
    """Contiguous parts of a recording."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class Protocol(str, Enum):
    """How metrics are defined."""

    standard = "standard"
    epipolarpose = "epipolarpose"


Views = Annotated[
    list[Path],
    typer.Option("--views", metavar="VIEW...", help="Folders of images or videos, one a camera.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="File to write; -: stdout.")]
Jobs = Annotated[int, typer.Option("--jobs", help="Pieces of work at a time; -1: one per core.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No remarks or progress on stderr; warnings remain.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help=f"{', '.join(DETECTORS)}, or the path of a checkpoint.",
        show_default="mediapipe where it is installed",
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0.0,
        help="Leave out joints less sure than this.",
        show_default="none: the recording shows what confidence means",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do finished work again.")]
Labels = Annotated[Path, typer.Option("--pairs", help="Labels that `epitool triangulate` made.")]
RunName = Annotated[str, typer.Option("--name", help="Name of the run, and of its folder in runs/.")]
