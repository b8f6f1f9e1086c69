"""`keypoints.h5` and its extension `labels.h5`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.files import writing
from epitool.io.files import check_format, require_file, stored_image, usable_image
from epitool.pose import Keypoints, Labels, Poses
from epitool.skeleton import Skeleton, skeleton_of

KEYPOINTS_BY = "epitool detect2d"
LABELS_BY = "epitool triangulate"


def read_keypoints(path: Path) -> Keypoints:
    """Reads `keypoints.h5`; a `labels.h5` has keypoints too.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with _opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        return _read_keypoints(file, path)


def write_keypoints(path: Path, keypoints: Keypoints, source: str = "") -> None:
    """Writes `keypoints.h5`; images are stored relative to it, `source` says what footage and detector they are of."""
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = "epitool.keypoints/1"
        file.attrs["source"] = source
        _write_keypoints(file, keypoints, path)


def read_source(path: Path) -> str:
    """What footage and detector a `keypoints.h5` says that it is of.

    Raises:
        InputError: As `read_keypoints`.
    """
    with _opened(path, ("keypoints", "labels"), KEYPOINTS_BY) as file:
        return str(file.attrs.get("source", ""))


def read_labels(path: Path) -> Labels:
    """Reads `labels.h5`.

    Raises:
        InputError: The file is missing, damaged, of another format, or its arrays do not fit together.
    """
    with _opened(path, ("labels",), LABELS_BY) as file:
        keypoints = _read_keypoints(file, path)
        unit = str(file.attrs["unit"])
        cameras = tuple(_read_camera(file["cameras"], v, name) for v, name in enumerate(keypoints.views))
        rig = Rig(cameras, unit, str(file.attrs["scale_source"]))
        xyz, confidence = _array(file, "xyz", 3), _array(file, "xyz_confidence", 2)
        poses = Poses(xyz, confidence, keypoints.frames, keypoints.skeleton, unit, "world")
        swapped = _array(file, "swapped", 2).astype(bool)
        return Labels(poses, keypoints, rig, _array(file, "reprojection_px", 3), swapped)


def write_labels(path: Path, labels: Labels) -> None:
    """Writes `labels.h5`; images are stored relative to it."""
    with writing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = "epitool.labels/1"
        _write_keypoints(file, labels.keypoints, path)
        file.attrs["unit"] = labels.rig.unit
        file.attrs["scale_source"] = labels.rig.scale_source
        file.attrs["recording_id"] = labels.recording_id
        _store(file, "xyz", labels.poses.xyz)
        _store(file, "xyz_confidence", labels.poses.confidence)
        _store(file, "reprojection_px", labels.reprojection_px)
        file.create_dataset("swapped", data=labels.swapped)
        cameras = file.create_group("cameras").attrs
        for field in ("K", "R", "t"):
            cameras[field] = np.stack([getattr(camera, field) for camera in labels.rig.cameras])
        longest = max(len(camera.distortion) for camera in labels.rig.cameras)
        padded = [np.pad(camera.distortion, (0, longest - len(camera.distortion))) for camera in labels.rig.cameras]
        cameras["distortion"] = np.stack(padded)
        cameras["image_size"] = np.array([camera.image_size for camera in labels.rig.cameras])


def _read_camera(group: h5py.Group, v: int, name: str) -> Camera:
    K, distortion, R, t, size = (group.attrs[key][v] for key in ("K", "distortion", "R", "t", "image_size"))
    return Camera(name, K, distortion, R, t, (int(size[0]), int(size[1])))


def _read_keypoints(file: h5py.File, path: Path) -> Keypoints:
    stored = np.array(_dataset(file, "images", 2).asstr()[:], dtype=object)
    images = [[usable_image(name, path) for name in row] for row in stored]
    views = tuple(str(view) for view in file.attrs["views"])
    frames = _array(file, "frames", 1).astype(np.int64)
    return Keypoints(
        xy=_array(file, "xy", 4),
        confidence=_array(file, "confidence", 3),
        frames=frames,
        views=views,
        images=np.array(images, dtype=np.str_).reshape(len(frames), len(views)),
        image_size=np.asarray(file.attrs["image_size"]),
        skeleton=_read_skeleton(file),
    )


def _write_keypoints(file: h5py.File, keypoints: Keypoints, path: Path) -> None:
    file.attrs["skeleton"] = keypoints.skeleton.name
    file.attrs["joints"] = list(keypoints.skeleton.joints)
    file.attrs["views"] = list(keypoints.views)
    file.attrs["image_size"] = keypoints.image_size
    _store(file, "xy", keypoints.xy)
    _store(file, "confidence", keypoints.confidence)
    file.create_dataset("frames", data=keypoints.frames)
    names = [[stored_image(image, path) for image in row] for row in keypoints.images.tolist()]
    file.create_dataset("images", data=np.array(names, dtype=object), dtype=h5py.string_dtype())


def _read_skeleton(file: h5py.File) -> Skeleton:
    return skeleton_of(str(file.attrs["skeleton"]), [str(joint) for joint in file.attrs["joints"]])


def _store(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    file.create_dataset(name, data=values.astype(np.float32))


def _dataset(file: h5py.File, name: str, axes: int) -> h5py.Dataset:
    """A dataset that lies in this file itself: links and external storage could read any file of the user."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"dataset '{name}'")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual or dataset.ndim != axes:
        raise ValueError(f"'{name}' is not a dataset of {axes} axes")
    return dataset


def _array(file: h5py.File, name: str, axes: int) -> NDArray[np.float64]:
    dataset = _dataset(file, name, axes)
    if dataset.dtype.kind not in "fiub":
        raise ValueError(f"'{name}' holds no numbers")
    return dataset[:].astype(np.float64)


@contextmanager
def _opened(path: Path, kinds: tuple[str, ...], made_by: str) -> Iterator[h5py.File]:
    """Opens a file of one of these kinds; whatever is wrong inside becomes one line."""
    require_file(path, made_by)
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format")
            if found not in [f"epitool.{kind}/1" for kind in kinds]:
                check_format(found, kinds[0], path, made_by)
            yield file
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except KeyError as error:
        raise InputError(f"{path}: lacks {error.args[0]}; make it anew with `{made_by}`") from None
    except (OSError, ValueError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0].removeprefix("Unable to synchronously open file ").strip("()")[:200]
        raise InputError(f"{path}: cannot be read as {kinds[0]} ({reason}); make it anew with `{made_by}`") from None
