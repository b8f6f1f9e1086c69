"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Output

Views = Annotated[
    tuple[Path, ...],
    Flag("Folders of images or videos, one a camera.", metavar="VIEW...", shown=False, role=Input()),
]
Jobs = Annotated[int, Flag("Pieces of work at a time; -1: one per core.")]
Seed = Annotated[int, Flag("Seed of everything random.", least=0)]
Device = Annotated[str, Flag("auto, cpu, cuda, cuda:1.")]
Detector = Annotated[
    str | None,
    Flag(
        "mediapipe, keypointrcnn, rtmpose, rtmo, wholebody, or the path of a checkpoint.",
        shown="mediapipe where it is installed",
        role=Input(),
    ),
]
Confidence = Annotated[
    float | None,
    Flag(
        "Leave out joints less sure than this.",
        least=0.0,
        shown="none: the recording shows what confidence means",
    ),
]
Overwrite = Annotated[bool, Flag("Do finished work again.")]
RunName = Annotated[str, Flag("Name of the run, and of its folder in runs/.")]
Part = Literal["train", "val", "test", "all"]


def file_of(holds: str) -> Flag:
    """The flag of a file of ours that may go to standard output, as "labels.h5"."""
    return Flag("File to write; -: stdout.", role=Output((holds,), stdout=True))


def run_folder(name: str) -> Path:
    """The folder of a run, in `runs/`.

    Raises:
        UsageError: The name would lead elsewhere.

    >>> run_folder("walking").as_posix()
    'runs/walking'
    """
    if not name or name in (".", "..") or Path(name).name != name or "\\" in name:
        raise UsageError(f"--name '{name}': expected the plain name of a folder in runs/")
    return Path("runs") / name
