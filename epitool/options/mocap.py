"""Options of `epitool mocap`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output
from epitool.options.shared import Detector


@dataclass(frozen=True, kw_only=True)
class MocapOptions(Options):
    """Take footage to 3D joints in a file for other programs: detect2d, calibrate, triangulate, convert and show.

    Each step is printed as the command that it is, with a line on whether to trust it. What the steps wrote stays in a
    folder beside the output, so that you can go on with the single commands. Run again, it goes on where it stopped.

    Example: epitool mocap cam*.mp4 --scale height=1.78m --out walk.trc

    Example: epitool mocap --trials session --scale height=1.78m --out poses.trc poses.c3d
    """

    views: Annotated[
        tuple[Path, ...],
        Flag("Videos, or folders of images; one per camera.", metavar="VIEW", shown=False, role=Input(), argument=True),
    ] = ()
    trials: Annotated[
        Path | None,
        Flag("Folder with a folder of videos for each trial, all of the same cameras, which are calibrated once.",
             role=Input()),
    ] = None  # fmt: skip
    scale: Annotated[
        str | None, Flag("The person's height=1.78m, or another length; see calibrate.", shown="arbitrary")
    ] = None
    out: Annotated[
        tuple[Path, ...],
        Flag("Files: .trc, .c3d, .csv, .bvh, .npz, .mot, .sto, .png. With --trials, their names in each folder.",
             metavar="FILE...", role=Output()),
    ] = (Path("mocap.trc"),)  # fmt: skip
    cameras: Annotated[Path | None, Flag("Cameras that are known.", shown="calibrated", role=Input())] = None
    intrinsics: Annotated[Path | None, Flag("Lenses that are known; see calibrate.", role=Input())] = None
    sync: Annotated[bool, Flag("The cameras were not started together: find their offsets in time.")] = False
    detector: Detector = None
    fps: Annotated[
        float | None, Flag("Frames per second, if images do not say.", least=0.001, most=100_000, shown="the videos'")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        videos = [path for path in self.out if path.suffix.lower() in (".mp4", ".mov", ".avi", ".mkv")]
        if videos:
            raise UsageError(f"--out {videos[0]}: is no output; name the views first: epitool mocap VIEW... --out FILE")
        if bool(self.views) == (self.trials is not None):
            raise UsageError("give either the views of one recording (epitool mocap cam1.mp4 cam2.mp4), or --trials")
        if self.trials and any(path.name != str(path) for path in self.out):
            raise UsageError("--out: with --trials it is the name of a file in each trial's folder, without a folder")
        if self.cameras and (self.scale or self.intrinsics):
            raise UsageError("--scale and --intrinsics are used to calibrate; --cameras states all of that")
        if len({path.stem for path in self.out}) != 1 or len(set(self.out)) < len(self.out):
            raise UsageError("--out: give files of one name with different suffixes, such as walk.trc walk.c3d")
