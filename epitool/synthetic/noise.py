"""Simulation of a 2D detector's errors on exact keypoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

LIMBS = tuple(
    (f"{side}_{upper}", f"{side}_{lower}")
    for side in ("left", "right")
    for upper, lower in (("elbow", "wrist"), ("knee", "ankle"))
)
MISSING_LIMBS = 0.02  # share of the frames and views in which each limb is missing
RUN_FRAMES = 10  # length of a run in which a detector confuses the sides
INLIER_CONFIDENCE, OUTLIER_CONFIDENCE = (0.7, 1.0), (0.35, 0.75)


def noisy_keypoints(truth: Labels, *, sigma_px: float, outliers: float, swap_share: float, seed: int = 0) -> Keypoints:
    """Return the keypoints that a detector with these errors would find.

    Args:
        truth: Exact labels.
        sigma_px: Standard deviation of the Gaussian noise on both coordinates, px.
        outliers: Share of the joints that are placed anywhere in the image, at a lower confidence that still counts.
        swap_share: Share of the frames of one view, chosen by the seed, in which left and right are exchanged.
        seed: Seed of all randomness.

    Returns:
        Keypoints of the same frames and views. Besides the errors above, 2% of the forearms and shins are missing;
        joints outside the image stay missing.
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


def detector_like(
    truth: Labels, *, noise: float, outliers: float, swap_share: float, frozen_view: int | None = None, seed: int = 0
) -> Keypoints:
    """Return the keypoints of a poor detector.

    It has heavy-tailed noise, gross errors, missing limbs, exchanged sides and possibly a frozen view.

    Args:
        truth: Exact labels.
        noise: Scale of Student's t with 3 degrees of freedom, as a share of the person's size in each view.
        outliers: Share of the joints that are placed anywhere in the image, at a lower confidence that still counts.
        swap_share: Share of the frames of one view, in runs of about ten frames, with left and right exchanged.
        frozen_view: View that repeats one of its frames; None for none.
        seed: Seed of all randomness.

    Returns:
        Keypoints of the same frames and views; limbs are missing as in `noisy_keypoints`.
    """
    rng = np.random.default_rng(seed)
    size_px = np.nanmedian(truth.boxes()[..., 2], axis=0)
    clean = noisy_keypoints(truth, sigma_px=0.0, outliers=outliers, swap_share=0.0, seed=seed)
    tails = rng.standard_t(3, clean.xy.shape) * (noise * size_px)[:, None, None]
    swapped = np.zeros(clean.xy.shape[:2], dtype=bool)
    swapped[:, rng.integers(swapped.shape[1])] = _runs(rng, len(swapped), swap_share)
    keypoints = replace(clean, xy=clean.xy + tails).with_swaps(swapped)
    if frozen_view is None:
        return keypoints
    xy, confidence, frame = keypoints.xy.copy(), keypoints.confidence.copy(), rng.integers(len(keypoints.frames))
    xy[:, frozen_view], confidence[:, frozen_view] = xy[frame, frozen_view], confidence[frame, frozen_view]
    return replace(keypoints, xy=xy, confidence=confidence)


def _runs(rng: np.random.Generator, frames: int, share: float) -> NDArray[np.bool_]:
    """Return which frames lie in randomly chosen runs that together are this share of them."""
    run = np.arange(frames) // RUN_FRAMES
    rank = rng.permutation(run.max(initial=0) + 1)[run]
    flagged = np.zeros(frames, dtype=bool)
    flagged[np.argsort(rank, kind="stable")[: round(share * frames)]] = True
    return flagged
