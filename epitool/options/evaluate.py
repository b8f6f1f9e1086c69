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
            "Predictions to measure: pose.json files, labels or arrays.",
            metavar="FILE...", shown="pose.json, or else the newest model is run", role=Input(),
        ),
    ] = ()  # fmt: skip
    truth: Annotated[Path, Flag("True poses: labels or an array.", role=Input())] = Path("labels.h5")
    model: Annotated[Path | None, Flag("Checkpoint to run on the truth's images.", role=Input(), more=True)] = None
    pss: Annotated[
        tuple[int, ...], Flag("Cluster counts of the Pose Structure Score.", least=2, most=1_000_000, reads=numbers)
    ] = (50, 100)
    pss_file: Annotated[
        Path | None, Flag("File with fitted clusters.", shown="pss.npz, or fitted here", role=Input(), more=True)
    ] = None
    protocol: Annotated[
        Literal["standard", "epipolarpose"],
        Flag("standard, or epipolarpose: as the EpipolarPose release computes it.", more=True),
    ] = "standard"
    joints: Annotated[
        Literal["all", "14", "17"], Flag("Joints to measure. 14 and 17 are sets that many datasets share.", more=True)
    ] = "all"
    by: Annotated[
        tuple[Literal["joint", "axis", "action", "person"], ...],
        Flag("Further tables by joint, axis, action or person.", shown=False, reads=words),
    ] = ()
    split: Annotated[
        Part | None,
        Flag("Part of the true frames to measure on.", shown="test where trained on them, else all", more=True),
    ] = None
    table: Annotated[
        Path | None, Flag("Also write all numbers as .csv, or table rows as .md or .tex.", role=Output())
    ] = None
    out: Annotated[Path, file_of("metrics.json")] = Path("metrics.json")
    device: Device = "auto"
    jobs: Jobs = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predictions and self.model:
            raise UsageError("give either predictions or a model to run, not both")
