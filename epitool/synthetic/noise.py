"""Imitates what a 2D detector makes of the exact keypoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.pose import Keypoints, Labels
from epitool.skeleton import Skeleton

LIMBS = tuple(
    (f"{side}_{upper}", f"{side}_{lower}")
    for side in ("left", "right")
    for upper, lower in (("elbow", "wrist"), ("knee", "ankle"))
)
MISSING_LIMBS = 0.02  # of each limb's appearances
INLIER_CONFIDENCE, OUTLIER_CONFIDENCE = (0.7, 1.0), (0.35, 0.75)


def noisy_keypoints(truth: Labels, *, sigma_px: float, outliers: float, swap_share: float, seed: int = 0) -> Keypoints:
    """The keypoints that a detector with these faults would give.

    Args:
        truth: Exact labels.
        sigma_px: Standard deviation of the Gaussian noise on both coordinates, px.
        outliers: Share of the joints that land anywhere in the image, at a lower confidence that still counts.
        swap_share: Share of the frames of one view, drawn by the seed, in which left and right are exchanged.
        seed: Chooses all that is random.

    Returns:
        Keypoints of the same frames and views. Besides the faults above, 2% of the forearms and shins are missing;
        what lies outside the image stays missing.
    """
    rng = np.random.default_rng(seed)
    exact = truth.keypoints
    size = exact.image_size[None, :, None].astype(float)
    xy = exact.xy + rng.normal(0, sigma_px, exact.xy.shape)
    gross = rng.random(exact.confidence.shape) < outliers
    xy = np.where(gross[..., None], rng.uniform(0, size - 1, xy.shape), xy)
    low, high = (np.where(gross, *bounds) for bounds in zip(OUTLIER_CONFIDENCE, INLIER_CONFIDENCE))
    confidence = rng.uniform(low, high)
    missing = _missing(rng, exact.confidence.shape, exact.skeleton) | (exact.confidence == 0)
    faulty = replace(exact, xy=np.where(missing[..., None], np.nan, xy), confidence=confidence)
    swapped = np.zeros(exact.confidence.shape[:2], dtype=bool)
    swapped[:, rng.integers(swapped.shape[1])] = rng.random(len(swapped)) < swap_share
    return faulty.with_swaps(swapped)


def _missing(rng: np.random.Generator, shape: tuple[int, ...], skeleton: Skeleton) -> NDArray[np.bool_]:
    missing = np.zeros(shape, dtype=bool)
    for limb in LIMBS:
        gone = rng.random(shape[:2]) < MISSING_LIMBS
        for joint in limb:
            missing[..., skeleton.index(joint)] |= gone
    return missing
