"""`epitool convert` of poses: filtered, turned and named as other programs want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epitool.camera import IN_MM
from epitool.console import Summary, counted, say, warn
from epitool.errors import InputError, UsageError
from epitool.geometry.motion.gaps import step_of
from epitool.images import frame_rate
from epitool.io.foreign.markers import pose2sim_markers
from epitool.io.foreign.motion import FORMATS, Told, angles_of, check_motion_file, ending_of, write_motion
from epitool.io.labels_h5 import people_in
from epitool.names import frame_of_video
from epitool.options import ConvertOptions
from epitool.pose import Poses
from epitool.pss.alignment import find_up
from epitool.stages.convert.over_time import Track, processed
from epitool.stages.convert.tracks import tracks_of

_SAME_RATE = 0.01
_Y_UP = {".trc": "OpenSim", ".bvh": "Blender"}  # formats of programs that take y for up


@dataclass(frozen=True, eq=False)
class _Motion:
    """Poses of one person as they are written.

    Attributes:
        poses: The poses.
        done: What was done to them, in words.
    """

    poses: Poses
    done: str


def convert_poses(path: Path, options: ConvertOptions) -> Summary:
    """Write poses of labels or predictions in another program's format: of several people, a file each, or one CSV.

    Raises:
        InputError: The file is damaged, or does not hold a single motion.
        UsageError: Something is missing or does not fit.
    """
    out, unit = options.out, options.unit
    form = check_motion_file(out)
    if form.angles and (options.names or options.up_axis or unit):
        raise UsageError(f"--out {out}: holds angles, to which --names, --up-axis and --unit do not apply")
    if options.names and out.suffix.lower() == ".bvh":
        raise UsageError(f"--out {out}: bones of BVH have names of their own, to which --names does not apply")
    tracks = tracks_of(path)
    main = next(iter(tracks.values()))  # its frames are those of the recording
    rate = _rate(path, main.image, options.fps or None)
    if unit and main.poses.unit != "mm":
        raise UsageError(f"--unit {unit}: {path} has no scale; {_scaled_by(main)} gives one")
    if not unit and form.unit and main.poses.unit == "mm":
        unit = form.unit
    if main.smoothed and options.filter and not options.filter.cutoff_hz:
        say(f"{path}: is smoothed already, by `epitool triangulate --smooth`; --filter smooth changes nothing")
    step = step_of(main.poses.frames)
    first = _first_frame(main)
    up = "" if form.angles else _up_of(path, main, options)
    motions = {name: _motion(track, step, rate / step, up, options) for name, track in tracks.items()}
    if form.evenly:
        motions = {name: _every_frame(motion, first, step) for name, motion in motions.items()}
        rate, first = rate / step, 0
    if main.poses.unit != "mm" and form.evenly:
        warn(
            f"{out}: lengths are in no unit, for {path} has no scale; OpenSim and others take them for metres or"
            f" millimetres all the same. {_scaled_by(main)} gives one"
        )
    told = Told(rate, unit or main.poses.unit, up, first=first)
    if out.suffix.lower() == ".trc":
        for motion in motions.values():
            _warn_of_empty_frames(out, motion.poses, rate)
    files = _write(out, motions, 1 / IN_MM[unit or "mm"], told)
    return _summary(files, motions, told, "degrees" if form.angles else told.unit)


def _first_frame(track: Track) -> int:
    """Return the number of the recording's first frame; predictions lack those of a video that show nobody."""
    if not len(track.poses.frames) or (track.poses.space == "root" and frame_of_video(track.image)):
        return 0
    return int(track.poses.frames[0])


def _scaled_by(track: Track) -> str:
    return "`epitool calibrate --scale`" if track.poses.space == "world" else "`epitool predict --height`"


def files_of(path: Path, out: Path) -> list[Path]:
    """Return the files that the poses of everyone in a file are written to.

    Raises:
        InputError: The file is damaged.
    """
    people = people_in(path) if path.suffix.lower() == ".h5" else ()
    ending = ending_of(out)
    together = len(people) < 2 or not ending or FORMATS[ending].everyone
    return [out] if together else [_name_person_file(out, person) for person in people]


def _name_person_file(out: Path, person: str) -> Path:
    """Return the name of one person's file, which ends as the given one.

    >>> [_name_person_file(Path(out), "p1").name for out in ("walk.trc", "walk.angles.csv", "angles.csv")]
    ['walk_p1.trc', 'walk_p1.angles.csv', 'p1_angles.csv']
    """
    start = out.name[: len(out.name) - len(ending_of(out))]
    ending, base = out.name[len(start) :], start.rstrip("._-")
    separator = start[len(base) :] or "_" * (not ending.startswith("."))
    return out.with_name(f"{base}_{person}{separator}{ending}" if base else f"{person}{separator}{ending}")


def _motion(track: Track, step: int, fps: float, up: str, options: ConvertOptions) -> _Motion:
    """Return one person's poses filtered, named and turned as the options say."""
    poses, done = processed(track, step, fps, options.filter, options.fill_gaps)
    if options.names == "pose2sim":
        try:
            poses = pose2sim_markers(poses)
        except InputError as error:
            raise InputError(f"--names pose2sim: {error}") from None
    return _Motion(_turned(poses, up), done)


def _turned(poses: Poses, up: str) -> Poses:
    """Return poses whose axis `up` points up; as they are where it is ""."""
    xyz = poses.xyz
    if up and poses.space == "root":  # a camera's axes: x to the right, y down, z away from it
        xyz = np.stack([-xyz[..., 2], xyz[..., 0], -xyz[..., 1]], axis=-1) + 0.0  # which makes 0 of -0
    return replace(poses, xyz=xyz[..., [1, 2, 0]] if up == "y" else xyz)


def _write(out: Path, motions: Mapping[str, _Motion], scale: float, told: Told) -> list[Path]:
    """Write the motions: one, or everyone's if the format holds several, to `out`; else each to a file of its own."""
    poses = {name: motion.poses for name, motion in motions.items()}
    form = check_motion_file(out)
    if len(poses) > 1 and form.everyone:
        people = tuple(name for name, one in poses.items() for _ in one.frames)
        write_motion(out, _join_parts(list(poses.values())), scale, replace(told, people=people))
        return [out]
    files = {name: out if len(poses) == 1 else _name_person_file(out, name) for name in poses}
    write = write_motion if form.write else _draw_angles
    for name, file in files.items():
        made_up = write(file, poses[name], scale, replace(told, done=motions[name].done))
        if made_up:
            warn(f"{file}: {made_up:.1%} of the bones' rotations are interpolated or held; BVH has no missing joints")
    return list(files.values())


def _warn_of_empty_frames(out: Path, poses: Poses, fps: float) -> None:
    """Warn of frames without any joint: OpenSim 4.6 skips markers that are missing, but needs one in every frame."""
    seen = np.isfinite(poses.xyz[..., 0]).any(axis=1)
    if seen.all() or not seen.any():
        return
    times = poses.frames[np.flatnonzero(seen)[[0, -1]]] / fps
    if seen[np.flatnonzero(seen)[0] : np.flatnonzero(seen)[-1]].all():
        advice = f"give its set-up the time_range {times[0]:.3f} {times[1]:.3f}"
    else:
        advice = (
            "--fill-gaps closes short gaps; give its set-up a time_range without any, between"
            f" {times[0]:.3f} and {times[1]:.3f} s"
        )
    warn(
        f"{out}: no joint is known in {int((~seen).sum())} of {len(seen)} frames, at which OpenSim's inverse kinematics"
        f" stops; {advice}"
    )


def _join_parts(parts: Sequence[Poses]) -> Poses:
    xyz, confidence, frames = (np.concatenate([getattr(p, n) for p in parts]) for n in ("xyz", "confidence", "frames"))
    return replace(parts[0], xyz=xyz, confidence=confidence, frames=frames)


def _summary(files: Sequence[Path], motions: Mapping[str, _Motion], told: Told, length: str) -> Summary:
    counts, main = {name: len(motion.poses.frames) for name, motion in motions.items()}, next(iter(motions.values()))
    frames = counted(counts[next(iter(counts))], "frame")
    if len(counts) > 1:
        frames = ", ".join(f"{name} {count}" for name, count in counts.items()) + " frames"
    held = "rotations of bones" if files[0].suffix.lower() == ".bvh" else f"{len(main.poses.skeleton)} joints"
    content = f"{held}, unit {length}" if length != "degrees" else "joint angles in degrees"
    text = f"{', '.join(map(str, files))}: {frames} at {told.fps:g} per second, {content}"
    text += (f", {told.up} up" if told.up else "") + (f"; {main.done}" if main.done else "")
    values = {
        "out": str(files[0]), "files": [str(file) for file in files], "frames": len(main.poses.frames),
        "people": counts, "fps": told.fps, "unit": length, "up_axis": told.up or None,
        "processing": main.done or None,
    }  # fmt: skip
    return Summary(text, values)


def _is_upright(track: Track) -> bool:
    """Return whether z points up, because the file says so or because the people stand along it."""
    if track.up:
        return True
    try:
        return find_up(track.poses.xyz, track.poses.skeleton) == (2, 1)
    except InputError:
        return False


def _up_of(path: Path, track: Track, options: ConvertOptions) -> str:
    """Return the axis that points up in the file that is written; "" if the axes stay as they are.

    Raises:
        UsageError: An axis is chosen, but the up direction is unknown.
    """
    kind = options.out.suffix.lower()
    if track.poses.space == "root":
        up = options.up_axis or "y" * (kind in _Y_UP)
        if up:
            say(f"{options.out}: up is the image's, as if the camera were level; if it is tilted, so are the poses")
        return up
    if _is_upright(track):
        return options.up_axis or ("y" if kind in _Y_UP else "z")
    unknown = f"{path} does not say which way is up; `epitool calibrate --up people` finds it, from people who walk"
    if options.up_axis:
        raise UsageError(f"--up-axis {options.up_axis}: {unknown}")
    if kind in _Y_UP:
        warn(f"{options.out}: {unknown}. {_Y_UP[kind]} takes y for up, and may show people upside down")
    return ""


def _rate(path: Path, image: str, fps: float | None) -> float:
    """Return the frames per second: the given value, else that of the video of this image."""
    stated = frame_rate(image)
    if fps is None and not np.isfinite(stated):
        raise UsageError(f"{path}: cannot read a frame rate (photos, or the video is gone). Add --fps 60")
    if fps is not None and abs(stated / fps - 1) > _SAME_RATE:
        warn(f"--fps {fps:g}: {image.rpartition('#')[0]} states {stated:g} frames per second; times are by --fps")
    return fps or stated


def _every_frame(motion: _Motion, first: int, step: int) -> _Motion:
    """Return poses of, say, every tenth frame as poses of every frame at a tenth of the rate, counted from the first.

    Args:
        motion: The poses.
        first: Number of the recording's first frame.
        step: Difference between the numbers of neighbouring frames.
    """
    return replace(motion, poses=replace(motion.poses, frames=(motion.poses.frames - first) // step))


def _draw_angles(path: Path, poses: Poses, scale: float, told: Told) -> float:
    """Draw joint angles over time as a PNG; the arguments and what is returned are those of `write_motion`.

    Raises:
        InputError: The poses are of no person, or the file cannot be written.
    """
    from epitool.viz.angles import plot_angles  # imports matplotlib, which no other format needs

    plot_angles(path, told.seconds(poses.frames), angles_of(path, poses), told.done)
    return 0.0
