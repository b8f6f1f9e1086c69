"""What a detector's errors look like: taken from people whose poses are known, and put on to other poses.

Errors of joints go together, and depend on the pose and on where it is seen from: crossed legs are taken for each
other, a forearm that points at the camera is found too short. No distribution is assumed. Each look at a known pose
leaves its residuals, and another pose takes those of the most similar one among a few drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.nn.looks import (
    BODY,
    LIMBS,
    PELVIS,
    THORAX,
    Looks,
    described,
    face_apart,
    facing_rotation,
    turned,
    unit_size,
)

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Batch = tuple[Floats, Floats]
_GROSS = 0.35  # of the extent of the joints in the image
_GROSS_KEPT = 0.3  # share of the looks with gross errors, which are far more telling of their own pose than of others
_CANDIDATES = 12
_SCALE_SD = 0.3  # of the logarithm of a factor for all residuals of a look
_SCATTER = (0.015, 0.03, 0.06)  # of the joints in the image, in extents, where errors are made up
_MADE_UP_GROSS, _GROSS_FACTOR = 0.03, 6.0


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """Residuals of N looks at poses that are known; axes that look straight at the person, unit size.

    Attributes:
        poses: The true ones, `(N, 16, 3)`.
        rays: Seen less true, `(N, 16, 2)`, over the extent of the true ones; NaN where not seen.
        confidence: `(N, 16)`.
        hints: Likewise in space, `(N, 16, 3)`; NaN where there was no hint.
    """

    poses: Array
    rays: Array
    confidence: Array
    hints: Array

    def __len__(self) -> int:
        return len(self.poses)

    def like(self, poses: Array, rng: np.random.Generator) -> DetectorErrors:
        """Residuals for poses `(M, 16, 3)` of unit size: of the nearest known pose of a few drawn at random, each."""
        drawn = rng.integers(len(self), size=(len(poses), _CANDIDATES))
        apart = ((self.poses[drawn][:, :, LIMBS] - poses[:, None, LIMBS]) ** 2).sum(axis=(-1, -2))
        chosen = drawn[np.arange(len(poses)), apart.argmin(axis=1)]
        return DetectorErrors(*(getattr(self, field.name)[chosen] for field in fields(self)))


def errors_of(looks: Looks, truth: Array, seed: int = 0) -> DetectorErrors:
    """Residuals of usable looks at true poses `(N, 16, 3)`, camera axes; each is kept as a mirror shows it, too.

    Poses that are not known whole are left out, and so are most of the looks with gross errors.
    """
    whole = np.isfinite(truth).all(axis=(1, 2)) & (np.nan_to_num(truth[..., 2], nan=1.0) > 0).all(axis=1)
    looks, truth = looks.at(whole), truth[whole]
    looks, truth = _both_ways(looks, truth)
    exact = truth[..., :2] / truth[..., 2:]
    R = facing_rotation(0.5 * (exact[:, PELVIS] + exact[:, THORAX]))
    exact, seen = turned(exact, R), turned(looks.rays, R)
    poses = unit_size(truth @ np.swapaxes(R, 1, 2))[0]
    found = DetectorErrors(
        poses, (seen - exact) / _spread(exact), looks.confidence, unit_size(looks.hint)[0] - poses
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        gross = (np.linalg.norm(found.rays[:, LIMBS], axis=-1) > _GROSS).any(axis=1)
    gross |= face_apart(found.hints + poses, poses)
    kept = ~gross | (np.random.default_rng(seed).random(len(gross)) < _GROSS_KEPT)
    return DetectorErrors(*(getattr(found, field.name)[kept] for field in fields(found)))


def _both_ways(looks: Looks, truth: Array) -> tuple[Looks, Array]:
    from epitool.nn.looks import join_looks
    from epitool.nn.mocap import mirrored

    return join_looks([looks, looks.mirrored()]), np.concatenate([truth, mirrored(truth, BODY)])


def _spread(rays: Array) -> Array:
    """Root mean square distance of the limbs from the pelvis, `(N, 1, 1)`."""
    square = ((rays - rays[:, [PELVIS]])[:, LIMBS] ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(square.mean(axis=1))[:, None, None])


@dataclass(frozen=True)
class Hardships:
    """What else may happen to a look in training, so that the unit can do without.

    Attributes:
        made_up: Share whose errors in the image are Gaussian, some of them gross, in place of a detector's.
        no_hint: Share that has none.
        unseen: Share of which some joints are not seen.
        hint_turn_deg: Standard deviation of a rotation of the hint.
    """

    made_up: float = 0.5
    no_hint: float = 0.3
    unseen: float = 0.15
    hint_turn_deg: float = 10.0


def training_batches(
    draw_poses: Callable[[int, np.random.Generator], Array], errors: DetectorErrors, hardships: Hardships
) -> Callable[[int, np.random.Generator], Batch]:
    """What gives the unit so many inputs `(N, 97)`, and the poses `(N, 16, 3)` of unit size that they should become.

    Args:
        draw_poses: Gives true poses, camera axes.
        errors: Of a detector.
        hardships: On top of them.
    """

    def draw(count: int, rng: np.random.Generator) -> Batch:
        truth = draw_poses(count, rng)
        looks = looks_with_errors(truth, errors, hardships, rng)
        usable = looks.usable
        inputs, R, _ = described(looks.at(usable))
        return inputs, unit_size(truth[usable] @ np.swapaxes(R, 1, 2))[0].astype(np.float32)

    return draw


def looks_with_errors(
    truth: Array, errors: DetectorErrors, hardships: Hardships, rng: np.random.Generator
) -> Looks:  # fmt: skip
    """How poses `(N, 16, 3)`, camera axes, might be seen."""
    count = len(truth)
    exact = truth[..., :2] / truth[..., 2:]
    R = facing_rotation(0.5 * (exact[:, PELVIS] + exact[:, THORAX]))
    exact = turned(exact, R)
    poses = unit_size(truth @ np.swapaxes(R, 1, 2))[0]
    like = errors.like(poses, rng)
    scale = np.exp(rng.normal(0, _SCALE_SD, (count, 1, 1)))
    made_up = rng.random(count) < hardships.made_up
    residuals = np.where(made_up[:, None, None], _made_up(count, rng), like.rays * scale)
    sure = made_up[:, None] & (rng.random((count, 1)) < 0.5)  # as of detectors that do not tell
    confidence = np.where(sure, 1.0, like.confidence)
    residuals[_unseen(count, hardships.unseen, rng)] = np.nan
    rays = exact + residuals * _spread(exact)
    hint = poses + like.hints * scale
    hint = hint @ _turns(count, hardships.hint_turn_deg, rng)
    hint[rng.random(count) < hardships.no_hint] = np.nan
    seen = np.isfinite(rays).all(axis=-1)
    return Looks(turned(rays, np.swapaxes(R, 1, 2)), np.where(seen, confidence, 0.0), hint)


def _made_up(count: int, rng: np.random.Generator) -> Array:
    """Gaussian residuals `(N, 16, 2)` of a scatter that differs from look to look."""
    gross = np.where(rng.random((count, len(BODY), 1)) < _MADE_UP_GROSS, _GROSS_FACTOR, 1.0)
    return rng.normal(0, 1, (count, len(BODY), 2)) * rng.choice(_SCATTER, (count, 1, 1)) * gross


_LEGS = [j for j, joint in enumerate(BODY.joints) if joint.endswith(("knee", "ankle"))]
_BELOW_CHEST = [*_LEGS, *(j for j, joint in enumerate(BODY.joints) if joint.endswith("hip") or joint == "pelvis")]


def _unseen(count: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Joints that are out of sight `(N, 16)`: here and there, the legs, or all below the chest."""
    out = rng.random((count, len(BODY))) < 0.1
    kind = rng.integers(4, size=count)
    out[np.ix_(kind == 1, _LEGS)] = True
    out[np.ix_(kind == 2, _BELOW_CHEST)] = True
    out[rng.random(count) >= share] = False
    return out


def _turns(count: int, degrees: float, rng: np.random.Generator) -> Array:
    """Small rotations `(N, 3, 3)`, of which those about the optical axis are the smallest."""
    return Rotation.from_rotvec(rng.normal(0, np.radians(degrees), (count, 3)) * [1.0, 1.0, 0.3]).as_matrix()
