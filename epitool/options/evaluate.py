"""Options of `epitool evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output, numbers, words
from epitool.options.shared import Device, Jobs, Part, file_of


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Measure predicted poses: MPJPE, NMPJPE, PMPJPE, PCK, NPCK, AUC and the Pose Structure Score.

    Example: epitool evaluate --pss 50,100

    Two models compared: epitool evaluate --predictions a.json b.json --table ab.tex
    """

    predictions: Annotated[
        tuple[Path, ...],
        Flag(
            "pose.json files, labels or arrays.",
            metavar="FILE...", shown="pose.json, or else the newest model is run", role=Input(),
        ),
    ] = ()  # fmt: skip
    truth: Annotated[Path, Flag("Labels, or an array of true poses.", role=Input())] = Path("labels.h5")
    model: Annotated[Path | None, Flag("Checkpoint to run on the truth's images.", role=Input())] = None
    pss: Annotated[tuple[int, ...], Flag("Numbers of clusters of the Pose Structure Score.", reads=numbers)] = (50, 100)
    pss_file: Annotated[Path | None, Flag("Fitted clusters.", shown="pss.npz, or fitted here", role=Input())] = None
    protocol: Annotated[
        Literal["standard", "epipolarpose"], Flag("standard, or as the EpipolarPose release computes it.")
    ] = "standard"
    joints: Annotated[Literal["all", "14", "17"], Flag("Those that count: 14 or 17 that many data sets share.")] = "all"
    by: Annotated[
        tuple[Literal["joint", "axis", "action"], ...],
        Flag("Further tables: joint, axis, action.", shown=False, reads=words),
    ] = ()
    split: Annotated[Part | None, Flag("Part of the truth's frames.", shown="test where trained on them, else all")] = (
        None
    )
    table: Annotated[Path | None, Flag("Also write a .csv of all numbers, or .md or .tex rows.", role=Output())] = None
    out: Annotated[Path, file_of("metrics.json")] = Path("metrics.json")
    device: Device = "auto"
    jobs: Jobs = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predictions and self.model:
            raise UsageError("give either predictions or a model to run, not both")
