"""What is known of lenses before joints are looked at, and how much of it an adjustment may change.

A lens has five parameters: the logarithm of its focal length, its principal point in pixels, its first radial
coefficient k1, and the logarithm of fx / fy. Each has a mean and a standard deviation of its own (a Gaussian prior), so
that what joints do not tell stays near what is usual, and how unsure that is shows in the cameras' deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.compiled.lens import FOCAL, LENS, POSE

Array = NDArray[np.float64]
_K1 = 3  # among a lens's parameters
_CENTRE = 0.015  # of the image's longer side: how far principal points usually are from the middle
_ASPECT, _BARREL = 0.005, 0.12
_FIELD_UNKNOWN = 0.35  # of log f: about 60 degrees, two of three lenses span 44 to 79, nineteen of twenty 32 to 98
_ABOUT = 0.05  # of log f where a file says about what it is
_DISTORTION = 5  # coefficients that a camera with any has at least


@dataclass(frozen=True, eq=False)
class Lenses:
    """What is known of the lenses of some views.

    Attributes:
        names: The views.
        mean: Parameters `(V, 5)` that are likeliest.
        sd: Their standard deviations `(V, 5)`: 0 for what is held, infinite for what nothing is known of.
        common: Whether focal lengths grow by one factor for all views.
        belief: How many times more all this counts against each keypoint than if keypoints were independent.
    """

    names: tuple[str, ...]
    mean: Array
    sd: Array
    common: bool = False
    belief: float = 1.0

    def about(self, rig: Rig) -> Lenses:
        """For the cameras of a rig, with each k1 as a change of the camera's own."""
        rows = [self.names.index(name) for name in rig.names]
        mean = self.mean[rows]
        mean[:, _K1] -= [camera.lens[0] for camera in rig.cameras]
        return replace(self, names=rig.names, mean=mean, sd=self.sd[rows])

    @property
    def free(self) -> int:
        """How many parameters of a camera an adjustment may change, counted as `reduced_system` does."""
        if not self.sd.any():
            return POSE
        return LENS if self.sd[:, 1:].any() else FOCAL

    def directions(self) -> Array:
        """Directions `(P V, Q)` in which an adjustment may change the lenses."""
        p, views = self.free, len(self.names)
        every = np.eye(p * views).reshape(p * views, views, p)[:, :, POSE:]
        if self.common:
            return every[:, :, :1].sum(axis=1)
        return every[:, self.sd[:, : every.shape[2]] > 0]

    def pull(self, K: Array, bend: Array, variance: float) -> tuple[Array, Array, float]:
        """What this adds to least squares of keypoints whose coordinates have a variance.

        Args:
            K: Intrinsics `(V, 3, 3)` as they are.
            bend: Changes of k1 `(V,)` as they are.
            variance: px squared.

        Returns:
            Diagonal and gradient, `(P V,)`, and the sum of squares.
        """
        known = np.where((self.sd > 0) & np.isfinite(self.sd), self.sd, np.inf)
        weight, off = self.belief * variance / known**2, _parameters(K, bend) - self.mean
        padded = [np.pad(x, ((0, 0), (POSE, 0)))[:, : self.free].ravel() for x in (weight, weight * off)]
        return padded[0], padded[1], float((weight * off**2).sum())


def _parameters(K: Array, bend: Array) -> Array:
    """Parameters `(V, 5)` of lenses."""
    fx, fy = np.log(K[:, 0, 0]), np.log(K[:, 1, 1])
    return np.stack([(fx + fy) / 2, K[:, 0, 2], K[:, 1, 2], bend, fx - fy], axis=1)


def changed(before: Rig, after: Rig, lenses: Lenses) -> float:
    """How far the lens has moved that moved furthest, in deviations of what is known of it beforehand."""
    a, b = (np.concatenate([_of(c) for c in rig.cameras]) for rig in (before, after))
    sd = lenses.about(before).sd
    return float((np.abs(a - b) / np.where(sd > 0, sd, np.inf)).max())


def _of(camera: Camera) -> Array:
    return _parameters(camera.K[None], camera.lens[:1])


def moved(K: Array, bend: Array, steps: Array) -> tuple[Array, Array]:
    """Intrinsics and changes of k1 after steps `(V, P - 6)` of the lenses' parameters."""
    every = np.pad(steps, ((0, 0), (0, LENS - POSE - steps.shape[1])))
    K = K.copy()
    K[:, 0, :2] *= np.exp(every[:, 0] + every[:, 4] / 2)[:, None]
    K[:, 1, :2] *= np.exp(every[:, 0] - every[:, 4] / 2)[:, None]
    K[:, :2, 2] += every[:, 1:3]
    return K, bend + every[:, _K1]


def bent(camera: Camera, bend: float) -> Camera:
    """The camera with k1 changed by so much."""
    if not bend:
        return camera
    distortion = np.pad(camera.distortion, (0, max(_DISTORTION - len(camera.distortion), 0)))
    distortion[0] += bend
    return replace(camera, distortion=distortion)


def _known(cameras: Sequence[Camera], focal: float, centre: float, k1: float, aspect: float) -> Lenses:
    side = [max(camera.image_size) for camera in cameras]
    sd = np.array([[focal, centre * s, centre * s, k1, aspect] for s in side])
    return Lenses(tuple(camera.name for camera in cameras), np.concatenate([_of(c) for c in cameras]), sd)


def held(cameras: Sequence[Camera]) -> Lenses:
    """Lenses that are known."""
    return _known(cameras, 0.0, 0.0, 0.0, 0.0)


def any_focal(cameras: Sequence[Camera]) -> Lenses:
    """Lenses of which all is known but the focal lengths, and nothing of these."""
    return _known(cameras, np.inf, 0.0, 0.0, 0.0)


def one_factor(cameras: Sequence[Camera]) -> Lenses:
    """Lenses of which all is known but one factor on all focal lengths, and nothing of that."""
    return replace(any_focal(cameras), common=True)


def assumed(cameras: Sequence[Camera]) -> Lenses:
    """Lenses of which nothing is known but what is usual: `cameras` span the usual field of view."""
    return _known(cameras, _FIELD_UNKNOWN, _CENTRE, _BARREL, _ASPECT)


def with_field(cameras: Sequence[Camera]) -> Lenses:
    """Lenses whose focal lengths are known, and no more."""
    return _known(cameras, 0.0, _CENTRE, _BARREL, _ASPECT)


def refined(cameras: Sequence[Camera]) -> Lenses:
    """Lenses that a file states about as they are."""
    return _known(cameras, _ABOUT, _CENTRE, _BARREL, _ASPECT)
