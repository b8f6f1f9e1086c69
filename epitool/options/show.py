"""Options of `epitool show`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output


@dataclass(frozen=True, kw_only=True)
class ShowOptions(Options):
    """Show a file as an interactive page for any browser, as a picture, or as a video.

    Example: epitool show labels.h5

    Example: epitool show labels.h5 --out overlay.mp4

    Example: epitool show labels.h5 --out labels.rrd  # extra rerun
    """

    file: Annotated[
        Path,
        Flag(
            "labels.h5, keypoints.h5, pose.json (- for stdin), cameras.toml, pss.npz, or a run's folder.",
            argument=True, role=Input("poses"),
        ),
    ]  # fmt: skip
    out: Annotated[
        Path | None, Flag("File to write: a page, picture or video.", shown="beside the file", role=Output())
    ] = None
    frames: Annotated[
        int | None, Flag("Largest number of frames on a page, spread evenly.", least=1, most=1_000_000, shown="150")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if str(self.file) == "-" and self.out is None:
            raise UsageError("-: what comes through a pipe has no name; give --out FILE")
