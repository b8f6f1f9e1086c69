"""Prior knowledge of lenses, and how much of it an adjustment may change.

A lens has five parameters: the logarithm of its focal length, its principal point in pixels, its first radial
coefficient k1, and the logarithm of fx / fy. Each has its own mean and standard deviation (a Gaussian prior), so that
what joints do not determine stays near typical values, and its uncertainty shows in the cameras' deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.compiled.lens import FOCAL, LENS, POSE

Array = NDArray[np.float64]
_K1 = 3  # index among a lens's parameters
_CENTRE = 0.015  # share of the image's longer side: usual distance of principal points from the middle
_ASPECT, _K1_OF_STATED = 0.005, 0.12
# k1 of a lens nobody has measured: mean and deviation where four lenses in five have N(0, 0.1), the fifth is an action
# camera's near -0.25
_K1_UNKNOWN, _K1_UNKNOWN_SD = -0.05, 0.135
_FIELD_UNKNOWN = 0.35  # sd of log f: around 60 degrees, 2 of 3 lenses span 44 to 79, and 19 of 20 span 32 to 98
_ABOUT = 0.05  # standard deviation of log f where a file states an approximate value
_GRID = 15  # pixels per side of a grid over the image
_FOLDS, _NEARLY_ALL = 0.3, 0.99  # bend r^2, which folds an image over at 1/3, for this share of the keypoints
_DISTORTION = 5  # fewest distortion coefficients of a camera that has any


@dataclass(frozen=True, eq=False)
class Lenses:
    """Prior knowledge of the lenses of some views.

    Attributes:
        names: Names of the views.
        mean: Means of the parameters `(V, 5)`.
        sd: Standard deviations of the parameters `(V, 5)`: 0 for those held fixed, infinite for those completely
            unknown.
        common: Whether focal lengths change by one common factor for all views.
        belief: Factor by which the prior counts more against each keypoint than if keypoints were independent.
    """

    names: tuple[str, ...]
    mean: Array
    sd: Array
    common: bool = False
    belief: float = 1.0

    def about(self, rig: Rig, bend: Array) -> Lenses:
        """Return the priors for the cameras of a rig, with the means of bends that now are `bend` in place of k1."""
        rows = [self.names.index(name) for name in rig.names]
        mean = self.mean[rows]
        mean[:, _K1] += bend - [camera.lens[0] for camera in rig.cameras]
        return replace(self, names=rig.names, mean=mean, sd=self.sd[rows])

    @property
    def free(self) -> int:
        """Number of parameters of a camera that an adjustment may change, counted as in `reduced_system`."""
        if not self.sd.any():
            return POSE
        return LENS if self.sd[:, 1:].any() else FOCAL

    def directions(self) -> Array:
        """Return directions `(P V, Q)` in which an adjustment may change the lenses."""
        p, views = self.free, len(self.names)
        every = np.eye(p * views).reshape(p * views, views, p)[:, :, POSE:]
        if self.common:
            return every[:, :, :1].sum(axis=1)
        return every[:, self.sd[:, : every.shape[2]] > 0]

    def pull(self, K: Array, bend: Array, variance: float) -> tuple[Array, Array, float]:
        """Return the contribution of the prior to least squares of keypoints whose coordinates have a given variance.

        Args:
            K: Current intrinsics `(V, 3, 3)`.
            bend: Current bends `(V,)`.
            variance: Variance of a coordinate, px squared.

        Returns:
            Diagonal and gradient, `(P V,)`, and the sum of squares.
        """
        known = np.where((self.sd > 0) & np.isfinite(self.sd), self.sd, np.inf)
        weight, off = self.belief * variance / known**2, _parameters(K, bend) - self.mean
        padded = [np.pad(x, ((0, 0), (POSE, 0)))[:, : self.free].ravel() for x in (weight, weight * off)]
        return padded[0], padded[1], float((weight * off**2).sum())


def _parameters(K: Array, bend: Array) -> Array:
    """Return the parameters `(V, 5)` of lenses."""
    fx, fy = np.log(K[:, 0, 0]), np.log(K[:, 1, 1])
    return np.stack([(fx + fy) / 2, K[:, 0, 2], K[:, 1, 2], bend, fx - fy], axis=1)


def largest_change(before: Rig, after: Rig, lenses: Lenses) -> float:
    """Return the largest change of any lens parameter, in standard deviations of its prior."""
    a, b = (np.concatenate([_lens_parameters(c) for c in rig.cameras]) for rig in (before, after))
    sd = lenses.sd[[lenses.names.index(name) for name in before.names]]
    return float((np.abs(a - b) / np.where(sd > 0, sd, np.inf)).max())


def _lens_parameters(camera: Camera) -> Array:
    """Return the parameters `(1, 5)` of a camera's lens."""
    return _parameters(camera.K[None], camera.lens[:1])


def apply_lens_steps(K: Array, bend: Array, steps: Array) -> tuple[Array, Array]:
    """Return intrinsics and bends after steps `(V, P - 6)` of the lens parameters."""
    every = np.pad(steps, ((0, 0), (0, LENS - POSE - steps.shape[1])))
    K = K.copy()
    K[:, 0, :2] *= np.exp(every[:, 0] + every[:, 4] / 2)[:, None]
    K[:, 1, :2] *= np.exp(every[:, 0] - every[:, 4] / 2)[:, None]
    K[:, :2, 2] += every[:, 1:3]
    return K, bend + every[:, _K1]


def bend_pixels(xy: Array, rig: Rig) -> tuple[Array, Array]:
    """Return undistorted pixels as nearly as the cameras see them, and the bends that do this.

    A camera's bend is the k1 of the lens without other coefficients that is most like its own lens.

    Args:
        xy: Undistorted pixels `(..., V, J, 2)`.
        rig: The cameras.

    Returns:
        Pixels `(..., V, J, 2)` of lenses with these bends, and the bends `(V,)`.
    """
    bent, bends = xy.copy(), np.zeros(len(rig))
    for v, camera in enumerate(rig.cameras):
        if not camera.distortion.any():
            continue
        center, focal = camera.K[:2, 2], np.diag(camera.K)[:2]
        ideal = (xy[..., v, :, :] - center) / focal
        squares = (ideal**2).sum(axis=-1, keepdims=True)
        seen = squares[np.isfinite(squares)]
        # a stronger bend would fold the image over where keypoints are
        bends[v] = max(_fit_bend(camera), -_FOLDS / np.quantile(seen, _NEARLY_ALL)) if len(seen) else 0.0
        bent[..., v, :, :] = center + focal * ideal * (1 + bends[v] * squares)
    return bent, bends


def _fit_bend(camera: Camera) -> float:
    """Return the k1 that fits a camera's whole distortion within its image best."""
    width, height = camera.image_size
    grid = np.stack(np.meshgrid(np.linspace(0, width - 1, _GRID), np.linspace(0, height - 1, _GRID)), axis=-1)
    center, focal = camera.K[:2, 2], np.diag(camera.K)[:2]
    ideal = ((grid - center) / focal).reshape(-1, 2)
    rays = np.column_stack([ideal, np.ones(len(ideal))])
    seen = (replace(camera, R=np.eye(3), t=np.zeros(3)).project(rays) - center) / focal
    radial = ideal * (ideal**2).sum(axis=1, keepdims=True)
    return float(((seen - ideal) * radial).sum() / (radial**2).sum())


def add_to_k1(camera: Camera, bend: float) -> Camera:
    """Return the camera with `bend` added to k1."""
    if not bend:
        return camera
    distortion = camera.lens[: max(_DISTORTION, len(camera.distortion))]
    distortion[0] += bend
    return replace(camera, distortion=distortion)


def _known(cameras: Sequence[Camera], focal: float, centre: float, k1: float, aspect: float) -> Lenses:
    """Return priors with the cameras' lenses as means and these deviations; `centre` is a share of the longer side."""
    side = [max(camera.image_size) for camera in cameras]
    sd = np.array([[focal, centre * s, centre * s, k1, aspect] for s in side])
    return Lenses(tuple(camera.name for camera in cameras), np.concatenate([_lens_parameters(c) for c in cameras]), sd)


def priors_of_known(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for lenses that are known exactly."""
    return _known(cameras, 0.0, 0.0, 0.0, 0.0)


def priors_of_free_focals(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for lenses of which everything is known except the focal lengths."""
    return _known(cameras, np.inf, 0.0, 0.0, 0.0)


def priors_of_common_factor(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for lenses of which everything is known except one common factor on all focal lengths."""
    return replace(priors_of_free_focals(cameras), common=True)


def priors_of_unknown(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for unknown lenses; `cameras` have the usual field of view and no distortion."""
    return _known(_usually_bent(cameras), _FIELD_UNKNOWN, _CENTRE, _K1_UNKNOWN_SD, _ASPECT)


def priors_of_known_focals(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for lenses of which only the focal lengths are known."""
    return _known(_usually_bent(cameras), 0.0, _CENTRE, _K1_UNKNOWN_SD, _ASPECT)


def _usually_bent(cameras: Sequence[Camera]) -> list[Camera]:
    """Return the cameras with the usual k1 of unknown lenses in addition to their own."""
    return [add_to_k1(camera, _K1_UNKNOWN) for camera in cameras]


def priors_of_stated(cameras: Sequence[Camera]) -> Lenses:
    """Return priors for lenses that a file states approximately."""
    return _known(cameras, _ABOUT, _CENTRE, _K1_OF_STATED, _ASPECT)
