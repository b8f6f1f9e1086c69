"""`epitool demo`: runs the whole chain, each step as the command line that a user would type."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.console import Summary, say
from epitool.detectors import default_detector, open_detector
from epitool.errors import InputError, UsageError
from epitool.files import no_empty_folders
from epitool.io.cameras import read_rig
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.io.sample import sample_recording
from epitool.options import DemoOptions
from epitool.stages.demo.report import write_report
from epitool.stages.shared.camera_names import check_before_detection
from epitool.stages.shared.footage import open_views
from epitool.stages.shared.reported import reported
from epitool.stages.shared.steps import StepFailedError, run_step

_RENDERED_HEIGHT = "height=1.75m"
EPOCHS = 5  # enough to show the training step; a useful network takes more footage and a GPU
_IMITATED = {"sigma_px": 3.0, "outliers": 0.02, "swap_share": 0.05}


@dataclass(frozen=True)
class Footage:
    """The footage of the demo, in its folder.

    Attributes:
        title: Title of the report.
        views: Folders or videos, relative to the folder.
        calibrate: Options of `calibrate` besides the views.
        reference: Cameras to compare with, if known.
        truth: Labels with the exact truth, if known.
        detected: Whether the keypoints exist already.
    """

    title: str
    views: tuple[str, ...]
    calibrate: tuple[str, ...] = ()
    reference: Rig | None = None
    truth: str | None = None
    detected: bool = False


def run(options: DemoOptions) -> Summary:
    """Run every command on footage, and write pictures and a report.

    Raises:
        UsageError: No detector is installed.
        InputError: The footage cannot be downloaded or read.
        EpitoolError: A command failed.
    """
    out = options.out
    if not options.synthetic:
        open_detector(None)  # raises an error if there is none, before anything is downloaded
    with no_empty_folders(out):
        out.mkdir(parents=True, exist_ok=True)
        if options.synthetic:
            footage = _rendered(out, options.seed)
        elif options.views:
            footage = _own(options.views, options.intrinsics, options.scale)
        else:
            footage = _sample(out)
    started = time.monotonic()
    with reported(out):  # the command that makes a file reports its doubts
        try:
            steps = [run_step(arguments, out) for arguments in command_lines(footage, options.epochs, options.seed)]
        except StepFailedError as error:
            raise StepFailedError(f"{error}; {out} has what the steps before it wrote", error.exit_status) from None
    seconds = time.monotonic() - started
    text, values = write_report(out, footage.title, steps, footage.reference, footage.truth)
    folder = {"out": str(out), "seconds": round(seconds, 1)}
    return Summary(
        f"{text}\n{out}/report.md: everything, with pictures; {out}/labels.html: to turn and"
        f" play in a browser; {seconds:.0f} s",
        {**folder, **values},
    )


def command_lines(footage: Footage, epochs: int | None, seed: int) -> list[list[str]]:
    """Return the arguments of each command, in order, as typed in the demo's folder."""
    views, seeded = list(footage.views), ["--seed", str(seed)]
    detect = [] if footage.detected else [["detect2d", "--views", *views]]
    known = ["--boxes", "keypoints.h5"]
    by_network = "pose_network.json"
    lines = [
        *detect,
        ["calibrate", "--views", *views, *footage.calibrate, *seeded],
        ["triangulate"],
        ["pss-fit", *seeded],
        ["train", "--pairs", "labels.h5", "--epochs", str(epochs or EPOCHS), *seeded],
        ["predict", *views, *known, "--no-refiner", "--out", by_network],
        ["refine", "--predictions", by_network, *seeded],
        ["predict", *views, *(known if footage.detected else []), "--out", "pose.json"],
        ["evaluate", "--pss", "50,100", "--predictions", "pose.json", by_network],
    ]
    if footage.truth:
        against = ["--truth", footage.truth, "--pss", "50,100", "--out"]
        lines += [
            ["evaluate", "--predictions", "labels.h5", *against, "metrics_labels.json"],
            ["evaluate", "--predictions", "pose.json", by_network, *against, "metrics_truth.json"],
        ]
    return [*lines, ["show", "labels.h5"]]


def _sample(out: Path) -> Footage:
    try:
        recording = sample_recording()
    except InputError as error:
        raise InputError(f"{error}; or use `epitool demo --synthetic`, which needs no recording") from None
    views = tuple(_copied(video, out) for video in recording.views)
    calibration = _copied(recording.calibration, out)
    reference = read_rig(out / calibration)
    first, second = reference.cameras[:2]
    distance = float(np.linalg.norm(first.center - second.center))
    options = ("--intrinsics", calibration, "--scale", f"baseline:{first.name},{second.name}={distance:.0f}mm")
    title = "the sample recording: a man balancing, four cameras, 100 frames at 60 per second (Pose2Sim, BSD-3-Clause)"
    return Footage(title, views, options, reference)


def _copied(file: Path, folder: Path) -> str:
    target = folder / file.name
    if not target.exists() or target.stat().st_size != file.stat().st_size:
        shutil.copyfile(file, target)
    return target.name


def _own(views: Sequence[Path], intrinsics: Path | None, scale: str | None) -> Footage:
    opened = open_views(views)
    if len(opened) < 2:
        raise UsageError(f"--views: one view ({opened[0].name}); the chain needs two or more")
    options: list[str] = []
    if intrinsics:
        if not intrinsics.exists():
            raise InputError(f"{intrinsics}: no such file")
        options += ["--intrinsics", str(intrinsics.resolve())]
    if scale:
        options += ["--scale", scale]
    names = [view.name for view in opened]
    check_before_detection(names, intrinsics, scale)
    return Footage(
        f"own footage: {', '.join(names)}", tuple(str(view.path.resolve()) for view in opened), tuple(options)
    )


def _rendered(out: Path, seed: int) -> Footage:
    from epitool.io.cameras import write_rig
    from epitool.synthetic import noisy_keypoints, render_scene

    say("rendering a person in four cameras")
    truth = render_scene(out, seed=seed)
    write_labels(out / "truth.h5", truth)
    write_rig(out / "true_cameras.toml", truth.rig)
    detected = default_detector() is None
    if detected:
        say(f"no 2D detector is installed: keypoints are the truth with errors as a detector makes them ({_IMITATED})")
        write_keypoints(out / "keypoints.h5", noisy_keypoints(truth, **_IMITATED, seed=seed))
    options = ("--intrinsics", "true_cameras.toml", "--scale", _RENDERED_HEIGHT, "--up", "people")
    how = "imitated 2D detections" if detected else "2D joints detected in the images"
    title = f"a rendered person, four cameras, {len(truth.poses.frames)} frames, exact truth, {how}"
    return Footage(title, truth.rig.names, options, truth.rig, "truth.h5", detected)
