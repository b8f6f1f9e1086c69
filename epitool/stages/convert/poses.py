"""Conversion of poses by `epitool convert`: filtered, rotated and named for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, warn
from epitool.errors import InputError, UsageError
from epitool.images import frame_of_video, frame_rate
from epitool.io.foreign.markers import pose2sim_markers
from epitool.io.foreign.motion import Told, check_motion_file, write_motion
from epitool.io.labels_h5 import open_labels
from epitool.io.predictions import read_predictions
from epitool.labels import Further, Labels
from epitool.options import ConvertOptions
from epitool.pose import Poses
from epitool.pss.alignment import find_up
from epitool.skeleton import Skeleton
from epitool.stages.convert.angles import draw_angles
from epitool.stages.convert.cameras import IN_MM
from epitool.stages.convert.over_time import Track, processed
from epitool.stages.shared.label_verdict import heeded_labels

_SAME_RATE = 0.01


def convert_poses(path: Path, options: ConvertOptions) -> Summary:
    """Write poses of labels or predictions in another program's format.

    Raises:
        InputError: The file is damaged, or does not hold a single motion.
        UsageError: Something is missing or does not fit.
    """
    out, unit = options.out, options.unit
    form = check_motion_file(out)
    if form.angles and (options.names or options.up_axis or unit):
        raise UsageError(f"--out {out}: holds angles, to which --names, --up-axis and --unit do not apply")
    track = _track_of(path)
    rate = _rate(path, track.image, options.fps or None)
    if unit and track.poses.unit != "mm":
        raise UsageError(f"--unit {unit}: {path} has no scale; calibrate with --scale")
    step = int(np.gcd.reduce(np.diff(track.poses.frames), initial=0))
    poses, done = processed(track, step, rate / max(step, 1), options.filter, options.fill_gaps)
    if form.evenly:
        poses, rate = _every_frame(poses, step, rate)
    if options.names == "pose2sim":
        poses = pose2sim_markers(poses)
    poses, up = (poses, "") if form.angles else _turned(poses, path, _upright(track), options)
    if poses.unit != "mm" and form.evenly:
        warn(
            f"{out}: lengths are in no unit, for {path} has no scale; OpenSim and others take them for metres or"
            " millimetres all the same. `epitool calibrate --scale` gives one"
        )
    write = write_motion if form.write else draw_angles
    write(out, poses, 1 / IN_MM[unit], Told(rate, unit or poses.unit, up, done))
    text = f"{out}: {len(poses.frames)} frames at {rate:g} per second, {len(poses.skeleton)} joints"
    length = "degrees" if form.angles else unit or poses.unit
    text += f", unit {length}" + (f", {up} up" if up else "") + (f"; {done}" if done else "")
    values = {
        "out": str(out), "frames": len(poses.frames), "fps": rate, "unit": length, "up_axis": up or None,
        "processing": done or None,
    }  # fmt: skip
    return Summary(text, values)


def _upright(track: Track) -> bool:
    """Return whether z points up, because the file says so or because the people stand along it."""
    if track.up or track.poses.space != "world":
        return track.up
    try:
        return find_up(track.poses.xyz, track.poses.skeleton) == (2, 1)
    except InputError:
        return False


def _turned(poses: Poses, path: Path, upright: bool, options: ConvertOptions) -> tuple[Poses, str]:
    """Return the poses with the chosen axis pointing up, and that axis; "" if the up direction is unknown.

    Raises:
        UsageError: An axis is chosen, but the up direction is unknown.
    """
    of_trc = options.out.suffix.lower() == ".trc"  # the format of OpenSim, where y points up
    if not upright:
        unknown = f"{path} does not say which way is up; " + (
            "`epitool calibrate --up people` finds it, from people who walk"
            if poses.space == "world"
            else "its poses are in the axes of their camera, whose y runs down"
        )
        if options.up_axis:
            raise UsageError(f"--up-axis {options.up_axis}: {unknown}")
        if of_trc:
            warn(f"{options.out}: {unknown}. OpenSim takes y for up, and may show people who lie")
        return poses, ""
    up = options.up_axis or ("y" if of_trc else "z")
    return (replace(poses, xyz=poses.xyz[..., [1, 2, 0]]) if up == "y" else poses), up


def _track_of(path: Path) -> Track:
    """Read the poses of labels (world coordinates) or predictions (root-relative)."""
    if path.suffix.lower() == ".h5":
        labels = heeded_labels(path)
        with open_labels(path) as file:
            poses, covariance = _with_further(labels, file.further())
        image = next((name for name in labels.keypoints.images.ravel().tolist() if name), "")
        return Track(poses, covariance, labels.keypoints.take_of, image, labels.rig.up != "none")
    seen = read_predictions(path)
    frames = _frames_of(path, seen.images)
    order = np.argsort(frames)
    poses = Poses(seen.joints_3d[order], seen.confidence[order], frames[order], seen.skeleton, seen.unit, "root")
    unknown = np.full((*poses.confidence.shape, 6), np.nan)
    return Track(poses, unknown, np.zeros(len(frames), dtype=np.int64), seen.images[0] if seen.images else "", False)


def _with_further(labels: Labels, further: Further | None) -> tuple[Poses, NDArray[np.float64]]:
    """Return the labels' joints and the further ones that the detector found, with their covariances."""
    poses = labels.poses
    if further is None:
        return poses, labels.covariance
    own = poses.skeleton
    body = Skeleton(f"{own.name} and further", own.joints + further.joints, own.parents + (-1,) * len(further.joints))
    xyz, confidence, covariance = (
        np.concatenate(both, axis=1)
        for both in (
            (poses.xyz, further.poses.xyz), (poses.confidence, further.poses.confidence),
            (labels.covariance, further.covariance),
        )
    )  # fmt: skip
    return replace(poses, xyz=xyz, confidence=confidence, skeleton=body), covariance


def _frames_of(path: Path, images: Sequence[str]) -> NDArray[np.int64]:
    """Return frame numbers `(N,)` of images: those in the video, or 0, 1, 2, ... for image files of a folder.

    Raises:
        InputError: The images are of several videos or folders, or a frame occurs twice.
    """
    places = [frame_of_video(name) for name in images]
    sources = list(dict.fromkeys(at[0] if at else str(Path(name).parent) for name, at in zip(images, places)))
    if len(sources) > 1:
        raise InputError(
            f"{path}: has images of {len(sources)} videos or folders ({', '.join(sources)[:200]}), which are no one"
            " motion; `epitool predict` each into a file of its own"
        )
    numbers = [at[1] for at in places if at]
    if len(numbers) < len(images):
        return np.arange(len(images))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{path}: has frame {max(numbers, key=numbers.count)} of {sources[0]} twice")
    return np.array(numbers, dtype=np.int64)


def _rate(path: Path, image: str, fps: float | None) -> float:
    """Return the frames per second: the given value, else that of the video of this image."""
    stated = frame_rate(image)
    if fps is None and not np.isfinite(stated):
        raise UsageError(f"{path}: cannot read a frame rate (photos, or the video is gone). Add --fps 60")
    if fps is not None and abs(stated / fps - 1) > _SAME_RATE:
        warn(f"--fps {fps:g}: {image.rpartition('#')[0]} states {stated:g} frames per second; times are by --fps")
    return fps or stated


def _every_frame(poses: Poses, step: int, rate: float) -> tuple[Poses, float]:
    """Return poses at every `step`-th frame as poses at every frame of a `step` times lower rate."""
    if step <= 1:
        return poses, rate
    return replace(poses, frames=(poses.frames - poses.frames[0]) // step), rate / step
