"""`epitool calibrate`: `keypoints.h5` to `cameras.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body.scale import ScaleRule, parse_scale
from epitool.geometry.calibration.calibrate import (
    FRAME_BUDGET,
    STILL,
    Calibration,
    informative_frames,
    still_views,
    with_focal,
)
from epitool.geometry.people.everyone import Crowd, calibrate_everyone
from epitool.geometry.timing.drift import doubt_of_drift, runs_of
from epitool.geometry.timing.sync import REACH, estimate_offsets, synchronized
from epitool.io.cameras import write_rig
from epitool.io.keypoints import open_keypoints
from epitool.pose import Keypoints
from epitool.stages.calibrate import report
from epitool.stages.calibrate.inputs import crowd_of, enough_step, intrinsics_of, keypoints_of, places
from epitool.stages.calibrate.rig import Choices, placed, solved
from epitool.stages.calibrate.windows import LEAST_WINDOW, calibrate_windows, check_moving, windows_of
from epitool.stages.shared.footage import check_rates_of
from epitool.stages.shared.one_person import chosen_by_geometry, chosen_in_all_views, say_whom, warn_of_people

Array = NDArray[np.float64]
_SYNC_FRAMES = 5000


def run(
    *, views: Sequence[Path], keypoints: Path, intrinsics: Path | None, refine_intrinsics: bool,
    extrinsics: Path | None, fov_deg: float | None, method: str, sync: bool, moving: int | None, scale: str | None,
    up: str | None, detector: str | None, device: str, out: Path, seed: int, jobs: int,
    sync_reach: int | None = None, min_confidence: float | None = None,
) -> Summary:  # fmt: skip
    """Recovers the cameras from the joints of one person (paper, section 3.1).

    Args:
        views: Which views; all of `keypoints` where none are named.
        keypoints: The `keypoints.h5`; where it is missing, joints are detected in `views` first.
        intrinsics: A camera file with K and distortion of every view.
        refine_intrinsics: Adjust the lenses of `intrinsics` too.
        extrinsics: A camera file whose places are taken as they are.
        fov_deg: Field of view of the longer image side, to be taken as known where there are no intrinsics; None to
            estimate each view's focal length.
        method: "essential" (all pairs, then bundle adjustment) or "fundamental" (the paper to the letter).
        sync: Estimate each view's offset in time first, and take it into account.
        moving: Solve windows of so many frames each by themselves, for cameras that move; None for cameras that stand.
        scale: What fixes millimetres, as `height=1.78m`.
        up: "people" to turn the world upright by them, floor at 0; None to leave it in the first camera.
        min_confidence: Joints under it are not used; None to use all.
        detector: For detecting first.
        device: For detecting first.
        out: The `cameras.toml` to write.
        seed: Of the random sampling.
        jobs: Pairs at a time.
        sync_reach: Frames to the first view that `sync` looks for; 30 by default.

    Raises:
        UsageError: Options do not fit together.
        InputError: A file does not fit the views.
        GeometryError: The joints determine no cameras, or none that are to be trusted.
    """
    rule = parse_scale(scale) if scale else None
    _check_options(intrinsics, extrinsics, refine_intrinsics)
    if sync_reach and not sync:
        raise UsageError("--sync-reach says how far --sync looks; give that too")
    if moving is not None:
        check_moving(f"--moving {moving}", moving, rule, up, extrinsics)
    joints = keypoints_of(
        views, keypoints, detector, device, jobs, all_frames=sync or moving is not None, least=min_confidence
    )
    _check_joints(joints, keypoints, rule)
    if joints.take_of.any():
        check_moving(f"{keypoints}: several takes", LEAST_WINDOW, rule, up, extrinsics)
        if sync:
            raise UsageError(f"{keypoints}: several takes, each with offsets of its own; --sync needs one take a file")
    cameras = intrinsics_of(joints, intrinsics or extrinsics, fov_deg, method)
    known = places(extrinsics, joints.views) if extrinsics else None
    recorded = joints
    if sync:
        cameras = _with_offsets(cameras, joints, sync_reach or REACH, seed, jobs)
        joints = synchronized(joints, [camera.time_offset for camera in cameras])
    stated = "known" if intrinsics or extrinsics else "field" if fov_deg else "unknown"
    focal = "refined" if refine_intrinsics else stated
    choices = Choices(method, focal, rule, up, intrinsics or extrinsics, known, seed, jobs)
    windowed = moving is not None or bool(joints.take_of.any())
    if sync or windowed:  # people are told apart in the frames as they were recorded, by cameras that stand still
        warn_of_people(keypoints, "--sync" if sync else "cameras that move")
    if windowed:
        return calibrate_windows(joints, cameras, choices, windows_of(joints.take_of, moving), out)
    joints = informative_frames(joints, FRAME_BUDGET)
    if method == "fundamental" or extrinsics:
        for view in still_views(joints):
            warn(f"view {view}: {STILL}")
    everyone = None if sync or extrinsics or method == "fundamental" else crowd_of(keypoints, joints, min_confidence)
    if everyone:
        joints, result = _of_everyone(everyone, cameras, choices, keypoints, min_confidence)
    else:
        result = solved(joints, cameras, choices)
        if not sync:
            joints, result = _of_one_person(joints, cameras, result, choices, keypoints, min_confidence)
    if not sync:
        result = _with_doubt_of_drift(recorded, result)
    return _finish(joints, result, choices, out)


def _check_options(intrinsics: Path | None, extrinsics: Path | None, refine_intrinsics: bool) -> None:
    """Refuses files that are not there, and options that do not fit together.

    Raises:
        UsageError: Options do not.
        InputError: A file is missing.
    """
    for option, path in (("--intrinsics", intrinsics), ("--extrinsics", extrinsics)):
        if path and not path.exists():
            raise InputError(f"{option} {path}: no such file")
    if refine_intrinsics and not intrinsics:
        raise UsageError("--refine-intrinsics needs --intrinsics; without them focal lengths are estimated anyway")


def _check_joints(joints: Keypoints, path: Path, rule: ScaleRule | None) -> None:
    """Refuses keypoints of which no cameras can be found.

    Raises:
        UsageError: The rule of scale names a view that is not there.
        GeometryError: There is one view, or frame rates differ.
    """
    if len(joints.views) < 2:
        raise GeometryError(f"{path}: one view ({joints.views[0]}); cameras are found from two or more")
    if rule and rule.cameras and not set(rule.cameras) <= set(joints.views):
        raise UsageError(f"--scale {rule}: the views are {', '.join(joints.views)}")
    check_rates_of(joints)


def _of_everyone(
    everyone: Crowd, cameras: Sequence[Camera], choices: Choices, path: Path, least: float | None
) -> tuple[Keypoints, Calibration]:
    """The cameras that all people give, and the joints of the one of them whose labels will be made.

    Raises:
        GeometryError: People determine no cameras.
    """
    result = calibrate_everyone(everyone, cameras, seed=choices.seed, jobs=choices.jobs, focal=choices.focal)
    with open_keypoints(path, least) as source:
        chosen = chosen_by_geometry(source, result.rig, everyone.empty.views)
        if chosen is None:
            raise AssertionError("a crowd without candidates")
        say_whom(chosen)
        return informative_frames(chosen.read(step=enough_step(source)), FRAME_BUDGET), result


def _of_one_person(
    joints: Keypoints, cameras: Sequence[Camera], result: Calibration, choices: Choices, path: Path, least: float | None
) -> tuple[Keypoints, Calibration]:
    """The joints of the person whom all views agree on, and the cameras that they give; the same where one is seen.

    All views take part again, those too that had no place by the person that was followed: the verdict is on the whole.
    """
    with open_keypoints(path, least) as source:
        while True:
            chosen = chosen_in_all_views(source, result.rig, _lenses(cameras, result, choices), choices.seed)
            if chosen is None:
                return joints, result
            joints = informative_frames(chosen.read(step=enough_step(source)), FRAME_BUDGET)
            lost, result = len(result.left_out), solved(joints, cameras, choices)
            if not result.left_out or len(result.left_out) >= lost:
                say_whom(chosen)
                return joints, result


def _lenses(cameras: Sequence[Camera], result: Calibration, choices: Choices) -> list[Camera]:
    """The cameras of all views with what is known of their lenses; where focal lengths were guessed, as found."""
    if choices.focal != "unknown":
        return list(cameras)
    start = {camera.name: camera.focal for camera in cameras}
    return with_focal(cameras, float(np.median([camera.focal / start[camera.name] for camera in result.rig.cameras])))


def _with_offsets(cameras: Sequence[Camera], joints: Keypoints, reach: int, seed: int, jobs: int) -> list[Camera]:
    """The cameras with their offsets in time, estimated from a stretch of the recording."""
    middle = max(len(joints.frames) - _SYNC_FRAMES, 0) // 2
    stretch = joints.select_frames(np.arange(middle, min(middle + _SYNC_FRAMES, len(joints.frames))))
    found = estimate_offsets(stretch, cameras, reach=reach, seed=seed, jobs=jobs)
    for name, offset, sd in zip(joints.views, found.offsets, found.sd, strict=True):
        say(f"view {name}: {offset:+.2f} +- {sd:.2f} frames against view {joints.views[0]}")
    for doubt in found.doubts:
        warn(doubt)
    return [replace(c, time_offset=float(offset)) for c, offset in zip(cameras, found.offsets, strict=True)]


def _with_doubt_of_drift(recorded: Keypoints, result: Calibration) -> Calibration:
    """The calibration, doubted where the joints of all frames say that the views' clocks run apart."""
    doubt = doubt_of_drift(runs_of(recorded), result.rig)
    if result.verdict is None and doubt[0] != "pass":
        warn(doubt[1])
    return replace(result, verdict=result.verdict.with_doubts([doubt])) if result.verdict else result


def _finish(joints: Keypoints, result: Calibration, choices: Choices, out: Path) -> Summary:
    """Fixes the scale, measures the fit, and writes the cameras."""
    report.show(result)
    rig, statistics = placed(joints, result, choices)
    write_rig(out, rig, statistics)
    error = statistics["median_reprojection_px"]
    text = f"{out}: {len(rig)} cameras, median reprojection error {error:.1f} px, unit {rig.unit}"
    text += f" (scale: {rig.scale_source})" + (f", verdict: {result.verdict.level}" if result.verdict else "")
    return Summary(text, {"out": str(out), "unit": rig.unit, **statistics})
