"""Bundle adjustment: exact data stay, noise is averaged, gross errors are told from noise, units do not matter."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from epitool.errors import GeometryError
from epitool.geometry.calibration import bundle_adjustment
from epitool.geometry.calibration.bundle_adjustment import adjust, measure_fit
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.calibration.expectation import em_step


def shaken(rig, degrees, mm, seed=0):
    """The rig with every camera but the first turned and moved at random."""
    rng = np.random.default_rng(seed)
    cameras = [rig.cameras[0]]
    for camera in rig.cameras[1:]:
        turn = cv2.Rodrigues(np.radians(degrees) * rng.normal(size=3) / np.sqrt(3))[0]
        cameras.append(replace(camera, R=turn @ camera.R, t=camera.t + rng.normal(0, mm, 3)))
    return replace(rig, cameras=tuple(cameras))


def observed(truth, sigma, gross=0.0, seed=0):
    rng = np.random.default_rng(seed)
    xy = truth.keypoints.xy + rng.normal(0, sigma, truth.keypoints.xy.shape)
    bad = rng.random(xy.shape[:3]) < gross
    return np.where(bad[..., None], rng.uniform(0, 384, xy.shape), xy)


def worst_deg(rig, truth):
    return max(pair.rotation_deg for pair in compare_rigs(rig, truth.rig))


def rms_deg(rig, truth):
    return float(np.sqrt(np.mean([pair.rotation_deg**2 for pair in compare_rigs(rig, truth.rig)])))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_cameras_that_look_away_fit_no_joint(truth):
    """Cameras that a file states may be as wrong as that; more than half of the joints are then behind them."""
    away = tuple(replace(c, R=np.diag([-1.0, 1, -1]) @ c.R, t=np.array([-1.0, 1, -1]) * c.t) for c in truth.rig.cameras)
    fit = measure_fit(truth.keypoints.xy, truth.keypoints.confidence, truth.poses.xyz, replace(truth.rig, cameras=away))
    assert np.isfinite(fit.cost)
    assert fit.inlier_share.max() < 0.5


def test_exact_keypoints_lead_back_to_the_exact_cameras(truth):
    start = shaken(truth.rig, 3.0, 100.0)
    rng = np.random.default_rng(1)
    found = adjust(
        truth.keypoints.xy,
        truth.keypoints.confidence,
        truth.poses.xyz + rng.normal(0, 50, truth.poses.xyz.shape),
        start,
    )
    assert worst_deg(start, truth) > 2
    assert worst_deg(found.rig, truth) < 1e-4


def test_noise_and_share_of_gross_errors_are_estimated(truth):
    found = adjust(observed(truth, 2.0, gross=0.1), truth.keypoints.confidence, truth.poses.xyz, truth.rig)
    assert found.sigma_px == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(found.inlier_share, 0.9, atol=0.03)


def test_gross_errors_cost_little(truth):
    clean = [
        rms_deg(adjust(observed(truth, 2.0, 0.0, s), truth.keypoints.confidence, truth.poses.xyz, truth.rig).rig, truth)
        for s in range(4)
    ]
    dirty = [
        rms_deg(adjust(observed(truth, 2.0, 0.1, s), truth.keypoints.confidence, truth.poses.xyz, truth.rig).rig, truth)
        for s in range(4)
    ]
    assert np.mean(clean) < 0.15
    assert np.mean(dirty) < 1.5 * np.mean(clean)


def test_it_is_the_least_squares_optimum_without_gross_errors(truth):
    """Against scipy on a small problem: 6 frames, all cameras but the first and all joints free."""
    frames = 6
    xy, xyz = observed(truth, 1.0)[:frames], truth.poses.xyz[:frames]
    confidence = truth.keypoints.confidence[:frames]
    found = adjust(xy, confidence, xyz, truth.rig).rig
    first, rest = truth.rig.cameras[0], truth.rig.cameras[1:]

    def rig_of(parameters):
        cameras = [first]
        for camera, step in zip(rest, parameters[: 6 * len(rest)].reshape(-1, 6)):
            t = camera.t + 1000 * step[3:]
            cameras.append(replace(camera, R=cv2.Rodrigues(step[:3].copy())[0] @ camera.R, t=t))
        return replace(truth.rig, cameras=tuple(cameras))

    def residuals(parameters):
        points = 1000 * parameters[6 * len(rest) :].reshape(frames, 17, 3)
        return (rig_of(parameters).project(points) - xy).ravel()

    start = np.concatenate([np.zeros(6 * len(rest)), xyz.ravel() / 1000])
    best = least_squares(residuals, start, method="trf", x_scale="jac", xtol=1e-12, ftol=1e-12)
    for pair in compare_rigs(found, rig_of(best.x)):
        assert pair.rotation_deg < 0.03  # the noise of each joint is estimated too
        assert pair.direction_deg < 0.02


def test_the_unit_does_not_matter(truth):
    xy = observed(truth, 2.0, 0.05)
    in_mm = adjust(xy, truth.keypoints.confidence, truth.poses.xyz, truth.rig).rig
    in_km = adjust(
        xy, truth.keypoints.confidence, truth.poses.xyz * 1e-6, truth.rig.scaled(1e-6, "arbitrary", "none")
    ).rig
    assert max(pair.rotation_deg for pair in compare_rigs(in_mm, in_km)) < 1e-4


def test_the_first_camera_and_the_first_baseline_stay(truth):
    found = adjust(observed(truth, 2.0), truth.keypoints.confidence, truth.poses.xyz, truth.rig).rig
    np.testing.assert_allclose(found.cameras[0].P, truth.rig.cameras[0].P, atol=1e-6)
    before, after = (np.linalg.norm(r.cameras[0].center - r.cameras[1].center) for r in (truth.rig, found))
    assert after == pytest.approx(before)


def test_joints_that_too_few_views_see_are_not_enough(truth):
    xy = truth.keypoints.xy.copy()
    xy[1:] = np.nan
    with pytest.raises(GeometryError, match="17 joints are seen by two views and lie in front of both, at least 30"):
        adjust(xy, truth.keypoints.confidence, truth.poses.xyz, truth.rig)


def test_an_adjustment_settles_within_a_few_steps(truth, monkeypatch):
    """Weights of an earlier noise than the one that judges the residuals made it swing up to the last iteration."""
    steps = []
    monkeypatch.setattr(bundle_adjustment, "em_step", lambda *a, **k: steps.append(1) or em_step(*a, **k))
    confidence = np.random.default_rng(2).random(truth.keypoints.confidence.shape)
    adjust(observed(truth, 3.0, gross=0.02), confidence, truth.poses.xyz, shaken(truth.rig, 0.1, 3.0))
    assert len(steps) < 15
