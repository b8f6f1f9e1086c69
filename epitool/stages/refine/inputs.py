"""Training data of `refine`: motion capture, or the images of a recording's labels with hints at their poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import say
from epitool.errors import GeometryError, InputError
from epitool.geometry.body.scale import to_usual_size
from epitool.io.labels_h5 import open_everyone
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.names import image_key
from epitool.pose import Predictions
from epitool.stages.shared.label_verdict import check_verdicts

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
        raise InputError(f"{path}: is in unit {found.unit}; motion capture in mm is needed")
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
    """N images of labelled people, an image once for each person in it.

    Attributes:
        looks: What the detector found.
        truth: True poses `(N, 16, 3)` in camera axes.
        people: Index of the person, `(N,)`.
        frames: Index of the frame among those of the first person, `(N,)`.
        images: Names of the images, `(N,)`.
    """

    looks: Looks
    truth: Array
    people: NDArray[np.intp]
    frames: NDArray[np.intp]
    images: NDArray[np.str_]

    def of_frames(self, frames: NDArray[np.intp]) -> Seen:
        """Return the images of these frames."""
        return self.at(np.isin(self.frames, frames))

    def at(self, chosen: NDArray[np.bool_]) -> Seen:
        """Return the chosen images."""
        return Seen(
            self.looks.at(chosen), self.truth[chosen], self.people[chosen], self.frames[chosen], self.images[chosen]
        )


def read_everyone(path: Path) -> list[Labels]:
    """Read the labels of all people, the one who is seen most first.

    Raises:
        InputError: The file cannot be read, or something among its people has no person's name.
        GeometryError: Somebody's labels have the verdict "fail".
    """
    with open_everyone(path) as people:
        check_verdicts(path, people)
        return [file.read() for file in people]


def select_seen(everyone: Sequence[Labels], path: Path) -> Seen:
    """Return all images of people with a complete pose and enough joints in the image.

    Raises:
        InputError: The labels' skeleton lacks a joint that the unit needs.
    """
    from epitool.nn.looks import BODY, body_joints, join_looks
    from epitool.stages.shared.peers import labelled_looks

    body = everyone[0].keypoints.skeleton
    missing = [joint for joint, row in zip(BODY.joints, BODY.weights_from(body)) if np.isnan(row[0])]
    if missing:
        raise InputError(f"{path}: {body.name} has no {', '.join(missing)}, which the unit needs")
    looks = join_looks([labelled_looks(labels) for labels in everyone])
    truth = np.concatenate([body_joints(one.in_cameras.reshape(-1, len(body), 3), body)[0] for one in everyone])
    truth *= to_usual_size(everyone[0].poses)
    names = [labels.keypoints.images for labels in everyone]
    people = np.repeat(np.arange(len(everyone)), [images.size for images in names])
    frames = np.concatenate(
        [
            np.repeat(np.searchsorted(everyone[0].poses.frames, labels.poses.frames), images.shape[1])
            for labels, images in zip(everyone, names, strict=True)
        ]
    )
    complete = np.isfinite(truth).all(axis=(1, 2)) & (np.nan_to_num(truth[..., 2], nan=-1.0) > 0).all(axis=1)
    images = np.concatenate([each.ravel() for each in names])
    return Seen(looks, truth, people, frames, images).at(complete & looks.usable)


def focal_ratio(labels: Labels) -> float:
    """Return the median, over the cameras, of the focal length divided by the longer side of the image."""
    cameras = [camera for rig in labels.rigs for camera in rig.cameras]
    return float(np.median([camera.focal / max(camera.image_size) for camera in cameras]))


def own_poses(everyone: Sequence[Labels], seen: Seen) -> Array:
    """Return levelled poses `(M, 16, 3)` of all people, each in the frames in which they are seen.

    The vertical of each take is the direction in which, on average, a person's head is above their feet.
    """
    parts = []
    for person, labels in enumerate(everyone):
        frames = everyone[0].poses.frames[np.unique(seen.frames[seen.people == person])]
        parts.append(_levelled(labels, np.searchsorted(labels.poses.frames, frames)))
    return np.concatenate(parts) * to_usual_size(everyone[0].poses)


def _levelled(labels: Labels, frames: NDArray[np.intp]) -> Array:
    from epitool.nn.looks import BODY, PELVIS, body_joints
    from epitool.nn.mocap import turn_upright, vertical_of

    poses, _ = body_joints(labels.poses.xyz[frames], labels.poses.skeleton)
    takes, out = labels.keypoints.take_of[frames], np.empty_like(poses)
    for take in np.unique(takes):
        here = poses[takes == take]
        out[takes == take] = turn_upright(here - here[:, [PELVIS]], vertical_of(here, BODY))
    return out


def hinted_by(seen: Seen, pairs: Path, predictions: Path | None) -> dict[str, Seen]:
    """Return the images for each possible kind of hint, the detector and a network's predictions; empty if none is.

    A network predicts one person in an image, whom its `predict` takes from the labels' first person. So with
    predictions the images of other people are left out.

    Raises:
        InputError: The named predictions have been refined already, or are of other images.
    """
    found: dict[str, Seen] = {}
    by_network = _select_predicted(seen, pairs, predictions)
    if by_network is not None and seen.people.any():
        say(f"{pairs}: refine learns from the first person alone, whom the network's predictions are of")
        seen = seen.at(seen.people == 0)
    if np.isfinite(seen.looks.hint).any():
        found["detector"] = seen
    if by_network is not None:
        found["network"] = by_network
    return found


def _select_predicted(seen: Seen, pairs: Path, given: Path | None) -> Seen | None:
    """Return the first person's images that a network has predicted, with its poses as the hint; None if none."""
    path = given or (DEFAULT_PREDICTIONS if DEFAULT_PREDICTIONS.exists() else None)
    if path is None:
        return None
    predicted = read_predictions(path)
    if "refiner" in predicted.provenance:
        if given is None:
            return None
        raise InputError(f"{path} has been refined already; predict with --no-refiner")
    place = {image_key(image): i for i, image in enumerate(predicted.images)}
    rows = np.array([place.get(image_key(image), -1) if image else -1 for image in seen.images.tolist()])
    rows[seen.people > 0] = -1
    if not (rows >= 0).any():
        if given is None:
            return None
        raise InputError(f"{path}: none of its {len(predicted.images)} images is of {pairs}")
    return _with_hint(seen.at(rows >= 0), predicted, rows[rows >= 0])


def _with_hint(seen: Seen, predicted: Predictions, rows: NDArray[np.intp]) -> Seen:
    from epitool.nn.looks import body_joints, network_hint

    poses, _ = body_joints(predicted.joints_3d[rows], predicted.skeleton)
    return replace(seen, looks=replace(seen.looks, hint=network_hint(poses, seen.looks.rays)))
