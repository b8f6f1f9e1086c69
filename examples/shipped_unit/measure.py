"""How good a refinement unit is on people that it has not seen: the figures of docs/models.md.

    python measure.py MOCAP.npz [LABELS.h5 ...] [REFINER.pt]

NMPJPE and PMPJPE in mm over 14 joints, and how many poses face more than a right angle away, by the unit that comes
with epitool or another one. Of motion capture: exact joints in the image, no hint, random cameras. Of the images of all
labels together: BlazePose looks at each anew, and the cameras are known. The truth is the joints that the labels
triangulate to and, for rendered people, also the body's own (scene/truth.h5 beside the labels). Of videos, also agreed
over time, and smoothed.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.detectors import open_detector
from epitool.detectors.finding import Detector, people_found
from epitool.images import read_images
from epitool.io.labels_h5 import read_labels
from epitool.metrics import nmpjpe, pmpjpe
from epitool.nn.looks import BODY, LIMBS, Looks, body_joints, face_apart, from_facing, join_looks, looks_of
from epitool.nn.mocap import Cameras, place_before_cameras, with_heads, with_lengths
from epitool.nn.refiner import Refiner, load_refiner, reference_lengths
from epitool.nn.refining import agreed_poses, sized
from epitool.nn.times import Times, smoothed
from epitool.stages.refine.inputs import mocap_poses
from epitool.stages.shared.looking import DetectorLooks
from epitool.stages.shared.seen_in_images import SMOOTH_S, times_of

Array = NDArray[np.float64]
COUNT = 5000


def line(name: str, poses: Array, true: Array) -> None:
    """Prints the figures of poses `(N, 16, 3)`."""
    whole = np.isfinite(poses[:, LIMBS]).all(axis=(1, 2)) & np.isfinite(true[:, LIMBS]).all(axis=(1, 2))
    poses, true = poses[whole], true[whole]
    limbs = poses[:, LIMBS], true[:, LIMBS]
    root = LIMBS.tolist().index(BODY.root)
    away = face_apart(poses, true)
    print(
        f"{name:45} {nmpjpe(*limbs, root).mean():6.1f} {pmpjpe(*limbs, root).mean():6.1f}"
        f" {away.sum():4} {100 * away.mean():5.1f}% {len(poses):6}"
    )


def of_mocap(path: Path, unit: Refiner) -> None:
    """Exact joints of motion capture, no hint."""
    rng, poses = np.random.default_rng(0), mocap_poses(path)
    poses = poses[rng.integers(len(poses), size=COUNT)]
    poses = with_heads(with_lengths(poses, np.tile(reference_lengths(), (COUNT, 1))), rng)
    truth = place_before_cameras(poses, Cameras(fallen=0.0), rng)
    K = np.tile(np.eye(3), (COUNT, 1, 1))
    looks = looks_of(truth[..., :2] / truth[..., 2:], np.ones(truth.shape[:2]), np.empty(0), K, BODY)
    line("motion capture, exact joints", agreed_poses(unit, [looks], Times.unrelated(COUNT)).poses, truth)


@dataclass(frozen=True, eq=False)
class Images:
    """The images of labels, in order of time.

    Attributes:
        own: The detector's own 3D in the camera's axes, from the first person that it finds, `(N, 16, 3)`.
        looks: At the image by itself, at its mirror image, and turned ones at both.
        in_time: The same at the frames of videos; empty if the images are of no video.
        times: When they were taken.
        truth: What the labels triangulate to, `(N, 16, 3)`.
        body: The body's own joints; NaN where they are not known.
        test: Which are of the test part, `(N,)`.
    """

    own: Array
    looks: list[Looks]
    in_time: list[Looks]
    times: Times
    truth: Array
    body: Array
    test: NDArray[np.bool_]


def looked_at(file: Path) -> Images:
    """The images of labels, at which BlazePose looks as `epitool predict` does: by themselves, and as videos."""
    labels = read_labels(file)
    shape = labels.keypoints.xy.shape
    truth = body_joints(labels.in_cameras.reshape(-1, *shape[2:3], 3), labels.poses.skeleton)[0]
    names, K = labels.keypoints.images.ravel().tolist(), labels.intrinsics.reshape(-1, 3, 3)
    pair, found = (open_detector(None), open_detector(None)), times_of(names)
    order = np.lexsort((found.seconds, found.sequence))
    looks, boxes = seen_in(names, K, pair, Times.unrelated(len(names)), file)
    alone = len(found.runs(np.ones(len(names), dtype=bool))) == len(names)
    in_time, boxes = ([], boxes) if alone else seen_in(names, K, pair, found, file)
    body = np.full(truth.shape, np.nan)
    if (exact := file.parent / "scene/truth.h5").exists():
        bodies = read_labels(exact)
        body = body_joints(bodies.in_cameras.reshape(-1, 17, 3), bodies.poses.skeleton)[0]
    test = np.isin(np.arange(len(names)) // shape[1], labels.parts["test"])
    times = Times(found.sequence[order], found.seconds[order]).of_people(boxes[order])
    looks, in_time = ([look.at(order) for look in each] for each in (looks, in_time))
    own = own_poses(names, K, pair[0])[order]
    return Images(own, looks, in_time, times, truth[order], body[order], test[order])


def seen_in(
    names: list[str], K: Array, pair: tuple[Detector, Detector], times: Times, file: Path
) -> tuple[list[Looks], Array]:
    """The looks at images taken at certain times, and the boxes of the person; prints how long they take."""
    looking, seconds = DetectorLooks(pair, times, None, 1.25), []
    for i, image in read_images(names):
        started = time.perf_counter()
        looking(i, image)
        seconds.append(time.perf_counter() - started)
    median, most = (1000 * np.quantile(seconds, share) for share in (0.5, 0.9))
    seen = looking.found
    print(f"{seen.xy.shape[1]} looks at an image of {file}: {median:.0f} ms, 90% under {most:.0f} ms")
    return [
        looks_of(seen.xy[:, k], seen.confidence[:, k], seen.xyz[:, k], K, seen.skeleton)
        for k in range(seen.xy.shape[1])
    ], seen.boxes()


def own_poses(names: list[str], K: Array, detector: Detector) -> Array:
    """The detector's own 3D in all images, `(N, 16, 3)`; NaN where nobody is found."""
    out = np.full((len(names), len(BODY), 3), np.nan)
    for i, image in read_images(names):
        people = people_found(detector, image)
        if len(people.xy) and people.xyz is not None:
            look = looks_of(people.xy[:1], people.confidence[:1], people.xyz[:1], K[[i]], detector.skeleton)
            out[i] = from_facing(look.hint, look.rays)[0]
    return out


def of_images(files: list[Path], unit: Refiner) -> None:
    """Images of labels by themselves, and of videos also over time."""
    each = [looked_at(file) for file in files]
    looks = [join_looks(of_one) for of_one in zip(*(images.looks for images in each))]
    alone = Times.unrelated(len(looks[0]))
    ways = {
        "detector's own 3D": np.concatenate([images.own for images in each]),
        "one look, no hint": agreed_poses(unit, [looks[0].without_hint()], alone).poses,
        "one look": agreed_poses(unit, looks[:1], alone).poses,
        "and the mirror image": agreed_poses(unit, looks[:2], alone).poses,
        "and turned looks": agreed_poses(unit, looks, alone).poses,
    }
    truths = {name: np.concatenate([getattr(images, name) for images in each]) for name in ("truth", "body")}
    for against, truth in truths.items():
        if np.isfinite(truth).any():
            print(f"against {'the joints that labels triangulate to' if against == 'truth' else 'those of the body'}")
            for name, poses in ways.items():
                line(f"   {name}", poses, truth)
    for images in each:
        if images.in_time:
            over_time(images, unit)


def over_time(images: Images, unit: Refiner) -> None:
    """Videos, as `epitool predict` answers them."""
    in_time = sized(agreed_poses(unit, images.in_time, images.times).poses, unit.lengths)
    ways = {"agreed over time": in_time, "and smoothed": smoothed(in_time, images.times, SMOOTH_S)}
    for name, poses in ways.items():
        line(name, poses, images.truth)
        line("   its test part", poses[images.test], images.truth[images.test])
        runs = images.times.runs(np.isfinite(poses[:, LIMBS]).all(axis=(1, 2)))
        second = [np.linalg.norm(np.diff(poses[run][:, LIMBS], 2, axis=0), axis=-1) for run in runs]
        print(f"{'   its mean second difference':45} {np.concatenate(second).mean():6.1f} mm a frame squared")


def main() -> None:
    """Measures the shipped unit, or the units that are named."""
    files = [Path(given) for given in sys.argv[1:]]
    units = [file for file in files if file.suffix == ".pt"]
    refiner = load_refiner(*units)
    print(f"{'':45} NMPJPE PMPJPE  away        poses")
    of_mocap(files[0], refiner)
    if recordings := [file for file in files[1:] if file not in units]:
        of_images(recordings, refiner)


if __name__ == "__main__":
    main()
