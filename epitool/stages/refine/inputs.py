"""Training data of `refine`: motion capture, or the images of a recording's labels with hints at their poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import say
from epitool.errors import GeometryError, InputError
from epitool.images import image_key
from epitool.io.labels_h5 import people_in
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.pose import Predictions
from epitool.stages.shared.label_verdict import read_checked_labels

if TYPE_CHECKING:
    from epitool.nn.looks import Looks

DEFAULT_PREDICTIONS = Path("pose.json")
MIN_MOCAP = 100


def mocap_poses(path: Path) -> Array:
    """Return the complete poses `(M, 16, 3)` of motion capture, levelled, in mm.

    Raises:
        InputError: The file cannot be read, is not in mm, lacks joints, or does not show which way is up.
        GeometryError: Too few poses are complete.
    """
    from epitool.nn.looks import BODY, body_joints
    from epitool.nn.mocap import level_poses

    found = read_pose_arrays(path).poses
    if found.unit != "mm":
        raise InputError(f"{path}: is in {found.unit}; motion capture in mm is needed")
    poses, _ = body_joints(found.xyz, found.skeleton)
    missing = [joint for j, joint in enumerate(BODY.joints) if np.isnan(poses[:, j]).all()]
    if missing:
        raise InputError(f"{path}: {found.skeleton.name} has no {', '.join(missing)}, which the unit needs")
    poses = poses[np.isfinite(poses).all(axis=(1, 2))]
    if len(poses) < MIN_MOCAP:
        raise GeometryError(f"{path}: {len(poses)} complete poses; {MIN_MOCAP} are needed to learn from")
    try:
        return level_poses(poses, BODY)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class Seen:
    """N images of labelled people: the detector's output, the true poses, and the indices of their frames and views."""

    looks: Looks
    truth: Array
    frames: NDArray[np.intp]
    views: NDArray[np.intp]

    def of_frames(self, frames: NDArray[np.intp]) -> Seen:
        """Return the images of these frames."""
        return self.at(np.isin(self.frames, frames))

    def at(self, chosen: NDArray[np.bool_]) -> Seen:
        """Return the chosen images."""
        return Seen(self.looks.at(chosen), self.truth[chosen], self.frames[chosen], self.views[chosen])


def read_first(path: Path) -> Labels:
    """Read the labels of the person who is seen most, and say so if there are others.

    A unit keeps the bone lengths of one body, and its validation frames have to be that person's too.

    Raises:
        InputError: The file cannot be read, or something among its people has no person's name.
        GeometryError: The labels have the verdict "fail".
    """
    first, *others = people_in(path)
    if others:
        say(f"{path}: refine learns from {first} alone, not from {', '.join(others)}")
    return read_checked_labels(path)


def seen_in(labels: Labels, path: Path) -> Seen:
    """Return all images of labels with a complete pose and enough joints in the image.

    Raises:
        InputError: The labels' skeleton lacks a joint that the unit needs.
    """
    from epitool.nn.looks import BODY, body_joints
    from epitool.stages.shared.lifting import labelled_looks

    keypoints, shape = labels.keypoints, labels.keypoints.xy.shape
    truth, _ = body_joints(labels.in_cameras.reshape(-1, *shape[2:3], 3), keypoints.skeleton)
    missing = [joint for joint, row in zip(BODY.joints, BODY.weights_from(keypoints.skeleton)) if np.isnan(row[0])]
    if missing:
        raise InputError(f"{path}: {keypoints.skeleton.name} has no {', '.join(missing)}, which the unit needs")
    looks = labelled_looks(labels)
    frames, views = (index.ravel() for index in np.indices(shape[:2]))
    complete = np.isfinite(truth).all(axis=(1, 2)) & (np.nan_to_num(truth[..., 2], nan=-1.0) > 0).all(axis=1)
    return Seen(looks, truth, frames, views).at(complete & looks.usable)


def focal_ratio(labels: Labels) -> float:
    """Return the median, over the cameras, of the focal length divided by the longer side of the image."""
    cameras = [camera for rig in labels.rigs for camera in rig.cameras]
    return float(np.median([camera.focal / max(camera.image_size) for camera in cameras]))


def own_poses(labels: Labels, seen: Seen) -> Array:
    """Return levelled poses `(M, 16, 3)` of the frames of labels.

    The vertical of each take is the direction in which, on average, heads are above feet.
    """
    from epitool.nn.looks import BODY, PELVIS, body_joints
    from epitool.nn.mocap import upright, vertical_of

    frames = np.unique(seen.frames)
    poses, _ = body_joints(labels.poses.xyz[frames], labels.poses.skeleton)
    takes, out = labels.keypoints.take_of[frames], np.empty_like(poses)
    for take in np.unique(takes):
        here = poses[takes == take]
        out[takes == take] = upright(here - here[:, [PELVIS]], vertical_of(here, BODY))
    return out


def hinted_by(seen: Seen, labels: Labels, pairs: Path, predictions: Path | None) -> dict[str, Seen]:
    """Return the images for each possible kind of hint: the detector, a network's predictions, or none.

    Raises:
        InputError: The named predictions have been refined already, or are of other images.
    """
    found: dict[str, Seen] = {}
    if np.isfinite(seen.looks.hint).any():
        found["detector"] = seen
    by_network = _by_network(seen, labels, pairs, predictions)
    if by_network is not None:
        found["network"] = by_network
    return found or {"none": replace(seen, looks=seen.looks.without_hint())}


def _by_network(seen: Seen, labels: Labels, pairs: Path, given: Path | None) -> Seen | None:
    """Return the images that a network has predicted, with its poses as the hint; None if there are none."""
    path = given or (DEFAULT_PREDICTIONS if DEFAULT_PREDICTIONS.exists() else None)
    if path is None:
        return None
    predicted = read_predictions(path)
    if "refiner" in predicted.provenance:
        if given is None:
            return None
        raise InputError(f"{path} has been refined already; predict with --no-refiner")
    place = {image_key(image): i for i, image in enumerate(predicted.images)}
    images = labels.keypoints.images[seen.frames, seen.views].tolist()
    rows = np.array([place.get(image_key(image), -1) if image else -1 for image in images])
    if not (rows >= 0).any():
        if given is None:
            return None
        raise InputError(f"{path}: none of its {len(predicted.images)} images is of {pairs}")
    return _with_hint(seen.at(rows >= 0), predicted, rows[rows >= 0])


def _with_hint(seen: Seen, predicted: Predictions, rows: NDArray[np.intp]) -> Seen:
    from epitool.nn.looks import body_joints, network_hint

    poses, _ = body_joints(predicted.joints_3d[rows], predicted.skeleton)
    return replace(seen, looks=replace(seen.looks, hint=network_hint(poses, seen.looks.rays)))
