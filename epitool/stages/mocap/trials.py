"""Footage and files of `epitool mocap`: one recording, or a folder of trials of the same cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epitool.console import say
from epitool.errors import InputError, UsageError
from epitool.files import require_folder
from epitool.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, View, frame_rate, view_name
from epitool.options import MocapOptions
from epitool.stages.shared.footage import footage_among, open_views

_STEPS = "-steps"
_VIDEOS = "videos"  # folder within a trial's, as Pose2Sim has it beside what it makes of them
_CALIBRATION = "calib"  # beginning of the name of Pose2Sim's folder of footage for the calibration


@dataclass(frozen=True)
class Trial:
    """One recording, and the files that are made of it.

    Attributes:
        name: Name of its folder, in messages; "" for the only recording.
        views: Footage of its cameras.
        outs: Files for other programs.
    """

    name: str
    views: tuple[Path, ...]
    outs: tuple[Path, ...]

    @property
    def work(self) -> Path:
        """Folder of what the steps write."""
        return _steps_folder(self.outs[0])

    @property
    def keypoints(self) -> Path:
        """2D joints."""
        return self.work / "keypoints.h5"

    @property
    def labels(self) -> Path:
        """3D joints."""
        return self.work / "labels.h5"

    @property
    def page(self) -> Path:
        """Page that shows them."""
        return self.outs[0].with_suffix(".html")

    @property
    def of(self) -> str:
        """The trial's name for the end of a phrase."""
        return f" of {self.name}" if self.name else ""


def trials_of(options: MocapOptions) -> list[Trial]:
    """Return the recordings that the options name.

    Raises:
        UsageError: The folder holds no trials.
    """
    if options.trials is None:
        return [Trial("", footage_among(options.views), options.out)]
    require_folder(options.trials, "--trials")
    folders = [path for path in _folders_in(options.trials) if not path.name.lower().startswith(_CALIBRATION)]
    found = {folder: _footage_in(folder) for folder in folders}
    trials = [
        Trial(folder.name, views, tuple(folder / out for out in options.out))
        for folder, views in found.items()
        if views
    ]
    if not trials:
        raise UsageError(
            f"--trials {options.trials}: no folder in it holds videos; for one recording, name its videos:"
            f" epitool mocap {options.trials}/*.mp4"
        )
    return trials


def shared_folder(options: MocapOptions, trials: Sequence[Trial]) -> Path:
    """Return the folder of the files that concern all trials."""
    return _steps_folder(options.trials / options.out[0]) if options.trials else trials[0].work


def check_footage(options: MocapOptions, trials: Sequence[Trial]) -> None:
    """Open all footage, before hours are spent on the first.

    Raises:
        UsageError: A recording has one view, or nothing states its frames per second.
        InputError: A view cannot be read, or trials do not have the same cameras.
    """
    for trial in trials:
        views = open_views(trial.views)
        if len(views) < 2:
            raise UsageError(f"{trial.views[0]}: is one view; 3D needs two or more cameras at the same time")
        _check_rate(views[0], options.fps)
    names = {trial.name: sorted(map(view_name, trial.views)) for trial in trials}
    first = trials[0].name
    for name, own in names.items():
        if own != names[first]:
            raise InputError(
                f"--trials {options.trials}: {first} has views {', '.join(names[first])}, and {name} has"
                f" {', '.join(own)}; a camera needs the same name in every trial, and no other video may be there"
            )
    if options.trials:
        say(f"{len(trials)} trials of {len(names[first])} cameras: {', '.join(names)}")


def _check_rate(view: View, fps: float | None) -> None:
    if not fps and not frame_rate(view.image_name(view.frames[0])) > 0:
        raise UsageError(f"{view.path}: cannot read a frame rate (photos). Add --fps 60")


def _steps_folder(out: Path) -> Path:
    return out.with_name(out.stem + _STEPS)


def _folders_in(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and not path.name.endswith(_STEPS)
    )


def _footage_in(folder: Path) -> tuple[Path, ...]:
    """Return the videos in a folder, and the folders of images in it; those in its folder `videos` if there is one."""
    folder = next((path for path in _folders_in(folder) if path.name.lower() == _VIDEOS), folder)
    videos = [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.name[0] != "."]
    photos = [path for path in _folders_in(folder) if any(f.suffix.lower() in IMAGE_SUFFIXES for f in path.iterdir())]
    return tuple(sorted([*videos, *photos]))
