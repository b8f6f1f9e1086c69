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

    It goes on from the unit that comes with epitool, keeps to what the labels show, and is measured on frames that it
    has not seen. With --mocap a unit for everybody is trained anew; labels then only tell how the detector errs.

    Example: epitool refine --pairs labels.h5
    """

    pairs: Annotated[tuple[Path, ...], Flag("Labels; several only with --mocap.", metavar="FILE...", role=Input())] = (
        Path("labels.h5"),
    )
    predictions: Annotated[
        Path | None, Flag("A network's poses, as a hint.", shown="pose.json, if it fits", role=Input())
    ] = None
    mocap: Annotated[Path | None, Flag("Motion capture (.npz): train a unit for everybody from it.", role=Input())] = (
        None
    )
    name: RunName = "default"
    out: Annotated[Path | None, Flag("File to write.", shown="runs/NAME/refiner.pt", role=Output(stdout=True))] = None
    steps: Annotated[int | None, Flag("Batches to learn from.", least=1, shown="400; 4000 with --mocap")] = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mocap is None and len(self.pairs) != 1:
            raise UsageError(
                f"--pairs: {len(self.pairs)} files; a recording's own labels are one, several go with --mocap"
            )
        if self.mocap is not None and self.predictions is not None:
            raise UsageError("--predictions goes with a recording's own labels, not with --mocap")
