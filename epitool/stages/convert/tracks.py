"""Poses that `epitool convert` reads: of everyone in labels, or of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.io.labels_h5 import LabelsFile, open_everyone
from epitool.io.people_h5 import FIRST
from epitool.io.predictions import read_predictions
from epitool.labels import Further, Labels
from epitool.names import frame_of_video, number_frames
from epitool.pose import Poses
from epitool.skeleton import Skeleton
from epitool.stages.convert.over_time import Track
from epitool.stages.shared.label_verdict import check_verdicts


def tracks_of(path: Path) -> dict[str, Track]:
    """Read the poses of everyone in labels (world coordinates), or predictions (root-relative), by the people's names.

    Raises:
        InputError: The file is damaged, or does not hold a single motion.
        GeometryError: Labels have the verdict "fail".
    """
    if path.suffix.lower() == ".h5":
        with open_everyone(path) as people:
            check_verdicts(path, people)
            return {file.person: _labelled(file) for file in people}
    return {FIRST: _predicted(path)}


def _labelled(file: LabelsFile) -> Track:
    labels, further = file.read(), file.read_further_joints()
    poses, covariance = _with_further(labels, further)
    keypoints, up = labels.keypoints, labels.rig.up != "none"
    return Track(poses, covariance, keypoints.take_of, keypoints.first_image, up, labels.smoothed)


def _predicted(path: Path) -> Track:
    seen = read_predictions(path)
    frames = _frames_of(path, seen.images)
    order = np.argsort(frames)
    poses = Poses(seen.joints_3d[order], seen.confidence[order], frames[order], seen.skeleton, seen.unit, "root")
    unknown = np.full((*poses.confidence.shape, 6), np.nan)
    return Track(poses, unknown, np.zeros(len(frames), dtype=np.int64), seen.images[0] if seen.images else "", False)


def _with_further(labels: Labels, further: Further | None) -> tuple[Poses, NDArray[np.float64]]:
    """Return the labels' joints and the further ones that the detector found, with their covariances."""
    poses = labels.poses
    if further is None:
        return poses, labels.covariance
    own = poses.skeleton
    body = Skeleton(f"{own.name} and further", own.joints + further.joints, own.parents + (-1,) * len(further.joints))
    xyz, confidence, covariance = (
        np.concatenate(both, axis=1)
        for both in (
            (poses.xyz, further.poses.xyz), (poses.confidence, further.poses.confidence),
            (labels.covariance, further.covariance),
        )
    )  # fmt: skip
    return replace(poses, xyz=xyz, confidence=confidence, skeleton=body), covariance


def _frames_of(path: Path, images: Sequence[str]) -> NDArray[np.int64]:
    """Return the frame numbers `(N,)` of images of one video or folder, see `names.number_frames`.

    Raises:
        InputError: The images are of several videos or folders, or a frame occurs twice.
    """
    places = [frame_of_video(name) for name in images]
    sources = list(dict.fromkeys(at[0] if at else str(Path(name).parent) for name, at in zip(images, places)))
    if len(sources) > 1:
        raise InputError(
            f"{path}: has images of {len(sources)} videos or folders ({', '.join(sources)[:200]}), which are no one"
            " motion; `epitool predict` each into a file of its own"
        )
    try:
        return np.array(number_frames(images), dtype=np.int64)
    except ValueError as error:
        raise InputError(f"{path}: {error}; the poses of one motion have frames of their own") from None
