"""Options of `epitool triangulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options
from epitool.options.shared import Confidence, Jobs, file_of


@dataclass(frozen=True, kw_only=True)
class TriangulateOptions(Options):
    """Turn 2D joints and cameras into 3D poses: labels to train on.

    Example: epitool triangulate --skeleton h36m17
    """

    keypoints: Annotated[Path, Flag("2D joints of the views.", role=Input())] = Path("keypoints.h5")
    cameras: Annotated[Path, Flag("Calibrated cameras.", role=Input())] = Path("cameras.toml")
    method: Annotated[
        Literal["polynomial", "dlt"] | None,
        Flag(
            "Solver of pairs for --combine vector-median. polynomial: optimal. dlt: linear.",
            shown="polynomial",
            more=True,
        ),
    ] = None
    combine: Annotated[
        Literal["robust", "vector-median"],
        Flag("robust: all views except gross errors. vector-median: the paper's, from pairs.", more=True),
    ] = "robust"
    bones: Annotated[bool, Flag("Use constant bone lengths, which are estimated first.")] = False
    smooth: Annotated[bool, Flag("Smooth joints over time, as `convert --filter smooth` does.")] = False
    skeleton: Annotated[
        str | None,
        Flag("Skeleton of the labels.", shown="h36m17, or an animal's own"),
    ] = None
    people: Annotated[
        str,
        Flag(
            "Whose labels are made: all, one, or a number of people at most, those seen most. Cameras that move or are"
            " out of sync have one.",
            metavar="all|one|N",
        ),
    ] = "all"
    min_confidence: Confidence = None
    out: Annotated[Path, file_of("labels.h5")] = Path("labels.h5")
    backend: Annotated[
        str, Flag("threads, or a Dask cluster: dask (as configured) or dask:tcp://HOST:PORT.", more=True)
    ] = "threads"
    jobs: Jobs = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method and self.combine != "vector-median":
            raise UsageError(
                f"--method {self.method}: is of pairs of views, which --combine vector-median solves and robust does"
                " not"
            )
        if self.people not in ("all", "one") and not (self.people.isdecimal() and int(self.people[:9]) >= 1):
            raise UsageError(f"--people {self.people}: expected all, one, or a number of people, 1 or more")

    @property
    def most_people(self) -> int | None:
        """How many people's labels are made at most; None for all."""
        return {"all": None, "one": 1}[self.people] if self.people in ("all", "one") else int(self.people)
