"""`epitool calibrate`: `keypoints.h5` to `cameras.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body import ScaleRule, apply_scale, parse_scale
from epitool.geometry.calibrate import Calibration, assumed_intrinsics, calibrate
from epitool.geometry.labels import label
from epitool.images import view_name
from epitool.io.cameras import read_intrinsics, read_rig, write_rig
from epitool.io.labels import read_keypoints
from epitool.pose import Keypoints, Labels
from epitool.stages import detect2d

_SIZE_TOLERANCE = 0.02  # video coders crop a few pixels; a larger difference is another camera or mode
_DOUBTFUL_INLIERS = 0.5
_FROZEN = 0.05  # of the views' median motion


def run(
    *, views: Sequence[Path], keypoints: Path, intrinsics: Path | None, extrinsics: Path | None, fov_deg: float,
    method: str, scale: str | None, min_confidence: float, detector: str | None, device: str, out: Path, seed: int,
    jobs: int,
) -> Summary:  # fmt: skip
    """Recovers the cameras from the joints of one person (paper, section 3.1).

    Args:
        views: Which views, in the order in which neighbours overlap; all of `keypoints` where none are named.
        keypoints: The `keypoints.h5`; where it is missing, joints are detected in `views` first.
        intrinsics: A camera file with K and distortion of every view.
        extrinsics: A camera file whose places are taken as they are.
        fov_deg: Field of view of the longer image side, assumed where there are no intrinsics.
        method: "essential" (PoseLib) or "fundamental" (the paper to the letter).
        scale: What fixes millimetres, as `height=1.78m`.
        min_confidence: Joints under it are not used.
        detector: For detecting first.
        device: For detecting first.
        out: The `cameras.toml` to write.
        seed: Of the random sampling.
        jobs: Pairs at a time.

    Raises:
        UsageError: Options do not fit together.
        InputError: A file does not fit the views.
        GeometryError: The joints determine no cameras.
    """
    rule = parse_scale(scale) if scale else None
    for option, path in (("--intrinsics", intrinsics), ("--extrinsics", extrinsics)):
        if path and not path.exists():
            raise InputError(f"{option} {path}: no such file")
    joints = _keypoints(views, keypoints, detector, device, jobs)
    if len(joints.views) < 2:
        raise GeometryError(f"{keypoints}: one view ({joints.views[0]}); cameras are found from two or more")
    if rule and rule.cameras and not set(rule.cameras) <= set(joints.views):
        raise UsageError(f"--scale {scale}: the views are {', '.join(joints.views)}")
    _warn_of_frozen_views(joints, min_confidence)
    source = intrinsics or extrinsics
    cameras = _intrinsics(joints, source, fov_deg)
    if extrinsics:
        result = Calibration(_given(_places(extrinsics, joints.views), cameras), ())
    else:
        result = calibrate(joints, cameras, method=method, min_confidence=min_confidence, seed=seed, jobs=jobs)
    return _finish(joints, result, rule, source, method if not extrinsics else "given", min_confidence, out)


def _places(path: Path, views: Sequence[str]) -> Rig:
    """The cameras of the views named, with their places.

    Raises:
        InputError: The file lacks one of them.
    """
    try:
        return read_rig(path).select(views)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


def _keypoints(views: Sequence[Path], path: Path, detector: str | None, device: str, jobs: int) -> Keypoints:
    if not path.exists():
        if not views:
            raise InputError(f"{path}: no such file; name the footage with --views, or run `epitool detect2d` first")
        say(f"{path} is not there: detecting joints first")
        made = detect2d.run(views=views, detector=detector, out=path, jobs=jobs, device=device, overwrite=False)
        say(made.text)
    joints = read_keypoints(path)
    if not views:
        return joints
    names = [view_name(view) for view in views]
    if len(set(names)) < len(names):
        raise UsageError(f"--views: a view is named twice: {', '.join(names)}")
    try:
        return joints.select_views(names)
    except InputError as error:
        raise InputError(f"{path}: {error}; `epitool detect2d --views ... --overwrite` makes it anew") from None


def _intrinsics(joints: Keypoints, path: Path | None, fov_deg: float) -> list[Camera]:
    sizes = [(int(width), int(height)) for width, height in joints.image_size]
    if path is None:
        if not 1 <= fov_deg <= 170:
            raise UsageError(f"--fov {fov_deg:g}: expected degrees between 1 and 170")
        warn(
            f"no --intrinsics: assuming that the longer image side spans {fov_deg:g} degrees, without distortion;"
            " depth and angles will be off as far as this is"
        )
        return [assumed_intrinsics(name, size, fov_deg) for name, size in zip(joints.views, sizes, strict=True)]
    cameras = read_intrinsics(path, joints.views)
    return [_fit_size(camera, size, path) for camera, size in zip(cameras, sizes, strict=True)]


def _fit_size(camera: Camera, size: tuple[int, int], path: Path) -> Camera:
    """The camera for images of this size: scaled with them, or as it is where only an edge is cropped."""
    stated, found = np.array(camera.image_size), np.array(size)
    if (stated == found).all():
        return camera
    ratio = found / stated
    what = f"{path}: camera {camera.name} is for {stated[0]}x{stated[1]} images, the view has {found[0]}x{found[1]}"
    if abs(ratio[0] / ratio[1] - 1) < 1e-3:
        warn(f"{what}; its intrinsics are scaled by {ratio[0]:.4g}")
        K = camera.K.copy()
        K[:2] *= ratio.mean()
        K[:2, 2] += (ratio.mean() - 1) / 2  # pixel centres are integers
        return replace(camera, K=K, image_size=size)
    if np.abs(ratio - 1).max() <= _SIZE_TOLERANCE:
        warn(f"{what}; taken as cropped at the right and bottom")
        return replace(camera, image_size=size)
    raise InputError(f"{what}; give the intrinsics of the mode that was filmed in")


def _given(rig: Rig, intrinsics: Sequence[Camera]) -> Rig:
    cameras = tuple(replace(c, R=g.R, t=g.t) for c, g in zip(intrinsics, rig.cameras, strict=True))
    return replace(rig, cameras=cameras)


def _finish(
    joints: Keypoints, result: Calibration, rule: ScaleRule | None, intrinsics: Path | None, method: str,
    min_confidence: float, out: Path,
) -> Summary:  # fmt: skip
    """Fixes the scale, measures the fit, and writes the cameras."""
    labels = label(joints, result.rig, method="polynomial", min_confidence=min_confidence, jobs=1)
    if not np.isfinite(labels.poses.xyz).any():
        raise GeometryError("no joint can be triangulated with these cameras; are the views in sync and in order?")
    rig = result.rig
    if rule or not (method == "given" and rig.unit == "mm"):
        rig = apply_scale(rig, labels.poses, rule)
    statistics = _statistics(joints, result, labels, method, intrinsics)
    write_rig(out, rig, statistics)
    _warn_where_doubtful(joints, result, labels)
    error = statistics["median_reprojection_px"]
    text = f"{out}: {len(rig)} cameras, median reprojection error {error:.1f} px, unit {rig.unit}"
    return Summary(f"{text} (scale: {rig.scale_source})", {"out": str(out), "unit": rig.unit, **statistics})


def _statistics(
    joints: Keypoints, result: Calibration, labels: Labels, method: str, intrinsics: Path | None
) -> dict[str, Any]:
    pairs = [
        {
            "views": [joints.views[v], joints.views[v + 1]],
            "matches": pair.matches,
            "inlier_share": round(pair.inlier_share, 4),
            "sampson_px": round(pair.sampson_px, 3) if np.isfinite(pair.sampson_px) else "none",
            "frames_with_one_view_swapped": int(pair.swapped.sum()),
        }
        for v, pair in enumerate(result.pairs)
    ]
    swaps = dict(zip(joints.views, labels.swapped.sum(axis=0).tolist(), strict=True))
    adjusted = {}
    if result.bundle:
        adjusted = {
            "noise_px": round(result.bundle.sigma_px, 3),
            "gross_error_share": round(1 - result.bundle.inlier_share, 4),
        }
    return {
        "method": method,
        "intrinsics": intrinsics.name if intrinsics else "assumed",
        **adjusted,
        "median_reprojection_px": round(float(np.nanmedian(labels.reprojection_px)), 3),
        "frames_with_left_and_right_swapped": swaps,
        "pairs": pairs,
    }


def _warn_of_frozen_views(joints: Keypoints, min_confidence: float) -> None:
    """A view that hangs gives a geometry that fits, and is wrong."""
    seen = joints.seen(min_confidence)
    xy = np.where(seen[..., None], joints.xy, np.nan)
    count = np.maximum(seen.sum(axis=0)[..., None], 1)
    mean = np.nansum(xy, axis=0) / count
    motion = np.median(np.sqrt(np.nansum((xy - mean) ** 2, axis=0) / count).max(axis=-1), axis=-1)  # px, per view
    for view, moved in zip(joints.views, motion, strict=True):
        if moved < _FROZEN * np.median(motion):
            warn(f"view {view} hardly moves while the others do ({moved:.1f} px); is its recording frozen?")


def _warn_where_doubtful(joints: Keypoints, result: Calibration, labels: Labels) -> None:
    for v, pair in enumerate(result.pairs):
        names = f"views {joints.views[v]} and {joints.views[v + 1]}"
        if pair.inlier_share < _DOUBTFUL_INLIERS:
            warn(f"{names}: only {pair.inlier_share:.0%} of {pair.matches} joints fit their geometry; do not trust it")
    for view, swapped in zip(joints.views, labels.swapped.sum(axis=0).tolist(), strict=True):
        if swapped:
            say(f"view {view}: the detector exchanged left and right in {swapped} frames; taken into account")
