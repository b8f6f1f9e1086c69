"""Cameras of a file for named views, and advice for a file whose cameras have other names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.io.cameras import read_lenses


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
