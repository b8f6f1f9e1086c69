"""Test of given cameras against the joints of a recording: which cameras do not fit, and the likely reason.

A camera file may be older than the footage, or belong to another rig or recording. The joints of a body reveal this: a
camera is a stranger if hardly any of its keypoints lies where the other cameras predict, or if everything becomes more
likely without it. If all cameras fit, but would fit much better after small moves or with other focal lengths, no
single one can be blamed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.bundle_adjustment import Bundle, Fit, measure_fit
from epitool.geometry.calibration.compare import angle_deg, compare_rigs
from epitool.geometry.calibration.first_rig import informative_frames
from epitool.geometry.calibration.incremental import adjust_to_labels
from epitool.geometry.calibration.lens_priors import priors_of_common_factor
from epitool.geometry.calibration.resection import resect
from epitool.geometry.calibration.verdict import Verdict, doubt_of_bones, doubt_of_noise
from epitool.geometry.doubts import OUTLIERS, Doubt, Kind, Level, doubt_if_large
from epitool.geometry.triangulation.bones import bone_spread
from epitool.geometry.triangulation.labels import make_labels
from epitool.geometry.two_view.relative_pose import initial_threshold
from epitool.labels import Labels
from epitool.pose import Keypoints, usual_side

Array = NDArray[np.float64]
_FRAMES = 300
_CLOSER = 1.5  # if an adjustment reduces scatter by this factor, cameras are not those of the recording
_FAR = 2.5  # if it reduces scatter by this factor and the scatter is large, the cameras are unusable
_EXACT, _ROUGH = 0.005, 0.025  # share of the person's size: scatter that is harmless, and scatter that is large
_LOST = 1.0  # median extent of a person along an axis: joints that may be further off are useless
_OTHER_LENS = 0.05  # relative difference between focal lengths that matters
_PLACED = 0.6  # share of a view's joints that another place of the camera must explain to be reported
_WIDE = 4.0  # standard deviations of the noise that the threshold of a resection allows


@dataclass(frozen=True, eq=False)
class _Seen:
    """Joints labelled with some cameras, and how well they fit."""

    rig: Rig
    labels: Labels
    fit: Fit


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
    try:
        seen = _label_sample(sample, rig, jobs)
        best = adjust_to_labels(seen.labels, sample.take_of, rough=True)
    except GeometryError:
        return Verdict(left_out=left_out or {})
    lost: list[Camera] = []
    while len(seen.rig) > 2 and _doubtful(seen.fit, best):
        without = _without_one(sample, seen, jobs)
        if without is None:
            break
        lost += [camera for camera in seen.rig.cameras if camera.name not in without.rig.names]
        seen = without
        best = adjust_to_labels(seen.labels, sample.take_of, rough=True)
    strangers = {camera.name: _why(sample, seen, camera) for camera in lost}
    side = usual_side(sample.select_views(seen.rig.names).xy)
    doubts = (*_doubts(seen, best, side), *_doubts_of_lenses(sample, seen, best, side))
    return Verdict(doubts, {**(left_out or {}), **strangers}, strangers)


def _label_sample(sample: Keypoints, rig: Rig, jobs: int) -> _Seen:
    """Label the sample with the cameras of a rig and measure the fit."""
    own = sample.select_views(rig.names)
    labels = make_labels(own, rig, method="polynomial", jobs=jobs)
    keypoints = labels.keypoints
    return _Seen(rig, labels, measure_fit(rig.undistort(keypoints.xy), keypoints.confidence, labels.poses.xyz, rig))


def _doubtful(fit: Fit, best: Bundle) -> bool:
    """Return whether some camera may not belong to the recording."""
    return bool((1 - fit.inlier_share > OUTLIERS[0]).any()) or fit.sigma_px > _CLOSER * best.sigma_px


def _without_one(sample: Keypoints, seen: _Seen, jobs: int) -> _Seen | None:
    """Return the result without the camera that makes the joints least likely; None if all cameras should stay.

    The keypoints of a camera that is left out count as uniform over its images.
    """
    best: tuple[float, _Seen] | None = None
    for camera in seen.rig.cameras:
        others = seen.rig.select([name for name in seen.rig.names if name != camera.name])
        try:
            trial = _label_sample(sample, others, jobs)
        except GeometryError:
            continue
        shown = int(sample.select_views([camera.name]).seen.sum())
        cost = trial.fit.cost + shown * float(np.log(np.prod(camera.image_size)))
        best = (cost, trial) if best is None or cost < best[0] else best
    return best[1] if best and best[0] < seen.fit.cost else None


def _why(sample: Keypoints, seen: _Seen, camera: Camera) -> Doubt:
    """Return how a camera that does not fit differs from one that would."""
    own = sample.select_views([camera.name])
    xy = camera.undistort(own.xy[:, 0])
    shown = xy[np.isfinite(xy[..., 0])]
    try:
        threshold = max(initial_threshold(shown) if len(shown) else 0.0, _WIDE * seen.fit.sigma_px)
        found = resect(xy, seen.labels.poses.xyz, camera.K, own.skeleton, threshold, seed=0)
    except GeometryError:
        return Doubt(Kind.UNKNOWN_PLACE, "warn", (camera.name,))
    if found.inlier_share < _PLACED:
        return Doubt(Kind.NOWHERE, "warn", (camera.name,), found.inlier_share, _PLACED)
    turn = angle_deg(found.R @ camera.R.T)
    way = float(np.linalg.norm(-found.R.T @ found.t - camera.center))
    return Doubt(Kind.ELSEWHERE, "warn", (camera.name,), way, numbers={"degrees": turn})


def _doubts(seen: _Seen, best: Bundle, person_px: float) -> list[Doubt]:
    """Return the doubts about cameras of which none is a stranger."""
    fit = seen.fit
    outliers = zip(seen.rig.names, (1 - fit.inlier_share).tolist(), strict=True)
    return [
        *(doubt_if_large(Kind.OUTLIERS, share, OUTLIERS, name) for name, share in outliers),
        doubt_of_noise(fit.sigma_px / person_px),
        doubt_of_bones(bone_spread(seen.labels)),
        _doubt_of_places(seen, best, person_px),
    ]


def _doubt_of_places(seen: _Seen, best: Bundle, person_px: float) -> Doubt:
    """Return the doubt whether the joints fit much better after the cameras have been moved a little."""
    rig, fit = seen.rig, seen.fit
    turns: dict[str, list[float]] = {name: [] for name in rig.names}
    for pair in compare_rigs(best.rig, rig):
        for name in pair.views:
            turns[name].append(pair.rotation_deg)
    # a view that has turned differs from all others; one that has not still agrees with some
    furthest = max(turns, key=lambda name: min(turns[name]))
    closer, scatter = fit.sigma_px / best.sigma_px, fit.sigma_px / person_px
    if closer < _CLOSER or scatter < _EXACT:
        return Doubt(Kind.MOVED, "pass")
    views = (furthest,) if len(rig) > 2 else rig.names
    trusted = [name for name in rig.names if name not in views] or rig.names
    off = _labels_off(seen, best.rig, trusted)
    size = float(np.nanmedian(np.nanmax(seen.labels.poses.xyz, axis=1) - np.nanmin(seen.labels.poses.xyz, axis=1)))
    level: Level = "fail" if (closer > _FAR and scatter > _ROUGH) or off > _LOST * size else "warn"
    numbers = {"closer": best.sigma_px, "degrees": min(turns[furthest]), "off": off}
    return Doubt(Kind.MOVED, level, views, fit.sigma_px, numbers=numbers)


def _labels_off(seen: _Seen, closer: Rig, trusted: Sequence[str]) -> float:
    """Return how far the joints lie from where cameras that fit better put them, in the rig's unit.

    Where that is depends on which camera has not moved, so this is the largest of the medians over the joints, each
    with one of the trusted cameras where it was.

    Args:
        seen: The joints and their cameras.
        closer: The same cameras, placed so that the joints fit better, in any world.
        trusted: Names of the cameras one of which may not have moved.
    """
    xyz = make_labels(seen.labels.keypoints, closer, method="polynomial", jobs=1).poses.xyz
    spans = [np.linalg.norm(np.std([camera.center for camera in rig.cameras], axis=0)) for rig in (seen.rig, closer)]
    ratio = float(spans[0] / spans[1])
    off = []
    for name in trusted:
        given, other = (rig.cameras[rig.names.index(name)] for rig in (seen.rig, closer))
        placed = (ratio * (xyz @ other.R.T + other.t) - given.t) @ given.R
        off.append(float(np.nanmedian(np.linalg.norm(placed - seen.labels.poses.xyz, axis=-1))))
    return max(off)


def _doubts_of_lenses(sample: Keypoints, seen: _Seen, best: Bundle, person_px: float) -> list[Doubt]:
    """Return a doubt if one factor on all focal lengths improves the fit much where other places do not.

    This happens where the images were cropped after the cameras were calibrated, or were taken in another lens mode.
    """
    if seen.fit.sigma_px < _EXACT * person_px:
        return []
    cameras = seen.rig.cameras
    try:
        free = adjust_to_labels(seen.labels, sample.take_of, lenses=priors_of_common_factor(cameras), rough=True)
    except GeometryError:
        return []
    factor = free.rig.cameras[0].focal / cameras[0].focal
    if best.sigma_px < _CLOSER * free.sigma_px or abs(factor - 1) < _OTHER_LENS:
        return []
    level: Level = "fail" if seen.fit.sigma_px > _FAR * free.sigma_px else "warn"
    off = _labels_off(seen, free.rig, seen.rig.names)
    numbers = {"closer": free.sigma_px, "factor": factor, "off": off}
    return [Doubt(Kind.OTHER_LENSES, level, (), seen.fit.sigma_px, numbers=numbers)]
