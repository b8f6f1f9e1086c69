"""Cameras and joints by what detectors say of themselves, over the bounds that ignore it.

Rotations are compared with the Cramer-Rao bound of known inliers, joints with what triangulation makes of the inliers
alone, by the true cameras and without confidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scenes import Array, Scene, rms, rotation_errors, walking

from epitool.geometry.calibration.calibrate import calibrate
from epitool.geometry.triangulation.labels import make_labels
from epitool.pose import Keypoints

FRAMES, SEEDS, MANY = 200, 40, 200
Model = Callable[[np.random.Generator, Array, Array], Array]
CASES = [(2.0, 0.0), (5.0, 0.0), (5.0, 0.1), (8.0, 0.1), (5.0, 0.3)]
MODELS: dict[str, Model] = {
    "none": lambda rng, right, error: np.ones(right.shape),
    "at random": lambda rng, right, error: rng.uniform(0.2, 1.0, right.shape),
    "heatmap": lambda rng, right, error: np.where(
        right, 0.55 - 0.045 * error + rng.normal(0, 0.05, right.shape), rng.normal(0.4, 0.1, right.shape)
    ),
    "as BlazePose": lambda rng, right, error: np.where(
        right, rng.beta(8, 0.6, right.shape), rng.beta(1.2, 1.2, right.shape)
    ),
    "as OpenPose": lambda rng, right, error: np.where(
        right, rng.normal(0.75, 0.12, right.shape), rng.normal(0.45, 0.2, right.shape)
    ),
    "surest of errors": lambda rng, right, error: np.where(
        right, rng.normal(0.6, 0.1, right.shape), rng.normal(0.85, 0.08, right.shape)
    ),
}


def told(scene: Scene, model: Model, seed: int) -> Scene:
    """The scene with confidences."""
    off = scene.keypoints.xy - scene.truth.rig.project(scene.truth.poses.xyz)
    error = np.nan_to_num(np.linalg.norm(off, axis=-1))
    drawn = np.maximum(model(np.random.default_rng([seed, 5]), scene.inliers, error), 0.01)
    return replace(scene, keypoints=replace(scene.keypoints, confidence=drawn))


def inliers_of(scene: Scene) -> Keypoints:
    """The keypoints that are no gross errors, which nobody knows in practice, all of one confidence."""
    xy = np.where(scene.inliers[..., None], scene.keypoints.xy, np.nan)
    return replace(scene.keypoints, xy=xy, confidence=np.isfinite(xy[..., 0]).astype(float))


def mean_error(xyz: Array, scene: Scene, counted: Array) -> float:
    """Of the joints counted `(F, J)`; infinite where one of them is missing in more than one of 200."""
    off = np.linalg.norm(xyz - scene.truth.poses.xyz, axis=-1)[counted]
    return float(np.nanmean(off)) if np.isnan(off).mean() < 0.005 else np.inf


def spread(errors: list[float], bounds: list[float]) -> float:
    """Standard deviation of the ratio of the RMS values, by a jackknife over the scenes."""
    count = len(errors)
    without = [rms(np.delete(errors, i)) / rms(np.delete(bounds, i)) for i in range(count)]
    return float(np.sqrt((count - 1) * np.var(without)))


@pytest.mark.bench
@pytest.mark.parametrize(("sigma_px", "gross"), CASES)
def test_confidence_is_evidence(sigma_px, gross):
    first = 1000 * (20 + CASES.index((sigma_px, gross)))
    ratios = {}
    for name, model in MODELS.items():
        errors, bounds, places, floors = [], [], [], []
        for seed in range(first, first + SEEDS):
            scene = told(walking(FRAMES, seed, sigma_px=sigma_px, outliers=gross), model, seed)
            found = calibrate(scene.keypoints, scene.truth.rig.cameras, seed=0, jobs=1)
            xyz = make_labels(scene.keypoints, scene.truth.rig, jobs=1).poses.xyz
            errors.append(rms(rotation_errors(found.rig, scene.truth.rig)))
            bounds.append(scene.bound_deg)
            counted = scene.inliers.sum(axis=1) >= 3  # with two views nothing tells a gross error
            places.append(mean_error(xyz, scene, counted))
            floors.append(mean_error(make_labels(inliers_of(scene), scene.truth.rig, jobs=1).poses.xyz, scene, counted))
        ratios[name] = rms(errors) / rms(bounds), float(np.mean(places))
        ratio, place = ratios[name]
        print(
            f"\n{sigma_px:g} px, {gross:.0%} gross errors, {name:16} {ratio:5.2f} +- {spread(errors, bounds):.2f} x"
            f" bound {place:6.1f} mm,"
            f" {place / np.mean(floors):.3f} x that of the inliers alone",
            end="",
        )
    (ratio, place), others = ratios["none"], [ratios[name] for name in MODELS if name != "none"]
    assert all(r < 1.1 * ratio and p < 1.02 * place for r, p in others)


@pytest.mark.bench
@pytest.mark.parametrize(("sigma_px", "gross"), [case for case in CASES if case[1]])
def test_cameras_are_nearly_those_of_the_inliers_alone(sigma_px, gross):
    first = 1000 * (20 + CASES.index((sigma_px, gross)))
    errors: dict[str, list[float]] = {"all keypoints": [], "inliers": []}
    bounds = []
    for seed in range(first, first + MANY):
        scene = told(walking(FRAMES, seed, sigma_px=sigma_px, outliers=gross), MODELS["none"], seed)
        for name, keypoints in (("all keypoints", scene.keypoints), ("inliers", inliers_of(scene))):
            found = calibrate(keypoints, scene.truth.rig.cameras, seed=0, jobs=1)
            errors[name].append(rms(rotation_errors(found.rig, scene.truth.rig)))
        bounds.append(scene.bound_deg)
    said = [f"{name} {rms(own) / rms(bounds):.3f} +- {spread(own, bounds):.3f} x bound" for name, own in errors.items()]
    print(f"\n{sigma_px:g} px, {gross:.0%} gross errors, {MANY} scenes: {', '.join(said)}", end="")
    assert rms(errors["all keypoints"]) < 1.1 * rms(errors["inliers"])
