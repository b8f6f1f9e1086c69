"""Cameras in `labels.h5`, stored as attributes for the first take and as datasets for all takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.io.camera_numbers import checked_camera
from epitool.io.h5 import array, dataset, group_in, text, texts
from epitool.labels import Take

_OF_CAMERA = ("K", "R", "t", "image_size")


def write_rig(file: h5py.Group, rig: Rig) -> None:
    """Write the cameras of a file as attributes."""
    file.attrs["unit"] = texts(rig.unit)
    file.attrs["scale_source"] = texts(rig.scale_source)
    file.attrs["up"] = texts(rig.up)
    file.create_group("cameras").attrs.update(_camera_arrays([rig], 0))


def write_takes(group: h5py.Group, takes: Sequence[Take]) -> None:
    """Write takes as datasets, because their cameras would be too many for attributes."""
    for name, values in _camera_arrays([take.rig for take in takes]).items():
        group[name] = values
    for name in ("name", "action"):
        group[name] = texts([getattr(take, name) for take in takes])


def _camera_arrays(rigs: Sequence[Rig], only: int | slice = slice(None)) -> dict[str, NDArray[Any]]:
    """Return K, R, ... of S rigs of V cameras each as `(S, V, ...)`, or of only one rig as `(V, ...)`."""
    cameras = [camera for rig in rigs for camera in rig.cameras]
    longest = max(len(camera.distortion) for camera in cameras)
    arrays = {name: np.stack([np.asarray(getattr(c, name)) for c in cameras]) for name in _OF_CAMERA}
    arrays["distortion"] = np.stack([c.lens[:longest] for c in cameras])
    return {name: values.reshape(len(rigs), len(rigs[0]), *values.shape[1:])[only] for name, values in arrays.items()}


def read_rig(file: h5py.Group, views: Sequence[str]) -> Rig:
    """Read the cameras stored as attributes, one for each view."""
    stored = group_in(file, "cameras")
    if stored is None:
        raise KeyError("'{}'".format(f"{file.name}/cameras".strip("/")))
    cameras = tuple(_read_camera(stored.attrs, v, name) for v, name in enumerate(views))
    up = text(file.attrs, "up", "none")  # absent from earlier files
    return Rig(cameras, text(file.attrs, "unit"), text(file.attrs, "scale_source"), up)


def _read_camera(stored: Mapping[str, NDArray[Any]], v: int, name: str) -> Camera:
    K, distortion, R, t, size = (stored[key][v] for key in ("K", "distortion", "R", "t", "image_size"))
    return checked_camera(name, K, distortion, R, t, (int(size[0]), int(size[1])))


def read_takes(group: h5py.Group, rig: Rig) -> tuple[Take, ...]:
    """Read takes; their cameras have the names, unit and scale source of the given rig."""
    axes = {"K": 4, "R": 4, "t": 3, "image_size": 3, "distortion": 3}
    stored = {name: array(group, name, count) for name, count in axes.items()}
    names, actions = (dataset(group, name, 1).asstr()[()].tolist() for name in ("name", "action"))
    takes = []
    for s, (name, action) in enumerate(zip(names, actions, strict=True)):
        of_take = {key: values[s] for key, values in stored.items()}
        cameras = tuple(_read_camera(of_take, v, view) for v, view in enumerate(rig.names))
        takes.append(Take(str(name), replace(rig, cameras=cameras), str(action)))
    return tuple(takes)
