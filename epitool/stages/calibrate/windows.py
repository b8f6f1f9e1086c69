"""Calibration of moving cameras and of takes: windows of frames, each with its own cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Window
from epitool.console import Summary, progress, warn
from epitool.errors import GeometryError, UsageError
from epitool.geometry.body.scale import ScaleRule
from epitool.geometry.calibration.calibrate import Calibration
from epitool.geometry.calibration.lens_priors import add_to_k1
from epitool.io.cameras import write_windows
from epitool.options import CalibrateOptions
from epitool.pose import Keypoints
from epitool.stages.calibrate.rig import Choices, finish_rig, solve_cameras
from epitool.stages.shared.doubts import Asked, omission_texts

LEAST_WINDOW = 10  # frames


def windows_of(take_of: NDArray[np.int64], moving: int | None) -> list[NDArray[np.intp]]:
    """Return the indices of the frames that are solved together: each take, or windows of `moving` frames of it.

    >>> [window.tolist() for window in windows_of(np.array([0, 1, 0]), None)]
    [[0, 2], [1]]
    """
    takes = [np.flatnonzero(take_of == number) for number in np.unique(take_of)]
    if moving is None:
        return takes
    return [take[start : start + moving] for take in takes for start in range(0, len(take), moving)]


def check_moving(what: str, moving: int, rule: ScaleRule | None, options: CalibrateOptions) -> None:
    """Refuse options that have no meaning for moving cameras.

    Raises:
        UsageError: The window is too short, or an option asks for static cameras.
    """
    if moving < LEAST_WINDOW:
        raise UsageError(f"{what}: a window needs at least {LEAST_WINDOW} frames")
    fixed = {"--up": options.up, "--extrinsics": options.extrinsics, "--scale baseline": rule and rule.cameras}
    for option, value in fixed.items():
        if value:
            raise UsageError(f"{what}: {option} asks for cameras that stand still all the time; leave it out")


def calibrate_windows(
    joints: Keypoints, cameras: Sequence[Camera], choices: Choices, windows: Sequence[NDArray[np.intp]], out: Path
) -> Summary:
    """Calibrate moving cameras (paper, section 3.1) or takes: each window has its own cameras, world and scale.

    Unknown lenses are set to the median of the estimates from all windows, and held fixed.

    Raises:
        GeometryError: No window can be solved.
    """
    parts = [joints.select_frames(window) for window in windows]
    if choices.focal != "known" and len(cameras) > 2:
        cameras = _common_lenses(parts, cameras, choices)
    held, found, problems = replace(choices, focal="known"), list[Window](), list[str]()
    with progress("windows", len(parts)) as advance:
        for part, indices in zip(parts, windows, strict=True):
            runs = np.split(part.frames, np.flatnonzero(np.diff(indices) > 1) + 1)
            try:
                rig, statistics = finish_rig(part, _with_all_views(solve_cameras(part, cameras, held)), held)
                found += [Window(int(run[0]), int(run[-1]), rig, statistics) for run in runs]
            except GeometryError as error:
                problems.append(f"frames {part.frames[0]} to {part.frames[-1]}: {error}")
                warn(f"{problems[-1]}; they are left out")
            advance(1)
    if not found:
        raise GeometryError(f"none of {len(parts)} windows of frames gives cameras; {problems[0]}")
    found.sort(key=lambda window: window.first)
    write_windows(out, found)
    residual = float(np.median([window.statistics["median_reprojection_px"] for window in found]))
    text = f"{out}: cameras of {len(parts) - len(problems)} of {len(parts)} windows of frames"
    text += f", median reprojection error {residual:.1f} px, unit {found[0].rig.unit}"
    said = [{"first_frame": w.first, "last_frame": w.last, **w.statistics} for w in found]
    values = {"out": str(out), "unit": found[0].rig.unit, "windows": said, "left_out": problems}
    return Summary(text, values)


def _with_all_views(result: Calibration) -> Calibration:
    """Return the calibration if it has all views, because the rigs of all windows must have the same cameras.

    Raises:
        GeometryError: A view is left out.
    """
    for name, why in omission_texts(result.left_out, Asked()).items():
        raise GeometryError(f"view {name}: {why}")
    return result


def _common_lenses(parts: Sequence[Keypoints], cameras: Sequence[Camera], choices: Choices) -> list[Camera]:
    """Return the cameras with the median lenses of all windows that can be solved."""
    lenses: dict[str, list[Camera]] = {camera.name: [] for camera in cameras}
    for part in parts:
        try:
            found = solve_cameras(part, cameras, choices)
        except GeometryError:
            continue
        for camera in found.rig.cameras:
            lenses[camera.name].append(camera)
    return [_choose_usual(camera, lenses[camera.name] or [camera]) for camera in cameras]


def _choose_usual(camera: Camera, found: Sequence[Camera]) -> Camera:
    """Return the camera with the median of the estimates of its K and first distortion coefficient."""
    k1 = float(np.median([one.lens[0] for one in found]))
    return add_to_k1(replace(camera, K=np.median([one.K for one in found], axis=0)), k1 - float(camera.lens[0]))
