"""Joints labelled with given cameras, and how well they fit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epitool.camera import Rig
from epitool.geometry.calibration.bundle_adjustment import Fit, measure_fit
from epitool.geometry.calibration.incremental import adjust_to_labels
from epitool.geometry.doubts import NOISE, OUTLIERS
from epitool.geometry.triangulation.labels import make_labels
from epitool.labels import Labels
from epitool.pose import Keypoints, usual_side

CLOSER = 1.3  # if an adjustment reduces scatter by this factor, cameras are not those of the recording


@dataclass(frozen=True, eq=False)
class Given:
    """Joints labelled with some cameras, and how well they fit.

    Attributes:
        rig: The cameras.
        labels: Labels of the sample.
        fit: How well its keypoints fit.
    """

    rig: Rig
    labels: Labels
    fit: Fit

    @property
    def person_px(self) -> float:
        """Usual size of the person in the images."""
        return usual_side(self.labels.keypoints.xy)


@dataclass(frozen=True)
class Closest:
    """Cameras that fit the joints better than given ones, as few and rough steps find them.

    Attributes:
        rig: The cameras, in any world.
        sigma_px: Scatter that is left, measured as `Fit.sigma_px` is.
    """

    rig: Rig
    sigma_px: float


def label_sample(sample: Keypoints, rig: Rig, jobs: int) -> Given:
    """Label the sample with the cameras of a rig and measure the fit.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    own = sample.select_views(rig.names)
    labels = make_labels(own, rig, jobs=jobs)
    keypoints = labels.keypoints
    return Given(rig, labels, measure_fit(rig.undistort(keypoints.xy), keypoints.confidence, labels.poses.xyz, rig))


def move_closer(sample: Keypoints, given: Given, jobs: int) -> Closest:
    """Return cameras that have been moved so that the joints fit better.

    Of two views, an adjustment keeps as gross errors what labels leave out, so its own scatter is larger than that of
    labels. It is therefore measured anew.

    Raises:
        GeometryError: Too few joints have a place.
    """
    best = adjust_to_labels(given.labels, sample.take_of, rough=True)
    two = len(given.rig) == 2
    return Closest(best.rig, label_sample(sample, best.rig, jobs).fit.sigma_px if two else best.sigma_px)


def is_doubtful(given: Given, closest: Closest) -> bool:
    """Return whether some camera may not belong to the recording."""
    fit = given.fit
    rough = fit.sigma_px > min(CLOSER * closest.sigma_px, NOISE[0] * given.person_px)
    return rough or bool((1 - fit.inlier_share > OUTLIERS[0]).any())


def labels_off(given: Given, closer: Rig, trusted: Sequence[str]) -> float:
    """Return how far the joints lie from where cameras that fit better put them, in the rig's unit.

    Where that is depends on which camera has not moved, so this is the largest of the medians over the joints, each
    with one of the trusted cameras where it was.

    Args:
        given: The joints and their cameras.
        closer: The same cameras, placed so that the joints fit better, in any world.
        trusted: Names of the cameras one of which may not have moved.
    """
    xyz = make_labels(given.labels.keypoints, closer, jobs=1).poses.xyz
    spans = [np.linalg.norm(np.std([camera.center for camera in rig.cameras], axis=0)) for rig in (given.rig, closer)]
    ratio = float(spans[0] / spans[1])
    off = []
    for name in trusted:
        own, other = (rig.cameras[rig.names.index(name)] for rig in (given.rig, closer))
        placed = (ratio * (xyz @ other.R.T + other.t) - own.t) @ own.R
        off.append(float(np.nanmedian(np.linalg.norm(placed - given.labels.poses.xyz, axis=-1))))
    return max(off)
