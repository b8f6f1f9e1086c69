"""Options of `epitool demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output
from epitool.options.shared import Seed, Views


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """Run the whole chain and print each command: on a sample recording, your own views, or a rendered person.

    Example: epitool demo --views cam1.mp4 cam2.mp4 --scale height=1.78m
    """

    views: Views = ()
    synthetic: Annotated[bool, Flag("Use a rendered person; needs no network connection.")] = False
    intrinsics: Annotated[Path | None, Flag("Intrinsics of the views; see calibrate.", role=Input())] = None
    scale: Annotated[str | None, Flag("Scale of the views; see calibrate.")] = None
    out: Annotated[Path, Flag("Folder to work in.", role=Output(folder=True))] = Path("epitool-demo")
    epochs: Annotated[
        int | None, Flag("Number of epochs for train.", least=1, most=100_000, shown="5, to show the step")
    ] = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.synthetic and (self.views or self.intrinsics or self.scale):
            raise UsageError("--synthetic renders its own footage; leave out --views, --intrinsics and --scale")
        if (self.intrinsics or self.scale) and not self.views:
            raise UsageError("--intrinsics and --scale belong to own footage; name it with --views")
