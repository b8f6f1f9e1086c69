"""Conversion of camera files by `epitool convert`, to and from our format, with checks on the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from epitool.camera import IN_MM, Rig
from epitool.console import Summary, counted, warn
from epitool.errors import InputError, UsageError
from epitool.images import view_name
from epitool.io.cameras import is_foreign, read_rig, write_rig
from epitool.io.foreign.cameras import FORMATS, write_foreign_rig
from epitool.options import ConvertOptions
from epitool.stages.shared.camera_checks import check_direction, check_unit, inverted
from epitool.stages.shared.camera_verdict import heed_cameras, verdict_of
from epitool.stages.shared.footage import footage_among

_SEPARATORS = "_-. "
_ENDINGS = (".toml", *(ending for one in FORMATS for ending in one.endings if ending))


def convert_cameras(options: ConvertOptions) -> Summary:
    """Convert a camera file, an EasyMocap folder, or files of one camera each, to the format that `out` names.

    Raises:
        InputError: A file is damaged, of no known format, or does not go with the others.
        UsageError: The number of `views` differs from the number of cameras.
        GeometryError: The cameras were found not to be trusted when they were made.
    """
    paths, out, unit = options.inputs, options.out, options.unit
    if out.suffix and not out.is_dir() and not out.name.lower().endswith(_ENDINGS):
        raise UsageError(
            f"--out {out}: cameras are written as {', '.join(_ENDINGS)}, or as a folder, whose name has no suffix"
        )
    rig = _read_named(options)
    stated, factor = rig.unit == "mm", IN_MM[unit or "mm"]
    if not stated and unit:
        rig = rig.scaled(factor, "mm", f"{paths[0].name}, in {unit}")
    else:
        check_unit(paths[0], rig)
    out_factor = 1 / factor if stated else 1.0
    said = unit if stated and unit and factor != 1 else rig.unit
    if out.suffix.lower() == ".toml":
        rig = rig if out_factor == 1 else rig.scaled(out_factor, "arbitrary", f"{said}, for another program")
        write_rig(out, rig, verdict_of(paths))
        written = [out]
    else:
        written = write_foreign_rig(out, rig, out_factor)
        if rig.unit != "mm" and not is_foreign(paths[0]):
            warn(
                f"{out}: places are in no unit, for {paths[0]} has no scale; other programs take them for metres or"
                " millimetres all the same. `epitool calibrate --scale` gives one"
            )
    names = ", ".join(map(str, written))
    values = {"files": [str(p) for p in written], "unit": said}
    return Summary(f"{names}: {counted(len(rig), 'camera')}, unit {said}", values)


def _read_named(options: ConvertOptions) -> Rig:
    """Read the cameras that map from world to camera, named as the views if these are given.

    Raises:
        InputError: A file cannot be read, or its images have another size than `size` says.
        UsageError: The number of `views` differs from the number of cameras.
        GeometryError: The cameras were found not to be trusted when they were made.
    """
    paths, size, views = options.inputs, options.size, footage_among(options.views)
    rig = read_rigs(paths, size)
    for path in paths:
        heed_cameras(path)
    for camera in rig.cameras:
        if size and camera.image_size != size:
            (width, height), given = camera.image_size, f"--size says {size[0]}x{size[1]}"
            raise InputError(f"{paths[0]}: camera {camera.name} is for {width}x{height} images, {given}")
    if views:
        if len(views) != len(rig):
            raise UsageError(f"{len(views)} --views, but {paths[0]} has {len(rig)} cameras: {', '.join(rig.names)}")
        named = zip(rig.cameras, map(view_name, views), strict=True)
        rig = replace(rig, cameras=tuple(replace(camera, name=name) for camera, name in named))
    if options.inverse:
        rig = inverted(rig)
    else:
        check_direction(paths[0], rig)
    return rig


def read_rigs(paths: Sequence[Path], size: tuple[int, int] | None = None) -> Rig:
    """Read the cameras of one file, or of several files with one camera each, as OpenCV writes them.

    Args:
        paths: The files, or an EasyMocap folder.
        size: (width, height) of the images, used where files do not state it.

    Raises:
        InputError: A file is missing or damaged, or the files do not go together.
    """
    rigs = [read_rig(path, size) for path in paths]
    rig = rigs[0] if len(rigs) == 1 else _together(paths, rigs)
    unplaced = [camera.name for camera in rig.cameras if not camera.t.any()]
    if len(unplaced) > 1:
        files, names = ", ".join(map(str, paths)), ", ".join(unplaced)
        warn(f"{files}: no places are stated of cameras {names}; what is written is good for --intrinsics alone")
    return rig


def _together(paths: Sequence[Path], rigs: Sequence[Rig]) -> Rig:
    """Return one rig from files that hold one camera each."""
    for path, rig in zip(paths, rigs, strict=True):
        if len(rig) > 1:
            raise InputError(f"{path}: holds {len(rig)} cameras; only files of one camera each are put together")
        if rig.unit != rigs[0].unit:
            raise InputError(f"{path}: its unit is {rig.unit}, that of {paths[0]} is {rigs[0].unit}")
    cameras = [rig.cameras[0] for rig in rigs]
    stems, names = [path.stem for path in paths], [c.name for c in cameras]
    names = _told_apart(names if len(set(names)) == len(names) else stems, stems)  # ROS may call every camera "camera"
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise InputError(f"{path}: another of these files holds a camera of the name {name} too")
    placed = tuple(replace(camera, name=name) for camera, name in zip(cameras, names, strict=True))
    return replace(rigs[0], cameras=placed)


def _told_apart(names: Sequence[str], stems: Sequence[str]) -> list[str]:
    """Return the stated camera names, or the file names without the words that all of them begin with.

    >>> _told_apart(["lens_cam1", "lens_cam2"], ["lens_cam1", "lens_cam2"])
    ['cam1', 'cam2']
    >>> _told_apart(["lens_cam_1", "lens_cam_2"], ["lens_cam_1", "lens_cam_2"])
    ['cam_1', 'cam_2']
    """
    if list(names) != list(stems):
        return list(names)
    common = os.path.commonprefix(list(stems))  # noqa: RUF071 - a prefix of letters, not of folders
    starts = [0, *(i + 1 for i, letter in enumerate(common) if letter in _SEPARATORS)]
    start = max(i for i in starts if not i or all(stem[i : i + 1].isalpha() for stem in stems))
    return [stem[start:] for stem in stems]
