"""Bundle adjustment of cameras and joints over all views, distinguishing the detector's gross errors from noise.

Levenberg-Marquardt runs on the Schur complement of the joints (Triggs et al., Bundle Adjustment - A Modern Synthesis).
Every keypoint is assumed to be either near its joint's projection (Gaussian) or anywhere in the image (uniform). The
noise and the share of gross errors, by confidence and joint, and each keypoint's inlier probability are re-estimated in
every iteration (EM).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera, Rig
from epitool.geometry.calibration.deviations import contributions_of_halves, covariances, largest_deviations
from epitool.geometry.calibration.expectation import Estimate, Observed, State, em_step, errors_of, start_em
from epitool.geometry.calibration.lens_priors import (
    Lenses,
    add_to_k1,
    apply_lens_steps,
    bend_pixels,
    priors_of_known,
)
from epitool.geometry.calibration.schur_complement import point_steps, reduced_system
from epitool.geometry.compiled.lens import LENS, POSE
from epitool.geometry.noise import KeypointNoise
from epitool.geometry.two_view.epipolar import skew

Array = NDArray[np.float64]
MAX_POINTS = 30_000  # with more joints than this, model error dominates the cameras' error
TOLERANCE = 1e-7  # relative change of the cost at which iteration ends
_ITERATIONS = 60
_ROUNDING = 1e-12
_START_LAMBDA, _MAX_LAMBDA = 1e-4, 1e8
_NO_WEIGHT = 1e-3
_BLOCKS = 8  # number of blocks of frames whose errors may be correlated
_NEARLY_ALL = 0.8  # share of a view's keypoints that one person has


@dataclass(frozen=True, eq=False)
class Bundle:
    """Adjusted cameras.

    Attributes:
        rig: The cameras; the first is unchanged except for its lens, and the length of the first baseline is unchanged.
        noise: Noise of the keypoints.
        inlier_share: Share of keypoints that are not gross errors, each weighted by the usual inlier share of its
            confidence, `(V,)`.
        cost: Negative log likelihood per keypoint; lower is better among solutions for the same keypoints.
        redundancy: Number of keypoints that count as much as one whose error is independent of all others.
        rotation_sd: Standard deviation of each camera's rotation relative to the first, `(V,)` radians.
        position_sd: Standard deviation of each camera's place, `(V,)` in the rig's unit, given the first baseline's
            length.
        focal_sd: Relative standard deviation of each camera's focal length, `(V,)`; 0 where it was held.
        rotation_sd_in_rig: Standard deviation of each rotation relative to the other cameras, `(V,)` radians.
        position_sd_in_rig: Standard deviation of each place relative to the other cameras, `(V,)` in the rig's unit,
            given the rig's size.
        rotation_sd_if_known: What `rotation_sd_in_rig` would be if the lenses were known, `(V,)` radians.
        position_sd_if_known: What `position_sd_in_rig` would be if the lenses were known, `(V,)`.
    """

    rig: Rig
    noise: KeypointNoise
    inlier_share: Array
    cost: float
    redundancy: float
    rotation_sd: Array
    position_sd: Array
    focal_sd: Array
    rotation_sd_in_rig: Array
    position_sd_in_rig: Array
    rotation_sd_if_known: Array
    position_sd_if_known: Array

    @property
    def sigma_px(self) -> float:
        """Standard deviation of a coordinate of a usual keypoint that is not a gross error."""
        return self.noise.sigma_px


@dataclass(frozen=True, eq=False)
class Fit:
    """Fit of keypoints to cameras that are not adjusted.

    Attributes:
        sigma_px: Standard deviation of a coordinate of a usual keypoint that is not a gross error.
        inlier_share: Share of keypoints that are not gross errors, weighted as in `Bundle`, `(V,)`; 1 if none is seen.
        cost: Negative log likelihood of all visible keypoints; those of joints without a place count as uniform.
    """

    sigma_px: float
    inlier_share: Array
    cost: float


def adjust(
    xy: Array, confidence: Array, xyz: Array, rig: Rig, *, lenses: Lenses | None = None, max_points: int = MAX_POINTS,
    tolerance: float = TOLERANCE, take_of: NDArray[np.int64] | None = None,
) -> Bundle:  # fmt: skip
    """Adjust the cameras of a rig to keypoints.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        confidence: Confidences of the keypoints, `(F, V, J)`, on any scale.
        xyz: Approximate places of the joints, `(F, J, 3)`, in the rig's world.
        rig: Approximate cameras.
        lenses: Prior knowledge of the lenses of the rig's views; None to hold them fixed. If the cameras have
            distortion coefficients besides k1, the change of the lens is assumed to be small: adjust again with
            keypoints undistorted by the result.
        max_points: Largest number of joints used; with more, they are thinned out evenly.
        tolerance: Relative change of the negative log likelihood at which iteration ends.
        take_of: The take or person that each frame is of, `(F,)`, whose errors may be correlated; None for one.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    lenses, bends = lenses or priors_of_known(rig.cameras), np.zeros(len(rig))
    if lenses.free == LENS:
        # in undistorted pixels, focal length and principal point would act as those of a lens without distortion
        xy, bends = bend_pixels(xy, rig)
    lenses = lenses.about(rig, bends)
    state, observed, found = start_em(xy, confidence, xyz, rig, max_points, take_of, bends)
    squared = errors_of(state, observed.xy)
    damping, previous = _START_LAMBDA, np.inf
    for _ in range(_ITERATIONS):
        state, squared, damping, stepped = _step(state, observed.xy, squared, found, damping, lenses)
        found = em_step(state, squared, found, observed, cameras=len(rig) - 1)
        if not stepped or abs(previous - found.cost) < tolerance * abs(found.cost):
            break
        previous = found.cost
    deviations, redundancy = _deviations(state, observed, found, lenses)
    seen = np.isfinite(observed.xy[..., 0]).sum()
    adjusted = _rig_of(state, rig, state.bend - bends)
    return Bundle(adjusted, found.noise, found.inlier_share, found.cost / seen, redundancy, *deviations)


def measure_fit(xy: Array, confidence: Array, xyz: Array, rig: Rig) -> Fit:
    """Measure how well keypoints fit the cameras of a rig as they are.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)`, NaN where unseen.
        confidence: Confidences of the keypoints, `(F, V, J)`, on any scale.
        xyz: Places of the joints according to these cameras, `(F, J, 3)`.
        rig: The cameras.

    Raises:
        GeometryError: Fewer than 30 joints are seen by two views and triangulated.
    """
    state, observed, found = start_em(xy, confidence, xyz, rig, MAX_POINTS)
    squared = errors_of(state, observed.xy)
    for _ in range(_ITERATIONS):
        before, found = found, em_step(state, squared, found, observed)
        if abs(before.cost - found.cost) < TOLERANCE * abs(found.cost):
            break
    seen, every = np.isfinite(observed.xy[..., 0]).sum(), np.isfinite(xy[..., 0]).sum(axis=(0, 2))
    # where points were thinned out, the remaining ones represent all that have a place
    placed = (np.isfinite(xyz[..., 0])[:, None] & np.isfinite(xy[..., 0])).sum(axis=(0, 2))
    cost = found.cost * placed.sum() / max(seen, 1) + float((every - placed) @ np.log(observed.areas))
    return Fit(found.noise.sigma_px, np.where(every > 0, found.inlier_share, 1.0), cost)


def _step(
    state: State, observed: Array, squared: Array, found: Estimate, damping: float, lenses: Lenses
) -> tuple[State, Array, float, bool]:
    """Take one accepted Levenberg-Marquardt step with fixed weights.

    Returns:
        The state, its squared errors `(N, V)`, the next damping, and whether a step lowered the cost.
    """
    w, variance = _effective(found.precision), found.noise.sigma_px**2
    used = w > 0
    diagonal, slope, pull = lenses.pull(state.K, state.bend, variance)
    cost = float(w[used] @ squared[used]) + pull
    free = _free_directions(state, lenses)
    one_group = np.zeros(len(observed), dtype=np.int64)
    while damping < _MAX_LAMBDA:
        arguments = (state.R, state.t, state.K, state.bend, state.points, observed, w, lenses.free, damping)
        system = reduced_system(*arguments, one_group)
        raised = np.concatenate([np.diag(block) for block in system.own[0]])
        matrix = free.T @ (system.S[0] + np.diag(diagonal + damping * raised)) @ free
        step = free @ np.linalg.lstsq(matrix, -free.T @ (system.gradient[0] + slope), rcond=1e-14)[0]
        cameras = step.reshape(len(state.R), -1)
        candidate = _moved(state, cameras, point_steps(system, cameras))
        # infinite if a joint has moved behind a camera
        errors = errors_of(candidate, observed)
        trial = float(w[used] @ errors[used])
        trial += lenses.pull(candidate.K, candidate.bend, variance)[2]
        if trial <= cost * (1 + _ROUNDING):
            return candidate, errors, max(damping / 10, 1e-10), True
        damping *= 10
    return state, squared, _START_LAMBDA, False


def _effective(weights: Array) -> Array:
    """Return weights `(N, V)` without joints that fewer than two views determine, as they make the system singular."""
    second = np.partition(weights, -2, axis=1)[:, -2]
    return np.where((second[:, None] > _NO_WEIGHT) & (weights > _NO_WEIGHT), weights, 0.0)


def _free_directions(state: State, lenses: Lenses) -> Array:
    """Return directions `(P V, Q)` in which cameras may move; the first camera and first baseline length are fixed."""
    views, p = len(state.R), lenses.free
    every = np.eye(p * views)
    columns = [every[:, p * v : p * v + POSE] for v in range(2, views)]
    first, second = (-state.R[v].T @ state.t[v] for v in (0, 1))
    along = state.R[1] @ (second - first)  # moving t in this direction changes the baseline's length
    across = np.linalg.svd(along[None])[2][1:]
    turning = every[:, p : p + 3] + every[:, p + 3 : p + 6] @ _turned_translation(state.t[1], along)
    columns = [turning, every[:, p + 3 : p + 6] @ across.T, *columns]
    return np.concatenate([*columns, lenses.directions()], axis=1)


def _turned_translation(t: Array, along: Array) -> Array:
    """Return the change of t per rotation that keeps the centre at its distance from the first camera."""
    unit = along / np.linalg.norm(along)
    return -np.outer(unit, unit @ skew(t))


def _moved(state: State, cameras: Array, points: Array) -> State:
    """Return the state after steps of the cameras and points."""
    turns = np.stack([np.asarray(cv2.Rodrigues(step[:3])[0], dtype=float) for step in cameras])
    return State(
        turns @ state.R,
        state.t + cameras[:, 3:6],
        *apply_lens_steps(state.K, state.bend, cameras[:, POSE:]),
        state.points + points,
    )


def _deviations(state: State, observed: Observed, found: Estimate, lenses: Lenses) -> tuple[Array, float]:
    """Return standard deviations of the cameras in the order of `Bundle`, `(7, V)`, and the redundancy of keypoints.

    Errors may be correlated within a joint and, besides, within a stretch of frames, a half of the recording or a
    person, whichever matters most.
    """
    free, weights, variance = _free_directions(state, lenses), _effective(found.precision), found.noise.sigma_px**2
    arguments = (state.R, state.t, state.K, state.bend, state.points, observed.xy, weights, lenses.free, 0.0)
    prior = free.T * lenses.pull(state.K, state.bend, variance)[0] @ free
    sums: list[tuple[Array, Array]] = []
    frames = observed.frame.max() + 1
    clusters = [observed.joint, (observed.frame * min(_BLOCKS, frames)) // frames]
    if _take_turns(observed):
        clusters.append(observed.take)
    for cluster in clusters:
        system = reduced_system(*arguments, np.unique(cluster, return_inverse=True)[1])
        sums.append((free.T @ system.S @ free, system.gradient @ free))
    sums.append(contributions_of_halves(*sums[1]))
    possible, own = covariances(sums, prior, variance, lenses.belief)
    # two halves tell too little of how many keypoints count as one, by which priors are weighed
    whole = sums[0][0].sum(axis=0)
    redundancy = float(max(np.trace(whole @ C) for C in possible[:-1]) / max(np.trace(whole @ possible[0]), 1e-300))
    found_sd = largest_deviations(possible, own, free, state.R, state.t)
    turns = free.shape[1] - lenses.directions().shape[1]
    if turns < free.shape[1]:
        held = [(S[:, :turns, :turns], gradient[:, :turns]) for S, gradient in sums]
        possible, own = covariances(held, prior[:turns, :turns], variance, lenses.belief)
    known_sd = largest_deviations(possible, own, free[:, :turns], state.R, state.t)
    return np.concatenate([found_sd, known_sd[3:]]), max(redundancy, 1.0)


def _take_turns(observed: Observed) -> bool:
    """Return whether no view rests nearly on one person alone, so that it is determined without any of them.

    A camera that moves far without its only person tells nothing of how errors go with people.
    """
    seen = np.zeros((int(observed.take.max()) + 1, observed.xy.shape[1]))
    np.add.at(seen, observed.take, np.isfinite(observed.xy[..., 0]))
    return bool((seen.max(axis=0) < _NEARLY_ALL * seen.sum(axis=0)).all())


def _rig_of(state: State, rig: Rig, bent: Array) -> Rig:
    """Return the cameras in the world of the first one, with the length of the first baseline as before.

    Args:
        state: The adjusted cameras.
        rig: The cameras before.
        bent: Change of each camera's bend, `(V,)`.
    """
    factor = np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center)
    factor /= np.linalg.norm(state.R[0].T @ state.t[0] - state.R[1].T @ state.t[1])
    origin = -state.R[0].T @ state.t[0]
    centers = [origin + factor * (-R.T @ t - origin) for R, t in zip(state.R, state.t)]
    cameras: list[Camera] = [
        add_to_k1(replace(camera, K=K, R=R, t=-R @ center), float(bend))
        for camera, K, R, center, bend in zip(rig.cameras, state.K, state.R, centers, bent)
    ]
    return replace(rig, cameras=tuple(cameras))
