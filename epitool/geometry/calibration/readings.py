"""Other readings of given cameras: what a file may mean if its cameras, read as they are stated, do not fit the joints.

Programs state cameras in different ways: R and t may map from camera to world, t may be the camera's centre, axes may
point up and backward, lengths and image sizes may differ from camera to camera, and names may be exchanged. A reading
changes cameras in one such way, without anything to adjust. If joints fit a reading as well as joints fit, it is what
the file means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations

import numpy as np

from epitool.arrays import evenly_spread
from epitool.camera import Camera, Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.given import Given, is_doubtful, label_sample, move_closer
from epitool.geometry.doubts import BONE_SPREAD, Doubt, Kind, Level
from epitool.geometry.triangulation.bones import bone_spread
from epitool.pose import Keypoints

_TURNED = np.diag([1.0, -1.0, -1.0])  # from axes with y up and z backward
_TRANSPOSED, _TURNED_AXES = "R is camera to world", "their axes are y up and z backward, as OpenGL's and Blender's"
_CENTRES = {"t is the camera's centre": -1.0, "t is minus the camera's centre": 1.0}
_INVERSE = "they are camera to world"  # both R is transposed and t is the centre
_UNITS = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)  # mm, cm and m in place of one another
_SIZES = (2.0, 0.5, 1.5, 2 / 3, 3.0, 1 / 3)  # between 720, 1080 and 2160 lines
_FEW = 4  # most cameras for which every order of them is tried
_FRAMES = 60  # number of frames by which readings are compared with each other


@dataclass(frozen=True, eq=False)
class Reading:
    """Cameras as a file may mean them.

    Attributes:
        kind: What differs from the cameras as they are stated.
        rig: The cameras.
        views: Views that it differs for; empty if it does for all.
        numbers: By how much, as described by the kind.
        why: What differs, where its kind leaves that open.
    """

    kind: Kind
    rig: Rig
    views: tuple[str, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    why: str = ""


def find_meant(sample: Keypoints, rig: Rig, given: Given | None, jobs: int) -> Doubt | None:
    """Return the doubt that names the reading that joints fit, if they do not fit the cameras as stated.

    Args:
        sample: Joints of a few hundred frames.
        rig: The cameras as stated.
        given: The sample with these cameras; None if too few joints have a place.
        jobs: Number of chunks of frames processed in parallel.

    Returns:
        A doubt that fails, or that warns if it concerns one camera of three or more; None if no reading fits.
    """
    few = sample.select_frames(evenly_spread(len(sample.frames), _FRAMES))
    readings = list(other_readings(rig))
    costs = [_cost(few, reading, jobs) for reading in readings]
    best = readings[int(np.argmin(costs))]
    if not np.isfinite(min(costs)):
        return None
    try:
        read = label_sample(sample, best.rig, jobs)
        closest = move_closer(sample, read, jobs)
    except GeometryError:
        return None
    worse = given is not None and given.fit.cost < read.fit.cost
    if worse or is_doubtful(read, closest) or bone_spread(read.labels) > BONE_SPREAD[1]:
        return None
    numbers = {**best.numbers, "closer": read.fit.sigma_px}
    level: Level = "warn" if len(best.views) == 1 and len(rig) > 2 else "fail"
    return Doubt(best.kind, level, best.views, given.fit.sigma_px if given else np.nan, numbers=numbers, why=best.why)


def _cost(few: Keypoints, reading: Reading, jobs: int) -> float:
    """Return the negative log likelihood of joints under a reading; infinite if too few have a place."""
    try:
        return label_sample(few, reading.rig, jobs).fit.cost
    except GeometryError:
        return np.inf


def other_readings(rig: Rig) -> Iterator[Reading]:
    """Yield the readings of cameras that would move joints far: other conventions, sizes, units and names."""
    yield from _conventions(rig)
    yield from _sizes(rig)
    yield from _units(rig)
    yield from _orders(rig)


def without_distortion(rig: Rig) -> Reading | None:
    """Return the reading for images that were undistorted already; None if no camera has any distortion."""
    if not any(camera.distortion.any() for camera in rig.cameras):
        return None
    cameras = tuple(replace(camera, distortion=np.zeros(0)) for camera in rig.cameras)
    return Reading(Kind.UNDISTORTED, replace(rig, cameras=cameras))


def _conventions(rig: Rig) -> Iterator[Reading]:
    """Yield readings of R and t of all cameras with other directions, centres in place of t, and other axes."""
    for turned in (False, True):
        for transposed in (False, True):
            for centre in ("", *_CENTRES):
                parts = [_TRANSPOSED] * transposed + [centre] * bool(centre)
                if parts == [_TRANSPOSED, next(iter(_CENTRES))]:
                    parts = [_INVERSE]
                parts += [_TURNED_AXES] * turned
                if parts:
                    cameras = tuple(_restated(camera, transposed, centre, turned) for camera in rig.cameras)
                    yield Reading(Kind.CONVENTION, replace(rig, cameras=cameras), why=" and ".join(parts))


def _restated(camera: Camera, transposed: bool, centre: str, turned: bool) -> Camera:
    """Return a camera whose R and t are read in another convention."""
    axes = _TURNED if turned else np.eye(3)
    R = axes @ (camera.R.T if transposed else camera.R)
    return replace(camera, R=R, t=_CENTRES[centre] * R @ camera.t if centre else axes @ camera.t)


def _sizes(rig: Rig) -> Iterator[Reading]:
    """Yield readings of intrinsics that are for larger or smaller images."""
    for factor in _SIZES:
        scale = np.diag([factor, factor, 1.0])
        cameras = tuple(replace(camera, K=scale @ camera.K) for camera in rig.cameras)
        yield Reading(Kind.OTHER_SIZE, replace(rig, cameras=cameras), numbers={"factor": factor})


def _units(rig: Rig) -> Iterator[Reading]:
    """Yield readings with one camera in another unit than the others; of two it cannot be told which one is."""
    for v, camera in enumerate(rig.cameras if len(rig) > 2 else rig.cameras[:1]):
        for factor in _UNITS:
            cameras = (*rig.cameras[:v], replace(camera, t=factor * camera.t), *rig.cameras[v + 1 :])
            yield Reading(Kind.OTHER_UNIT, replace(rig, cameras=cameras), (camera.name,), {"factor": factor})


def _orders(rig: Rig) -> Iterator[Reading]:
    """Yield readings with the names of cameras exchanged: all orders of a few cameras, and pairs of many."""
    every = range(len(rig))
    orders = permutations(every) if len(rig) <= _FEW else (_swapped(pair, len(rig)) for pair in combinations(every, 2))
    for order in orders:
        wrong = [v for v in every if order[v] != v]
        if wrong:
            cameras = tuple(replace(rig.cameras[order[v]], name=rig.names[v]) for v in every)
            why = ", ".join(f"{rig.names[order[v]]} of the file is that of view {rig.names[v]}" for v in wrong)
            names = tuple(rig.names[v] for v in wrong)
            yield Reading(Kind.EXCHANGED_NAMES, replace(rig, cameras=cameras), names, why=why)


def _swapped(pair: tuple[int, int], count: int) -> tuple[int, ...]:
    """Return the order of `count` things with two of them exchanged."""
    return tuple({pair[0]: pair[1], pair[1]: pair[0]}.get(v, v) for v in range(count))
