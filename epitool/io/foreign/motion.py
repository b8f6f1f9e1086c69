"""Writers of 3D joints for other programs: TRC and MOT (OpenSim, Pose2Sim), C3D, CSV (Anipose, `movement`), NPZ."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError, UsageError
from epitool.files import writing
from epitool.geometry.body.angles import joint_angles
from epitool.pose import Poses

_NO_C3D = "C3D needs the extra [c3d]: pip install 'epitool[c3d]'"
_C3D_FRAMES = 65_535  # the format counts frames in two bytes; readers would miss the rest
_C3D_SCREEN = {"y": {"X_SCREEN": "+X", "Y_SCREEN": "+Y"}, "z": {"X_SCREEN": "+X", "Y_SCREEN": "+Z"}}
_C3D_MISSING = -1.0  # the residual of a point that was not seen
# Identity rotation and zero origin of the axes, which Anipose's files state and `movement` requires.
_UNTURNED = {f"M_{i}{j}": str(int(i == j)) for i in range(3) for j in range(3)} | {f"center_{i}": "0" for i in range(3)}


@dataclass(frozen=True)
class Told:
    """Metadata of poses in a file.

    Attributes:
        fps: Frames per second.
        unit: Unit of lengths: "mm", "cm", "m" or "arbitrary".
        up: Axis that points up, "y" or "z"; "" if not known.
        done: Processing of the poses, in words; "" for none.
    """

    fps: float
    unit: str
    up: str = ""
    done: str = ""


def write_motion(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write poses in the format of the file's name.

    Args:
        path: File to write, with an ending of FORMATS, but not that of a diagram.
        poses: Poses in F frames.
        scale: Factor that lengths are multiplied by.
        told: Metadata, written as far as the format allows.

    Raises:
        InputError: The file cannot be written.
        UsageError: An extra is not installed.
    """
    write = check_motion_file(path).write
    if write is None:
        raise ValueError(f"{path} is a diagram")
    write(path, poses, scale, told)


def check_motion_file(path: Path) -> MotionFormat:
    """Return the format that the file's name says.

    Raises:
        UsageError: It says none, or an extra is missing.
    """
    endings = [ending for ending in FORMATS if path.name.lower().endswith(ending)]
    if not endings:
        raise UsageError(f"--out {path}: poses are written as {', '.join(FORMATS)}")
    form = FORMATS[max(endings, key=len)]
    if form.needs and not importlib.util.find_spec(form.needs):
        raise UsageError(_NO_C3D)
    return form


def _trc(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write OpenSim's tab-separated marker file; missing joints are NaN because OpenSim 4.6 drops empty last cells."""
    names, count, fps = poses.skeleton.joints, len(poses.frames), told.fps
    said = [path.name, *([f"{told.up} up"] if told.up else []), *([told.done] if told.done else []), "epitool"]
    head = [
        "PathFileType\t4\t(X/Y/Z)\t" + "\t".join(said),  # readers only look at the first word
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps:.9g}\t{fps:.9g}\t{count}\t{len(names)}\t{told.unit}\t{fps:.9g}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{j + 1}" for j in range(len(names)) for axis in "XYZ"),
        "",
    ]
    first = poses.frames[0] if count else 0
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(head) + "\n")
        for frame, xyz in zip(poses.frames.tolist(), poses.xyz * scale):
            numbers = ("NaN" if np.isnan(x) else f"{x:.6g}" for x in xyz.ravel())
            file.write("\t".join([str(frame - first + 1), f"{(frame - first) / fps:.6f}", *numbers]) + "\n")


def _c3d(path: Path, poses: Poses, scale: float, told: Told) -> None:
    try:
        import ezc3d
    except ImportError:
        raise UsageError(_NO_C3D) from None
    if len(poses.frames) and (np.diff(poses.frames) != 1).any():
        raise InputError(f"{path}: C3D has no gaps between frames, these have; write .trc or .csv")
    if len(poses.frames) > _C3D_FRAMES:
        raise InputError(f"{path}: C3D holds {_C3D_FRAMES} frames, these are {len(poses.frames)}; write .trc or .csv")
    file = ezc3d.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"], point["LABELS"]["value"] = [told.fps], list(poses.skeleton.joints)
    point["UNITS"]["value"] = [told.unit]
    if told.up:  # where viewers of C3D look for it
        for screen, axis in _C3D_SCREEN[told.up].items():
            file.add_parameter("POINT", screen, [axis])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["epitool"])
    if told.done:
        file.add_parameter("PROCESSING", "DONE", [told.done])
    points = np.ones((4, len(poses.skeleton), len(poses.frames)))
    points[:3] = (poses.xyz * scale).transpose(2, 1, 0)
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(np.isnan(points[0]), _C3D_MISSING, 0.0)[None]
    with writing(path) as temporary:
        file.write(str(temporary))


def _csv(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write Anipose's columns: joint_x, _y, _z, _error, _ncams, _score of every joint, the axes' rotation, and fnum."""
    columns = [
        f"{joint}_{what}" for joint in poses.skeleton.joints for what in ("x", "y", "z", "error", "ncams", "score")
    ]
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(",".join([*columns, *_UNTURNED, "fnum"]) + "\n")
        for frame, xyz, confidence in zip(poses.frames.tolist(), poses.xyz * scale, poses.confidence):
            cells: list[str] = []
            for place, trust in zip(xyz, confidence):
                numbers = [*place, np.nan, np.nan, trust]
                cells += ["" if np.isnan(x) else f"{x:.6g}" for x in numbers]
            file.write(",".join([*cells, *_UNTURNED.values(), str(frame)]) + "\n")


def _npz(path: Path, poses: Poses, scale: float, told: Told) -> None:
    with writing(path) as temporary:
        np.savez(
            temporary, xyz=(poses.xyz * scale).astype(np.float32), confidence=poses.confidence.astype(np.float32),
            frames=poses.frames, joints=np.array(poses.skeleton.joints), unit=np.array(told.unit),
            fps=np.array(told.fps), format=np.array("epitool.poses/1"), up=np.array(told.up),
            processing=np.array(told.done),
        )  # fmt: skip


def angles_of(path: Path, poses: Poses) -> dict[str, NDArray[np.float64]]:
    """Return joint angles in degrees, each `(F,)`, as `joint_angles` does, for a file to be written.

    Raises:
        InputError: The poses are of no person.
    """
    angles = joint_angles(poses)
    if not angles:
        raise InputError(f"{path}: angles are of people, whose hips and shoulders are needed; write .trc or .csv")
    return angles


def times_of(poses: Poses, fps: float) -> NDArray[np.float64]:
    """Return the seconds `(F,)` of frames since the first one."""
    return (poses.frames - (poses.frames[0] if len(poses.frames) else 0)) / fps


def _storage(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write OpenSim's storage file (.sto, .mot) of joint angles in degrees, one row per frame."""
    angles = angles_of(path, poses)
    done = [told.done] if told.done else []
    head = [
        path.stem, "version=1", f"nRows={len(poses.frames)}", f"nColumns={len(angles) + 1}", "inDegrees=yes",
        "; ".join(["epitool: joint angles", *done]), "endheader", "\t".join(["time", *angles]),
    ]  # fmt: skip
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(head) + "\n")
        for time, *row in zip(times_of(poses, told.fps).tolist(), *angles.values()):
            file.write("\t".join([f"{time:.6f}", *("NaN" if np.isnan(x) else f"{x:.4f}" for x in row)]) + "\n")


def _angles_csv(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write joint angles in degrees as a table: the frame's number, its time, and a column per angle."""
    angles = angles_of(path, poses)
    rows = zip(poses.frames.tolist(), times_of(poses, told.fps).tolist(), *angles.values())
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(",".join(["frame", "time", *angles]) + "\n")
        for frame, time, *row in rows:
            cells = ("" if np.isnan(x) else f"{x:.4f}" for x in row)
            file.write(",".join([str(frame), f"{time:.6f}", *cells]) + "\n")


@dataclass(frozen=True)
class MotionFormat:
    """A format of 3D joints.

    Attributes:
        write: Function that writes poses, with the arguments of `write_motion`; None for a diagram, which the command
            draws.
        evenly: Whether frames are consecutive at a rate that the file states, and other programs assume a unit of
            lengths; otherwise every frame has its number.
        angles: Whether the file holds joint angles instead of positions.
        needs: Module that an extra installs; "" for none.
    """

    write: Callable[[Path, Poses, float, Told], None] | None
    evenly: bool = False
    angles: bool = False
    needs: str = ""


FORMATS = {
    ".trc": MotionFormat(_trc, evenly=True), ".c3d": MotionFormat(_c3d, evenly=True, needs="ezc3d"),
    ".csv": MotionFormat(_csv), ".npz": MotionFormat(_npz),
    ".mot": MotionFormat(_storage, angles=True), ".sto": MotionFormat(_storage, angles=True),
    "angles.csv": MotionFormat(_angles_csv, angles=True), ".png": MotionFormat(None, angles=True),
}  # fmt: skip
