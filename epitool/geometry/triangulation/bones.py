"""Bone lengths as a prior of triangulated poses: their estimation, and the most probable pose given them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.compiled.formula import compiled_allocating, copy
from epitool.geometry.compiled.projection import Views
from epitool.geometry.noise import KeypointNoise
from epitool.geometry.triangulation.places import Sight, Tree, find_places
from epitool.geometry.triangulation.skeleton import choose_places, refine_frame
from epitool.geometry.triangulation.triangulate import likelihoods, solver_views
from epitool.labels import Labels, covariance_matrices
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_MIN_SPREAD = 0.01  # share of a bone's length: keypoints mark the centres of joints no better than this
_MIN_SAMPLES = 20
_ROUNDS = 40
_UNSURE = 0.5  # share of a bone's length: joints with a larger standard deviation are undetermined
_REACH = 0.75  # share of the longest path along bones: how far a joint can be from the middle of the body


@dataclass(frozen=True, eq=False)
class BoneLengths:
    """Lengths of the bones that lead to each joint from its parent.

    Attributes:
        length: Lengths `(J,)` in the rig's unit; NaN for roots and where unknown.
        spread: Standard deviation over frames of the distance between the two joints, `(J,)`.
    """

    length: Array
    spread: Array


@dataclass(frozen=True, eq=False)
class BonePoses:
    """Poses refined with bone lengths.

    Attributes:
        xyz: Joints `(F, J, 3)`; NaN where keypoints and bones determine no place, or two places about equally well.
        covariance: Covariances `(F, J, 3, 3)`, given that the keypoints treated as gross errors are gross errors; NaN
            where xyz is.
        converged: Whether the solver converged, `(F,)`.
    """

    xyz: Array
    covariance: Array
    converged: NDArray[np.bool_]


def bone_spread(labels: Labels, person_of: NDArray[np.int64] | None = None) -> float:
    """Return the median over bones of the relative scatter of their length less the noise; NaN where none is known.

    Args:
        labels: Labels of F frames.
        person_of: Person that each frame shows, `(F,)`, because people differ in size. By default one person.
    """
    full = covariance_matrices(labels.covariance)
    spreads = []
    people = [slice(None)] if person_of is None else [person_of == person for person in np.unique(person_of)]
    for parent, child in labels.poses.skeleton.bones:
        bone = labels.poses.xyz[:, child] - labels.poses.xyz[:, parent]
        length = np.linalg.norm(bone, axis=-1)
        along = bone / np.where(length > 0, length, np.nan)[:, None]
        noise = np.einsum("fi,fij,fj->f", along, full[:, child] + full[:, parent], along)
        spreads += [found for mine in people if (found := _measure_scatter(length[mine], noise[mine])) is not None]
    return float(np.median(spreads)) if spreads else np.nan


def _measure_scatter(length: Array, noise: Array) -> float | None:
    """Return the relative scatter of one bone's length `(F,)` less its noise; None if it is seen in too few frames."""
    known = np.isfinite(noise)
    if known.sum() < _MIN_SAMPLES:
        return None
    usual = float(np.median(length[known]))
    scatter = (1.4826 * float(np.median(np.abs(length[known] - usual)))) ** 2 - float(np.median(noise[known]))
    return float(np.sqrt(max(scatter, 0.0)) / usual)


def estimate_bone_lengths(xyz: Array, covariance: Array, skeleton: Skeleton) -> BoneLengths:
    """Estimate each bone's length and its variation from noisy poses `(F, J, 3)` with covariance `(F, J, 3, 3)`.

    A noisy distance is too long on average: E d^2 = L^2 + spread^2 + trace of the noise. The noise is subtracted from
    the squares, and the scatter that exceeds it is the bone's own. Left and right share one length.

    Raises:
        GeometryError: No bone has both ends triangulated in enough frames.
    """
    length, spread = np.full(len(skeleton), np.nan), np.full(len(skeleton), np.nan)
    for bones in _group_alike(skeleton):
        samples = [_squared_lengths(xyz[:, list(ends)], covariance[:, list(ends)]) for ends in bones]
        squares, variances, total = (np.concatenate(part) for part in zip(*samples, strict=True))
        for _, child in bones:
            length[child], spread[child] = _length_and_spread(squares, variances, total)
    if np.isnan(length).all():
        raise GeometryError(
            f"no bone of skeleton {skeleton.name} is triangulated in {_MIN_SAMPLES} frames, so bone lengths"
            " cannot be estimated; triangulate without them"
        )
    return BoneLengths(length, spread)


def _group_alike(skeleton: Skeleton) -> list[list[tuple[int, int]]]:
    """Return the bones (parent, child) in groups, each left one together with its mirror image."""
    mirrored = dict(skeleton.flip_pairs)
    groups: dict[int, list[tuple[int, int]]] = {}
    right_to_left = {right: left for left, right in mirrored.items()}
    for parent, child in skeleton.bones:
        groups.setdefault(right_to_left.get(child, child), []).append((parent, child))
    return list(groups.values())


def _squared_lengths(ends: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Return the squared lengths as measured `(F,)`, the variance that noise gives them, and the trace of the noise.

    The variance is 4 b'Sb + 2 tr(S^2) with the true bone b; using the measured one makes b'Sb too large by tr(S^2).
    """
    between = ends[:, 1] - ends[:, 0]
    noise = covariance.sum(axis=1)
    squares = (between**2).sum(axis=1)
    variances = 4 * np.einsum("fi,fij,fj->f", between, noise, between) - 2 * (noise**2).sum(axis=(1, 2))
    good = np.isfinite(squares) & np.isfinite(variances)
    return squares[good], variances[good], np.trace(noise[good], axis1=1, axis2=2)


def _length_and_spread(squares: Array, variances: Array, total: Array) -> tuple[float, float]:
    """Estimate length and spread by Fisher scoring under a mixture with gross errors; NaN with too few samples.

    The bone's own variance adds 4 L^2 spread^2 to that of the noise. Weights use the mean of the noise over directions:
    the variance of a single frame grows with its measured length, so it would favour short ones. Where lengths scatter
    less than the stated noise allows, the noise is scaled down.
    """
    if len(squares) < _MIN_SAMPLES:
        return np.nan, np.nan
    center, share, gross, stated = float(np.median(squares)), 0.9, 1 / (np.ptp(squares) + 1e-300), 1.0
    own = (1.4826 * float(np.median(np.abs(squares - center)))) ** 2
    for _ in range(_ROUNDS):
        # 4 b'Sb averages to 4 L^2 tr(S) / 3 over directions, and 2 tr(S^2) to 2 tr(S)^2 / 3 for isotropic noise
        freed = squares - stated * total
        scatter = np.maximum(stated * (4 * center * total / 3 + 2 * total**2 / 3) + own, (1e-6 * center) ** 2 + 1e-300)
        density = share * np.exp(-0.5 * (freed - center) ** 2 / scatter) / np.sqrt(2 * np.pi * scatter)
        inlier = density / (density + (1 - share) * gross)
        share = float(np.clip(inlier.mean(), 0.1, 0.99))
        weights = inlier / scatter
        center = max(float((weights * freed).sum() / weights.sum()), 1e-300)
        weights /= scatter
        found = float((weights * (freed - center) ** 2).sum() / weights.sum())
        noise = max(float((weights * variances).sum() / weights.sum()), 1e-300)
        stated, own = min(found / noise, 1.0), max(found - noise, 0.0)
    variance = own / (4 * center)
    if not center > 4 * variance:
        return np.nan, np.nan
    # center is E d^2 without noise, which is L^2 + spread^2
    length = float(np.sqrt(center - variance))
    return length, max(float(np.sqrt(variance)), _MIN_SPREAD * length)


def refine_with_bones(
    xy: Array, confidence: Array, rig: Rig, start: Array, skeleton: Skeleton, bones: BoneLengths, noise: KeypointNoise
) -> BonePoses:
    """Find the most probable pose of each frame given its keypoints and bone lengths; frames are independent.

    A keypoint is near its joint's projection (Gaussian) or anywhere in the image. Each joint has several possible
    places: its start, the places where pairs of views see it and, where no two views agree, the places where a ray
    meets the end of a bone. Dynamic programming over the skeleton picks those that are jointly most probable, and
    Levenberg-Marquardt with the mixture's weights refines them.

    Args:
        xy: Undistorted keypoints `(F, V, J, 2)` px, NaN where unseen.
        confidence: Confidences of the keypoints, `(F, V, J)`.
        rig: The V cameras.
        start: Triangulated poses `(F, J, 3)`, NaN where there is none.
        skeleton: The joints.
        bones: Bone lengths of the same person, in the rig's unit.
        noise: Noise of the keypoints.

    Raises:
        ValueError: The noise is out of range, or no bone has a length.
    """
    if not noise.sigma_px > 0 or not ((noise.inlier_share > 0) & (noise.inlier_share < 1)).all():
        raise ValueError(f"{noise} is out of range")
    odds, precision = likelihoods(noise, confidence, rig)
    seen = (np.ascontiguousarray(np.swapaxes(x, 1, 2), dtype=float) for x in (xy, np.exp(odds), precision))
    return BonePoses(*_refine(solver_views(rig), _tree(skeleton, bones), Sight(*seen), np.ascontiguousarray(start)))


def _tree(skeleton: Skeleton, bones: BoneLengths) -> Tree:
    """Return the bones as a tree for the solver, with distances between joints along bones."""
    from scipy.sparse.csgraph import shortest_path  # slow to import

    length, spread = (np.array(values, dtype=float) for values in (bones.length, bones.spread))
    parents = np.where(np.isfinite(length) & np.isfinite(spread), skeleton.parents, -1).astype(np.int64)
    if (parents < 0).all():
        raise ValueError("no bone length is known")
    J = len(parents)
    known, apart = np.flatnonzero(parents >= 0), np.zeros((J, J))
    apart[known, parents[known]] = length[known]
    ways = shortest_path(apart, directed=False)
    roots = np.flatnonzero(parents < 0)
    order = np.argsort(ways[:, roots].min(axis=1), kind="stable")
    connected = np.isfinite(ways)
    one_body = 2 * connected.sum(axis=1).max() > J  # otherwise the longest path says little about the body's size
    reach = _REACH * float(ways[connected].max()) if one_body else np.inf
    size = float(length[parents >= 0].mean())
    return Tree(order, parents, length, spread, size, reach)


@compiled_allocating
def _refine(views: Views, tree: Tree, seen: Sight, start: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Refine the poses of F frames, as `refine_with_bones` describes."""
    F, J = start.shape[:2]
    xyz, covariance = np.empty((F, J, 3)), np.empty((F, J, 3, 3))
    converged, clear, chosen = np.empty(F, dtype=np.bool_), np.empty(J, dtype=np.bool_), np.empty(J, dtype=np.int64)
    for f in range(F):
        sight = Sight(seen.xy[f], seen.odds[f], seen.precision[f])
        places = find_places(views, tree, sight, start[f])
        choose_places(tree, places, chosen, clear)
        for j in range(J):
            copy(places.xyz[j, chosen[j]], xyz[f, j])
        converged[f] = refine_frame(views, tree, sight, xyz[f], covariance[f])
        for j in range(J):
            if not clear[j] or not np.trace(covariance[f, j]) < (_UNSURE * tree.size) ** 2:
                xyz[f, j] = np.nan
            if np.isnan(xyz[f, j, 0]):
                covariance[f, j] = np.nan
    return xyz, covariance, converged
