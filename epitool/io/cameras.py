"""Camera files: `cameras.toml` (ours, Anipose's, Pose2Sim's, caliscope's), and other formats through `foreign`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tomli_w

from epitool.camera import Rig, Window
from epitool.console import warn
from epitool.errors import InputError
from epitool.files import check_kind, writing
from epitool.io.files import damage_in, read_text, require_file
from epitool.io.foreign.cameras import SUFFIXES, WORDS, is_foreign_rig, read_foreign_rig
from epitool.io.foreign.cameras.lens_keys import place_of
from epitool.io.foreign.cameras.stated import Stated, cameras_of
from epitool.io.labels_h5 import open_labels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CAMERAS_BY = "epitool calibrate"
CAMERA_SUFFIXES = (".toml", *SUFFIXES)  # only of camera files
KNOWN_CAMERAS = f"TOML (ours, Anipose, Pose2Sim, caliscope), labels.h5, {WORDS}"
_FORMAT = "epitool.cameras/1"
_LARGEST_FILE = 20_000_000  # bytes; text parsers would take minutes for larger files
_EVER = (-(2**62), 2**62)
_NUMBERED = {"cam_id": "cam", "port": "port"}  # keys of caliscope's camera numbers, and prefixes of its footage
_NOTHING = ("null", "")  # how some programs write unknown values, as TOML has no null


def read_rig(path: Path | str, size: tuple[int, int] | None = None) -> Rig:
    """Read cameras with their extrinsics from a file of any known format.

    Cameras that the file itself marks as unusable are left out with a warning.

    Args:
        path: Camera file, or a folder of a program that writes one.
        size: (width, height) of the images, used if the file does not state it.

    Raises:
        InputError: The file is missing, damaged, of no known format, or has an invalid camera.
    """
    path = Path(path)
    _require_cameras(path)
    with _explained(path):
        return _read_any(path, size)


def _require_cameras(path: Path) -> None:
    """Check that a camera file exists, or a folder that holds cameras of another program.

    Raises:
        InputError: It is missing, empty, or a folder without cameras.
    """
    if not path.is_dir():
        require_file(path, CAMERAS_BY)
        check_kind(path, ("cameras", "labels"), CAMERAS_BY)
    elif not is_foreign_rig(path):
        raise InputError(f"{path}: is a folder without cameras of a known format; known are {WORDS}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert errors from the content of a camera file to a one-line `InputError`."""
    if path.suffix.lower() != ".h5" and path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, too much for a camera file")
    with damage_in(path, "cameras", f"known formats are {KNOWN_CAMERAS}"):
        try:
            yield
        except cv2.error as error:
            raise ValueError(error) from None


def is_foreign(path: Path) -> bool:
    """Return whether a camera file is of another program, whose axes and units may differ from ours.

    Raises:
        InputError: It is a damaged TOML.
    """
    if path.suffix.lower() != ".toml":
        return path.suffix.lower() != ".h5"
    with _explained(path):
        return "format" not in tomllib.loads(read_text(path)).get("metadata", {})


def read_lenses(path: Path) -> Rig:
    """Read cameras of which only K, distortion and image size are valid.

    Cameras that the file marks as unusable are included, as long as it states their lenses.

    Raises:
        InputError: The file cannot be read, as in `read_rig`.
    """
    _require_cameras(path)
    with _explained(path):
        return read_windows(path)[0].rig if path.suffix.lower() == ".h5" else _read_any(path, None, lenses_only=True)


def write_rig(path: Path | str, rig: Rig, statistics: dict[str, Any] | None = None) -> None:
    """Write `cameras.toml`, with statistics of the calibration in `[metadata]`."""
    path = Path(path)
    content = {**_tables(rig), "metadata": {**_facts(rig), **(statistics or {})}}
    with writing(path) as temporary:
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")


def write_windows(path: Path, windows: Sequence[Window]) -> None:
    """Write the `cameras.toml` of moving cameras: an array `windows` of rigs, each with its range of frames."""
    rigs = [
        {"first_frame": w.first, "last_frame": w.last, **_tables(w.rig), "metadata": {**_facts(w.rig), **w.statistics}}
        for w in windows
    ]
    with writing(path) as temporary:
        temporary.write_text(
            tomli_w.dumps({"metadata": {"format": _FORMAT, "moving": True}, "windows": rigs}), encoding="utf-8"
        )


def read_windows(path: Path) -> list[Window]:
    """Read moving cameras, or cameras that do not move as a single window of unlimited length.

    Labels yield a window for each run of frames of one take.

    Raises:
        InputError: The file cannot be read, as in `read_rig`.
    """
    _require_cameras(path)
    if path.suffix.lower() == ".h5":
        return list(_windows_of_labels(path))
    if path.suffix.lower() != ".toml":
        return [Window(_EVER[0], _EVER[1], read_rig(path))]
    with _explained(path):
        content = _checked_toml(path)
        if not _is_moving(content):
            return [Window(_EVER[0], _EVER[1], _rig_of_tables(path, content), content.get("metadata", {}))]
        return [
            Window(int(w["first_frame"]), int(w["last_frame"]), _rig_of_tables(path, w), w.get("metadata", {}))
            for w in content["windows"]
        ]


def _windows_of_labels(path: Path) -> Iterator[Window]:
    with open_labels(path) as labels:
        reasons = [f"{path.name}: {reason.removeprefix('the cameras: ')}" for reason in labels.reasons]
        judged = {"verdict": labels.verdict, "reasons": reasons}
        if not labels.takes:
            yield Window(_EVER[0], _EVER[1], labels.rig, judged)
            return
        frames, number = labels.keypoints.frames, labels.keypoints.take_of()
        ends = np.flatnonzero(np.diff(number)) + 1
        for run in np.split(np.arange(len(frames)), ends):
            take = labels.takes[number[run[0]]]
            first, last = int(frames[run[0]]), int(frames[run[-1]])
            yield Window(first, last, take.rig, judged, name=take.name, action=take.action)


def _tables(rig: Rig) -> dict[str, Any]:
    """Return one TOML table per camera."""
    return {
        f"cam_{i}": {
            "name": camera.name,
            "size": list(camera.image_size),
            "matrix": camera.K.tolist(),
            "distortions": camera.distortion.tolist() or [0.0] * 5,
            "rotation": cv2.Rodrigues(np.array(camera.R))[0].ravel().tolist(),
            "translation": camera.t.tolist(),
            **({"time_offset": camera.time_offset} if camera.time_offset else {}),
        }
        for i, camera in enumerate(rig.cameras)
    }


def _facts(rig: Rig) -> dict[str, str]:
    return {"format": _FORMAT, "unit": rig.unit, "scale_source": rig.scale_source, "up": rig.up}


def _read_any(path: Path, size: tuple[int, int] | None, lenses_only: bool = False) -> Rig:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _read_toml(path, size, lenses_only)
    if suffix == ".h5":
        windows = list(_windows_of_labels(path))
        if len(windows) > 1:
            raise InputError(f"{path}: holds cameras of {len(windows)} takes; only `epitool triangulate` takes them")
        return windows[0].rig
    if not is_foreign_rig(path):
        raise InputError(f"{path}: is of no known camera format; known are {KNOWN_CAMERAS}")
    return read_foreign_rig(path, size)


def _read_toml(path: Path, size: tuple[int, int] | None, lenses_only: bool) -> Rig:
    content = _checked_toml(path)
    if _is_moving(content):
        raise InputError(
            f"{path}: holds cameras that move, by windows of frames; only `epitool triangulate` takes them"
        )
    return _rig_of_tables(path, content, size, lenses_only)


def _checked_toml(path: Path) -> dict[str, Any]:
    content = tomllib.loads(read_text(path))
    stated = content.get("metadata", {}).get("format", _FORMAT)
    if stated != _FORMAT:
        raise InputError(f"{path}: states format '{stated}', '{_FORMAT}' is expected; `{CAMERAS_BY}` makes it")
    return content


def _is_moving(content: dict[str, Any]) -> bool:
    return bool(content.get("metadata", {}).get("moving", False))


def _rig_of_tables(
    path: Path, content: dict[str, Any], size: tuple[int, int] | None = None, lenses_only: bool = False
) -> Rig:  # fmt: skip
    """Return the cameras of a TOML's tables, without those marked as unusable.

    With `lenses_only`, cameras without valid extrinsics are kept too.
    """
    metadata, tables = content.get("metadata", {}), _named_tables(content)
    unfit = {name: _find_fault(table, list(tables.values()), lenses_only) for name, table in tables.items()}
    for name, why in unfit.items():
        if why:
            warn(f"{path}: camera {name} is left out, for {why}")
    tables = {name: table for name, table in tables.items() if not unfit[name]}
    if not tables:
        raise ValueError(f"holds no camera table with a 'matrix'; it holds {', '.join(content)[:80] or 'nothing'}")
    cameras = cameras_of(path, [_stated(path, name, table) for name, table in tables.items()], size)
    offsets = [float(table.get("time_offset", 0.0)) for table in tables.values()]
    placed = tuple(replace(camera, time_offset=offset) for camera, offset in zip(cameras, offsets, strict=True))
    # Files of other tools do not state a unit; without one, millimetres would be a guess.
    unit, source = metadata.get("unit", "arbitrary"), metadata.get("scale_source", "none")
    return Rig(placed, unit, source, str(metadata.get("up", "none")))


def _named_tables(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the camera tables by name.

    Caliscope's cameras are named by their numbers, as their footage is.

    Raises:
        ValueError: Two cameras have the same name.
    """
    inner = content.get("cameras", {})
    found: list[tuple[str, Any]] = [*content.items(), *(inner.items() if isinstance(inner, dict) else ())]
    named: dict[str, dict[str, Any]] = {}
    for key, table in found:
        if not isinstance(table, dict) or not table.keys() & {"matrix", *_NUMBERED}:
            continue
        numbered = [f"{word}_{table[stated]}" for stated, word in _NUMBERED.items() if stated in table]
        name = str(table.get("name", next(iter(numbered), f"cam_{key}" if key.isdigit() else key)))
        if name in named:
            raise ValueError(f"two cameras are named {name}")
        named[name] = {what: value for what, value in table.items() if value not in _NOTHING}
    return named


def _find_fault(table: dict[str, Any], everyone: Sequence[dict[str, Any]], lenses_only: bool) -> str:
    """Return why a camera cannot be used, or "" if it can. With `lenses_only`, it needs no extrinsics."""
    if "matrix" not in table:
        return "the file states no matrix of it"
    if lenses_only:
        return ""
    if table.get("ignore"):
        return "the file states ignore = true of it"
    missing = [what for what in ("rotation", "translation") if what not in table]
    if missing and any({"rotation", "translation"} <= other.keys() for other in everyone):
        return f"the file states no {' and no '.join(missing)} of it, as it does of others"
    return ""


def _stated(path: Path, name: str, table: dict[str, Any]) -> Stated:
    if table.get("fisheye"):
        raise ValueError(f"camera {name} is a fisheye, which is not supported")
    if table.get("rotation_count"):
        warn(
            f"{path}: camera {name} states rotation_count = {table['rotation_count']}: it was mounted turned, and its"
            " place is for images as they were recorded; joints of images turned upright do not fit"
        )
    place = place_of(table, "rotation", "translation")
    return Stated(name, table["matrix"], table.get("distortions"), table.get("size"), **place)
