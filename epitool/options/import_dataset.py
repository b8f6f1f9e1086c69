"""Options of `epitool import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.options.flag import Flag, Input, Options, Output, numbers


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Options):
    """Read and check a published dataset; write labels with the paper's parts, or 2D joints of photographs.

    CMU's motion capture (ASF and AMC) becomes poses for `refine --mocap`, `synth --motion` and `pss-fit`.

    Example: epitool import h36m /data/h36m --out h36m

    Example: epitool import cmu /data/all_asfamc --out cmu
    """

    dataset: Annotated[
        Literal["h36m", "mpi-inf-3dhp", "mpii", "coco", "cmu"],
        Flag("Dataset: h36m, mpi-inf-3dhp, mpii, coco or cmu.", metavar="DATASET", argument=True),
    ]
    root: Annotated[Path, Flag("Folder that the dataset was unpacked in.", argument=True, role=Input())]
    out: Annotated[
        Path | None,
        Flag(
            "Folder for train.h5 and test.h5, or for poses.npz.",
            shown="the dataset's name",
            role=Output(("labels.h5", "keypoints.h5", "poses.npz"), folder=True, shared=True),
        ),
    ] = None
    every: Annotated[
        int | None, Flag("Use every Nth frame of the training recordings.", least=1, most=1_000_000, shown="5; cmu 4")
    ] = None
    subjects: Annotated[
        tuple[int, ...],
        Flag("Use only these training subjects, such as 1,5.", least=1, most=1000, shown="all", reads=numbers),
    ] = ()
