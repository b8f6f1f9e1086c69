"""Cameras of a file for named views, and advice for a file whose cameras have other names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from epitool.camera import Camera, Rig, Window
from epitool.errors import InputError, UsageError
from epitool.geometry.body.scale import parse_scale
from epitool.io.cameras import read_lenses, read_rig, read_windows


def read_intrinsics(path: Path, views: Sequence[str]) -> tuple[Camera, ...]:
    """Read a camera for each named view, of which only K, distortion and image size are valid.

    The camera of a file with only one is used for all views; otherwise cameras are matched by name.

    Raises:
        InputError: The file cannot be read, or no camera matches a view.
    """
    rig = read_lenses(path)
    if len(rig) == 1:
        one = rig.cameras[0]
        return tuple(Camera(view, one.K, one.distortion, one.R, one.t, one.image_size) for view in views)
    return cameras_of_views(path, rig, views).cameras


def cameras_of_views(path: Path, rig: Rig, views: Sequence[str]) -> Rig:
    """Return the cameras of the named views, in their order.

    Args:
        path: The camera file, for the message.
        rig: Its cameras.
        views: Names of the views.

    Raises:
        InputError: No camera matches a view.
    """
    try:
        return rig.named_as(views).select(views)
    except InputError as error:
        raise InputError(f"{path}: {error}{renaming(path, rig.names, views)}") from None


def windows_of_views(path: Path, views: Sequence[str], whose: str) -> list[Window]:
    """Return the cameras of a file, for each range of frames, named as the views that they match.

    Args:
        path: The camera file.
        views: Names of the views.
        whose: What has these views, for the message.

    Raises:
        InputError: The file cannot be read, or has a camera for fewer than two of the views.
    """
    windows = [replace(window, rig=window.rig.named_as(views)) for window in read_windows(path)]
    names = windows[0].rig.names
    if len(set(names) & set(views)) < 2:
        raise InputError(
            f"{path}: has cameras {', '.join(names)}, but {whose} has views {', '.join(views)};"
            f" at least two must have the same name{renaming(path, names, views)}"
        )
    return windows


def check_before_detection(
    views: Sequence[str], lenses: Path | None, scale: str | None, places: Path | None = None
) -> None:
    """Refuse what is stated about cameras if it does not fit the views' names, before joints are looked for.

    Args:
        views: Names of the views.
        lenses: File of `--intrinsics`.
        scale: Text of `--scale`.
        places: File of `--extrinsics`.

    Raises:
        InputError: A file cannot be read, or lacks a view.
        UsageError: The scale has another form, or names a view that does not exist.
    """
    rule = parse_scale(scale) if scale else None
    if rule and rule.cameras and not set(rule.cameras) <= set(views):
        raise UsageError(f"--scale {rule}: the views are {', '.join(views)}")
    if lenses:
        read_intrinsics(lenses, views)
    if places:
        cameras_of_views(places, read_rig(places), views)


def renaming(path: Path, names: Sequence[str], views: Sequence[str]) -> str:
    """Return advice for a camera file whose names are not those of the views: the command that renames its cameras.

    Args:
        path: The camera file.
        names: Names of its cameras.
        views: Names of the views.
    """
    if len(names) != len(views):
        return f". It has {len(names)} cameras and there are {len(views)} views; name each camera as its view"
    command = shlex.join(["epitool", "convert", str(path), "--views", *views, "--out", "renamed.toml"])
    return f". This renames its cameras, {', '.join(names)}, if the views are put in their order: {command}"
