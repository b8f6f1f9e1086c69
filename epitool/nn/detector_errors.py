"""Errors of a detector, taken from people whose poses are known and applied to other poses.

Errors of joints are correlated, and depend on the pose and on the viewpoint: crossed legs are mistaken for each other,
and a forearm that points at the camera is found too short. No distribution is assumed. Each look at a known pose gives
a set of residuals, and another pose takes those of the most similar known pose among a few drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

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
    join_looks,
    mirrored,
    rotate_rays,
    unit_size,
)

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Batch = tuple[Floats, Floats]
_GROSS = 0.35  # share of the joints' extent in the image beyond which an error is gross
_GROSS_KEPT = 0.3  # share of looks with gross errors that are kept; such errors are specific to their pose
_CANDIDATES = 12
_SCALE_SD = 0.3  # SD of the logarithm of a random factor for all residuals of a look
_SCATTER = (0.015, 0.03, 0.06)  # SD of made-up errors in the image, over the joints' extent
_MADE_UP_GROSS, _GROSS_FACTOR = 0.03, 6.0


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """Residuals of N looks at known poses, in axes that look straight at the person and at unit size.

    Attributes:
        poses: True poses, `(N, 16, 3)`.
        rays: Detected minus true rays, `(N, 16, 2)`, over the extent of the true ones; NaN where not seen.
        confidence: Confidence in each joint, `(N, 16)`.
        hints: Hinted minus true joints in space, `(N, 16, 3)`; NaN where there was no hint.
    """

    poses: Array
    rays: Array
    confidence: Array
    hints: Array

    def __len__(self) -> int:
        return len(self.poses)

    def at(self, chosen: NDArray[Any]) -> DetectorErrors:
        """Return some of them, by indices or flags."""
        return DetectorErrors(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def like(self, poses: Array, rng: np.random.Generator) -> DetectorErrors:
        """Return residuals for poses `(M, 16, 3)` of unit size.

        Each pose takes those of the nearest among a few known poses drawn at random.
        """
        drawn = rng.integers(len(self), size=(len(poses), _CANDIDATES))
        apart = ((self.poses[drawn][:, :, LIMBS] - poses[:, None, LIMBS]) ** 2).sum(axis=(-1, -2))
        chosen = drawn[np.arange(len(poses)), apart.argmin(axis=1)]
        return self.at(chosen)


def errors_of(looks: Looks, truth: Array, seed: int = 0) -> DetectorErrors:
    """Return the residuals of usable looks at true poses `(N, 16, 3)`, camera axes, and of their mirror images.

    Poses with unknown joints are left out, and so are most of the looks with gross errors.
    """
    whole = np.isfinite(truth).all(axis=(1, 2)) & (np.nan_to_num(truth[..., 2], nan=1.0) > 0).all(axis=1)
    looks, truth = looks.at(whole), truth[whole]
    looks, truth = _both_ways(looks, truth)
    exact, poses, R = _looked_straight_at(truth)
    off = (rotate_rays(looks.rays, R) - exact) / _spread(exact)
    found = DetectorErrors(poses, off, looks.confidence, unit_size(looks.hint)[0] - poses)
    with np.errstate(invalid="ignore"):
        gross = (np.linalg.norm(found.rays[:, LIMBS], axis=-1) > _GROSS).any(axis=1)
    gross |= face_apart(found.hints + poses, poses)
    kept = ~gross | (np.random.default_rng(seed).random(len(gross)) < _GROSS_KEPT)
    return found.at(kept)


def _both_ways(looks: Looks, truth: Array) -> tuple[Looks, Array]:
    """Append the mirror images of looks and poses."""
    return join_looks([looks, looks.mirrored()]), np.concatenate([truth, mirrored(truth, BODY)])


def _looked_straight_at(truth: Array) -> tuple[Array, Array, Array]:
    """Return rays `(N, 16, 2)` and unit-size poses `(N, 16, 3)` in axes that look at each person, and these axes."""
    rays = truth[..., :2] / truth[..., 2:]
    R = facing_rotation(0.5 * (rays[:, PELVIS] + rays[:, THORAX]))
    return rotate_rays(rays, R), unit_size(truth @ np.swapaxes(R, 1, 2))[0], R


def _spread(rays: Array) -> Array:
    """Return the root mean square distance of the limbs from the pelvis, `(N, 1, 1)`."""
    square = ((rays - rays[:, [PELVIS]])[:, LIMBS] ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(square.mean(axis=1))[:, None, None])


@dataclass(frozen=True)
class Hardships:
    """Further difficulties of looks in training, so that the unit does not rely on what may be missing.

    Attributes:
        made_up: Share of looks whose errors in the image are Gaussian, some of them gross, in place of a detector's.
        no_hint: Share of looks without a hint.
        unseen: Share of looks in which some joints are not seen.
        other_scale: Share of looks whose confidences are on another scale than those of the detector whose errors are
            learned. What is a joint found well has 0.95 from one detector, and 0.6 from another.
        hint_turn_deg: Standard deviation of a rotation of the hint.
    """

    made_up: float = 0.5
    no_hint: float = 0.3
    unseen: float = 0.5
    other_scale: float = 0.4
    hint_turn_deg: float = 10.0


AS_SEEN = Hardships(made_up=0.0, no_hint=0.0, unseen=0.0, other_scale=0.0, hint_turn_deg=0.0)


def training_batches(
    draw_poses: Callable[[int, np.random.Generator], Array], errors: DetectorErrors, hardships: Hardships
) -> Callable[[int, np.random.Generator], Batch]:
    """Return a function that draws inputs `(N, 97)` of the unit and their targets, poses `(N, 16, 3)` of unit size.

    Args:
        draw_poses: Draws a number of true poses, camera axes.
        errors: Errors of a detector.
        hardships: Further difficulties.
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
    """Simulate how a detector might see poses `(N, 16, 3)`, camera axes."""
    count = len(truth)
    exact, poses, R = _looked_straight_at(truth)
    like = errors.like(poses, rng)
    scale = np.exp(rng.normal(0, _SCALE_SD, (count, 1, 1)))
    made_up = rng.random(count) < hardships.made_up
    residuals = np.where(made_up[:, None, None], _made_up(count, rng), like.rays * scale)
    sure = made_up[:, None] & (rng.random((count, 1)) < 0.5)  # imitates detectors without confidences
    confidence = np.where(sure, 1.0, like.confidence) * _other_scales(count, hardships.other_scale, rng)
    residuals[_unseen(count, hardships.unseen, rng)] = np.nan
    rays = exact + residuals * _spread(exact)
    hint = poses + like.hints * scale
    hint = hint @ _turns(count, hardships.hint_turn_deg, rng)
    hint[rng.random(count) < hardships.no_hint] = np.nan
    seen = np.isfinite(rays).all(axis=-1)
    return Looks(rotate_rays(rays, np.swapaxes(R, 1, 2)), np.where(seen, confidence, 0.0), hint)


def _made_up(count: int, rng: np.random.Generator) -> Array:
    """Draw Gaussian residuals `(N, 16, 2)` whose scatter differs from look to look."""
    gross = np.where(rng.random((count, len(BODY), 1)) < _MADE_UP_GROSS, _GROSS_FACTOR, 1.0)
    return rng.normal(0, 1, (count, len(BODY), 2)) * rng.choice(_SCATTER, (count, 1, 1)) * gross


def _other_scales(count: int, share: float, rng: np.random.Generator) -> Array:
    """Draw factors of confidences `(N, 16)`: one for each look, which vary a little from joint to joint."""
    of_look, scatter = rng.uniform(0.25, 1, (count, 1)), rng.uniform(0, 0.4, (count, 1))
    factors = of_look * (1 - scatter * rng.random((count, len(BODY))))
    return np.where(rng.random((count, 1)) < share, factors, 1.0)


_HEAD = [BODY.index("neck_nose"), BODY.index("head_top")]
_LEGS = [j for j, joint in enumerate(BODY.joints) if joint.endswith(("knee", "ankle"))]
_BELOW_CHEST = [*_LEGS, *(j for j, joint in enumerate(BODY.joints) if joint.endswith("hip") or joint == "pelvis")]


def _unseen(count: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw joints out of sight `(N, 16)`: single ones, perhaps the head's, the legs, or all below the chest."""
    out = rng.random((count, len(BODY))) < rng.uniform(0, 0.3, (count, 1))
    kind = rng.integers(8, size=count)
    for k, joints in enumerate((_HEAD[:1], _HEAD[1:], _HEAD, _LEGS, _BELOW_CHEST)):
        out[np.ix_(kind == k, joints)] = True
    out[rng.random(count) >= share] = False
    return out


def _turns(count: int, degrees: float, rng: np.random.Generator) -> Array:
    """Draw small rotations `(N, 3, 3)`, which are smallest about the optical axis."""
    return Rotation.from_rotvec(rng.normal(0, np.radians(degrees), (count, 3)) * [1.0, 1.0, 0.3]).as_matrix()
