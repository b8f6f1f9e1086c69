"""Scenes of epitool's files: keypoints, labels, poses of single images, and cameras, with small images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.console import counted, progress, warn
from epitool.errors import InputError
from epitool.images import read_images
from epitool.io.cameras import CAMERA_SUFFIXES, read_rig
from epitool.io.keypoints_h5 import open_keypoints
from epitool.io.labels_h5 import LabelsFile, has_poses
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.names import NO_FILE, frame_number, frame_of_video, names_file
from epitool.pose import Keypoints, Predictions
from epitool.skeleton import skeleton
from epitool.stages.shared.camera_verdict import verdict_of
from epitool.stages.shared.doubts import sentences
from epitool.stages.show.film import rate_of
from epitool.stages.show.labelled import open_everyone
from epitool.stages.show.people import load_everyone
from epitool.viz.level import image_up
from epitool.viz.page import small_jpeg
from epitool.viz.scene import Person, Scene

_SLOWEST, _FASTEST, _USUAL = 5.0, 60.0, 30.0  # frames per second


def scene_of(file: Path, frames: int) -> Scene:
    """Return the scene of a file for a page, with at most `frames` frames, spread evenly.

    Raises:
        InputError: The file is damaged.
    """
    suffix = file.suffix.lower()
    if suffix == ".json":
        return _scene_of_predictions(file.name, read_predictions(file), frames)
    if suffix in CAMERA_SUFFIXES:
        return _scene_of_cameras(file)
    if not has_poses(file):
        return _scene_of_keypoints(file, frames)
    return _scene_of_labels(file, frames)


def _step(count: int, most: int) -> int:
    """Return the step with which at most `most` of `count` items are shown.

    >>> _step(10, 4), _step(10, 20)
    (3, 1)
    """
    return max(1, -(-count // most))


def _scene_of_cameras(path: Path) -> Scene:
    rig, judged = read_rig(path), verdict_of([path])
    facts = f"{counted(len(rig), 'camera')}, unit {rig.unit}, scale: {rig.scale_source}"
    facts += _doubted(judged.get("verdict", ""), judged.get("reasons", ()))
    return Scene(
        path.name, facts, skeleton("h36m17"), np.empty(0, dtype=np.int64), up=image_up(rig), rigs=(rig,), unit=rig.unit
    )


def _doubted(verdict: str, reasons: Sequence[str], whose: str = "verdict") -> str:
    """Return how to state a verdict after other facts; nothing where there is no doubt."""
    why = f" ({sentences(reasons)})" if reasons else ""
    return f", {whose}: {verdict}{why}" if verdict in ("warn", "fail") else ""


def _scene_of_keypoints(path: Path, most: int) -> Scene:
    with open_keypoints(path) as file:
        count, step = len(file), _step(len(file), most)
        shown = file.read(step=step)
        everyone = load_everyone(file)
        crowd = everyone.besides(shown, slice(None, None, step)) if everyone else None
    facts = (
        f"{counted(count, 'frame')}{_sampled(step)}, {counted(len(shown.views), 'view')}, {len(shown.skeleton)} joints"
    )
    if everyone:
        facts += f", up to {everyone.most} people in an image"
    fps, real_time = _fps(shown, step)
    sizes = np.tile(shown.image_size, (len(shown.frames), 1, 1))
    scene = Scene(
        path.name, facts, shown.skeleton, shown.frames, views=shown.views, sizes=sizes, fps=fps,
        real_time=real_time, people=(Person(xy=shown.xy),), crowd=crowd,
    )  # fmt: skip
    return _with_images(scene, shown.images.tolist())


def _scene_of_labels(path: Path, most: int) -> Scene:
    with open_everyone(path) as everyone:
        count, step = len(everyone), _step(len(everyone), most)
        labels, people = everyone.read(step=step)
        facts = (
            f"{counted(count, 'frame')}{_sampled(step)}, unit {labels.poses.unit}, {_judged(labels, everyone.files)}"
        )
    shown = labels.keypoints
    fps, real_time = _fps(shown, step)
    scene = Scene(
        path.name, facts, shown.skeleton, shown.frames, people, image_up(labels.rig), labels.rigs, shown.take_of,
        shown.views, labels.image_sizes, fps=fps, real_time=real_time, unit=labels.poses.unit,
    )  # fmt: skip
    return _with_images(scene, shown.images.tolist())


def _judged(labels: Labels, files: Sequence[LabelsFile]) -> str:
    """Return the first person's reprojection error in words, how many others there are, and each doubt once."""
    error, (_, *others) = labels.reprojection_px, files
    apart = np.nanmedian(error) if np.isfinite(error).any() else 0
    whose = f" of {files[0].person}" if others else ""
    said = f"median reprojection error{whose} {apart:.1f} px" + ", smoothed over time" * bool(labels.smoothed)
    said += _doubted(labels.verdict, labels.reasons)
    for file in others:
        said += _doubted(file.verdict, [reason for reason in file.reasons if reason not in labels.reasons], file.person)
    return (f"{len(files)} people, " if others else "") + said


def _scene_of_predictions(title: str, seen: Predictions, most: int) -> Scene:
    step = _step(len(seen.images), most)
    indices = np.arange(0, len(seen.images), step)
    names = tuple((seen.images[i], *_place_of(seen.images[i])) for i in indices)
    facts = f"{counted(len(seen.images), 'image')}{_sampled(step)}, relative to the root, unit {seen.unit}"
    frames = indices.astype(np.int64)
    person = Person(xyz=seen.joints_3d[indices], xy=seen.joints_2d[indices][:, None])
    scene = Scene(
        title, facts, seen.skeleton, frames, (person,), up=np.array([0.0, -1.0, 0.0]), views=("image",),
        sizes=np.zeros((len(indices), 1, 2), dtype=np.int64), unit=seen.unit, names=names,
    )  # fmt: skip
    return _with_images(scene, [[seen.images[i]] for i in indices])


def _place_of(image: str) -> tuple[str, int | None]:
    """Return the camera and the frame number of an image, as views are named and numbered.

    >>> _place_of("walk/cam02/img_0007.png"), _place_of("crown.png"), _place_of("cam02.mp4#12"), _place_of("view:a#7")
    (('cam02', 7), ('crown', None), ('cam02', 12), ('a', 7))
    """
    if place := frame_of_video(image):
        return Path(place[0]).stem.removeprefix(NO_FILE), place[1]
    path = Path(image)
    try:
        number = frame_number(image)
    except ValueError:  # a photograph's name, and no frame of a view
        number = None
    return path.parent.name or path.stem, number


def _sampled(step: int) -> str:
    return f" (one in {step} shown)" if step > 1 else ""


def _fps(shown: Keypoints, step: int) -> tuple[float, bool]:
    """Return the frame rate to play every `step`-th frame of a video at, and whether that is real time.

    It is not real time if there is no video, or if the rate had to be limited, as with very few frames per second.
    """
    rate = rate_of(shown) / step
    if not np.isfinite(rate):
        return _USUAL, False
    return float(np.clip(rate, _SLOWEST, _FASTEST)), bool(_SLOWEST <= rate <= _FASTEST)


def _with_images(scene: Scene, names: Sequence[Sequence[str]]) -> Scene:
    """Return the scene with small images, as far as the image files still exist, and with their sizes."""
    places = {(f, v): name for f, row in enumerate(names) for v, name in enumerate(row) if names_file(name)}
    images, sizes = dict[tuple[int, int], bytes](), scene.sizes.copy()
    keys = list(places)
    with progress("images", len(keys)) as advance:
        try:
            for i, image in read_images([places[key] for key in keys]):
                images[keys[i]], sizes[keys[i]] = small_jpeg(image), (image.shape[1], image.shape[0])
                advance(1)
        except InputError as error:
            warn(f"{error}; images are left out from there on")
    return replace(scene, images=images, sizes=np.where(sizes > 0, sizes, 1000))
