"""Inputs of `epitool calibrate`: keypoints, intrinsics, and known positions and orientations of cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.console import say, warn
from epitool.detectors import known_detector
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.calibration.calibrate import assumed_intrinsics
from epitool.geometry.doubts import Level
from epitool.geometry.people.everyone import Crowd
from epitool.geometry.triangulation.labels import sample_bounds
from epitool.images import view_name
from epitool.io.cameras import read_rig
from epitool.io.keypoints_h5 import KeypointsFile, open_keypoints
from epitool.options import CalibrateOptions, Detect2dOptions
from epitool.pose import Keypoints
from epitool.stages.shared import detecting
from epitool.stages.shared.camera_checks import check_unit, fit_sizes
from epitool.stages.shared.camera_names import cameras_of_views, check_before_detection, read_intrinsics
from epitool.stages.shared.footage import footage_among
from epitool.stages.shared.people import load_everyone

_USUAL_FOV_DEG = 60.0
# Longer side over shorter side of images as cameras record them, and the relative difference that coders cause
_SHAPES, _SHAPE = np.array([1.0, 5 / 4, 4 / 3, 3 / 2, 8 / 5, 16 / 9, 17 / 9, 2.0, 64 / 27]), 0.03
_MANY_FRAMES = 100_000


def read_places(path: Path, views: Sequence[str]) -> Rig:
    """Read the cameras of the named views with their positions and orientations, and warn of a unit that is not stated.

    Raises:
        InputError: The file lacks one of the views.
    """
    rig = read_rig(path)
    check_unit(path, rig)
    return cameras_of_views(path, rig, views)


def keypoints_of(options: CalibrateOptions) -> Keypoints:
    """Return the keypoints of the named views, or of all views; they are detected first if the file is missing.

    Unless all frames are needed, only every second, third, ... frame of recordings longer than about an hour is read.

    Raises:
        InputError: There is neither a file nor a view, or the file lacks a view.
        UsageError: A view is named twice, or there is no such detector.
        GeometryError: One view is to be detected, from which no cameras are found.
    """
    views, path = footage_among(options.views), options.keypoints
    all_frames = options.sync or options.moving is not None
    if not path.exists():
        if not views:
            raise InputError(f"{path}: no such file; name the footage with --views, or run `epitool detect2d` first")
        names = [view_name(view) for view in views]
        if len(names) == 1:
            raise GeometryError(f"--views: one view ({names[0]}); cameras are found from two or more")
        check_before_detection(names, options.intrinsics, options.scale, options.extrinsics)
        say(f"{path} is not there: detecting joints first")
        detect = Detect2dOptions(
            views=views, detector=options.detector, out=path, jobs=options.jobs, device=options.device
        )
        say(detecting.detect(detect).text)
    elif known_detector(options.detector) or options.device != "auto":
        say(f"{path} is there and kept as it is; `epitool detect2d --overwrite` detects anew")
    with open_keypoints(path, options.min_confidence) as file:
        joints = file.read(step=1 if all_frames or file.take_of().any() else choose_step(file))
    if not views:
        return joints
    names = [view_name(view) for view in views]
    if len(set(names)) < len(names):
        raise UsageError(f"--views: a view is named twice: {', '.join(names)}")
    try:
        return joints.select_views(names)
    except InputError as error:
        raise InputError(f"{path}: {error}; `epitool detect2d --views ... --overwrite` makes it anew") from None


def choose_step(file: KeypointsFile) -> int:
    """Return the step between the frames to read, so that long recordings give about an hour's number of frames."""
    return max(1, len(file) // _MANY_FRAMES)


def crowd_of(path: Path, joints: Keypoints, least: float | None) -> Crowd | None:
    """Read all people in the views of these joints, in runs of frames; None if no image shows two people.

    Raises:
        InputError: The file is damaged.
    """
    with open_keypoints(path, least) as file:
        found = load_everyone(file, joints.views)
        runs = np.concatenate([np.arange(*bounds) for bounds in sample_bounds(len(file))])
    everyone = found[0].select_frames(runs) if found else None
    return everyone if everyone and everyone.crowded else None


def intrinsics_of(joints: Keypoints, path: Path | None, fov_deg: float | None, method: str) -> list[Camera]:
    """Return a camera for each view with the known or assumed intrinsics, and report what is assumed.

    Raises:
        InputError: The file lacks a view, or is for images of another size.
    """
    sizes = [(int(width), int(height)) for width, height in joints.image_size]
    if path:
        return fit_sizes(read_intrinsics(path, joints.views), sizes, path)
    if fov_deg is None and method == "essential" and len(sizes) > 2:
        say("no --intrinsics: lenses are estimated from the joints too; what these do not tell is taken as usual")
    elif fov_deg is None and method == "essential":
        warn(
            f"no --intrinsics: lenses are taken to span about {_USUAL_FOV_DEG:g} degrees along the longer image side,"
            " and two views hardly tell otherwise; depth and angles will be off as far as this is"
        )
    else:
        warn(
            f"no --intrinsics: assuming that the longer image side spans {fov_deg or _USUAL_FOV_DEG:g} degrees; depth"
            " and angles will be off as far as this is"
        )
    return [
        assumed_intrinsics(name, size, fov_deg or _USUAL_FOV_DEG)
        for name, size in zip(joints.views, sizes, strict=True)
    ]


def doubts_of_shapes(joints: Keypoints) -> list[tuple[Level, str]]:
    """Return a doubt about views whose images seem to be parts of those that were recorded.

    Without lens files, lenses are taken to look at the middle of the images. The joints hardly tell otherwise: other
    focal lengths and rotations fit them as well.
    """
    sizes = joints.image_size
    cropped = [
        f"{name} ({size[0]}x{size[1]})"
        for name, size in zip(joints.views, sizes.tolist(), strict=True)
        if _is_part(np.array(size), sizes)
    ]
    if not cropped:
        return []
    looks = "have a shape that looks" if len(cropped) == 1 else "have shapes that look"
    text = (
        f"the images of {' and '.join(cropped)} {looks} cropped; without --intrinsics, lenses are taken to look at the"
        " middle of the images, which is wrong for a part of them, and rotations may be off by more than is stated:"
        " give the images as they were recorded, or --intrinsics"
    )
    return [("warn", text)]


def _is_part(size: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Return whether images are of no camera's shape, or as wide or high as another view's and clearly shorter."""
    if not size.all():
        return False
    shape = size.max() / size.min()
    same, shorter = size == others, size < (1 - _SHAPE) * others
    beside = (same[:, 0] & shorter[:, 1]) | (same[:, 1] & shorter[:, 0])
    return bool(beside.any() or np.abs(shape / _SHAPES - 1).min() > _SHAPE)


def with_intrinsics(rig: Rig, intrinsics: Sequence[Camera]) -> Rig:
    """Return cameras with the rig's positions and orientations and the intrinsics of these cameras."""
    cameras = tuple(replace(c, R=g.R, t=g.t) for c, g in zip(intrinsics, rig.cameras, strict=True))
    return replace(rig, cameras=cameras)
