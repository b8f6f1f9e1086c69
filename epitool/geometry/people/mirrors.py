"""Mirror images: cameras that see somebody in a mirror as well agree on a second person, behind it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import evenly_spread
from epitool.camera import Rig
from epitool.geometry.people.association import People
from epitool.geometry.people.bodies import nearest_to_rays
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.tracking import centers_and_sizes
from epitool.pose import midline
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SAMPLED, _LEAST = 500, 25  # frames that are looked at, and those that must show both
_EXACT = 0.15  # sizes by which an image is off the place that the mirror gives it
_MOVED = 0.3  # sizes that somebody must move towards the mirror and along it; who stands still shows no mirror


def mirror_images(
    people: People, names: Sequence[int], candidates: Candidates, rig: Rig, skeleton: Skeleton
) -> dict[int, int]:
    """Return the names of those who may be somebody's mirror image, and of whom.

    One of two people is the other's image if one plane is half way between them in all frames, and they move towards
    it and along it.

    Args:
        people: Who is who in all frames.
        names: Names of those who are asked about.
        candidates: All people found, distorted pixels.
        rig: The cameras, in the order of the views.
        skeleton: Skeleton of the candidates.
    """
    sample = evenly_spread(len(people.names), _SAMPLED)
    some = People(people.candidates[sample], people.names[sample])
    found = {name: _places(some.identities(name), candidates, rig, skeleton) for name in names}
    middle = np.mean([camera.center for camera in rig.cameras], axis=0)
    away = {name: np.nanmedian(np.linalg.norm(places - middle, axis=1)) for name, (places, _) in found.items()}
    image_of = {}
    for one, other in itertools.combinations(names, 2):
        if _mirrored(found[one][0], found[other][0], float(np.nanmedian([found[one][1], found[other][1]]))):
            near, far = sorted((one, other), key=away.__getitem__)
            image_of[far] = near
    return image_of


def _places(choice: Indices, candidates: Candidates, rig: Rig, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return where somebody is `(F, 3)`, and their size `(F,)`; NaN where fewer than two views tell."""
    xy = rig.undistort(candidates.take(choice)[0])
    return centers_and_sizes(nearest_to_rays(midline(xy, skeleton), rig))


def _mirrored(one: Array, other: Array, size: float) -> bool:
    """Return whether some plane makes the places `(F, 3)` of two people mirror images of each other's."""
    both = np.isfinite(one + other).all(axis=1)
    if both.sum() < _LEAST:
        return False
    across, between = (one - other)[both], ((one + other) / 2)[both]
    normal = np.linalg.svd(across, full_matrices=False)[2][0]
    depth = across @ normal
    along = between - (between @ normal)[:, None] * normal
    off = np.median(np.linalg.norm(across - depth[:, None] * normal, axis=1))
    plane = np.median(np.abs(between @ normal - np.median(between @ normal)))
    moved = min(depth.std() / 2, np.linalg.norm(along.std(axis=0)))
    return bool(max(off, plane) < _EXACT * size and moved > _MOVED * size)
