"""Options of `epitool detect2d`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options
from epitool.options.shared import Detector, Device, Jobs, Overwrite, Views, file_of


@dataclass(frozen=True, kw_only=True)
class Detect2dOptions(Options):
    """Find the 2D joints of the people in every frame of every view.

    Example: epitool detect2d --views cam1.mp4 cam2.mp4
    """

    views: Views = ()
    images: Annotated[
        Path | None,
        Flag("Labels whose images replace the views; each is searched around its joints.", role=Input(), more=True),
    ] = None
    detector: Detector = None
    out: Annotated[Path, file_of("keypoints.h5")] = Path("keypoints.h5")
    jobs: Jobs = -1
    device: Device = "auto"
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images and self.views:
            raise UsageError("give either --views or --images, not both")
