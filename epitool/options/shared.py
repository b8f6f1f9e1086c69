"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Output


def check_device(name: str) -> None:
    """Check the form of a device's name, whether or not there is such a device.

    Raises:
        UsageError: It has another form.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N")


Views = Annotated[
    tuple[Path, ...],
    Flag("Folders of images, or videos; one per camera.", metavar="VIEW...", shown=False, role=Input()),
]
Jobs = Annotated[int, Flag("Number of parallel jobs; -1 uses all cores.", least=-1, most=1024, nonzero=True, more=True)]
Seed = Annotated[int, Flag("Seed of the random numbers.", least=0, most=2**32 - 1, more=True)]
Device = Annotated[str, Flag("Device to compute on: auto, cpu, cuda or cuda:1.", check=check_device, more=True)]
Detector = Annotated[
    str | None,
    Flag(
        "mediapipe, keypointrcnn, rtmpose, rtmo, wholebody, or a checkpoint file.",
        shown="mediapipe where it is installed",
        role=Input(),
    ),
]
Confidence = Annotated[
    float | None,
    Flag(
        "Leave out joints with less confidence than this.",
        least=0.0,
        shown="none: the recording shows what confidence means",
        more=True,
    ),
]
Overwrite = Annotated[bool, Flag("Redo finished work.")]
RunName = Annotated[str, Flag("Name of the run and of its folder in runs/.")]
Part = Literal["train", "val", "test", "all"]


def file_of(holds: str) -> Flag:
    """Return the flag for an output file of one of epitool's formats, such as "labels.h5", or standard output."""
    return Flag("File to write; - writes to stdout.", role=Output((holds,), stdout=True))


def run_folder(name: str) -> Path:
    """Return the folder of a run, in `runs/`.

    Raises:
        UsageError: The name would lead outside `runs/`.

    >>> run_folder("walking").as_posix()
    'runs/walking'
    """
    if not name or name in (".", "..") or Path(name).name != name or "\\" in name:
        raise UsageError(f"--name '{name}': expected the plain name of a folder in runs/")
    return Path("runs") / name
