"""Options of `epitool refine`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output
from epitool.options.shared import RunName, Seed


@dataclass(frozen=True, kw_only=True)
class RefineOptions(Options):
    """Train a refinement unit on your own labels, in half a minute; predict then uses it.

    Training starts from the unit that comes with epitool, learns what the labels show, and is measured on frames that
    it has not seen. With --mocap a unit for all people is trained from scratch; the labels then only show which errors
    the detector makes.

    Example: epitool refine --pairs labels.h5
    """

    pairs: Annotated[
        tuple[Path, ...], Flag("Labels; several files only with --mocap.", metavar="FILE...", role=Input())
    ] = (Path("labels.h5"),)
    predictions: Annotated[
        Path | None, Flag("Poses of a network, used as a hint.", shown="pose.json, if it fits", role=Input(), more=True)
    ] = None
    mocap: Annotated[
        Path | None, Flag("Motion capture (.npz) to train a unit for all people from.", role=Input(), more=True)
    ] = None
    name: RunName = "default"
    out: Annotated[
        Path | None,
        Flag("File to write.", shown="runs/NAME/refiner.pt", role=Output(("refiner.pt",), stdout=True), more=True),
    ] = None
    steps: Annotated[
        int | None,
        Flag("Number of batches to learn from.", least=1, most=1_000_000, shown="300; 8000 with --mocap", more=True),
    ] = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mocap is None and len(self.pairs) != 1:
            raise UsageError(
                f"--pairs: {len(self.pairs)} files; a recording's own labels are one, several go with --mocap"
            )
        if self.mocap is not None and self.predictions is not None:
            raise UsageError("--predictions goes with a recording's own labels, not with --mocap")
