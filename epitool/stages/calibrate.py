"""`epitool calibrate`: `keypoints.h5` to `cameras.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body import ScaleRule, apply_scale, parse_scale
from epitool.geometry.calibrate import FRAME_BUDGET, Calibration, assumed_intrinsics, calibrate, informative_frames
from epitool.geometry.labels import label
from epitool.images import view_name
from epitool.io.cameras import read_intrinsics, read_rig, write_rig
from epitool.io.labels import read_keypoints
from epitool.pose import Keypoints
from epitool.stages import calibration_report as report
from epitool.stages import detect2d

_SIZE_TOLERANCE = 0.02  # video coders crop a few pixels; a larger difference is another camera or mode
_USUAL_FOV_DEG = 60.0


def run(
    *, views: Sequence[Path], keypoints: Path, intrinsics: Path | None, refine_intrinsics: bool,
    extrinsics: Path | None, fov_deg: float | None, method: str, scale: str | None, min_confidence: float,
    detector: str | None, device: str, out: Path, seed: int, jobs: int,
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
        GeometryError: The joints determine no cameras, or none that are to be trusted.
    """
    rule = parse_scale(scale) if scale else None
    for option, path in (("--intrinsics", intrinsics), ("--extrinsics", extrinsics)):
        if path and not path.exists():
            raise InputError(f"{option} {path}: no such file")
    if refine_intrinsics and not intrinsics:
        raise UsageError("--refine-intrinsics needs --intrinsics; without them focal lengths are estimated anyway")
    joints = _keypoints(views, keypoints, detector, device, jobs)
    if len(joints.views) < 2:
        raise GeometryError(f"{keypoints}: one view ({joints.views[0]}); cameras are found from two or more")
    if rule and rule.cameras and not set(rule.cameras) <= set(joints.views):
        raise UsageError(f"--scale {scale}: the views are {', '.join(joints.views)}")
    joints = informative_frames(joints, min_confidence, FRAME_BUDGET)
    report.warn_of_frozen_views(joints, min_confidence)
    source = intrinsics or extrinsics
    cameras = _intrinsics(joints, source, fov_deg, method)
    if extrinsics:
        result = Calibration(_given(_places(extrinsics, joints.views), cameras))
    else:
        focal = "refined" if refine_intrinsics else "known" if intrinsics or fov_deg else "unknown"
        result = calibrate(
            joints, cameras, method=method, min_confidence=min_confidence, seed=seed, jobs=jobs, focal=focal
        )
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


def _intrinsics(joints: Keypoints, path: Path | None, fov_deg: float | None, method: str) -> list[Camera]:
    sizes = [(int(width), int(height)) for width, height in joints.image_size]
    if path:
        cameras = read_intrinsics(path, joints.views)
        return [_fit_size(camera, size, path) for camera, size in zip(cameras, sizes, strict=True)]
    if fov_deg is None and method == "essential" and len(sizes) > 2:
        say("no --intrinsics: focal lengths are estimated from the joints too, distortion is taken as none")
    else:
        if not 1 <= (fov_deg or _USUAL_FOV_DEG) <= 170:
            raise UsageError(f"--fov {fov_deg:g}: expected degrees between 1 and 170")
        warn(
            f"no --intrinsics: assuming that the longer image side spans {fov_deg or _USUAL_FOV_DEG:g} degrees, without"
            " distortion; depth and angles will be off as far as this is"
        )
    return [
        assumed_intrinsics(name, size, fov_deg or _USUAL_FOV_DEG)
        for name, size in zip(joints.views, sizes, strict=True)
    ]


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
    report.show(result)
    if result.verdict and result.verdict.level == "fail":
        raise GeometryError(f"no cameras to be trusted: {'; '.join(result.verdict.reasons)}")
    own = joints.select_views(result.rig.names)
    labels = label(own, result.rig, method="polynomial", min_confidence=min_confidence, jobs=1)
    if not np.isfinite(labels.poses.xyz).any():
        raise GeometryError("no joint can be triangulated with these cameras; are the views in sync and in order?")
    rig = result.rig
    if rule or not (method == "given" and rig.unit == "mm"):
        rig = apply_scale(rig, labels.poses, rule)
    factor = float(np.linalg.norm(rig.cameras[1].t) / np.linalg.norm(result.rig.cameras[1].t))
    statistics = report.statistics(result, labels, factor, method, intrinsics)
    write_rig(out, rig, statistics)
    report.warn_where_doubtful(result, labels)
    error = statistics["median_reprojection_px"]
    text = f"{out}: {len(rig)} cameras, median reprojection error {error:.1f} px, unit {rig.unit}"
    text += f" (scale: {rig.scale_source})" + (f", verdict: {result.verdict.level}" if result.verdict else "")
    return Summary(text, {"out": str(out), "unit": rig.unit, **statistics})
