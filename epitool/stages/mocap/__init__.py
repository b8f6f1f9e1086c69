"""`epitool mocap`: footage to files for other programs, each step as the command line that a user would type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from epitool.console import Summary, say
from epitool.errors import EpitoolError, InputError
from epitool.geometry.body.scale import parse_scale
from epitool.images import view_name
from epitool.io.foreign.motion import check_motion_file
from epitool.io.keypoints_h5 import open_keypoints
from epitool.options import MocapOptions
from epitool.stages.mocap import trust
from epitool.stages.mocap.pooling import write_pooled
from epitool.stages.mocap.trials import Trial, check_footage, shared_folder, trials_of
from epitool.stages.shared.camera_names import check_before_detection, windows_of_views
from epitool.stages.shared.camera_verdict import heed_cameras
from epitool.stages.shared.detecting import check_detector
from epitool.stages.shared.reported import reported
from epitool.stages.shared.steps import StepFailedError, command_line, run_step

_NO_SCALE = ", lengths in no unit"


def run(options: MocapOptions) -> Summary:
    """Run detect2d, calibrate, triangulate, convert and show on one recording, or on trials of the same cameras.

    Joints that an earlier run has found are kept; the other steps are quick and run again. With trials, one that fails
    does not keep others from their files.

    Raises:
        UsageError: The options do not fit the footage, or something that is needed is not installed.
        InputError: Footage or another file cannot be read.
        GeometryError: The cameras of `--cameras` were found not to be trusted when they were made.
        StepFailedError: A step failed; it has said why, and its exit status is passed on.
    """
    for out in options.out:
        check_motion_file(out)
    for option, path in (("--cameras", options.cameras), ("--intrinsics", options.intrinsics)):
        if path and not path.is_file():
            raise InputError(
                f"{option} {path}: {'is a folder, a file is expected' if path.exists() else 'no such file'}"
            )
    if options.scale:
        parse_scale(options.scale)
    if options.cameras:
        heed_cameras(options.cameras)
    check_detector(options.detector)
    trials = trials_of(options)
    check_footage(options, trials)
    names = [view_name(view) for view in trials[0].views]
    check_before_detection(names, options.intrinsics, options.scale, options.cameras if options.sync else None)
    if options.cameras:
        windows_of_views(options.cameras, names, "the footage")
    failed: dict[str, EpitoolError] = {}
    there = [trial for trial in trials if _works(trial, failed, lambda trial: _detect(options, trial))]
    if not there:
        raise next(iter(failed.values()))
    longest = max(there, key=_length)
    known = options.cameras or _calibrated(options, there, longest, shared_folder(options, trials))
    made: dict[str, dict[str, Any]] = {}
    with reported(known, *(trial.work for trial in there)):  # the command that makes a file reports its doubts
        for trial in there:
            _works(
                trial, failed, lambda trial: made.update({trial.name: _poses(options, trial, known, trial is longest)})
            )
    return _summary(options, [trial for trial in there if trial.name in made], made, failed, known)


def also_writes(options: MocapOptions) -> list[Path]:
    """Return the pages beside the outputs, and the outputs in the folders of trials."""
    trials = trials_of(options) if options.trials else [Trial("", (), options.out)]  # needs no look at the footage
    return [path for trial in trials for path in (trial.page, *(trial.outs if options.trials else ()))]


def _works(trial: Trial, failed: dict[str, EpitoolError], work: Callable[[Trial], object]) -> bool:
    """Do some work on a trial; return whether it succeeded. The only recording's failure ends the command.

    Raises:
        StepFailedError: A step of the only recording failed.
    """
    try:
        work(trial)
    except StepFailedError as error:
        if not trial.name:
            raise
        say(f"{trial.name} is left out: {error}")
        failed[trial.name] = error
    return trial.name not in failed


def _length(trial: Trial) -> int:
    with open_keypoints(trial.keypoints) as file:
        return len(file)


def _ran(what: str, arguments: Sequence[object]) -> dict[str, Any]:
    """Run a command and return its summary.

    Raises:
        StepFailedError: It failed; the message says at which step, and how to go on.
    """
    typed = [str(one) for one in arguments]
    try:
        return run_step(typed, as_json=True).values
    except StepFailedError as error:
        error.args = (
            f"stopped at the {what}; the command's own message is above. Mend that and run the same `epitool mocap`,"
            f" which keeps the joints that are found, or go on by hand: {command_line(typed)}",
        )
        raise


def _detect(options: MocapOptions, trial: Trial) -> None:
    trial.work.mkdir(exist_ok=True)
    chosen = ["--detector", options.detector] if options.detector else []
    found = _ran(f"2D joints{trial.of}", ["detect2d", "--views", *trial.views, *chosen, "--out", trial.keypoints])
    say(trust.judge_joints(found, trial.keypoints))


def _calibrated(options: MocapOptions, trials: Sequence[Trial], longest: Trial, folder: Path) -> Path:
    """Calibrate the cameras of all trials; return their file.

    All trials together calibrate them. If the cameras are out of sync, by another offset in every trial, the longest
    trial does.
    """
    keypoints, out = longest.keypoints, folder / "cameras.toml"
    if len(trials) > 1:
        folder.mkdir(exist_ok=True)
        if options.sync:
            say(f"Cameras are calibrated once, from the longest trial, {longest.name}.")
        else:
            keypoints = folder / "keypoints.h5"
            write_pooled([trial.keypoints for trial in trials], keypoints)
            say(f"Cameras are calibrated once, from all trials together ({keypoints}).")
    typed: list[object] = ["calibrate", "--keypoints", keypoints]
    typed += ["--scale", options.scale] if options.scale else []
    typed += ["--intrinsics", options.intrinsics] if options.intrinsics else []
    typed += ["--sync"] if options.sync else []
    try:
        found = _ran("cameras", [*typed, "--up", "people", "--out", out])
    except StepFailedError as error:
        if not error.vertical:
            raise
        say("The people do not tell which way is up; once more without asking them:")
        found = _ran("cameras", [*typed, "--out", out])
        say("The file will not say which way is up; OpenSim may show people upside down.")
    say(trust.judge_cameras(found, options.intrinsics is not None))
    return out


def _poses(options: MocapOptions, trial: Trial, known: Path, calibrated: bool) -> dict[str, Any]:
    """Triangulate a trial with known cameras, and write its files; return the summary of `triangulate`.

    Args:
        options: Options of the command.
        trial: The trial.
        known: Its cameras.
        calibrated: Whether the cameras, with their offsets in time, were found from this trial.
    """
    if options.sync and (options.cameras or not calibrated):
        own = trial.work / "cameras.toml"
        typed = ["calibrate", "--keypoints", trial.keypoints, "--extrinsics", known, "--sync", "--out", own]
        _ran(f"offsets in time{trial.of}", typed)
        known = own
    what = ["triangulate", "--keypoints", trial.keypoints, "--cameras", known, "--out", trial.labels]
    found = _ran(f"poses{trial.of}", what)
    _ran(f"page{trial.of}", ["show", trial.labels, "--out", trial.page])
    files: list[str] = []
    for out in trial.outs:
        unit = ["--unit", "m"] if out.suffix.lower() == ".trc" and found["unit"] == "mm" else []
        rate = ["--fps", f"{options.fps:g}"] if options.fps else []
        files += _ran(f"file {out}", ["convert", trial.labels, *unit, *rate, "--out", out])["files"]
    say(trust.judge_poses(found, trial.page))
    return {**found, "files": files}


def _summary(
    options: MocapOptions,
    trials: Sequence[Trial],
    made: dict[str, dict[str, Any]],
    failed: dict[str, EpitoolError],
    known: Path,
) -> Summary:
    lines = []
    for trial in trials:
        found = made[trial.name]
        files = ", ".join(found["files"])
        lines.append(
            f"{files}: {found['solved']} of {found['frames']} frames{_NO_SCALE * (found['unit'] != 'mm')}, verdict:"
            f" {found['verdict']}; {trial.page} shows it"
        )
    if trials:
        labels = trials[0].labels
        unit = " --unit m" if made[trials[0].name]["unit"] == "mm" else ""
        lines.append(
            f"To go on with single commands: {known} has the cameras, {labels} the poses; for instance"
            f" `epitool convert {labels}{unit} --names pose2sim --filter smooth --fill-gaps 10 --out NAME.trc`"
        )
    lines += [f"{name}: {error}" for name, error in failed.items()]
    values = {
        "cameras": str(known),
        "recordings": [
            {
                "name": trial.name, "out": made[trial.name]["files"], "page": str(trial.page),
                "labels": str(trial.labels), "frames": made[trial.name]["frames"], "unit": made[trial.name]["unit"],
                "verdict": made[trial.name]["verdict"],
            }
            for trial in trials
        ],
        "failed": {name: str(error) for name, error in failed.items()},
    }  # fmt: skip
    return Summary("\n".join(lines), values, _failure(failed))


def _failure(failed: dict[str, EpitoolError]) -> StepFailedError | None:
    if not failed:
        return None
    status = next(iter(failed.values())).exit_status
    return StepFailedError(f"no files of {', '.join(failed)}; see above", status)
