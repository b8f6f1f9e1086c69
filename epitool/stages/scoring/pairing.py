"""Pairing of predicted poses with the true poses to measure them against: by image, frame and view, or order."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.console import counted, say, warn
from epitool.errors import InputError
from epitool.files import STDIO, check_kind
from epitool.geometry.body.scale import usual_extent
from epitool.io.files import require_file
from epitool.io.labels_h5 import LABELS_BY
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import PREDICTIONS_BY, read_predictions
from epitool.names import image_key
from epitool.options import EvaluateOptions
from epitool.pose import Predictions
from epitool.skeleton import Skeleton
from epitool.stages.scoring.everyone import Everyone, joints_in_images, read_everyone, same_people
from epitool.stages.scoring.truth import ARRAYS, Indices, Truth, joints_of
from epitool.stages.shared.models import RUNS, newest

DEFAULT_PREDICTIONS = Path("pose.json")
_LARGEST_RATIO = 5.0
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predicted poses `(N, J, 3)`, and the indices `(N,)` of the frame and view of the truth that each belongs to."""

    source: str
    xyz: Array
    frames: Indices
    views: Indices
    skeleton: Skeleton
    unit: str
    provenance: dict[str, str]
    without_truth: int = 0

    def only(self, frames: Indices) -> Predicted:
        """Return the poses that belong to these frames of the truth."""
        return self.at(np.flatnonzero(np.isin(self.frames, frames)))

    def at(self, indices: Indices) -> Predicted:
        """Return the poses with these indices, in the order of the indices."""
        return replace(self, xyz=self.xyz[indices], frames=self.frames[indices], views=self.views[indices])


def find_all_predicted(options: EvaluateOptions, truth: Truth) -> tuple[list[Predicted], str]:
    """Return the predictions to measure, one entry per file, and the part of the truth that they are measured on.

    Only poses that all files predict are kept, in the same order, so that the rows of the table are comparable. If
    neither files nor a model are named, one of them is chosen and reported.

    Raises:
        InputError: A file cannot be read or does not fit the truth (see `read_predicted`), the files have no pose in
            common, or there is nothing to measure.
    """
    path = options.predictions[0] if options.predictions else None if options.model else _default_predictions(truth)
    first, part = read_predicted(path, truth, options.split) if path else _predicted_here(options, truth)
    others = [read_predicted(path, truth, options.split) for path in options.predictions[1:]]
    # If any file comes from a model trained on this recording, all files are measured on the test part only.
    split = next((chosen for chosen in (part, *(chosen for _, chosen in others)) if chosen != "all"), part)
    frames = truth.frames_of(split)
    found = [one.only(frames) for one in (first, *(one for one, _ in others))]
    keys = [one.frames * truth.xyz.shape[1] + one.views for one in found]  # one number per frame and view
    common = functools.reduce(np.intersect1d, keys)
    if not len(common):
        raise InputError(f"{', '.join(one.source for one in found)}: no image is in all of them")
    if len(common) < max(map(len, keys)):
        say(f"measuring the {len(common)} poses that all have in common")
    return [one.at(np.intersect1d(key, common, return_indices=True)[1]) for one, key in zip(found, keys)], split


def read_predicted(path: Path, truth: Truth, split: str | None) -> tuple[Predicted, str]:
    """Read the predictions of a file for a part of the truth's frames, and choose the part if none is named.

    Raises:
        InputError: The files do not fit each other, or have nothing in common.
    """
    found = _matched(path, truth)
    split = split or _default_split(found, truth)
    return _kept(found, truth, split), split


def _predicted_here(options: EvaluateOptions, truth: Truth) -> tuple[Predicted, str]:
    """Run a model on the images of a part of the truth's frames; return its predictions and the part."""
    split, model = options.split or "test", options.model or _model_for(truth)
    return _kept(_run_model(model, truth, split, options.device, options.protocol), truth, split), split


def _kept(found: Predicted, truth: Truth, split: str) -> Predicted:
    """Return the predictions of the part, with the truth's joints."""
    if found.without_truth:
        warn(f"{found.source}: left out, for not being in {truth.path}: {counted(found.without_truth, 'image')}")
    xyz = _joints_of_truth(found.xyz, found.skeleton, found.source, truth)
    kept = replace(found, xyz=xyz, skeleton=truth.skeleton).only(truth.frames_of(split))
    if not len(kept.xyz):
        raise InputError(f"{found.source}: no pose is in part '{split}' of {truth.path}; use `--split all`")
    return kept


def _default_predictions(truth: Truth) -> Path | None:
    if not DEFAULT_PREDICTIONS.exists() or truth.everyone is None:
        return None
    images = read_predictions(DEFAULT_PREDICTIONS).images
    shown = {image_key(image) for image in truth.everyone.image_names.ravel().tolist() if image}
    common = len(shown & {image_key(image) for image in images})
    if not common:
        say(f"{DEFAULT_PREDICTIONS} has no image of {truth.path}: running a model instead")
        return None
    say(f"measuring {DEFAULT_PREDICTIONS}: {common} of its {counted(len(images), 'image')} are in {truth.path}")
    return DEFAULT_PREDICTIONS


def _model_for(truth: Truth) -> Path:
    found = newest("model.pt")
    if found is None:
        raise InputError(
            f"nothing to measure against {truth.path}: no {DEFAULT_PREDICTIONS} with its images, no {RUNS}/*/model.pt;"
            " `epitool predict` or `epitool train` makes them"
        )
    return found


def _default_split(predicted: Predicted, truth: Truth) -> str:
    trained_on = predicted.provenance.get("recording_id")
    if truth.everyone is None or trained_on != truth.everyone.recording_id:
        return "all"
    say(f"{predicted.source} comes from a model trained on this recording: only the test part is measured")
    return "test"


def _check_skeletons(source: str, ours: Skeleton, truth: Truth) -> None:
    theirs = truth.skeleton
    if ours.joints != theirs.joints:
        raise InputError(
            f"{source} has {len(ours)} joints ({ours.name}), {truth.path} has {len(theirs)} ({theirs.name});"
            " numbers over other joints cannot be compared; --joints 14 measures those that most skeletons have"
        )


def _joints_of_truth(values: Array, given: Skeleton, source: str, truth: Truth) -> Array:
    """Return the truth's joints of values for the given joints, `(..., J, D)`.

    Raises:
        InputError: The given joints are others.
    """
    if truth.joint_set != "all":
        return joints_of(truth.skeleton, values, given, source)
    _check_skeletons(source, given, truth)
    return values


def _matched(path: Path, truth: Truth) -> Predicted:
    suffix = path.suffix.lower()
    if path != STDIO:
        require_file(path, LABELS_BY if suffix == ".h5" else PREDICTIONS_BY)
        check_kind(path, ("labels", "poses"), PREDICTIONS_BY)
    if (suffix in ARRAYS) != (truth.everyone is None):
        raise InputError(
            f"{path} and {truth.path}: a plain array is measured only against a plain array; give two files"
            f" {' or '.join(ARRAYS)}, or none"
        )
    if truth.everyone is None:
        return _match_arrays(path, truth)
    if suffix == ".json" or path == STDIO:
        return _match_images(read_predictions(path), path, truth, truth.everyone)
    return _match_labels(path, truth, truth.everyone)


def _match_arrays(path: Path, truth: Truth) -> Predicted:
    poses = read_pose_arrays(path).poses
    _check_sizes(poses.xyz, poses.unit, path, truth)
    if len(poses.xyz) != len(truth.xyz):
        raise InputError(f"{path} has {len(poses.xyz)} poses, {truth.path} has {len(truth.xyz)}; they pair in order")
    index = np.arange(len(poses.xyz))
    return Predicted(str(path), poses.xyz, index, np.zeros_like(index), poses.skeleton, poses.unit, {})


def _check_sizes(xyz: Array, unit: str, path: Path, truth: Truth) -> None:
    """Refuse arrays whose sizes suggest another unit than stated, because all bodies have about the same size.

    Raises:
        InputError: Bodies of one array are more than five times larger than those of the other.
    """
    ours, theirs = usual_extent(xyz), usual_extent(truth.xyz)
    if unit == truth.unit == "mm" and max(ours, theirs) > _LARGEST_RATIO * min(ours, theirs):
        raise InputError(
            f"bodies are about {ours:.3g} mm in {path} and {theirs:.3g} mm in {truth.path}: give both in mm"
        )


def _match_images(predictions: Predictions, path: Path, truth: Truth, everyone: Everyone) -> Predicted:
    frames, views = np.nonzero(everyone.image_names != "")
    theirs = [image_key(image) for image in everyone.image_names[frames, views].tolist()]
    keys = [image_key(image) for image in predictions.images]
    xy = _joints_of_truth(predictions.joints_2d, predictions.skeleton, str(path), truth)
    known, rows = same_people(keys, xy, theirs, _joints_shown(everyone, truth)[frames, views])
    if not len(known):
        raise InputError(
            f"{path}: none of its {len(keys)} images is among the images of the truth;"
            " predict those, or give the labels of these"
        )
    xyz, skeleton, rest = predictions.joints_3d[known], predictions.skeleton, len(keys) - len(known)
    provenance = predictions.provenance
    return Predicted(str(path), xyz, frames[rows], views[rows], skeleton, predictions.unit, provenance, rest)


def _match_labels(path: Path, truth: Truth, everyone: Everyone) -> Predicted:
    found = read_everyone(path, heeded=False)
    ours, theirs = found.labels, everyone.labels
    shared = [view for view in ours.rig.names if view in theirs.rig.names]
    f, v, keys = _list_shown(found, shared)
    truth_f, truth_v, truth_keys = _list_shown(everyone, shared)
    xy = _joints_of_truth(joints_in_images(ours), ours.poses.skeleton, str(path), truth)
    own, rows = same_people(keys, xy[f, v], truth_keys, _joints_shown(everyone, truth)[truth_f, truth_v])
    if not len(own):
        raise InputError(f"{path}: has no frame and view in common with the truth; it must be of the same recording")
    xyz, provenance = ours.in_cameras[f[own], v[own]], {"scale_source": ours.rig.scale_source}
    skeleton, unit = ours.poses.skeleton, ours.poses.unit
    return Predicted(str(path), xyz, truth_f[rows], truth_v[rows], skeleton, unit, provenance)


def _joints_shown(everyone: Everyone, truth: Truth) -> Array:
    """Return where the truth's joints of everyone are in each view, `(F, V, J, 2)` px."""
    labels = everyone.labels
    return joints_of(truth.skeleton, joints_in_images(labels), labels.poses.skeleton, str(truth.path))


def _list_shown(everyone: Everyone, views: Sequence[str]) -> tuple[Indices, Indices, list[tuple[int, str]]]:
    """Return everyone in these views: indices of frame and view, and number of the frame with name of the view."""
    own = [everyone.labels.rig.names.index(view) for view in views]
    count = len(everyone.numbers)
    f, v = np.repeat(np.arange(count), len(own)), np.tile(own, count).astype(int)
    return f, v, list(zip(everyone.numbers[f].tolist(), list(views) * count, strict=True))


def _run_model(path: Path, truth: Truth, split: str, device: str, protocol: str) -> Predicted:
    """Run a model on the images of a part.

    The protocol of the EpipolarPose authors gives the model the true root depth and intrinsics.
    """
    if truth.labels is None:
        raise InputError(f"{truth.path} names no images to run {path} on; give predictions")
    from epitool.nn.inference import NOTHING_KNOWN, KnownCameras, check_depth, open_engine, predict_images

    engine = open_engine(path, device)
    check_depth(path, engine.card)
    if truth.joint_set == "all":  # checked before the long computation
        _check_skeletons(str(path), engine.card.skeleton, truth)
    keypoints = truth.labels.keypoints
    boxes, part = truth.labels.boxes(margin=engine.card.convention.margin), truth.frames_of(split)
    usable = np.isfinite(boxes).all(axis=-1) & (keypoints.images != "")
    frames, views = np.nonzero(usable & np.isin(np.arange(len(usable)), part)[:, None])
    if not len(frames):
        raise InputError(f"{truth.path}: part '{split}' has no image with keypoints to run {path} on")
    say(f"running {path} on {len(frames)} images of part '{split}' of {truth.path}, boxes from its keypoints")
    cameras = NOTHING_KNOWN
    if protocol == "epipolarpose":
        K, lenses = truth.labels.intrinsics[frames, views], truth.labels.lenses[frames, views]
        depth = truth.xyz[frames, views, truth.skeleton.root, 2]
        cameras = KnownCameras(K, depth, f"true, of {truth.path}, as --protocol epipolarpose has it", lenses)
        say(f"--protocol epipolarpose: {path} is given the true depth of the root and the true intrinsics")
    names = keypoints.images[frames, views].tolist()
    found = predict_images(engine, names, boxes[frames, views], _BATCH, cameras)
    return Predicted(str(path), found.joints_3d, frames, views, found.skeleton, found.unit, found.provenance)
