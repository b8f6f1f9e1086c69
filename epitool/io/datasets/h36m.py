"""Reader of Human3.6M (Ionescu et al. 2014) as official CDF files or as processed JSON annotations.

The official form, unpacked from the archives, has `S1/MyPoseFeatures/D3_Positions/*.cdf` (32 world joints, mm),
optionally `D2_Positions`, `S1/Videos/*.mp4`, and `metadata.xml` of the release's code. The processed form, common since
Sun et al. 2018 and Moon et al. 2019, has `annotations/Human36M_subject1_{data,camera,joint_3d}.json` and `images/`.

The release's cameras are x = R (X - T), where T is the camera centre; here t = -R T.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.camera import Array, Camera, Rig
from epitool.errors import InputError, UsageError
from epitool.io.datasets.common import DatasetTake, check_projections
from epitool.io.files import foreign_file, read_xml
from epitool.labels import Take

TRAIN, TEST = (1, 5, 6, 7, 8), (9, 11)  # the paper's subjects, section 4
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
_SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
_OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]  # of the release's joints
_SUBJECTS = 11
_DAMAGED = {("S11", "Directions")}  # the release's video of camera 54138969 is truncated
# actions for which the release uses two names
_ACTIONS = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}


def read_h36m(root: Path) -> list[DatasetTake]:
    """Return the recordings of the paper's subjects in a folder.

    Raises:
        InputError: The folder holds none, or a file in it is damaged or of another convention.
        UsageError: The extra that reads CDF files is not installed.
    """
    if any(root.glob("annotations/Human36M_subject*_data.json")):
        return [take for s in (*TRAIN, *TEST) for take in _processed_subject(root, s)]
    if any(root.glob("S*/MyPoseFeatures/D3_Positions/*.cdf")):
        rigs = read_metadata(_metadata(root))
        return [take for s in (*TRAIN, *TEST) for take in _official_subject(root, s, rigs[s])]
    raise InputError(
        f"{root}: holds neither S*/MyPoseFeatures/D3_Positions/*.cdf nor annotations/Human36M_subject*_data.json"
    )


def read_metadata(path: Path) -> dict[int, Rig]:
    """Read the cameras of every subject from the release's `metadata.xml`: 11 x 4 extrinsics, then 4 intrinsics.

    Raises:
        InputError: The file is missing or of another kind.
    """
    with foreign_file(path, "Human3.6M's metadata.xml"):
        node = next(read_xml(path).iter("w0"), None)
        if node is None:
            raise ValueError("no element w0")
        numbers = np.array((node.text or "").strip(" []\n").split(), dtype=float)
        places = numbers[: len(CAMERAS) * _SUBJECTS * 6].reshape(len(CAMERAS), _SUBJECTS, 6)
        lenses = numbers[places.size : places.size + 36].reshape(len(CAMERAS), 9)
    return {s: _rig(places[:, s - 1], lenses) for s in (*TRAIN, *TEST)}


def _rig(places: Array, lenses: Array) -> Rig:
    cameras = []
    for name, size, place, lens in zip(CAMERAS, _SIZES, places, lenses, strict=True):
        # the first three numbers are intrinsic x, y, z angles in radians, the others the camera centre
        R = Rotation.from_euler("XYZ", place[:3]).as_matrix()
        # the release states all radial coefficients first; OpenCV's order is k1, k2, p1, p2, k3
        fx, fy, cx, cy, k1, k2, k3, p1, p2 = lens
        K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        cameras.append(Camera(name, np.array(K), np.array([k1, k2, p1, p2, k3]), R, -R @ place[3:], size))
    return Rig(tuple(cameras), "mm", "Human3.6M")


def _metadata(root: Path) -> Path:
    for pattern in ("metadata.xml", "*/metadata.xml", "*/*/metadata.xml"):
        if found := sorted(root.glob(pattern)):
            return found[0]
    raise InputError(f"{root}: no metadata.xml in it; it comes with the release's code, and has the cameras")


def _official_subject(root: Path, subject: int, rig: Rig) -> list[DatasetTake]:
    takes, folder = [], root / f"S{subject}" / "MyPoseFeatures"
    for path in sorted((folder / "D3_Positions").glob("*.cdf")):
        action = path.stem.partition(" ")[0]
        if path.stem.startswith("_ALL") or (f"S{subject}", action) in _DAMAGED:
            continue
        xyz = _poses(path, 96).reshape(-1, 32, 3)[:, _OF_32]
        flat = [folder / "D2_Positions" / f"{path.stem}.{name}.cdf" for name in CAMERAS]
        if all(file.is_file() for file in flat):
            some = slice(0, None, max(len(xyz) // 5, 1))
            seen = np.stack([_poses(file, 64).reshape(-1, 32, 2)[: len(xyz)][some][:, _OF_32] for file in flat], axis=1)
            check_projections(flat[0], rig, xyz[some], seen)
        videos = [str(root / f"S{subject}" / "Videos" / f"{path.stem}.{name}.mp4") for name in CAMERAS]
        named = Take(f"S{subject} {path.stem}", rig, _ACTIONS.get(action, action))
        read = partial(_official_frames, path, videos)
        takes.append(DatasetTake(named, subject in TEST, np.arange(len(xyz)), read))
    return takes


def _official_frames(path: Path, videos: list[str], frames: NDArray[np.int64]) -> tuple[Array, NDArray[np.str_]]:
    images = np.array([[f"{video}#{frame}" for video in videos] for frame in frames.tolist()])
    return _poses(path, 96)[frames].reshape(-1, 32, 3)[:, _OF_32], images


def _poses(path: Path, numbers: int) -> Array:
    """Read the variable `Pose` of a CDF file, `(F, numbers)`."""
    try:
        import cdflib
    except ImportError:
        raise UsageError("CDF files need the extra [datasets]: pip install 'epitool[datasets]'") from None
    with foreign_file(path, "a CDF file of Human3.6M"):
        found = np.asarray(cdflib.CDF(path).varget("Pose"), dtype=float)
        return found.reshape(-1, numbers)


def _processed_subject(root: Path, subject: int) -> list[DatasetTake]:
    stem = root / "annotations" / f"Human36M_subject{subject}"
    data, camera, joints = (Path(f"{stem}_{kind}.json") for kind in ("data", "camera", "joint_3d"))
    if not data.exists():
        return []
    what = "processed annotations of Human3.6M"
    with foreign_file(camera, what):
        rig = _processed_rig(json.loads(camera.read_bytes()))
    with foreign_file(data, what):
        names, actions = _image_names(json.loads(data.read_bytes()))
    takes = []
    with foreign_file(joints, what):
        poses = json.loads(joints.read_bytes())
        for (action, part), images in sorted(names.items()):
            of_take = poses[str(action)][str(part)]
            frames = np.array([f for f in sorted(images) if len(images[f]) == len(CAMERAS) and str(f) in of_take])
            xyz = np.array([of_take[str(f)] for f in frames.tolist()], dtype=float).reshape(-1, 17, 3)
            title = _ACTIONS.get(actions[action], actions[action])
            if not len(frames) or (f"S{subject}", title) in _DAMAGED:
                continue
            files = np.array([[str(root / "images" / images[f][v]) for v in range(1, 5)] for f in frames.tolist()])
            named = Take(f"S{subject} {title} {part}", rig, title)
            takes.append(DatasetTake(named, subject in TEST, frames, partial(_select_wanted, frames, xyz, files)))
    return takes


def _select_wanted(
    frames: NDArray[np.int64], xyz: Array, images: NDArray[np.str_], wanted: NDArray[np.int64]
) -> tuple[Array, NDArray[np.str_]]:
    rows = np.searchsorted(frames, wanted)
    return xyz[rows], images[rows]


def _processed_rig(content: dict[str, Any]) -> Rig:
    """Return the cameras "1" to "4" from their R, t, f and c, with x = R X + t and without distortion."""
    cameras = []
    for number, (name, size) in enumerate(zip(CAMERAS, _SIZES, strict=True), start=1):
        of_camera = {key: np.array(content[str(number)][key], dtype=float) for key in ("R", "t", "f", "c")}
        (fx, fy), (cx, cy) = of_camera["f"], of_camera["c"]
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        cameras.append(Camera(name, K, np.empty(0), of_camera["R"], of_camera["t"].ravel(), size))
    return Rig(tuple(cameras), "mm", "Human3.6M")


def _image_names(
    content: dict[str, Any],
) -> tuple[dict[tuple[int, int], dict[int, dict[int, str]]], dict[int, str]]:
    """Return the file names by (action, part), frame and camera, and the names of the actions."""
    names: dict[tuple[int, int], dict[int, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    actions: dict[int, str] = {}
    for image in content["images"]:
        action, part = int(image["action_idx"]), int(image["subaction_idx"])
        file = str(image["file_name"])
        if file.startswith("/") or re.search(r"(^|/)\.\.(/|$)", file):
            raise ValueError(f"an image named {file[:80]} would lie outside of images/")
        names[action, part][int(image["frame_idx"])][int(image["cam_idx"])] = file
        actions[action] = str(image.get("action_name", f"action {action}"))
    return names, actions
