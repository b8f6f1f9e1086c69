"""`epitool calibrate`: computes `cameras.toml` from `keypoints.h5`."""

from __future__ import annotations

import itertools
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
    Calibration,
    still_views,
    use_found_lenses,
)
from epitool.geometry.calibration.first_rig import informative_frames
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.people.everyone import Crowd, calibrate_everyone
from epitool.geometry.timing.drift import doubts_of_drift, motion_of_views, select_runs
from epitool.geometry.timing.refusals import OutOfReachError
from epitool.geometry.timing.shifts import doubts_of_shifts
from epitool.geometry.timing.sync import REACH, TimeOffsets, estimate_offsets, synchronized
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import open_keypoints
from epitool.options import CalibrateOptions
from epitool.pose import Keypoints
from epitool.stages.calibrate import report
from epitool.stages.calibrate.inputs import choose_step, crowd_of, doubts_of_shapes, intrinsics_of, keypoints_of
from epitool.stages.calibrate.rig import Choices, choices_of, finish_rig, solve_cameras
from epitool.stages.calibrate.windows import LEAST_WINDOW, calibrate_windows, check_moving, windows_of
from epitool.stages.shared.doubts import Asked, doubt_text, omission_text
from epitool.stages.shared.footage import check_rates_of, require_somebody
from epitool.stages.shared.people import choose_by_geometry, choose_in_all_views, report_choice, warn_of_people
from epitool.stages.shared.waiting import at_work, saying_what_is_compiled

Array = NDArray[np.float64]
_SYNC_FRAMES = 5000


def run(options: CalibrateOptions) -> Summary:
    """Recover the cameras from the joints of people (paper, section 3.1).

    Raises:
        UsageError: Options do not fit together.
        InputError: A file does not fit the views.
        GeometryError: The joints determine no cameras, or none that can be trusted.
    """
    rule = parse_scale(options.scale) if options.scale else None
    for option, path in (("--intrinsics", options.intrinsics), ("--extrinsics", options.extrinsics)):
        if path and not path.exists():
            raise InputError(f"{option} {path}: no such file")
    if options.moving is not None:
        check_moving(f"--moving {options.moving}", options.moving, rule, options)
    joints = recorded = keypoints_of(options)
    _check_joints(joints, options.keypoints, rule)
    require_somebody(joints, options.keypoints, options.min_confidence)
    if joints.take_of.any():
        check_moving(f"{options.keypoints}: several takes", LEAST_WINDOW, rule, options)
        if options.sync:
            raise UsageError(
                f"{options.keypoints}: several takes, each with offsets of its own; --sync needs one take a file"
            )
    cameras = intrinsics_of(joints, options.intrinsics or options.extrinsics, options.fov, options.method)
    choices = choices_of(options, rule, joints.views)
    if choices.lenses is None:
        choices = replace(choices, stated=(*choices.stated, *doubts_of_shapes(joints)))
    if options.sync:
        with at_work("finding offsets in time"):
            cameras, doubts = _with_offsets(cameras, joints, options)
        choices = replace(choices, sync=doubts)
        joints = synchronized(joints, [camera.time_offset for camera in cameras])
    windowed = options.moving is not None or bool(joints.take_of.any())
    if options.sync or windowed:  # people are told apart only with static, synchronized cameras
        moves = "several takes" if joints.take_of.any() else "cameras that move"
        warn_of_people(options.keypoints, "--sync" if options.sync else moves)
    if windowed:
        windows = windows_of(joints.take_of, options.moving)
        with saying_what_is_compiled():
            return calibrate_windows(joints, cameras, choices, windows, options.out)
    with at_work("finding cameras"):
        return _standing(recorded, joints, cameras, choices, options)


def _standing(
    recorded: Keypoints, joints: Keypoints, cameras: Sequence[Camera], choices: Choices, options: CalibrateOptions
) -> Summary:
    """Finds cameras that stand still, and writes them.

    Args:
        recorded: The joints as they were recorded.
        joints: The same, with the offsets between the views taken into account.
        cameras: A camera for each view, with its lens.
        choices: The settings.
        options: The command's options.

    Raises:
        GeometryError: The joints determine no cameras, or none that are to be trusted.
    """
    joints = informative_frames(joints, FRAME_BUDGET)
    if options.method == "fundamental" or options.extrinsics:
        for view in still_views(joints):
            warn(f"view {view}: {omission_text(Doubt(Kind.STILL, 'warn'), Asked())}")
    followed = options.sync or options.extrinsics or options.method == "fundamental"  # the person that detect2d chose
    everyone = None if followed else crowd_of(options.keypoints, joints, options.min_confidence)
    if everyone:
        joints, result = _calibrate_everyone(everyone, cameras, choices, options)
    else:
        result = solve_cameras(joints, cameras, choices)
        if not options.sync:
            joints, result = _calibrate_one_person(joints, cameras, result, choices, options)
    if not options.sync:
        result = _with_doubts_of_time(recorded, result, one_person=everyone is None)
    return _finish(joints, result, choices, options.out)


def _check_joints(joints: Keypoints, path: Path, rule: ScaleRule | None) -> None:
    """Refuse keypoints from which no cameras can be found.

    Raises:
        UsageError: The rule of the scale names a view that does not exist.
        InputError: Two views have the same joints, or frame rates differ.
        GeometryError: There is only one view.
    """
    if len(joints.views) < 2:
        raise GeometryError(f"{path}: one view ({joints.views[0]}); cameras are found from two or more")
    if rule and rule.cameras and not set(rule.cameras) <= set(joints.views):
        raise UsageError(f"--scale {rule}: the views are {', '.join(joints.views)}")
    for a, b in itertools.combinations(range(len(joints.views)), 2):
        if joints.seen[:, a].any() and np.array_equal(joints.xy[:, a], joints.xy[:, b], equal_nan=True):
            others = " ".join(name for name in joints.views if name != joints.views[b])
            raise InputError(
                f"{path}: views {joints.views[a]} and {joints.views[b]} have the same joints in every image; was one"
                f" video given twice? Leave one out: --views {others}"
            )
    check_rates_of(joints, path)


def _calibrate_everyone(
    everyone: Crowd, cameras: Sequence[Camera], choices: Choices, options: CalibrateOptions
) -> tuple[Keypoints, Calibration]:
    """Calibrate from all people; return also the joints of the person whose labels will be made.

    Raises:
        GeometryError: The people determine no cameras.
    """
    result = calibrate_everyone(everyone, cameras, seed=choices.seed, jobs=choices.jobs, focal=choices.focal)
    with open_keypoints(options.keypoints, options.min_confidence) as source:
        chosen = choose_by_geometry(source, result.rig, everyone.empty.views)
        if chosen is None:
            raise AssertionError("a crowd without candidates")
        report_choice(chosen, _rule_by_body(options))
        return informative_frames(chosen.read(step=choose_step(source)), FRAME_BUDGET), result


def _rule_by_body(options: CalibrateOptions) -> str | None:
    """Return the rule of the scale, if it goes by a body; None otherwise."""
    return options.scale if options.scale and parse_scale(options.scale).cameras is None else None


def _calibrate_one_person(
    joints: Keypoints, cameras: Sequence[Camera], result: Calibration, choices: Choices, options: CalibrateOptions
) -> tuple[Keypoints, Calibration]:
    """Calibrate again from the person on whom all views agree; return the inputs if images show only one person.

    Views that could not be placed by the person followed before take part again, so that the verdict is on all views.
    """
    with open_keypoints(options.keypoints, options.min_confidence) as source:
        while True:
            chosen = choose_in_all_views(
                source, result.rig, use_found_lenses(cameras, result.rig, choices.focal), choices.seed
            )
            if chosen is None:
                return joints, result
            joints = informative_frames(chosen.read(step=choose_step(source)), FRAME_BUDGET)
            lost, result = len(result.left_out), solve_cameras(joints, cameras, choices)
            if not result.left_out or len(result.left_out) >= lost:
                report_choice(chosen, _rule_by_body(options))
                return joints, result


def _with_offsets(
    cameras: Sequence[Camera], joints: Keypoints, options: CalibrateOptions
) -> tuple[list[Camera], tuple[Doubt, ...]]:
    """Return the cameras with their time offsets, estimated from the middle of the recording, and the doubts."""
    middle = max(len(joints.frames) - _SYNC_FRAMES, 0) // 2
    stretch = joints.select_frames(np.arange(middle, min(middle + _SYNC_FRAMES, len(joints.frames))))
    reach = min(options.sync_reach or REACH, int(np.ptp(stretch.frames)) + 1)
    found = _offsets_within(reach, stretch, cameras, options)
    for name, offset, sd in zip(joints.views[1:], found.offsets[1:], found.sd[1:], strict=True):
        say(f"view {name}: {offset:+.2f} +- {sd:.2f} frames against view {joints.views[0]}")
    if options.method == "fundamental":  # no verdict is given, which would hold them
        for doubt in found.doubts:
            warn(doubt_text(doubt))
    return [
        replace(c, time_offset=float(offset)) for c, offset in zip(cameras, found.offsets, strict=True)
    ], found.doubts


def _offsets_within(
    reach: int, joints: Keypoints, cameras: Sequence[Camera], options: CalibrateOptions
) -> TimeOffsets:  # fmt: skip
    """Estimate the offsets; a larger reach is suggested only if it finds them.

    Raises:
        GeometryError: The joints determine no offset, or one that is out of reach.
    """
    try:
        return estimate_offsets(joints, cameras, reach=reach, seed=options.seed, jobs=options.jobs)
    except OutOfReachError as error:
        _offsets_within(error.reach, joints, cameras, options)
        raise GeometryError(f"{error}: --sync-reach {error.reach} looks farther") from None


def _with_doubts_of_time(recorded: Keypoints, result: Calibration, one_person: bool) -> Calibration:
    """Return the calibration with doubts if the joints of all frames show that the views' clocks differ or drift apart.

    Views may follow different people, whose steps are no shift.
    """
    motions = motion_of_views(select_runs(recorded), result.rig)
    found = [*doubts_of_drift(motions, result.rig), *(doubts_of_shifts(motions, result.rig) if one_person else ())]
    if result.verdict:
        return replace(result, verdict=result.verdict.with_doubts(found))
    for doubt in found:
        warn(doubt_text(doubt))
    return result


def _finish(joints: Keypoints, result: Calibration, choices: Choices, out: Path) -> Summary:
    """Fix the scale, measure the fit and write the cameras."""
    report.show(result)
    rig, statistics = finish_rig(joints, result, choices)
    write_rig(out, rig, statistics)
    error = statistics["median_reprojection_px"]
    text = f"{out}: {len(rig)} cameras, median reprojection error {error:.1f} px, unit {rig.unit}"
    verdict = f"verdict: {statistics['verdict']}" if result.verdict else f"no verdict with --method {choices.method}"
    text += f" (scale: {rig.scale_source}), {verdict}"
    return Summary(text, {"out": str(out), "unit": rig.unit, **statistics})
