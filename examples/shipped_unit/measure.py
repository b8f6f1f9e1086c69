"""How good a refinement unit is on people that it has not seen: the figures of docs/models.md.

    python measure.py MOCAP.npz [LABELS.h5 ...] [--images RECORDING.h5 [REFINER.pt]]

NMPJPE and PMPJPE in mm over 14 joints, and how many poses face more than a right angle away. Of motion capture: exact
joints in the image, no hint, random cameras. Of labels of rendered people: against the joints that the detector's
triangulate to, and against the body's own (scene/truth.h5 beside the labels), by the detector's own 3D, the unit from
one look, and, where `epitool predict` has written pose.json beside them, from two. Of a recording's labels and images:
BlazePose looks anew, once and twice, each image by itself, agreed over time, and smoothed, for the unit that comes with
epitool or another one.
"""

import sys
import time
from pathlib import Path

import numpy as np

from epitool.detectors import open_detector
from epitool.images import image_key, read_images
from epitool.io.labels_h5 import read_labels
from epitool.io.predictions import read_predictions
from epitool.metrics import nmpjpe, pmpjpe
from epitool.nn.looks import BODY, LIMBS, body_joints, face_apart, looks_of
from epitool.nn.mocap import Cameras, place_before_cameras, with_heads, with_lengths
from epitool.nn.refiner import Refiner, load_refiner
from epitool.nn.refiner_training import reference_lengths
from epitool.nn.refining import agreed_poses, sized
from epitool.nn.times import Times, smoothed
from epitool.stages.refine.inputs import mocap_poses
from epitool.stages.shared.lifting import labelled_looks
from epitool.stages.shared.looking import DetectorLooks
from epitool.stages.shared.seen_in_images import SMOOTH_S, times_of

COUNT = 5000


def line(name: str, found: list[np.ndarray], truth: list[np.ndarray]) -> None:
    """Prints the figures of poses `(N, 16, 3)`."""
    poses, true = np.concatenate(found), np.concatenate(truth)
    whole = np.isfinite(poses[:, LIMBS]).all(axis=(1, 2)) & np.isfinite(true[:, LIMBS]).all(axis=(1, 2))
    poses, true = poses[whole], true[whole]
    limbs = [pose[:, LIMBS] for pose in (poses, true)]
    root = LIMBS.tolist().index(BODY.root)
    away = 100 * face_apart(poses, true).mean()
    print(
        f"{name:45} {nmpjpe(*limbs, root).mean():6.1f} {pmpjpe(*limbs, root).mean():6.1f} {away:5.1f}% {len(poses):6}"
    )


def of_mocap(path: Path) -> None:
    """Exact joints of motion capture, no hint."""
    rng, poses = np.random.default_rng(0), mocap_poses(path)
    poses = poses[rng.integers(len(poses), size=COUNT)]
    poses = with_heads(with_lengths(poses, np.tile(reference_lengths(), (COUNT, 1))), rng)
    truth = place_before_cameras(poses, Cameras(fallen=0.0), rng)
    K = np.tile(np.eye(3), (COUNT, 1, 1))
    looks = looks_of(truth[..., :2] / truth[..., 2:], np.ones(truth.shape[:2]), np.empty(0), K, BODY)
    line("motion capture, exact joints", [agreed_poses(load_refiner(), [looks], Times.unrelated(COUNT)).poses], [truth])


def of_people(files: list[Path]) -> None:
    """Labels of people."""
    own, one, two, triangulated, exact, exact_two = ([] for _ in range(6))
    for file in files:
        labels = read_labels(file)
        looks, shape = labelled_looks(labels), labels.keypoints.xy.shape
        truth = body_joints(labels.in_cameras.reshape(-1, *shape[2:3], 3), labels.poses.skeleton)[0]
        bodies = read_labels(file.parent / "scene/truth.h5")
        body = body_joints(bodies.in_cameras.reshape(-1, 17, 3), bodies.poses.skeleton)[0]
        own.append(looks.hint)
        one.append(agreed_poses(load_refiner(), [looks], Times.unrelated(len(looks))).poses)
        triangulated.append(truth)
        exact.append(body)
        if (file.parent / "pose.json").exists():
            found = read_predictions(file.parent / "pose.json")
            place = {image_key(name): i for i, name in enumerate(found.images)}
            rows = [place.get(image_key(name), -1) for name in labels.keypoints.images.ravel().tolist()]
            poses = body_joints(found.joints_3d, found.skeleton)[0][rows]
            poses[np.array(rows) < 0] = np.nan
            two.append(poses)
            exact_two.append(body)
    line("triangulated joints, against body", triangulated, exact)
    for name, truth in (("triangulated", triangulated), ("body", exact)):
        line(f"detector's own 3D, against {name}", own, truth)
        line(f"unit, one look, against {name}", one, truth)
        if len(two) == len(files):
            line(f"unit, two looks, against {name}", two, truth)


def of_images(file: Path, unit: Refiner) -> None:
    """A recording's images, which BlazePose looks at twice."""
    labels = read_labels(file)
    shape = labels.keypoints.xy.shape
    truth = body_joints(labels.in_cameras.reshape(-1, *shape[2:3], 3), labels.poses.skeleton)[0]
    names = labels.keypoints.images.ravel().tolist()
    looking = DetectorLooks((open_detector(None), open_detector(None)), len(names), None, 1.25)
    seconds = []
    for i, image in read_images(names):
        started = time.perf_counter()
        looking(i, image)
        seconds.append(time.perf_counter() - started)
    median, most = (1000 * np.quantile(seconds, share) for share in (0.5, 0.9))
    print(f"both looks at an image: {median:.0f} ms, 90% under {most:.0f} ms")
    seen, K = looking.found, labels.intrinsics.reshape(-1, 3, 3)
    order = np.lexsort((times_of(names).seconds, times_of(names).sequence))
    looks = [looks_of(seen.xy[:, k], seen.confidence[:, k], seen.xyz[:, k], K, seen.skeleton).at(order) for k in (0, 1)]
    alone, truth = Times.unrelated(len(names)), truth[order]
    found = times_of(names)
    times = Times(found.sequence[order], found.seconds[order])
    test = np.isin(np.arange(len(names)) // shape[1], labels.parts["test"])[order]
    line("detector's own 3D", [looks[0].hint], [truth])
    line("one look, no hint", [agreed_poses(unit, [looks[0].without_hint()], alone).poses], [truth])
    line("one look", [agreed_poses(unit, looks[:1], alone).poses], [truth])
    line("two looks, images by themselves", [agreed_poses(unit, looks, alone).poses], [truth])
    in_time = sized(agreed_poses(unit, looks, times).poses, unit.lengths)
    for name, poses in (("two looks, agreed over time", in_time), ("and smoothed", smoothed(in_time, times, SMOOTH_S))):
        line(name, [poses], [truth])
        line("   its test part", [poses[test]], [truth[test]])
        runs = times.runs(np.isfinite(poses[:, LIMBS]).all(axis=(1, 2)))
        second = [np.linalg.norm(np.diff(poses[run][:, LIMBS], 2, axis=0), axis=-1) for run in runs]
        jitter = np.concatenate(second).mean()
        print(f"{'   its mean second difference':45} {jitter:6.1f} mm a frame squared")


print(f"{'':45} NMPJPE PMPJPE  away  poses")
given, _, recording = " ".join(sys.argv[1:]).partition(" --images ")
mocap, *people = given.split()
of_mocap(Path(mocap))
if people:
    of_people([Path(name) for name in people])
if recording:
    file, *unit = map(Path, recording.split())
    of_images(file, load_refiner(*unit))
