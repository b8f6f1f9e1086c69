"""`epitool calibrate`: `keypoints.h5` to `cameras.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig, Window
from epitool.console import Summary, progress, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body import ScaleRule, apply_scale, parse_scale
from epitool.geometry.calibrate import FRAME_BUDGET, STILL, Calibration, calibrate, informative_frames, still_views
from epitool.geometry.labels import label
from epitool.geometry.sync import estimate_offsets, synchronized
from epitool.geometry.vertical import apply_world, level_world
from epitool.io.cameras import write_rig, write_windows
from epitool.pose import Keypoints
from epitool.stages import calibration_report as report
from epitool.stages.calibrate_inputs import (
    given,
    intrinsics_of,
    keypoints_of,
    places,
    warn_of_people,
)
from epitool.stages.choosing import chosen_by_geometry
from epitool.stages.footage import check_frame_rates

Array = NDArray[np.float64]
_SYNC_FRAMES = 5000
_LEAST_WINDOW = 10


@dataclass(frozen=True)
class Choices:
    """How cameras are sought, as `run` has it.

    Attributes:
        method: "essential" or "fundamental".
        focal: Whether focal lengths are "known", "refined", or "unknown".
        rule: What fixes millimetres.
        up: "people" to turn the world upright.
        lenses: The file that intrinsics are from.
        places: Cameras whose places are taken as they are.
        min_confidence: Joints under it are not used.
        seed: Of the random sampling.
        jobs: Pairs at a time.
    """

    method: str
    focal: str
    rule: ScaleRule | None
    up: str | None
    lenses: Path | None
    places: Rig | None
    min_confidence: float
    seed: int
    jobs: int


def run(
    *, views: Sequence[Path], keypoints: Path, intrinsics: Path | None, refine_intrinsics: bool,
    extrinsics: Path | None, fov_deg: float | None, method: str, sync: bool, moving: int | None, scale: str | None,
    up: str | None, min_confidence: float, detector: str | None, device: str, out: Path, seed: int, jobs: int,
) -> Summary:  # fmt: skip
    """Recovers the cameras from the joints of one person (paper, section 3.1).

    Args:
        views: Which views; all of `keypoints` where none are named.
        keypoints: The `keypoints.h5`; where it is missing, joints are detected in `views` first.
        intrinsics: A camera file with K and distortion of every view.
        refine_intrinsics: Adjust the focal lengths of `intrinsics` too.
        extrinsics: A camera file whose places are taken as they are.
        fov_deg: Field of view of the longer image side, to be taken as known where there are no intrinsics; None to
            estimate each view's focal length.
        method: "essential" (all pairs, then bundle adjustment) or "fundamental" (the paper to the letter).
        sync: Estimate each view's offset in time first, and take it into account.
        moving: Solve windows of so many frames each by themselves, for cameras that move; None for cameras that stand.
        scale: What fixes millimetres, as `height=1.78m`.
        up: "people" to turn the world upright by them, floor at 0; None to leave it in the first camera.
        min_confidence: Joints under it are not used.
        detector: For detecting first.
        device: For detecting first.
        out: The `cameras.toml` to write.
        seed: Of the random sampling.
        jobs: Pairs at a time.

    Raises:
        UsageError: Options do not fit together.
        InputError: A file does not fit the views.
        GeometryError: The joints determine no cameras, or none that are to be trusted.
    """
    rule = parse_scale(scale) if scale else None
    _check_options(intrinsics, extrinsics, refine_intrinsics)
    if moving is not None:
        _check_moving(f"--moving {moving}", moving, rule, up, extrinsics)
    joints = keypoints_of(views, keypoints, detector, device, jobs, all_frames=sync or moving is not None)
    _check_joints(joints, keypoints, rule)
    if joints.take_of.any():
        _check_moving(f"{keypoints}: several takes", _LEAST_WINDOW, rule, up, extrinsics)
    cameras = intrinsics_of(joints, intrinsics or extrinsics, fov_deg, method)
    known = places(extrinsics, joints.views) if extrinsics else None
    if sync:
        cameras = _with_offsets(cameras, joints, min_confidence, seed, jobs)
        joints = synchronized(joints, [camera.time_offset for camera in cameras])
    focal = "refined" if refine_intrinsics else "known" if intrinsics or extrinsics or fov_deg else "unknown"
    choices = Choices(method, focal, rule, up, intrinsics or extrinsics, known, min_confidence, seed, jobs)
    windowed = moving is not None or bool(joints.take_of.any())
    if sync or windowed:  # people are told apart in the frames as they were recorded, by cameras that stand still
        warn_of_people(keypoints, "--sync" if sync else "cameras that move")
    if windowed:
        return _calibrate_windows(joints, cameras, choices, windows_of(joints.take_of, moving), out)
    joints = informative_frames(joints, min_confidence, FRAME_BUDGET)
    if method == "fundamental" or extrinsics:
        for view in still_views(joints, min_confidence):
            warn(f"view {view}: {STILL}")
    result = _solved(joints, cameras, choices)
    if not sync:
        joints, result = _of_one_person(joints, cameras, result, choices, keypoints)
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
    first = [next((name for name in column if name), "") for column in joints.images.T.tolist()]
    check_frame_rates(dict(zip(joints.views, first, strict=True)))


def _of_one_person(
    joints: Keypoints, cameras: Sequence[Camera], result: Calibration, choices: Choices, path: Path
) -> tuple[Keypoints, Calibration]:
    """The joints of the person whom all views agree on, and the cameras that they give; the same where one is seen."""
    chosen = chosen_by_geometry(path, result.rig, choices.min_confidence)
    if not chosen:
        return joints, result
    joints = informative_frames(chosen, choices.min_confidence, FRAME_BUDGET)
    again = _solved(joints, [camera for camera in cameras if camera.name in joints.views], choices)
    return joints, replace(again, left_out={**result.left_out, **again.left_out})


def windows_of(take_of: NDArray[np.int64], moving: int | None) -> list[NDArray[np.intp]]:
    """Indices of the frames that are solved together: of each take, in windows of so many of them.

    >>> [window.tolist() for window in windows_of(np.array([0, 1, 0]), None)]
    [[0, 2], [1]]
    """
    takes = [np.flatnonzero(take_of == number) for number in np.unique(take_of)]
    if moving is None:
        return takes
    return [take[start : start + moving] for take in takes for start in range(0, len(take), moving)]


def _check_moving(what: str, moving: int, rule: ScaleRule | None, up: str | None, extrinsics: Path | None) -> None:
    """Refuses what has no meaning for cameras that do not stand still.

    Raises:
        UsageError: Something has not.
    """
    if moving < _LEAST_WINDOW:
        raise UsageError(f"{what}: a window needs at least {_LEAST_WINDOW} frames")
    fixed = {"--up": up, "--extrinsics": extrinsics, "--scale baseline": rule and rule.cameras}
    for option, value in fixed.items():
        if value:
            raise UsageError(f"{what}: {option} asks for cameras that stand still all the time; leave it out")


def _with_offsets(
    cameras: Sequence[Camera], joints: Keypoints, min_confidence: float, seed: int, jobs: int
) -> list[Camera]:
    """The cameras with their offsets in time, estimated from a stretch of the recording."""
    middle = max(len(joints.frames) - _SYNC_FRAMES, 0) // 2
    stretch = joints.select_frames(np.arange(middle, min(middle + _SYNC_FRAMES, len(joints.frames))))
    found = estimate_offsets(stretch, cameras, min_confidence=min_confidence, seed=seed, jobs=jobs)
    for name, offset, sd in zip(joints.views, found.offsets, found.sd, strict=True):
        say(f"view {name}: {offset:+.2f} +- {sd:.2f} frames against view {joints.views[0]}")
    for doubt in found.doubts:
        warn(doubt)
    return [replace(c, time_offset=float(offset)) for c, offset in zip(cameras, found.offsets, strict=True)]


def _solved(joints: Keypoints, cameras: Sequence[Camera], choices: Choices) -> Calibration:
    if choices.places:
        return Calibration(given(choices.places.select(joints.views), cameras))
    c = choices
    return calibrate(
        joints, cameras, method=c.method, min_confidence=c.min_confidence, seed=c.seed, jobs=c.jobs, focal=c.focal
    )


def _finish(joints: Keypoints, result: Calibration, choices: Choices, out: Path) -> Summary:
    """Fixes the scale, measures the fit, and writes the cameras."""
    report.show(result)
    rig, statistics = _placed(joints, result, choices)
    write_rig(out, rig, statistics)
    error = statistics["median_reprojection_px"]
    text = f"{out}: {len(rig)} cameras, median reprojection error {error:.1f} px, unit {rig.unit}"
    text += f" (scale: {rig.scale_source})" + (f", verdict: {result.verdict.level}" if result.verdict else "")
    return Summary(text, {"out": str(out), "unit": rig.unit, **statistics})


def _placed(joints: Keypoints, result: Calibration, choices: Choices) -> tuple[Rig, dict[str, Any]]:
    """The rig in its final world and unit, and what is to be said of it.

    Raises:
        GeometryError: It is not to be trusted, or places no joint.
    """
    if result.verdict and result.verdict.level == "fail":
        doubts = [*result.verdict.reasons, *report.two_people(result)]
        raise GeometryError(f"no cameras to be trusted: {'; '.join(doubts)}")
    own = joints.select_views(result.rig.names)
    labels = label(own, result.rig, method="polynomial", min_confidence=choices.min_confidence, jobs=choices.jobs)
    if not np.isfinite(labels.poses.xyz).any():
        raise GeometryError("no joint can be triangulated with these cameras; are the views in sync and in order?")
    rig, levelled = result.rig, None
    if choices.up:
        levelled = level_world(labels.poses, rig)
        rig = apply_world(rig, levelled.R, levelled.t)
        if levelled.doubt:
            warn(levelled.doubt)
    if choices.rule or not (choices.places and rig.unit == "mm"):
        rig = apply_scale(rig, labels.poses, choices.rule)
    method = "given" if choices.places else choices.method
    statistics = report.statistics(result, labels, _grown(result.rig, rig), method, choices.lenses)
    if levelled:
        statistics |= {"up": "people", "up_sd_deg": round(levelled.sd_deg, 3)}
    report.warn_where_doubtful(result, labels)
    return rig, statistics


def _grown(before: Rig, after: Rig) -> float:
    """How many times larger the second rig is."""
    lengths = [np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center) for rig in (before, after)]
    return float(lengths[1] / lengths[0])


def _calibrate_windows(
    joints: Keypoints, cameras: Sequence[Camera], choices: Choices, windows: Sequence[NDArray[np.intp]], out: Path
) -> Summary:
    """Cameras that move (paper, section 3.1), or takes: windows of frames, each with its cameras, world and scale.

    Focal lengths that are unknown are taken as the median of those that the windows give, and held.

    Raises:
        GeometryError: No window can be solved.
    """
    parts = [joints.select_frames(window) for window in windows]
    if choices.focal != "known" and len(cameras) > 2:
        cameras = _common_focal(parts, cameras, choices)
    held, solved, problems = replace(choices, focal="known"), list[Window](), list[str]()
    with progress("windows", len(parts)) as advance:
        for part, indices in zip(parts, windows, strict=True):
            runs = np.split(part.frames, np.flatnonzero(np.diff(indices) > 1) + 1)
            try:
                rig, statistics = _placed(part, _with_all_views(_solved(part, cameras, held)), held)
                solved += [Window(int(run[0]), int(run[-1]), rig, statistics) for run in runs]
            except GeometryError as error:
                problems.append(f"frames {part.frames[0]} to {part.frames[-1]}: {error}")
                warn(f"{problems[-1]}; they are left out")
            advance(1)
    if not solved:
        raise GeometryError(f"none of {len(parts)} windows of frames gives cameras; {problems[0]}")
    solved.sort(key=lambda window: window.first)
    write_windows(out, solved)
    residual = float(np.median([window.statistics["median_reprojection_px"] for window in solved]))
    text = f"{out}: cameras of {len(parts) - len(problems)} of {len(parts)} windows of frames"
    text += f", median reprojection error {residual:.1f} px, unit {solved[0].rig.unit}"
    said = [{"first_frame": w.first, "last_frame": w.last, **w.statistics} for w in solved]
    values = {"out": str(out), "unit": solved[0].rig.unit, "windows": said, "left_out": problems}
    return Summary(text, values)


def _with_all_views(result: Calibration) -> Calibration:
    """The calibration itself, for a rig must have the same cameras in all windows.

    Raises:
        GeometryError: A view is left out.
    """
    for name, why in result.left_out.items():
        raise GeometryError(f"view {name}: {why}")
    return result


def _common_focal(parts: Sequence[Keypoints], cameras: Sequence[Camera], choices: Choices) -> list[Camera]:
    """The cameras with the median focal lengths of all windows that can be solved."""
    factors: dict[str, list[float]] = {camera.name: [] for camera in cameras}
    for part in parts:
        try:
            found = _solved(part, cameras, choices)
        except GeometryError:
            continue
        for camera in found.rig.cameras:
            start = next(c for c in cameras if c.name == camera.name)
            factors[camera.name].append(camera.focal / start.focal)
    scales = [float(np.median(factors[camera.name] or [1.0])) for camera in cameras]
    by = [np.array([[s, s, 1], [1, s, 1], [1, 1, 1]]) for s in scales]
    return [replace(camera, K=camera.K * factor) for camera, factor in zip(cameras, by, strict=True)]
