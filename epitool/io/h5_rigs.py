"""Cameras in `labels.h5`: those of the first take as attributes, those of all takes as datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.io.h5 import array, dataset, text, texts
from epitool.labels import Take

_LARGEST = 1e9  # a thousand kilometres, in millimetres
_NO_ROTATION = 1e-3  # by which the rows of a rotation may be off length 1 and right angles: four decimals have 2e-4
_EXACT = 1e-6  # from here on it is rounded, and the nearest rotation is taken
_OF_CAMERA = ("K", "R", "t", "image_size")


def write_rig(file: h5py.File, rig: Rig) -> None:
    """Writes the cameras of a file as attributes."""
    file.attrs["unit"] = texts(rig.unit)
    file.attrs["scale_source"] = texts(rig.scale_source)
    file.create_group("cameras").attrs.update(_camera_arrays([rig], 0))


def write_takes(group: h5py.Group, takes: Sequence[Take]) -> None:
    """Writes takes, whose cameras would be too many for attributes, as datasets."""
    for name, values in _camera_arrays([take.rig for take in takes]).items():
        group[name] = values
    for name in ("name", "action"):
        group[name] = texts([getattr(take, name) for take in takes])


def _camera_arrays(rigs: Sequence[Rig], only: int | slice = slice(None)) -> dict[str, NDArray[Any]]:
    """K, R, ... of rigs of V cameras each, `(S, V, ...)`; those of one of them, `(V, ...)`."""
    cameras = [camera for rig in rigs for camera in rig.cameras]
    longest = max(len(camera.distortion) for camera in cameras)
    arrays = {name: np.stack([np.asarray(getattr(c, name)) for c in cameras]) for name in _OF_CAMERA}
    arrays["distortion"] = np.stack([np.pad(c.distortion, (0, longest - len(c.distortion))) for c in cameras])
    return {name: values.reshape(len(rigs), len(rigs[0]), *values.shape[1:])[only] for name, values in arrays.items()}


def read_rig(file: h5py.File, views: Sequence[str]) -> Rig:
    """The cameras that a file has as attributes, one for each view."""
    cameras = tuple(_read_camera(file["cameras"].attrs, v, name) for v, name in enumerate(views))
    return Rig(cameras, text(file.attrs, "unit"), text(file.attrs, "scale_source"))


def _read_camera(stored: Mapping[str, NDArray[Any]], v: int, name: str) -> Camera:
    K, distortion, R, t, size = (stored[key][v] for key in ("K", "distortion", "R", "t", "image_size"))
    return checked_camera(name, K, distortion, R, t, (int(size[0]), int(size[1])))


def checked_camera(name: str, K: Any, distortion: Any, R: Any, t: Any, size: tuple[int, int]) -> Camera:
    """A camera whose numbers can be those of one.

    Raises:
        ValueError: They cannot.
    """
    K, distortion, R, t = (np.array(values, dtype=float) for values in (K, distortion, R, t))
    numbers = np.concatenate([values.ravel() for values in (K, distortion, R, t)])
    if not (np.abs(numbers) < _LARGEST).all() or not (np.diag(K)[:2] > 0).all():
        raise ValueError(
            f"camera {name}: K, R, distortion or translation is not finite, or too large, or the focal length not"
            " positive"
        )
    if min(size) < 1:
        raise ValueError(f"camera {name}: is for images of {size[0]}x{size[1]} pixels")
    camera = Camera(str(name), K, distortion, nearest_rotation(str(name), R), t, size)
    if len(camera.distortion) not in (0, 4, 5, 8, 12, 14):
        raise ValueError(
            f"camera {name}: {len(camera.distortion)} distortion coefficients; OpenCV knows 4, 5, 8, 12, 14"
        )
    return camera


def nearest_rotation(name: str, R: NDArray[Any]) -> NDArray[Any]:
    """The rotation that nine numbers are, up to their rounding.

    Raises:
        ValueError: They are none.
    """
    off = np.abs(R @ R.T - np.eye(3)).max() if R.shape == (3, 3) else np.inf
    if not off <= _NO_ROTATION or np.linalg.det(R) < 0:
        raise ValueError(f"camera {name}: R is no rotation")
    if off <= _EXACT:
        return R
    U, _, Vt = np.linalg.svd(R)
    return np.asarray(U @ Vt)


def read_takes(group: h5py.Group, rig: Rig) -> tuple[Take, ...]:
    """Takes whose cameras have the names, the unit and the source of scale of a rig."""
    axes = {"K": 4, "R": 4, "t": 3, "image_size": 3, "distortion": 3}
    stored = {name: array(group, name, count) for name, count in axes.items()}
    names, actions = (dataset(group, name, 1).asstr()[()].tolist() for name in ("name", "action"))
    takes = []
    for s, (name, action) in enumerate(zip(names, actions, strict=True)):
        of_take = {key: values[s] for key, values in stored.items()}
        cameras = tuple(_read_camera(of_take, v, view) for v, view in enumerate(rig.names))
        takes.append(Take(str(name), replace(rig, cameras=cameras), str(action)))
    return tuple(takes)
