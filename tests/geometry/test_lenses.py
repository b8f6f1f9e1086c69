"""Lenses that nobody has measured: their derivatives, what joints tell of them, and what stays as usual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels

from epitool.geometry.calibration.bundle_adjustment import adjust
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.calibration.lens_priors import (
    add_to_k1,
    apply_lens_steps,
    bend_pixels,
    priors_of_free_focals,
    priors_of_known,
    priors_of_known_focals,
    priors_of_unknown,
)
from epitool.geometry.calibration.schur_complement import reduced_system
from epitool.geometry.compiled.lens import LENS, POSE, squared_errors
from epitool.synthetic import labels_of


@pytest.fixture(scope="module")
def unmeasured():
    """Exact labels by cameras whose lenses have faults, and those cameras as they would be assumed."""
    truth = exact_labels(80, 1)
    cameras = []
    for v, camera in enumerate(truth.rig.cameras):
        K = camera.K.copy()
        K[:2, 2] += (5 - 3 * v, 4 * v - 6)
        K[0, 0] *= 1.004
        cameras.append(replace(add_to_k1(camera, -0.05 * v), K=K))
    return labels_of(truth.poses.xyz, replace(truth.rig, cameras=tuple(cameras))), truth.rig.cameras


def looked(labels, start, lenses, times=8):
    for _ in range(times):
        found = adjust(
            start.undistort(labels.keypoints.xy), labels.keypoints.confidence, labels.poses.xyz, start, lenses=lenses
        )
        start = found.rig
    return found


def places_of(truth, lenses):
    """The true places with other lenses."""
    return replace(truth, cameras=tuple(replace(b, R=a.R, t=a.t) for a, b in zip(truth.cameras, lenses, strict=True)))


def test_the_gradient_is_the_derivative_of_the_squared_errors(truth):
    """By all parameters of a camera, the joints held: half the difference of squared errors."""
    rng = np.random.default_rng(0)
    camera, xyz = truth.rig.cameras[1], truth.poses.xyz[:3].reshape(-1, 3)
    xy = camera.project(xyz)[:, None] + rng.normal(0, 3, (len(xyz), 1, 2))
    R, t, K, bend, weights = camera.R[None], camera.t[None], camera.K[None], np.array([-0.04]), np.ones((len(xyz), 1))
    # points with endless damping stay where they are
    gradient = reduced_system(R, t, K, bend, xyz, xy, weights, LENS, 1e15, np.zeros(len(xyz), dtype=np.int64)).gradient
    for k in range(POSE, LENS):
        errors = []
        for sign in (-1, 1):
            step = np.zeros((1, LENS - POSE))
            step[0, k - POSE] = sign * 1e-5
            errors.append(squared_errors(R, t, *apply_lens_steps(K, bend, step), xyz, xy).sum())
        assert gradient[0, k] == pytest.approx((errors[1] - errors[0]) / 4e-5, rel=1e-4)


def test_errors_are_those_in_the_images_whatever_the_lens_becomes(truth):
    """Undistorted keypoints would move with the focal length as those of a lens without distortion."""
    xyz = truth.poses.xyz[:3].reshape(-1, 3)
    rig = replace(truth.rig, cameras=tuple(add_to_k1(camera, -0.2) for camera in truth.rig.cameras))
    seen = rig.project(xyz) + np.random.default_rng(0).normal(0, 3, (len(xyz), len(rig), 2)).swapaxes(0, 1)
    R, t, K = rig.stacked("R", "t", "K")
    bent, bend = bend_pixels(rig.undistort(seen.swapaxes(0, 1)[:, :, None]), rig)
    np.testing.assert_allclose(bend, -0.2)
    other, more = apply_lens_steps(K, bend, np.tile([0.1, 20.0, -10.0, 0.05, 0.01], (len(rig), 1)))
    moved = [replace(add_to_k1(c, 0.05), K=k) for c, k in zip(rig.cameras, other, strict=True)]
    in_images = ((replace(rig, cameras=tuple(moved)).project(xyz) - seen) ** 2).sum(axis=-1).T
    np.testing.assert_allclose(squared_errors(R, t, other, more, xyz, bent[:, :, 0]), in_images, rtol=1e-6)


def test_a_bend_is_most_of_a_lens_with_more_coefficients(truth):
    lens = replace(truth.rig.cameras[0], distortion=np.array([-0.3, 0.08, 0.001, -0.001, 0.0]))
    rig = replace(truth.rig, cameras=(lens, *truth.rig.cameras[1:]))
    seen = rig.project(truth.poses.xyz[:3].reshape(-1, 3)).swapaxes(0, 1)[:, :, None]
    ideal = rig.undistort(seen)
    bent, bend = bend_pixels(ideal, rig)
    assert -0.3 < bend[0] < -0.2
    assert not bend[1:].any()
    left, was = (np.abs(xy[:, 0] - seen[:, 0]).max() for xy in (bent, ideal))
    assert left < 0.2 * was


def test_joints_tell_a_lens_that_nobody_measured(unmeasured):
    labels, cameras = unmeasured
    found = looked(labels, places_of(labels.rig, cameras), priors_of_unknown(cameras))
    before = looked(labels, places_of(labels.rig, cameras), priors_of_free_focals(cameras))
    worst, was = (max(p.rotation_deg for p in compare_rigs(b.rig, labels.rig)) for b in (found, before))
    assert was > 0.5
    assert worst < 0.25 * was
    for own, true in zip(found.rig.cameras, labels.rig.cameras, strict=True):
        assert own.lens[0] == pytest.approx(true.lens[0], abs=0.03)
        assert own.focal == pytest.approx(true.focal, rel=0.02)


def test_what_is_not_known_of_lenses_is_in_the_deviations(unmeasured):
    """Keypoints are exact but for a little: all doubt is of the lenses."""
    labels, cameras = unmeasured
    noisy = labels.keypoints.xy + np.random.default_rng(0).normal(0, 1.0, labels.keypoints.xy.shape)
    start = places_of(labels.rig, cameras)
    known, field, nothing = (
        adjust(start.undistort(noisy), labels.keypoints.confidence, labels.poses.xyz, start, lenses=of(cameras))
        for of in (priors_of_known, priors_of_known_focals, priors_of_unknown)
    )
    assert not (known.focal_sd + field.focal_sd).any()
    assert nothing.focal_sd.all()
    assert (field.rotation_sd[1:] > 2 * known.rotation_sd[1:]).all()
    assert (nothing.rotation_sd[1:] > known.rotation_sd[1:]).all()


def test_a_lens_that_is_held_stays(unmeasured):
    labels = unmeasured[0]
    found = adjust(
        labels.rig.undistort(labels.keypoints.xy),
        labels.keypoints.confidence,
        labels.poses.xyz,
        labels.rig,
        lenses=priors_of_known(labels.rig.cameras),
    )
    for own, true in zip(found.rig.cameras, labels.rig.cameras, strict=True):
        np.testing.assert_array_equal(own.K, true.K)
        np.testing.assert_array_equal(own.lens, true.lens)
