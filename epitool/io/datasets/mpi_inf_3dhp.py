"""Reader of MPI-INF-3DHP (Mehta et al. 2017): training folders `S1/Seq1`, and the test set's `TS1`.

A training folder has `annot.mat` (28 joints in the axes of each of 14 cameras, mm), `camera.calibration`, and
`imageSequence/video_0.avi` or, extracted, `imageFrames/video_0/frame_000001.jpg`. A test folder has `annot_data.mat`
(17 joints, one camera) and `imageSequence/img_000001.jpg`; its intrinsics are computed from its 2D and 3D joints.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array, Camera, Rig
from epitool.errors import InputError
from epitool.images import read_image
from epitool.io.datasets.common import DatasetTake, check_projections, read_matlab, select_existing
from epitool.io.files import foreign_file
from epitool.io.h5 import array
from epitool.labels import Take

CHEST_HEIGHT = (0, 2, 4, 7, 8)  # cameras used for training by the paper and by Mehta et al.
# Indices of the joints in the order of h36m17. As is usual, the neck is used as thorax, and the head as Human3.6M's
# "Neck/Nose".
_OF_28 = [4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]
_OF_17 = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
_AGREE_MM = 5.0
_IMAGES = "img_{:06d}.jpg"


def read_mpi_inf_3dhp(root: Path) -> list[DatasetTake]:
    """Return the recordings of the training subjects and of the test set in a folder.

    Raises:
        InputError: The folder holds none, or a file in it is damaged or of another convention.
    """
    tests = root / "mpi_inf_3dhp_test_set" if (root / "mpi_inf_3dhp_test_set").is_dir() else root
    what = "the folder with S1 to S8 and the test set of MPI-INF-3DHP"
    select_existing(root, [*(f"S{s}" for s in range(1, 9)), "TS1", "mpi_inf_3dhp_test_set"], what)
    training = [root / f"S{s}" / f"Seq{q}" for s in range(1, 9) for q in (1, 2)]
    takes = [_training_take(folder) for folder in training if folder.is_dir()]
    return takes + [_test_take(tests / f"TS{n}") for n in range(1, 7) if (tests / f"TS{n}").is_dir()]


def read_skeletool(path: Path) -> dict[int, Camera]:
    """Read the cameras of a `camera.calibration` by number, with x = R X + t in mm.

    Raises:
        InputError: The file is missing or of another kind.
    """
    with foreign_file(path, "a Skeletool camera calibration"):
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        if lines[:1] != [["Skeletool", "Camera", "Calibration", "File", "V1.0"]]:
            raise ValueError("another first line")
        cameras, of_camera = {}, dict[str, list[str]]()
        for key, *values in filter(None, lines[1:]):
            of_camera[key] = values
            if key == "radial":
                cameras[int(of_camera["name"][0])] = _skeletool_camera(of_camera)
                of_camera = {}
    return cameras


def _skeletool_camera(values: dict[str, list[str]]) -> Camera:
    K, place = (np.array(values[key], dtype=float).reshape(4, 4) for key in ("intrinsic", "extrinsic"))
    if any(float(number) for number in values["radial"]):
        raise ValueError("radial distortion, of which the format does not say what it means")
    U, _, Vt = np.linalg.svd(place[:3, :3])
    width, height = (int(number) for number in values["size"])
    name = f"video_{values['name'][0]}"
    return Camera(name, K[:3, :3], np.empty(0), U @ Vt, place[:3, 3], (width, height))  # U Vt undoes rounding


def _training_take(folder: Path) -> DatasetTake:
    path, calibration = folder / "annot.mat", folder / "camera.calibration"
    cameras = read_skeletool(calibration)
    with foreign_file(path, "annotations of MPI-INF-3DHP"):
        content = read_matlab(path, variable_names=["annot2", "annot3"])
        own = np.stack([_read_camera_joints(content["annot3"], c, 3) for c in CHEST_HEIGHT], axis=1)
        flat = np.stack([_read_camera_joints(content["annot2"], c, 2) for c in CHEST_HEIGHT], axis=1)
    with foreign_file(calibration, f"the calibration of cameras {CHEST_HEIGHT}"):
        rig = Rig(tuple(cameras[c] for c in CHEST_HEIGHT), "mm", "MPI-INF-3DHP")
    first = rig.cameras[0]
    # inverse of x = R X + t, from the axes of the first camera
    world = (own[:, 0] - first.t) @ first.R
    some = slice(0, None, max(len(world) // 5, 1))
    off = np.abs(rig.to_cameras(world[some]) - own[some]).max()
    if not off <= _AGREE_MM:
        raise InputError(f"{calibration}: disagrees with {path.name} by {off:.0f} mm; both must be of one recording")
    check_projections(path, rig, world[some], flat[some])
    name = f"{folder.parent.name} {folder.name}"
    read = partial(_training_frames, folder, world)
    return DatasetTake(Take(name, rig), False, np.arange(len(world)), read)


def _read_camera_joints(cells: NDArray[Any], camera: int, axes: int) -> Array:
    """Return the joints of one camera's cell in h36m17's order, `(F, 17, axes)`."""
    return np.asarray(cells.ravel()[camera], dtype=float).reshape(-1, 28, axes)[:, _OF_28]


def _training_frames(folder: Path, world: Array, frames: NDArray[np.int64]) -> tuple[Array, NDArray[np.str_]]:
    def image(camera: int, frame: int) -> str:
        video = folder / "imageSequence" / f"video_{camera}.avi"
        if video.is_file():
            return f"{video}#{frame}"
        return str(folder / "imageFrames" / f"video_{camera}" / f"frame_{frame + 1:06d}.jpg")

    return world[frames], np.array([[image(c, f) for c in CHEST_HEIGHT] for f in frames.tolist()])


def _test_take(folder: Path) -> DatasetTake:
    path = folder / "annot_data.mat"
    with foreign_file(path, "annotations of MPI-INF-3DHP's test set"), h5py.File(path, "r") as file:
        xyz = array(file, "annot3", 4).reshape(-1, 17, 3)[:, _OF_17]
        xy = array(file, "annot2", 4).reshape(-1, 17, 2)[:, _OF_17]
        valid = np.flatnonzero(array(file, "valid_frame", 2).ravel())
    if not len(valid):
        raise InputError(f"{path}: no frame is valid")
    first = read_image(folder / "imageSequence" / _IMAGES.format(valid[0] + 1))
    lens, size = _fit_lens(xyz[valid], xy[valid]), (first.shape[1], first.shape[0])
    rig = Rig((Camera("camera", lens, np.empty(0), np.eye(3), np.zeros(3), size),), "mm", "MPI-INF-3DHP")
    check_projections(path, rig, xyz[valid], xy[valid][:, None])
    return DatasetTake(Take(folder.name, rig), True, valid, partial(_test_frames, folder, xyz))


def _fit_lens(xyz: Array, xy: Array) -> Array:
    """Fit K to points in camera axes and their pixels, by least squares of u = f X / Z + c."""
    K = np.eye(3)
    for axis in (0, 1):
        slope = (xyz[..., axis] / xyz[..., 2]).ravel()
        rows = np.column_stack([slope, np.ones_like(slope)])
        (K[axis, axis], K[axis, 2]), *_ = np.linalg.lstsq(rows, xy[..., axis].ravel(), rcond=None)
    return K


def _test_frames(folder: Path, xyz: Array, frames: NDArray[np.int64]) -> tuple[Array, NDArray[np.str_]]:
    images = [[str(folder / "imageSequence" / _IMAGES.format(frame + 1))] for frame in frames.tolist()]
    return xyz[frames], np.array(images)
