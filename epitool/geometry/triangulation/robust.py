"""Robust triangulation from all views: two-view hypotheses, consensus, and Gauss-Newton under a mixture model.

A keypoint lies either near its joint's projection (Gaussian) or anywhere in the image (uniform). Its log odds of being
an inlier are `odds - error^2 * precision / 2`. The score of a point is its log likelihood ratio against there being no
point at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.compiled.formula import compiled, copy, formula
from epitool.geometry.compiled.mixture import evidence, log_odds, probability_of_log
from epitool.geometry.compiled.point import gauss_newton_step
from epitool.geometry.compiled.projection import Views, squared_error
from epitool.geometry.compiled.rays import closest_approach, ray_direction
from epitool.geometry.compiled.symmetric import invert

Array = NDArray[np.float64]
_AGREE = 11.83  # a view agrees below this: 99.7% quantile of chi square with two degrees of freedom (2 coordinates)
_TWO_VIEWS = 25.0  # two views contradict each other above this: 5 sigma of chi square with one degree of freedom
_SURE = 6.0  # lead in log likelihood from which no other place is considered
_DECIDED = 2.0  # a joint with a smaller lead is left out
_ITERATIONS = 10
_SETTLED = 1e-3  # iteration stops when a step is expected to lower chi square by less
_PARALLEL = 1e-12  # squared sine of the angle below which two rays count as parallel
_BODY_JOINTS, _BODY = 4, 2.0  # sure joints needed for a prior on the body's place, and the prior's strength
_MEDIAN_STEPS = 6


class _Joint(NamedTuple):
    """Keypoints of one joint, with work arrays.

    Attributes:
        xy: Keypoints `(V, 2)`.
        rays: Vectors from each camera centre through the keypoint to depth 1, `(V, 3)`.
        odds: Log odds `(V,)` of each keypoint being an inlier if its error were 0.
        precision: Inverse variance of a coordinate of each keypoint if it is an inlier, `(V,)`; 0 where nothing is
            seen.
        weights: Probability of each keypoint being an inlier, `(V,)`.
        pull: Precision times probability, `(V,)`.
        X: The point, `(3,)`.
        trial: Another candidate point, `(3,)`.
        H: Upper triangle of the normal matrix, `(6,)`.
    """

    xy: Array
    rays: Array
    odds: Array
    precision: Array
    weights: Array
    pull: Array
    X: Array
    trial: Array
    H: Array


@formula
def _meet(centers: Array, back: Array, rays: Array, precision: Array, a: int, b: int, X: Array) -> float:
    """Write the point where two rays pass each other to X, nearer to the ray with the smaller deviation there.

    Each ray is weighted by the deviation that its keypoint's noise has at that depth. To first order this is the
    optimum for both views. Return the chi square over both views, infinite where the rays are parallel or meet behind a
    camera.
    """
    s, t, squared_sine = closest_approach(
        rays[a, 0], rays[a, 1], rays[a, 2], rays[b, 0], rays[b, 1], rays[b, 2],
        centers[b, 0] - centers[a, 0], centers[b, 1] - centers[a, 1], centers[b, 2] - centers[a, 2],
    )  # fmt: skip
    if not (squared_sine > _PARALLEL and s > 0.0 and t > 0.0):
        return np.inf
    size_a, size_b, gap = 0.0, 0.0, 0.0
    for k in range(3):
        # one pixel at depth s is as long as s times the first column of the back-projection
        size_a += (s * back[a, k, 0]) ** 2
        size_b += (t * back[b, k, 0]) ** 2
    size_a, size_b = size_a / precision[a], size_b / precision[b]
    share = size_a / (size_a + size_b)
    for k in range(3):
        on_a, on_b = centers[a, k] + s * rays[a, k], centers[b, k] + t * rays[b, k]
        gap += (on_b - on_a) ** 2
        X[k] = on_a + share * (on_b - on_a)
    return gap / (size_a + size_b)


@formula
def _check_all_views(P: Array, xy: Array, precision: Array, X: Array, H: Array, limit: float) -> bool:
    """Refine X with all views that see it, and return whether each is then within `limit` (a chi square) of it."""
    worst = np.inf
    for n in range(_ITERATIONS):
        gain, worst = gauss_newton_step(P, xy, precision, X, H)
        if not gain >= 0.0 or (n > 0 and worst > 4.0 * limit):
            return False
        if gain < _SETTLED:
            break
    return worst < limit


@formula
def _score(P: Array, xy: Array, odds: Array, precision: Array, X: Array, near: Array) -> tuple[float, int]:
    """Return the log likelihood ratio of a point under a Gaussian prior `near (4,)`, and how many views agree."""
    away = (X[0] - near[0]) ** 2 + (X[1] - near[1]) ** 2 + (X[2] - near[2]) ** 2
    total, agreeing = -0.5 * near[3] * away, 0
    for v in range(len(P)):
        squared = squared_error(P, v, X, xy[v, 0], xy[v, 1])
        agreeing += precision[v] * squared < _AGREE
        total += evidence(log_odds(odds[v], precision[v], squared))
    return total, agreeing


@formula
def _elsewhere(P: Array, xy: Array, precision: Array, X: Array, trial: Array) -> bool:
    """Return whether the trial point is far off in a view that agrees with X."""
    for v in range(len(P)):
        agrees = precision[v] * squared_error(P, v, X, xy[v, 0], xy[v, 1]) < _AGREE
        if agrees and not precision[v] * squared_error(P, v, trial, xy[v, 0], xy[v, 1]) < 4.0 * _AGREE:
            return True
    return False


@formula
def _best_pair(views: Views, joint: _Joint, number: int, near: Array) -> float:
    """Write the two-view point with the highest likelihood over all views to X.

    Return its score: minus infinity where no two views agree, and infinite where so many views agree that no other
    point can win.
    """
    best, few = -np.inf, True
    for a in range(len(views.P)):
        for b in range(a + 1, len(views.P)):
            gap = _meet(views.centers, views.back, joint.rays, joint.precision, a, b, joint.trial)
            if not gap < _TWO_VIEWS:
                continue
            score, agreeing = _score(views.P, joint.xy, joint.odds, joint.precision, joint.trial, near)
            if score > best:
                # unless the agreeing views outnumber the others by two, those may support another place
                best, few = score, agreeing < max(3, number - agreeing + 2)
                copy(joint.trial, joint.X)
            if agreeing == number:
                return np.inf
    return best if few else np.inf


@formula
def _lead(views: Views, joint: _Joint, near: Array) -> float:
    """Return the lead in log likelihood of X over the best two-view point elsewhere, and over no point at all.

    Two views that all others contradict may agree by chance, so their lead is capped unless a prior says where to look.
    """
    score, agreeing = _score(views.P, joint.xy, joint.odds, joint.precision, joint.X, near)
    runner_up = 0.0
    for a in range(len(views.P)):
        for b in range(a + 1, len(views.P)):
            gap = _meet(views.centers, views.back, joint.rays, joint.precision, a, b, joint.trial)
            if gap < _TWO_VIEWS and _elsewhere(views.P, joint.xy, joint.precision, joint.X, joint.trial):
                other, _ = _score(views.P, joint.xy, joint.odds, joint.precision, joint.trial, near)
                runner_up = max(runner_up, other)
    return min(score - runner_up, _DECIDED) if agreeing < 3 and near[3] == 0.0 else score - runner_up


@formula
def _refine(P: Array, joint: _Joint) -> bool:
    """Refine X by Gauss-Newton with views weighted by inlier probability (EM); False with fewer than two inliers."""
    for _ in range(_ITERATIONS):
        inliers = 0
        for v in range(len(P)):
            squared = squared_error(P, v, joint.X, joint.xy[v, 0], joint.xy[v, 1])
            own = log_odds(joint.odds[v], joint.precision[v], squared)
            joint.weights[v] = probability_of_log(own)
            joint.pull[v] = joint.weights[v] * joint.precision[v]
            inliers += own > 0.0
        gain, _ = gauss_newton_step(P, joint.xy, joint.pull, joint.X, joint.H)
        if inliers < 2 or not gain >= 0.0:
            return False
        if gain < _SETTLED:
            break
    return True


@formula
def _last_two(weights: Array) -> tuple[int, int, int]:
    """Return how many views see a joint, and the last two of them."""
    number, first, second = 0, -1, -1
    for v in range(len(weights)):
        if weights[v] > 0.0:
            number += 1
            first, second = second, v
    return number, first, second


@formula
def _solve(views: Views, joint: _Joint, near: Array) -> float:
    """Solve a loaded joint, writing X, H and weights; return the lead, NaN where there is no solution."""
    number, first, second = _last_two(joint.weights)
    if number < 2:
        return np.nan
    limit = _TWO_VIEWS if number == 2 else _AGREE
    # fast path: mostly all views agree, and any pair then gives a good start
    gap = _meet(views.centers, views.back, joint.rays, joint.precision, first, second, joint.X)
    if gap < _TWO_VIEWS and _check_all_views(views.P, joint.xy, joint.precision, joint.X, joint.H, limit):
        return np.inf
    if number == 2:
        return np.nan
    score = _best_pair(views, joint, number, near)
    if score == -np.inf or not _refine(views.P, joint):
        return np.nan
    return score if score == np.inf else _lead(views, joint, near)


@formula
def _load(views: Views, xy: Array, odds: Array, precision: Array, f: int, j: int, joint: _Joint) -> None:
    """Load the keypoints of joint j in frame f into the work arrays."""
    for v in range(odds.shape[1]):
        x, y = xy[f, v, j, 0], xy[f, v, j, 1]
        joint.xy[v, 0], joint.xy[v, 1] = x, y
        seen = x == x and y == y
        joint.weights[v] = 1.0 if seen else 0.0
        joint.odds[v] = odds[f, v, j]
        joint.precision[v] = precision[f, v, j] if seen else 0.0
        joint.rays[v, 0], joint.rays[v, 1], joint.rays[v, 2] = ray_direction(views.back, v, x, y)


@formula
def _store(joint: _Joint, keep: bool, f: int, j: int, xyz: Array, covariance: Array, weights: Array) -> None:
    """Write out the solution, or NaN and weights of 0 where it is not kept or is undetermined."""
    found = keep and invert(joint.H, covariance[f, j])
    for k in range(3):
        xyz[f, j, k] = joint.X[k] if found else np.nan
        for i in range(3):
            covariance[f, j, i, k] = covariance[f, j, i, k] if found else np.nan
    for v in range(weights.shape[1]):
        weights[f, v, j] = joint.weights[v] if found else 0.0


@compiled
def _solve_joints(
    views: Views, xy: Array, odds: Array, precision: Array, near: Array, least: float, joint: _Joint, lead: Array,
    xyz: Array, covariance: Array, weights: Array,
) -> None:  # fmt: skip
    """Solve the joints whose lead so far, `(F, J)`, is not sure; keep solutions with at least this new lead."""
    for f in range(lead.shape[0]):
        for j in range(lead.shape[1]):
            if lead[f, j] < _SURE:
                _load(views, xy, odds, precision, f, j, joint)
                lead[f, j] = _solve(views, joint, near[f])
                _store(joint, lead[f, j] >= least, f, j, xyz, covariance, weights)


def _around_bodies(xyz: Array, lead: Array) -> Array:
    """Return a prior on where joints `(F, J, 3)` are, `(F, 4)`: the geometric median of a frame's sure ones.

    The first three numbers are the place, the fourth its precision, which is 0, which means no information, where few
    joints are sure or none is unsure. The median takes six steps of Weiszfeld's algorithm (1937); a median by axis
    would depend on the axes of the world.
    """
    near, sure = np.zeros((len(xyz), 4)), (lead >= _SURE) & np.isfinite(xyz[..., 0])
    frames = np.flatnonzero((sure.sum(axis=1) >= _BODY_JOINTS) & (lead < _SURE).any(axis=1))
    if not len(frames):
        return near
    known, places = sure[frames], np.where(sure[frames][..., None], xyz[frames], 0.0)
    away = np.ones(known.shape)
    for _ in range(_MEDIAN_STEPS):
        weights = known / np.sqrt(away)
        near[frames, :3] = (weights[..., None] * places).sum(axis=1) / weights.sum(axis=1, keepdims=True)
        away = 1e-12 + ((places - near[frames, None, :3]) ** 2).sum(axis=-1)
    near[frames, 3] = _BODY / np.nanmedian(np.where(known, away, np.nan), axis=1)
    return near


def solve_frames(views: Views, xy: Array, odds: Array, precision: Array) -> tuple[Array, Array, Array]:
    """Triangulate every joint robustly from n views; decide what the views leave open by nearness to the body.

    Args:
        views: The cameras.
        xy: Undistorted keypoints `(F, V, J, 2)`; NaN where unseen.
        odds: Log odds `(F, V, J)` of each keypoint being an inlier if its error were 0.
        precision: Inverse variance `(F, V, J)` of a coordinate of each keypoint if it is an inlier, px^-2.

    Returns:
        Points `(F, J, 3)`, NaN where undetermined; their covariances `(F, J, 3, 3)`; and the probability of each
            keypoint being an inlier `(F, V, J)`, 0 where the point is undetermined.
    """
    F, V, J = odds.shape
    found = np.empty((F, J, 3)), np.empty((F, J, 3, 3)), np.empty((F, V, J))
    joint = _Joint(*(np.empty(shape) for shape in ((V, 2), (V, 3), V, V, V, V, 3, 3, 6)))
    lead, near = np.zeros((F, J)), np.zeros((F, 4))
    # the first pass keeps every solution; the second decides unsure joints with the prior from the sure ones
    _solve_joints(views, xy, odds, precision, near, -np.inf, joint, lead, *found)
    near = _around_bodies(found[0], lead)
    _solve_joints(views, xy, odds, precision, near, _DECIDED, joint, lead, *found)
    return found
