"""`epitool synth`: renders images of a person in front of cameras of any layout, with the exact truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.camera import Array, Rig
from epitool.console import Summary, counted, progress, say
from epitool.errors import GeometryError, InputError, UsageError
from epitool.files import writing
from epitool.io.cameras import read_rig, write_rig
from epitool.io.files import read_json, write_json
from epitool.io.labels_h5 import write_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.labels import Labels, labels_of
from epitool.options import SynthOptions
from epitool.parallel import stream_parallel
from epitool.pss import find_up
from epitool.skeleton import skeleton
from epitool.synthetic.anny_body import BodyMaker
from epitool.synthetic.motion import random_motion
from epitool.synthetic.rigs import studio_rig
from epitool.synthetic.scene import write_jpeg
from epitool.synthetic.studio import Studio, Taken, wandering

BY = "epitool synth"
FILES = ("truth.h5", "truth_coco17.h5", "cameras.toml")  # besides the images
H36M, COCO = skeleton("h36m17"), skeleton("coco17")
_FRAMES_PER_SECOND = 10.0  # frame rate of random motion
_MOCAP_FRAMES_PER_SECOND = 30.0
_LEAST_SEEN = 0.5  # least fraction of joints in every view; with fewer, the rig does not look at the person


def run(options: SynthOptions) -> Summary:
    """Render a person of the body model Anny; write `camN/00000.jpg`, `truth.h5`, `truth_coco17.h5`, `cameras.toml`.

    A second run continues where the first one stopped. The images do not depend on `jobs`. Clips of motion capture are
    played in a random order and with random headings, both drawn with the seed.

    Raises:
        UsageError: Anny is not installed, or the folder holds other work.
        InputError: A file is missing, damaged, or does not fit.
        GeometryError: The cameras of a rig do not look at the person.
    """
    out, seed = options.out, options.seed
    joints, places = _motion(options.motion, options.frames, seed)
    used = _rig(options.rig) if options.rig else studio_rig(options.layout, options.cameras, options.size, seed)
    cameras = [_convert_camera(c) for c in used.cameras]
    _claim(out, {"frames": len(joints), "cameras": cameras, "motion": str(options.motion), "seed": seed})
    say("loading the body model; for the first time this takes a minute or two")
    studio = Studio(BodyMaker().body(seed), used, seed)
    images = np.array([[str(out / name / f"{f:05d}.jpg") for name in used.names] for f in range(len(joints))])
    taken = _take(studio, joints, places, images, options.jobs)
    labels = labels_of(np.array([one.h36m17 for one in taken]), used, images)
    _check_seen(labels)
    of_h36m, of_coco, cameras_of = (out / name for name in FILES)
    write_labels(of_h36m, labels)
    coco = labels_of(np.array([one.coco17 for one in taken]), used, images, COCO)
    write_labels(of_coco, coco)
    write_rig(cameras_of, used)
    count = images.size
    size = f"{counted(count, 'image')}, {counted(len(joints), 'frame')} of {counted(len(used), 'camera')}"
    text = f"{out}: {size}; {', '.join(FILES)}"
    return Summary(text, {"out": str(out), "images": count, "frames": len(joints), "views": list(used.names)})


def also_writes(options: SynthOptions) -> list[Path]:
    """Return the files written beside the images."""
    return [options.out / name for name in FILES]


def _motion(path: Path | None, frames: int, seed: int) -> tuple[Array, Array]:
    """Return the joints `(F, 17, 3)`, z up, and the pelvis' position on the floor `(F, 2)`, in mm."""
    if path is None:
        made = random_motion(frames, seed, _FRAMES_PER_SECOND)
        return made.xyz, made.joint("pelvis")[:, :2]
    arrays = read_pose_arrays(path)
    if arrays.poses.skeleton.joints != H36M.joints:
        raise InputError(f"{path}: has joints of {arrays.poses.skeleton.name}; a motion needs those of {H36M.name}")
    complete = np.isfinite(arrays.poses.xyz).all(axis=(1, 2))
    try:
        upright = _z_up(arrays.poses.xyz[complete])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    clips = arrays.clips[complete]
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.unique(clips))
    played = np.concatenate([np.flatnonzero(clips == clip) for clip in order])[:frames]
    headings = dict(zip(order.tolist(), rng.uniform(0, 2 * np.pi, len(order))))  # else all would face one camera
    turns = Rotation.from_rotvec(np.outer([headings[clip] for clip in clips[played].tolist()], [0.0, 0.0, 1.0]))
    if len(played) < frames:
        say(f"{path}: has {len(played)} complete poses, {frames} were asked for")
    return np.einsum("fij,fkj->fki", turns.as_matrix(), upright[played]), wandering(
        len(played), _MOCAP_FRAMES_PER_SECOND, seed
    )


def _z_up(xyz: Array) -> Array:
    """Return poses turned by multiples of 90 degrees so that z is up."""
    axis, sign = find_up(xyz, H36M)
    x, y, z = (xyz[..., (axis + i) % 3] for i in (1, 2, 0))
    return np.stack([x, sign * y, sign * z], axis=-1)


def _rig(path: Path) -> Rig:
    rig = read_rig(path)
    if rig.unit != "mm":
        raise InputError(
            f"{path}: is in unit {rig.unit}; to place a person before cameras takes mm, z up, the floor at 0"
        )
    return rig


def _check_seen(labels: Labels) -> None:
    seen = labels.keypoints.confidence.mean(axis=(0, 2))
    for name, share in zip(labels.rig.names, seen):
        if share < _LEAST_SEEN:
            raise GeometryError(
                f"{name} has {100 * share:.0f}% of the joints in its image: cameras must look at the origin, in mm,"
                " z up, the floor at 0"
            )


def _claim(out: Path, options: dict[str, Any]) -> None:
    """Reserve the folder for this run by writing its options to a file.

    Raises:
        UsageError: The folder holds other files or another run.
    """
    note, stated = out / "synth.json", {"format": "epitool.synth/1", **options}
    if note.exists():
        if read_json(note, "synth", BY) != stated:
            raise UsageError(f"{out}: holds images made with other options; give --out another folder")
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; give --out another folder")
    write_json(note, stated)


def _convert_camera(camera: Any) -> list[Any]:
    return [camera.name, *(np.asarray(part).tolist() for part in (camera.K, camera.R, camera.t, camera.image_size))]


def _take(studio: Studio, joints: Array, places: Array, images: NDArray[np.str_], jobs: int) -> list[Taken]:
    """Render the missing images, and compute the joints of all frames."""

    def take(frame: int) -> Taken:
        paths = [Path(name) for name in images[frame].tolist()]
        missing = not all(path.exists() for path in paths)
        taken = studio.take(joints[frame], places[frame], frame, draw=missing)
        for path, image in zip(paths, taken.images):
            with writing(path) as temporary:
                write_jpeg(temporary, image)
        return Taken((), taken.h36m17, taken.coco17)

    found: list[Taken] = []
    with progress("rendering", images.size) as advance:
        frames: Iterable[int] = range(len(joints))
        for taken in stream_parallel(take, frames, jobs):
            found.append(taken)
            advance(images.shape[1])
    return found
