"""Options of `epitool synth`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.options.flag import Flag, Input, Options, Output
from epitool.options.shared import Jobs, Seed

Layout = Literal["ring", "arc", "random"]


@dataclass(frozen=True, kw_only=True)
class SynthOptions(Options):
    """Render a person in front of cameras, with exact joints, to test a camera layout or to train on.

    This needs the extra 'synth'. If it is run again, it continues where it stopped.

    Example: epitool synth --cameras 4 --out synth && epitool detect2d --views synth/cam*
    """

    out: Annotated[Path, Flag("Folder for the images and the true poses.", role=Output(folder=True))] = Path("synth")
    frames: Annotated[int, Flag("Number of images per camera.", least=1, most=1_000_000)] = 200
    cameras: Annotated[int, Flag("Number of cameras.", least=1, most=100)] = 4
    layout: Annotated[Layout, Flag("ring: all around. arc: 30 degrees apart. random: anywhere.")] = "ring"
    rig: Annotated[
        Path | None, Flag("Your own cameras, in mm, with z up and the person near the origin.", role=Input())
    ] = None
    motion: Annotated[Path | None, Flag("Motion capture (.npz) to play.", shown="made up", role=Input())] = None
    size: Annotated[int, Flag("Side length of the images in px; --rig has its own.", least=64, most=4096)] = 512
    jobs: Jobs = -1
    seed: Seed = 0
