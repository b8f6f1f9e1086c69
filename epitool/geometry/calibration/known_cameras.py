"""Test of given cameras against the joints of a recording: which cameras do not fit, and the likely reason.

A camera file may be older than the footage, or belong to another rig or recording. The joints of a body reveal this: a
camera is a stranger if hardly any of its keypoints lies where the other cameras predict, or if everything becomes more
likely without it. If all cameras fit, but would fit much better after small moves or with other focal lengths, no
single one can be blamed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.body.scale import usual_extent
from epitool.geometry.calibration.compare import angle_deg, compare_rigs
from epitool.geometry.calibration.first_rig import informative_frames
from epitool.geometry.calibration.given import (
    CLOSER,
    Closest,
    Given,
    is_doubtful,
    label_sample,
    labels_off,
    move_closer,
)
from epitool.geometry.calibration.incremental import adjust_to_labels
from epitool.geometry.calibration.lens_priors import priors_of_common_factor
from epitool.geometry.calibration.readings import find_meant, without_distortion
from epitool.geometry.calibration.resection import resect, resection_threshold
from epitool.geometry.calibration.verdict import Verdict, doubt_of_bones, doubt_of_noise
from epitool.geometry.doubts import OUTLIERS, Doubt, Kind, Level, doubt_if_large
from epitool.geometry.triangulation.bones import bone_spread
from epitool.pose import Keypoints

Array = NDArray[np.float64]
_FRAMES = 300
_FAR = 2.5  # if it reduces scatter by this factor and the scatter is large, the cameras are unusable
_EXACT, _ROUGH = 0.005, 0.025  # share of the person's size: scatter that is harmless, and scatter that is large
_LOST = 1.0  # median extent of a person along an axis: joints that may be further off are useless
_OTHER_LENS = 0.05  # relative difference between focal lengths that matters
_OTHER_FOCAL = 1.5  # factor by which other focal lengths must reduce scatter more than other places do
# If joints fit by this factor closer without distortion, images were undistorted; of images that were not, the factor
# is 1.03 at most. Distortion that moves nearly all keypoints by less than this share of a person is harmless.
_STRAIGHTER, _BENT, _MOST = 1.06, 0.01, 0.95
_PLACED = 0.6  # share of a view's joints that another place of the camera must explain to be reported


def judge_known(keypoints: Keypoints, rig: Rig, jobs: int, left_out: Mapping[str, Doubt] | None = None) -> Verdict:
    """Return the verdict on given cameras.

    Args:
        keypoints: 2D joints of the rig's views, at the same times; a few hundred frames are used.
        rig: The cameras.
        jobs: Number of chunks of frames processed in parallel.
        left_out: Views without a camera, with the reason.

    Returns:
        A verdict on the cameras that fit, with the views that do not fit the others as strangers. Too few joints for a
            judgement raise no doubt.
    """
    sample = informative_frames(keypoints, _FRAMES)
    given, closest = _as_stated(sample, rig, jobs)
    meant = None
    if given is None or closest is None or is_doubtful(given, closest):
        meant = find_meant(sample, rig, given, jobs)
    if meant and meant.level == "fail":
        return Verdict((meant,), left_out or {})
    if given is None or closest is None:
        return Verdict(left_out=left_out or {})
    lost: list[Camera] = []
    while len(given.rig) > 2 and is_doubtful(given, closest):
        without = _without_one(sample, given, jobs)
        if without is None:
            break
        lost += [camera for camera in given.rig.cameras if camera.name not in without.rig.names]
        given = without
        closest = move_closer(sample, given, jobs)
    strangers = {
        camera.name: meant if meant and meant.views == (camera.name,) else _why(sample, given, camera)
        for camera in lost
    }
    doubts = (*_doubts(given, closest), *_doubts_of_lenses(sample, given, closest, jobs))
    return Verdict(doubts, {**(left_out or {}), **strangers}, strangers)


def _as_stated(sample: Keypoints, rig: Rig, jobs: int) -> tuple[Given | None, Closest | None]:
    """Return the sample with the cameras as they are and moved closer; None where too few joints have a place."""
    given = None
    try:
        given = label_sample(sample, rig, jobs)
        return given, move_closer(sample, given, jobs)
    except GeometryError:
        return given, None


def _without_one(sample: Keypoints, given: Given, jobs: int) -> Given | None:
    """Return the result without the camera that makes the joints least likely; None if all cameras should stay.

    The keypoints of a camera that is left out count as uniform over its images.
    """
    best: tuple[float, Given] | None = None
    for camera in given.rig.cameras:
        others = given.rig.select([name for name in given.rig.names if name != camera.name])
        try:
            trial = label_sample(sample, others, jobs)
        except GeometryError:
            continue
        shown = int(sample.select_views([camera.name]).seen.sum())
        cost = trial.fit.cost + shown * float(np.log(np.prod(camera.image_size)))
        best = (cost, trial) if best is None or cost < best[0] else best
    return best[1] if best and best[0] < given.fit.cost else None


def _why(sample: Keypoints, given: Given, camera: Camera) -> Doubt:
    """Return how a camera that does not fit differs from one that would."""
    own = sample.select_views([camera.name])
    xy = camera.undistort(own.xy[:, 0])
    threshold = resection_threshold(xy, given.fit.sigma_px)
    try:
        found = resect(xy, given.labels.poses.xyz, camera.K, own.skeleton, threshold, seed=0)
    except GeometryError:
        return Doubt(Kind.UNKNOWN_PLACE, "warn", (camera.name,))
    if found.inlier_share < _PLACED:
        return Doubt(Kind.NOWHERE, "warn", (camera.name,), found.inlier_share, _PLACED)
    turn = angle_deg(found.R @ camera.R.T)
    way = float(np.linalg.norm(-found.R.T @ found.t - camera.center))
    return Doubt(Kind.ELSEWHERE, "warn", (camera.name,), way, numbers={"degrees": turn})


def _doubts(given: Given, closest: Closest) -> list[Doubt]:
    """Return the doubts about cameras of which none is a stranger."""
    fit = given.fit
    outliers = zip(given.rig.names, (1 - fit.inlier_share).tolist(), strict=True)
    return [
        *(doubt_if_large(Kind.OUTLIERS, share, OUTLIERS, name) for name, share in outliers),
        doubt_of_noise(fit.sigma_px / given.person_px),
        doubt_of_bones(bone_spread(given.labels)),
        _doubt_of_places(given, closest),
    ]


def _doubt_of_places(given: Given, closest: Closest) -> Doubt:
    """Return the doubt whether the joints fit much better after the cameras have been moved a little."""
    rig, fit = given.rig, given.fit
    turns: dict[str, list[float]] = {name: [] for name in rig.names}
    for pair in compare_rigs(closest.rig, rig):
        for name in pair.views:
            turns[name].append(pair.rotation_deg)
    # a view that has turned differs from all others; one that has not still agrees with some
    furthest = max(turns, key=lambda name: min(turns[name]))
    closer, scatter = fit.sigma_px / closest.sigma_px, fit.sigma_px / given.person_px
    if closer < CLOSER or scatter < _EXACT:
        return Doubt(Kind.MOVED, "pass")
    views = (furthest,) if len(rig) > 2 else rig.names
    trusted = [name for name in rig.names if name not in views] or rig.names
    off = labels_off(given, closest.rig, trusted)
    level: Level = (
        "fail" if (closer > _FAR and scatter > _ROUGH) or off > _LOST * usual_extent(given.labels.poses.xyz) else "warn"
    )
    numbers = {"closer": closest.sigma_px, "degrees": min(turns[furthest]), "off": off}
    return Doubt(Kind.MOVED, level, views, fit.sigma_px, numbers=numbers)


def _doubts_of_lenses(sample: Keypoints, given: Given, closest: Closest, jobs: int) -> list[Doubt]:
    """Return the doubts whether the lenses are those that the images were taken with."""
    found = [_doubt_of_focals(sample, given, closest), _doubt_of_distortion(sample, given, jobs)]
    return [doubt for doubt in found if doubt]


def _doubt_of_focals(sample: Keypoints, given: Given, closest: Closest) -> Doubt | None:
    """Return a doubt if one factor on all focal lengths improves the fit much where other places do not.

    This happens where the images were cropped after the cameras were calibrated, or were taken in another lens mode.
    """
    if given.fit.sigma_px < _EXACT * given.person_px:
        return None
    cameras = given.rig.cameras
    try:
        free = adjust_to_labels(given.labels, sample.take_of, lenses=priors_of_common_factor(cameras), rough=True)
    except GeometryError:
        return None
    factor = free.rig.cameras[0].focal / cameras[0].focal
    if closest.sigma_px < _OTHER_FOCAL * free.sigma_px or abs(factor - 1) < _OTHER_LENS:
        return None
    level: Level = "fail" if given.fit.sigma_px > _FAR * free.sigma_px else "warn"
    off = labels_off(given, free.rig, given.rig.names)
    numbers = {"closer": free.sigma_px, "factor": factor, "off": off}
    return Doubt(Kind.OTHER_LENSES, level, (), given.fit.sigma_px, numbers=numbers)


def _doubt_of_distortion(sample: Keypoints, given: Given, jobs: int) -> Doubt | None:
    """Return a doubt if the joints fit better without the lenses' distortion, as in images that were undistorted."""
    xy, reading = given.labels.keypoints.xy, without_distortion(given.rig)
    if reading is None or np.nanquantile(np.abs(given.rig.undistort(xy) - xy), _MOST) < _BENT * given.person_px:
        return None
    try:
        straight = label_sample(sample, reading.rig, jobs).fit
    except GeometryError:
        return None
    if given.fit.sigma_px < _STRAIGHTER * straight.sigma_px or given.fit.cost < straight.cost:
        return None
    numbers = {"closer": straight.sigma_px, "off": labels_off(given, reading.rig, given.rig.names)}
    return Doubt(Kind.UNDISTORTED, "warn", (), given.fit.sigma_px, numbers=numbers)
