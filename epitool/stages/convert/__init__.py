"""`epitool convert`: files of other programs to ours, and ours to theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import Summary, warn
from epitool.errors import InputError, UsageError
from epitool.images import frame_of_video, frame_rate
from epitool.io.cameras import CAMERA_SUFFIXES
from epitool.io.files import require_file
from epitool.io.foreign.cameras import foreign_files, is_camera_folder
from epitool.io.foreign.motion import FORMATS, write_motion
from epitool.io.labels_h5 import has_poses
from epitool.io.predictions import read_predictions
from epitool.options import ConvertOptions
from epitool.pose import Poses
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.convert.cameras import IN_MM, convert_cameras
from epitool.stages.convert.joints import convert_joints
from epitool.stages.shared.label_verdict import heeded_labels

_SAME_RATE = 0.01


def run(options: ConvertOptions) -> Summary:
    """Converts 2D joints to `keypoints.h5`, cameras to and from ours, or poses to formats of other programs.

    Of views, 2D joints need the footage, in the same order; cameras are called as they are.

    Raises:
        InputError: A file is missing, damaged, or of no known format.
        UsageError: Something is missing or does not fit.
        GeometryError: Nobody is in any image.
    """
    for path in options.inputs:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if _holds_cameras(options.inputs[0]):
        _check_flags(options, "cameras", ("views", "size", "unit", "inverse"))
        return convert_cameras(options)
    if _holds_poses(options.inputs[0]):
        _check_flags(options, "poses", ("fps", "unit"))
        return _convert_poses(_only(options.inputs), options)
    _check_flags(options, "2D joints", ("views", "size", "skeleton"))
    return convert_joints(options, named_skeleton(options.skeleton) if options.skeleton else None)


def also_writes(options: ConvertOptions) -> list[Path]:
    """The files of other programs that the name of the output stands for."""
    return foreign_files(options.out)


def _check_flags(options: ConvertOptions, what: str, known: Sequence[str]) -> None:
    """Refuses what someone asks for in vain.

    Raises:
        UsageError: An option does not go with what the file holds.
    """
    for name in ("views", "size", "fps", "unit", "inverse", "skeleton"):
        if getattr(options, name) and name not in known:
            hint = "; `epitool triangulate --skeleton` makes labels of other joints" if name == "skeleton" else ""
            raise UsageError(f"--{name}: {options.inputs[0]} holds {what}, to which it does not apply{hint}")


def _only(inputs: Sequence[Path]) -> Path:
    if len(inputs) > 1:
        raise UsageError(f"{inputs[1]}: only joints of several views are converted together; give one file")
    return inputs[0]


def _holds_cameras(path: Path) -> bool:
    return is_camera_folder(path) if path.is_dir() else path.suffix.lower() in CAMERA_SUFFIXES


def _holds_poses(path: Path) -> bool:
    if path.is_dir() or path.suffix.lower() not in (".h5", ".json"):
        return False
    require_file(path, "epitool predict" if path.suffix.lower() == ".json" else "epitool triangulate")
    with path.open("rb") as file:
        head = file.read(4096)
    if path.suffix.lower() == ".json":
        return b"epitool.poses" in head
    return head[:4] == b"\x89HDF" and _is_ours(path)


def _is_ours(path: Path) -> bool:
    try:
        return has_poses(path)
    except InputError:
        return False


def _convert_poses(path: Path, options: ConvertOptions) -> Summary:
    out, unit = options.out, options.unit
    if (form := FORMATS.get(out.suffix.lower())) is None:
        raise UsageError(f"--out {out}: poses are written as {', '.join(FORMATS)}")
    poses, image = _poses_of(path)
    rate = _rate(path, image, options.fps or None)
    if form.evenly:
        poses, rate = _every_frame(poses, rate)
    if unit and poses.unit != "mm":
        raise UsageError(f"--unit {unit}: {path} has no scale; calibrate with --scale")
    if poses.unit != "mm" and form.evenly:
        warn(
            f"{out}: lengths are in no unit, for {path} has no scale; OpenSim and others take them for metres or"
            " millimetres all the same. `epitool calibrate --scale` gives one"
        )
    write_motion(out, poses, rate, 1 / IN_MM[unit], unit or poses.unit)
    text = f"{out}: {len(poses.frames)} frames at {rate:g} per second, {len(poses.skeleton)} joints"
    values = {"out": str(out), "frames": len(poses.frames), "fps": rate, "unit": unit or poses.unit}
    return Summary(f"{text}, unit {unit or poses.unit}", values)


def _poses_of(path: Path) -> tuple[Poses, str]:
    """The poses of labels (world) or predictions (root-relative), and the name of an image."""
    if path.suffix.lower() == ".h5":
        labels = heeded_labels(path)
        return labels.poses, next((name for name in labels.keypoints.images.ravel().tolist() if name), "")
    seen = read_predictions(path)
    frames = _frames_of(path, seen.images)
    order = np.argsort(frames)
    poses = Poses(seen.joints_3d[order], seen.confidence[order], frames[order], seen.skeleton, seen.unit, "root")
    return poses, seen.images[0] if seen.images else ""


def _frames_of(path: Path, images: Sequence[str]) -> NDArray[np.int64]:
    """Frame numbers `(N,)` of images: of a video its own, of images of a folder 0, 1, 2, ... in their order.

    Raises:
        InputError: They are of several videos or folders, or one is there twice.
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
    """Frames per second: what is given, else what the video of this image states."""
    stated = frame_rate(image)
    if fps is None and not np.isfinite(stated):
        raise UsageError(f"{path}: its images are no video that is still there; give --fps, frames per second")
    if fps is not None and abs(stated / fps - 1) > _SAME_RATE:
        warn(f"--fps {fps:g}: {image.rpartition('#')[0]} states {stated:g} frames per second; times are by --fps")
    return fps or stated


def _every_frame(poses: Poses, rate: float) -> tuple[Poses, float]:
    """Poses of every tenth frame, say, as those of every frame at a tenth of the rate."""
    step = int(np.gcd.reduce(np.diff(poses.frames), initial=0))
    if step <= 1:
        return poses, rate
    return replace(poses, frames=(poses.frames - poses.frames[0]) // step), rate / step
