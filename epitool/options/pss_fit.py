"""Options of `epitool pss-fit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output, numbers
from epitool.options.shared import Jobs, Part, Seed, file_of


@dataclass(frozen=True, kw_only=True)
class PssFitOptions(Options):
    """Cluster poses for the Pose Structure Score.

    Example: epitool pss-fit --poses labels.h5 --k 50,100 --pictures pss
    """

    poses: Annotated[
        Path, Flag("Poses to cluster: labels, pose.json, or an array (N, J, 3) as .npz or .npy.", role=Input())
    ] = Path("labels.h5")
    k: Annotated[
        tuple[int, ...] | None,
        Flag("Numbers of clusters.", shown="50,100, or what the poses allow", least=2, most=1_000_000, reads=numbers),
    ] = None
    split: Annotated[Part, Flag("Part of the poses to cluster.", more=True)] = "train"
    align: Annotated[
        Literal["none", "yaw"], Flag("yaw: turn the poses about the vertical so that all face the same way.", more=True)
    ] = "none"
    consensus: Annotated[
        int, Flag("Number of k-means runs combined into one; 0 takes the best of 10.", least=0, most=10_000, more=True)
    ] = 20
    stability: Annotated[bool, Flag("Measure how well runs of k-means agree.")] = False
    runs: Annotated[int, Flag("Number of k-means runs for --stability.", least=2, most=10_000, more=True)] = 100
    predictions: Annotated[
        Path | None,
        Flag("Predictions of the poses, whose variation in mPSS --stability measures.", role=Input(), more=True),
    ] = None
    pictures: Annotated[Path | None, Flag("Folder for pictures of the clusters.", role=Output(folder=True))] = None
    out: Annotated[Path, file_of("pss.npz")] = Path("pss.npz")
    jobs: Jobs = -1
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predictions and not self.stability:
            raise UsageError("--predictions is for --stability; `epitool evaluate` measures predictions")
        if self.stability and str(self.out) == "-":  # it writes a second file beside it
            raise UsageError("--out -: this command cannot write to stdout; name a file")
