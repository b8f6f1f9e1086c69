"""Options of `epitool calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options
from epitool.options.shared import Confidence, Detector, Device, Jobs, Seed, Views, file_of


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Recover the cameras from the joints of the people that they see.

    Example: epitool calibrate --views cam1 cam2 --scale height=1.78m
    """

    views: Views = ()
    keypoints: Annotated[
        Path, Flag("2D joints. If the file is missing, they are detected in the views first.", role=Input())
    ] = Path("keypoints.h5")
    intrinsics: Annotated[
        Path | None,
        Flag("K and distortion, from TOML, Qualisys .qca.txt, OpenCV YAML or XML.", shown="estimated", role=Input()),
    ] = None
    refine_intrinsics: Annotated[bool, Flag("Also adjust the lenses from --intrinsics.", more=True)] = False
    extrinsics: Annotated[
        Path | None, Flag("Camera file whose positions and orientations are kept.", role=Input(), more=True)
    ] = None
    fov: Annotated[
        float | None,
        Flag(
            "Known field of view of the longer image side (degrees), if no --intrinsics.",
            shown="about 60, adjusted to the joints",
            least=1,
            most=170,
        ),
    ] = None
    method: Annotated[
        Literal["essential", "fundamental"],
        Flag("essential: all pairs, then joint adjustment. fundamental: the paper's chain.", metavar="NAME", more=True),
    ] = "essential"
    sync: Annotated[bool, Flag("Estimate the time offsets between the views and correct for them.")] = False
    sync_reach: Annotated[
        int | None,
        Flag(
            "Largest offset that --sync searches for.", least=1, most=100_000, metavar="FRAMES", shown="30", more=True
        ),
    ] = None
    moving: Annotated[
        int | None,
        Flag(
            "For moving cameras: solve windows of this many frames.",
            metavar="WINDOW",
            most=1_000_000,
            shown=False,
            more=True,
        ),
    ] = None
    scale: Annotated[
        str | None,
        Flag("height=1.78m, femur=400mm, or baseline:a,b=3.2m between cameras a and b.", shown="arbitrary"),
    ] = None
    up: Annotated[
        Literal["people"] | None,
        Flag("people: put z up and the floor at 0, using people who walk.", shown="first camera"),
    ] = None
    min_confidence: Confidence = None
    detector: Detector = None
    device: Device = "auto"
    out: Annotated[Path, file_of("cameras.toml")] = Path("cameras.toml")
    seed: Seed = 0
    jobs: Jobs = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refine_intrinsics and not self.intrinsics:
            raise UsageError("--refine-intrinsics needs --intrinsics; without them focal lengths are estimated anyway")
        if self.fov and (self.intrinsics or self.extrinsics):
            raise UsageError("--fov is for lenses that are not known; --intrinsics or --extrinsics states them")
        if self.sync_reach and not self.sync:
            raise UsageError("--sync-reach says how far --sync looks; give that too")
