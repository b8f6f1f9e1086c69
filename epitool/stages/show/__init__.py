"""`epitool show`: a file of ours as a page that turns and plays, or as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.console import Summary, progress, warn
from epitool.errors import InputError, UsageError
from epitool.images import read_images
from epitool.io.cameras import CAMERA_SUFFIXES, CAMERAS_BY, read_rig
from epitool.io.files import require_file
from epitool.io.keypoints_h5 import open_keypoints
from epitool.io.labels_h5 import has_poses, open_labels
from epitool.io.npz import read_pss
from epitool.io.predictions import read_predictions
from epitool.options import ShowOptions
from epitool.pose import Keypoints, Predictions
from epitool.skeleton import skeleton
from epitool.stages.show.film import film, rate_of
from epitool.viz.level import image_up
from epitool.viz.page import Scene, small_jpeg, write_page
from epitool.viz.recording import write_recording

_PICTURED = (".npz", ".jsonl")
_LARGEST = 1e12
_ERRORS = ("val_nmpjpe", "val_2d_percent")  # of which every epoch of a log has one
_MADE_BY = {
    ".h5": "epitool detect2d` or `epitool triangulate", ".json": "epitool predict", ".npz": "epitool pss-fit",
    ".jsonl": "epitool train",
}  # fmt: skip


def run(options: ShowOptions) -> Summary:
    """Shows labels, keypoints, predictions and cameras on a page; clusters of poses and learning curves as a picture.

    A run's folder stands for its learning curve. Labels and keypoints can also be shown as a film `.mp4`, of every
    frame, all views side by side; and what a page shows as `.rrd`, for the Rerun viewer.

    Raises:
        InputError: The file is missing, damaged, or none of ours.
        UsageError: It cannot be shown so.
    """
    usual = page_of(options.file)
    file, suffix, path = _shown(options.file), usual.suffix, options.out or usual
    require_file(file, _MADE_BY.get(file.suffix.lower(), CAMERAS_BY))
    if path.suffix.lower() == ".mp4" and file.suffix.lower() == ".h5":
        return film(file, path)
    if path.suffix.lower() != suffix and (suffix, path.suffix.lower()) != (".html", ".rrd"):
        raise UsageError(f"--out {path}: {file} is shown as {suffix}")
    if suffix == ".png":
        return _picture(file, path)
    scene = _scene(file, options.frames)
    if path.suffix.lower() == ".rrd":
        write_recording(path, scene)
    else:
        write_page(path, scene)
    shown = f"{len(scene.frames)} frames, {len(scene.images)} images" if len(scene.frames) else "cameras alone"
    viewer = "`rerun` opens it" if path.suffix.lower() == ".rrd" else "open it in a browser"
    text = f"{path}: {shown}, {path.stat().st_size / 1e6:.1f} MB; {viewer}"
    return Summary(text, {"out": str(path), "frames": len(scene.frames), "images": len(scene.images)})


def also_writes(options: ShowOptions) -> list[Path]:
    """The page or picture beside the file, where no other is named."""
    return [] if options.out else [page_of(options.file)]


def page_of(file: Path) -> Path:
    """What is written where no name is given."""
    file = _shown(file)
    return file.with_suffix(".png" if file.suffix.lower() in _PICTURED else ".html")


def _shown(file: Path) -> Path:
    return file / "log.jsonl" if file.is_dir() else file


def _picture(file: Path, path: Path) -> Summary:
    if file.suffix.lower() == ".npz":
        from epitool.viz.pss import plot_pss_centres

        model = read_pss(file)
        book = model.codebooks[0]
        plot_pss_centres(path, book.centers, model.skeleton)
        return Summary(f"{path}: {book.k} cluster centres", {"out": str(path), "k": book.k})
    from epitool.viz.plots import plot_learning_curve

    log = _log(file)
    plot_learning_curve(path, log, _unit(file))
    return Summary(f"{path}: {len(log)} epochs", {"out": str(path), "epochs": len(log)})


def _log(file: Path) -> list[dict[str, float]]:
    try:
        log = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        if not log or not all(isinstance(entry, dict) for entry in log):
            raise ValueError("no epochs")
        if not any(all(entry.keys() >= {"epoch", "train_loss", key} for entry in log) for key in _ERRORS):
            raise ValueError("no losses and errors of every epoch")
        numbers = np.array([[float(value) for value in entry.values()] for entry in log])
        if not (np.abs(numbers) < _LARGEST).all():
            raise ValueError("no losses")
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{file}: is no log of a run; `epitool train` writes one") from None
    return log


def _unit(log: Path) -> str:
    """Of the labels that the run learned from, as the options beside its log state it; "" where they do not."""
    try:
        stated = json.loads((log.parent / "options.json").read_bytes())["unit"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "mm" if stated == "mm" else "arbitrary units"


def _scene(file: Path, frames: int) -> Scene:
    suffix = file.suffix.lower()
    if suffix == ".json":
        return _of_predictions(file.name, read_predictions(file), frames)
    if suffix in CAMERA_SUFFIXES:
        return _of_cameras(file.name, read_rig(file))
    if suffix != ".h5":
        raise InputError(
            f"{file}: is none of keypoints.h5, labels.h5, pose.json, cameras.toml, pss.npz, or a run's folder"
        )
    if not has_poses(file):
        return _of_keypoints(file, frames)
    return _of_labels(file, frames)


def _step(count: int, most: int) -> int:
    """Every how manieth of `count` things is shown, that they be `most` at most.

    >>> _step(10, 4), _step(10, 20)
    (3, 1)
    """
    return max(1, -(-count // most))


def _of_cameras(title: str, rig: Rig) -> Scene:
    facts = f"{len(rig)} cameras, unit {rig.unit}, scale: {rig.scale_source}"
    return Scene(title, facts, skeleton("h36m17"), np.empty(0, dtype=np.int64), up=image_up(rig), rigs=(rig,))


def _of_keypoints(path: Path, most: int) -> Scene:
    with open_keypoints(path) as file:
        count, step = len(file), _step(len(file), most)
        shown = file.read(step=step)
    facts = f"{count} frames, {len(shown.views)} views, {len(shown.skeleton)} joints"
    sizes = np.tile(shown.image_size, (len(shown.frames), 1, 1))
    scene = Scene(
        path.name, facts, shown.skeleton, shown.frames, views=shown.views, sizes=sizes, fps=_fps(shown, step),
        xy=shown.xy,
    )  # fmt: skip
    return _with_images(scene, shown.images.tolist())


def _of_labels(path: Path, most: int) -> Scene:
    with open_labels(path) as file:
        count, step = len(file), _step(len(file), most)
        labels = file.read(step=step)
    shown, poses, in_cameras = labels.keypoints, labels.poses, labels.in_cameras
    own, error = labels.project_own(in_cameras), labels.reprojection_px
    apart = np.nanmedian(error) if np.isfinite(error).any() else 0
    facts = f"{count} frames, unit {poses.unit}, median reprojection error {apart:.1f} px"
    if labels.verdict in ("warn", "fail"):
        facts += f", verdict: {labels.verdict} ({'; '.join(labels.reasons)})"
    scene = Scene(
        path.name, facts, poses.skeleton, shown.frames, xyz=poses.xyz, up=image_up(labels.rig), rigs=labels.rigs,
        take_of=shown.take_of, views=shown.views, xy=shown.xy,
        own=np.where(in_cameras[..., 2:] > 0, own, np.nan), sizes=labels.image_sizes,
        fps=_fps(shown, step),
    )  # fmt: skip
    return _with_images(scene, shown.images.tolist())


def _of_predictions(title: str, seen: Predictions, most: int) -> Scene:
    indices = np.arange(0, len(seen.images), _step(len(seen.images), most))
    facts = f"{len(seen.images)} images, relative to the root, unit {seen.unit}"
    frames = indices.astype(np.int64)
    scene = Scene(
        title, facts, seen.skeleton, frames, xyz=seen.joints_3d[indices], up=np.array([0.0, -1.0, 0.0]),
        views=("image",), xy=seen.joints_2d[indices][:, None], sizes=np.zeros((len(indices), 1, 2), dtype=np.int64),
    )  # fmt: skip
    return _with_images(scene, [[seen.images[i]] for i in indices])


def _fps(shown: Keypoints, step: int) -> float:
    """Frames per second that every `step`-th frame of a video has; 30 where there is none, or too few are shown."""
    rate = rate_of(shown)
    return float(np.clip(rate / step, 5, 60)) if np.isfinite(rate) else 30.0


def _with_images(scene: Scene, names: Sequence[Sequence[str]]) -> Scene:
    """The scene with small images, as far as they are still where they were; and with their sizes."""
    places = {(f, v): name for f, row in enumerate(names) for v, name in enumerate(row) if name}
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
