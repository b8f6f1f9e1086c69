"""Writers of 3D joints for other programs: TRC and MOT (OpenSim), C3D, CSV (`movement`), BVH (Blender), NPZ."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError, UsageError
from epitool.files import writing
from epitool.geometry.body.angles import joint_angles
from epitool.geometry.body.rotations import bone_motion
from epitool.io.foreign.bvh import write_bvh
from epitool.io.npz import write_arrays
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
        first: Number of the frame at time 0, the first of the recording; None for the first of the poses.
        people: Name of the person of every pose, if they are of several.
    """

    fps: float
    unit: str
    up: str = ""
    done: str = ""
    first: int | None = None
    people: tuple[str, ...] = ()

    def numbers(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of frames, counted from that at time 0."""
        first = self.first if self.first is not None else frames[0] if len(frames) else 0
        return frames - first

    def seconds(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times of frames."""
        return self.numbers(frames) / self.fps


def write_motion(path: Path, poses: Poses, scale: float, told: Told) -> float:
    """Write poses in the format of the file's name; return the share that is made up, in a format without gaps.

    Args:
        path: File to write, with an ending of FORMATS, but not that of a diagram.
        poses: Poses in F frames.
        scale: Factor that lengths are multiplied by.
        told: Metadata, written as far as the format allows.

    Raises:
        InputError: The file cannot be written, or the poses are of no person where the format is of people.
        UsageError: An extra is not installed.
    """
    write = check_motion_file(path).write
    if write is None:
        raise ValueError(f"{path} is a diagram")
    return write(path, poses, scale, told) or 0.0


def ending_of(path: Path) -> str:
    """Return the ending of FORMATS that a file's name has; "" if it has none."""
    return max((ending for ending in FORMATS if path.name.lower().endswith(ending)), key=len, default="")


def check_motion_file(path: Path) -> MotionFormat:
    """Return the format that the file's name says.

    Raises:
        UsageError: It says none, or an extra is missing.
    """
    if not (ending := ending_of(path)):
        raise UsageError(f"{path}: poses are written as {', '.join(FORMATS)}")
    form = FORMATS[ending]
    if form.needs and not importlib.util.find_spec(form.needs):
        raise UsageError(_NO_C3D)
    return form


def _trc(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write OpenSim's tab-separated marker file; missing joints are NaN because OpenSim 4.6 drops empty last cells."""
    names, count, fps, numbers = poses.skeleton.joints, len(poses.frames), told.fps, told.numbers(poses.frames).tolist()
    start = numbers[0] + 1 if numbers else 1
    said = [path.name, *([f"{told.up} up"] if told.up else []), *([told.done] if told.done else []), "epitool"]
    head = [
        "PathFileType\t4\t(X/Y/Z)\t" + "\t".join(said),  # readers only look at the first word
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps:.9g}\t{fps:.9g}\t{count}\t{len(names)}\t{told.unit}\t{fps:.9g}\t{start}\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{j + 1}" for j in range(len(names)) for axis in "XYZ"),
        "",
    ]
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(head) + "\n")
        for number, xyz in zip(numbers, poses.xyz * scale):
            places = ("NaN" if np.isnan(x) else f"{x:.6g}" for x in xyz.ravel())
            file.write("\t".join([str(number + 1), f"{number / fps:.6f}", *places]) + "\n")


def _c3d(path: Path, poses: Poses, scale: float, told: Told) -> None:
    try:
        import ezc3d
    except ImportError:
        raise UsageError(_NO_C3D) from None
    if len(poses.frames) and (np.diff(poses.frames) != 1).any():
        raise InputError(f"{path}: C3D has no gaps between frames, these have; write .trc or .csv")
    numbers = told.numbers(poses.frames).tolist()
    if not numbers:
        raise InputError(f"{path}: there is no frame to write")
    if numbers[-1] >= _C3D_FRAMES:
        raise InputError(f"{path}: C3D holds {_C3D_FRAMES} frames, these are {numbers[-1] + 1}; write .trc or .csv")
    file = ezc3d.c3d()
    file["header"]["points"]["first_frame"] = numbers[0]
    point = file["parameters"]["POINT"]
    point["RATE"]["value"], point["LABELS"]["value"] = [told.fps], list(poses.skeleton.joints)
    point["UNITS"]["value"] = [told.unit]
    if told.up:  # where viewers of C3D look for it
        for screen, axis in _C3D_SCREEN[told.up].items():
            file.add_parameter("POINT", screen, [axis])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["epitool"])
    if told.done:
        file.add_parameter("PROCESSING", "DONE", told.done.split("; "))  # C3D counts the bytes of a text in one byte
    points = np.ones((4, len(poses.skeleton), len(poses.frames)))
    points[:3] = (poses.xyz * scale).transpose(2, 1, 0)
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(np.isnan(points[0]), _C3D_MISSING, 0.0)[None]
    with writing(path) as temporary:
        file.write(str(temporary))
        _check_whole_c3d(temporary, points[0].size)


def _check_whole_c3d(path: Path, places: int) -> None:
    """Refuse a file that lacks some of its places, as on a full disk, of which ezc3d says nothing.

    Raises:
        OSError: There is such a lack.
    """
    with path.open("rb") as file:
        start = int.from_bytes(file.read(18)[16:], "little")  # of the data, in blocks of 512 bytes, counted from 1
    if not start or path.stat().st_size < 512 * (start - 1) + 4 * 4 * places:
        raise OSError("not all of it was written; is the disk full?")


def _csv(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write Anipose's columns: joint_x, _y, _z, _error, _ncams, _score of every joint, the axes' rotation, and fnum.

    Poses of several people have their names in a first column.
    """
    columns = [
        f"{joint}_{what}" for joint in poses.skeleton.joints for what in ("x", "y", "z", "error", "ncams", "score")
    ]
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(",".join([*["person"] * bool(told.people), *columns, *_UNTURNED, "fnum"]) + "\n")
        for row, (frame, xyz, confidence) in enumerate(zip(poses.frames.tolist(), poses.xyz * scale, poses.confidence)):
            cells = [told.people[row]] if told.people else []
            for place, trust in zip(xyz, confidence):
                numbers = [*place, np.nan, np.nan, trust]
                cells += ["" if np.isnan(x) else f"{x:.6g}" for x in numbers]
            file.write(",".join([*cells, *_UNTURNED.values(), str(frame)]) + "\n")


def _bvh(path: Path, poses: Poses, scale: float, told: Told) -> float:
    """Write rotations of bones from the frame at time 0 on, because BVH has neither gaps nor frame numbers."""
    numbers = told.numbers(poses.frames)
    frames = np.arange(numbers[-1] + 1 if len(numbers) else 0)
    xyz, confidence = np.full((len(frames), *poses.xyz.shape[1:]), np.nan), np.zeros((len(frames), len(poses.skeleton)))
    xyz[numbers], confidence[numbers] = poses.xyz, poses.confidence
    try:
        motion = bone_motion(replace(poses, xyz=xyz, confidence=confidence, frames=frames))
    except InputError as error:
        raise InputError(f"{path}: {error}; write .trc or .csv") from None
    write_bvh(path, motion, scale, told.fps)
    return motion.made_up


def _npz(path: Path, poses: Poses, scale: float, told: Told) -> None:
    write_arrays(path, {
        "xyz": (poses.xyz * scale).astype(np.float32), "confidence": poses.confidence.astype(np.float32),
        "frames": poses.frames, "joints": np.array(poses.skeleton.joints), "unit": np.array(told.unit),
        "fps": np.array(told.fps), "format": np.array("epitool.poses/1"), "up": np.array(told.up),
        "processing": np.array(told.done),
    })  # fmt: skip


def angles_of(path: Path, poses: Poses) -> dict[str, NDArray[np.float64]]:
    """Return joint angles in degrees, each `(F,)`, as `joint_angles` does, for a file to be written.

    Raises:
        InputError: The poses are of no person.
    """
    angles = joint_angles(poses)
    if not angles:
        raise InputError(f"{path}: angles are of people, whose hips and shoulders are needed; write .trc or .csv")
    return angles


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
        for time, *row in zip(told.seconds(poses.frames).tolist(), *angles.values()):
            file.write("\t".join([f"{time:.6f}", *("NaN" if np.isnan(x) else f"{x:.4f}" for x in row)]) + "\n")


def _angles_csv(path: Path, poses: Poses, scale: float, told: Told) -> None:
    """Write joint angles in degrees as a table: the frame's number, its time, and a column per angle."""
    angles = angles_of(path, poses)
    rows = zip(poses.frames.tolist(), told.seconds(poses.frames).tolist(), *angles.values())
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
        unit: Unit of lengths that other programs expect; "" for the poses' own.
        evenly: Whether frames are consecutive at a rate that the file states, and other programs assume a unit of
            lengths; otherwise every frame has its number.
        angles: Whether the file holds joint angles in degrees alone.
        needs: Module that an extra installs; "" for none.
        everyone: Whether one file holds several people.
    """

    write: Callable[[Path, Poses, float, Told], float | None] | None
    unit: Literal["", "cm"] = ""
    evenly: bool = False
    angles: bool = False
    needs: str = ""
    everyone: bool = False


FORMATS = {
    ".trc": MotionFormat(_trc, evenly=True), ".c3d": MotionFormat(_c3d, evenly=True, needs="ezc3d"),
    ".csv": MotionFormat(_csv, everyone=True), ".npz": MotionFormat(_npz),
    ".bvh": MotionFormat(_bvh, unit="cm", evenly=True),
    ".mot": MotionFormat(_storage, angles=True), ".sto": MotionFormat(_storage, angles=True),
    "angles.csv": MotionFormat(_angles_csv, angles=True), ".png": MotionFormat(None, angles=True),
}  # fmt: skip
